"""Measuring a process includes all processes that it starts."""

import sys

import pytest

from bench.process import Invocation, measure


def python(code, tmp_path):
    return Invocation([sys.executable, "-c", code], tmp_path)


def test_what_a_process_and_its_children_take(tmp_path):
    size = 2**26
    child = f"import sys; x = b'x' * {size}"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}]); print('hi')"
    taken = measure(python(code, tmp_path))
    assert (taken.code, taken.output.strip()) == (0, "hi")
    assert size < taken.peak < 2 * size
    assert taken.cpu_seconds > 0
    # This process, which is larger, is not counted.
    assert measure(python("pass", tmp_path)).peak < size


def test_processes_that_are_left_behind_count(tmp_path):
    # The parent ends at once; the orphan allocates the memory only after that.
    late = f"import os, sys\nwhile os.getppid() == int(sys.argv[1]): pass\nx = b'x' * {2**26}"
    words = f"[sys.executable, '-c', {late!r}, str(os.getpid())]"
    taken = measure(python(f"import os, subprocess, sys; subprocess.Popen({words})", tmp_path))
    assert taken.peak > 2**26


def test_a_process_that_does_not_end_is_ended(tmp_path):
    with pytest.raises(TimeoutError, match=r"expected an end within 0\.5 s"):
        measure(python("while True: pass", tmp_path), limit=0.5)


def test_a_process_fails_or_is_not_there(tmp_path):
    assert measure(python("raise SystemExit(3)", tmp_path)).code == 3
    missing = measure(Invocation(["no-such-program"], tmp_path))
    assert missing.code != 0
    assert "no-such-program" in missing.output


def test_a_process_runs_where_and_as_it_is_told(tmp_path):
    code = "import os; print(input(), os.getcwd(), os.environ['WORD'], os.sched_getaffinity(0))"
    invocation = Invocation([sys.executable, "-c", code], tmp_path, {"WORD": "w"}, "asked\n")
    assert measure(invocation, [0]).output.strip() == f"asked {tmp_path} w {{0}}"
