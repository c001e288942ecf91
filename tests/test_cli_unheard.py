"""Runs of the command line whose output cannot be written, or not in the encoding of stdout."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with one frame."""
    fits.writeto(tmp_path / "m0.fits", np.ones((5, 4), "f4"), fits.Header({"BUNIT": "adu"}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-"])
@pytest.mark.parametrize(("name", "code"), [("m0.fits", 0), ("none.fits", 2)])
def test_lost_messages_do_not_change_the_exit_code(folder, where, name, code):
    line = f'"{sys.executable}" -m gpustack combine m0.fits {name} -v -o out.fits {where}'
    done = subprocess.run(["sh", "-c", line], check=False)
    assert done.returncode == code
    assert Path("out.fits").exists() == (code == 0)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8:strict"])
def test_names_that_stdout_cannot_encode_are_escaped(folder, encoding):
    # Pipes on Windows have cp1252. A name that is no UTF-8 has surrogates in Python.
    name = "\u03bb\udce9.fits"
    Path("m0.fits").rename(name)
    done = subprocess.run(
        [sys.executable, "-m", "gpustack", "explain", "1", "1", name],
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=True,
    )
    assert rb"\udce9.fits" in done.stdout
    assert (rb"\u03bb" in done.stdout) == (encoding == "cp1252")


def test_where_nobody_listens_files_are_no_stderr(folder):
    # With stdin closed too, the next file opened would get its file descriptor.
    text = """
import os, sys
from gpustack.cli.process import begin
begin()
with open("m0.fits", "rb") as file:
    assert file.fileno() > 2, file.fileno()
print("unheard", file=sys.stderr)
os.write(2, b"unheard")
"""
    done = subprocess.run(["sh", "-c", f"\"{sys.executable}\" -c '{text}' 0<&- 2>&-"], check=False)
    assert done.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_interrupt_ends_the_run_though_nobody_reads_its_message(folder):
    text = """
import os, signal
from gpustack import cli, engine
engine.stack = lambda *args, **more: os.kill(os.getpid(), signal.SIGINT)
import sys
sys.argv[1:] = ["combine", "m0.fits", "-o", "out.fits"]
cli.main()
"""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([sys.executable, "-c", text], stderr=full, check=False)
    assert done.returncode == 130
