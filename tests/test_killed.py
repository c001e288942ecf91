"""Runs that are killed or interrupted at any moment leave no partial output and no other files."""

import fcntl
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits

from forks import forks
from gpustack import stack
from gpustack.writing import temporary, write_text
from gpustack.writing.temporary import remove_abandoned, temporary_file

PART = ".gpustack-*.part"

#: A program that runs the command line and sends signals to itself at some moment of the run.
RUN = """
import os, signal, sys
moment, *signals = sys.argv[1:]

def strike(*_):
    while signals:  # the next one comes while what the first one does is being done
        os.kill(os.getpid(), getattr(signal, signals.pop(0)))

def before(owner, name):
    real = getattr(owner, name)
    def struck(*args, **kwargs):
        strike()
        return real(*args, **kwargs)
    setattr(owner, name, struck)

def after(owner, name):
    real = getattr(owner, name)
    def struck(*args, **kwargs):
        result = real(*args, **kwargs)
        strike()
        return result
    setattr(owner, name, struck)

from gpustack import cli, streaming, writing
from gpustack.writing import temporary
from gpustack.backends import cpu
from gpustack.frames import planes
from gpustack.frames.hdus import scan
{
    "opening": lambda: before(planes, "open_plane"),
    "creating": lambda: before(temporary, "_lock"),
    "laying out": lambda: before(streaming.ResultFile, "lay_out"),
    "reading": lambda: before(planes.Plane, "read"),
    "computing": lambda: after(cpu, "work"),
    "writing": lambda: before(streaming.FileSink, "write"),
    "amid writing": lambda: after(streaming.FileSink, "write"),
    "written": lambda: before(streaming.ResultFile, "finish"),
    "before its name": lambda: before(writing, "_take_name"),
    "after its name": lambda: after(writing, "_take_name"),
    "removing": lambda: before(temporary, "_remove"),
    "at the end": lambda: after(streaming.ResultFile, "finish"),
}[moment]()
import gpustack.frames.fitsframe as fitsframe
fitsframe.open_plane = planes.open_plane
sys.argv = ["gpustack", "combine", "a.fits", "b.fits", "c.fits", "-o", "out.fits", *OPTIONS]
cli.main()
"""
MOMENTS = (
    *("opening", "creating", "laying out", "reading", "computing", "writing", "amid writing"),
    *("written", "before its name", "after its name", "removing", "at the end"),
)
#: Moments at which the output exists and is complete.
DONE = ("after its name", "removing", "at the end")


@pytest.fixture
def folder(tmp_path):
    """A folder with three frames."""
    for name in ("a", "b", "c"):
        plane = np.full((40, 50), 7, np.float32)
        fits.writeto(tmp_path / f"{name}.fits", plane, fits.Header({"BUNIT": "adu"}))
    return tmp_path


#: Imports that take long, but nothing that the command line does itself.
LOADED = "import gpustack.cli, gpustack.engine, gpustack.streaming, gpustack.frames.planes"


@pytest.fixture(scope="module")
def run():
    """A function that runs the command line in a separate process."""
    with forks(LOADED) as one:

        def in_folder(folder, moment, *signals, options=()):
            code = RUN.replace("OPTIONS", repr(list(options)))
            return one.run(code, moment, *signals, cwd=folder)

        yield in_folder


def left(folder):
    return sorted(path.name for path in folder.iterdir() if len(path.stem) > 1)


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_a_killed_run_leaves_the_next_one_removes(run, folder, moment):
    (folder / "out.fits").write_bytes(b"mine")
    done = run(folder, moment, "SIGKILL", options=["--overwrite"])
    assert done.returncode == -signal.SIGKILL, done.stderr
    parts = list(folder.glob(PART))
    early = MOMENTS.index(moment) < MOMENTS.index("creating")
    assert len(parts) == (not early and moment not in DONE)
    assert left(folder) == sorted(["out.fits", *(path.name for path in parts)])
    if moment in DONE:
        assert (fits.getdata(folder / "out.fits") == 7).all()
    else:
        assert (folder / "out.fits").read_bytes() == b"mine"
    stack(str(folder / "[abc].fits")).write(folder / "next.fits")
    assert left(folder) == ["next.fits", "out.fits"]


def test_killed_between_its_two_names_the_output_is_whole(run, folder):
    # Without --overwrite the file has both names for a moment.
    assert run(folder, "after its name", "SIGKILL").returncode == -signal.SIGKILL
    assert len(list(folder.glob(PART))) == 1
    assert (fits.getdata(folder / "out.fits") == 7).all()
    remove_abandoned(folder)
    assert left(folder) == ["out.fits"]
    assert (fits.getdata(folder / "out.fits") == 7).all()


SIGNALS = [
    *((moment, [name]) for moment in MOMENTS[1::3] for name in ("SIGINT", "SIGTERM", "SIGHUP")),
    *((moment, ["SIGINT", "SIGINT", "SIGTERM"]) for moment in MOMENTS),
    # Python handles the pending signal of the lowest number first.
    *((moment, ["SIGHUP", "SIGHUP", "SIGINT"]) for moment in MOMENTS[::2]),
]


@pytest.mark.parametrize(("moment", "names"), SIGNALS)
def test_signals_leave_nothing_behind(run, folder, moment, names):
    done = run(folder, moment, *names)
    assert done.returncode == 128 + getattr(signal, names[0]), done.stderr
    assert "Traceback" not in done.stderr
    assert ("interrupted" in done.stderr) == (names[0] == "SIGINT")
    assert left(folder) == (["out.fits"] if moment in DONE else [])
    if moment in DONE:
        assert (fits.getdata(folder / "out.fits") == 7).all()


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_what_is_ignored_in_the_background_stays_so(folder, name):
    code, ignored = RUN.replace("OPTIONS", "[]"), f'trap "" {name[3:]}; exec "$@"'
    started = ["sh", "-c", ignored, "sh", sys.executable, "-c", code]
    done = subprocess.run([*started, "reading", name], cwd=folder, check=False, timeout=100)
    assert done.returncode == 0
    assert left(folder) == ["out.fits"]


# Which temporary files are removed


def test_files_that_are_being_written_stay(tmp_path):
    with temporary_file(tmp_path) as (file, path):
        file.write(b"half")
        code = (
            "from pathlib import Path; from gpustack.writing import temporary; "
            "temporary.remove_abandoned(Path('.'))"
        )
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
        remove_abandoned(tmp_path)
        assert path.exists()
    assert not path.exists()


def abandoned(folder, machine=None):
    machine = temporary._machine() if machine is None else machine
    path = folder / f".gpustack-{machine}-1-01234567.part"
    path.write_bytes(b"half")
    return path


def test_files_of_this_machine_that_nobody_writes_go(tmp_path, caplog):
    caplog.set_level("DEBUG", "astropy.gpustack")
    path = abandoned(tmp_path)
    remove_abandoned(tmp_path)
    assert not path.exists()
    assert f"{path}: removed; left by a run that was killed" in caplog.text


def test_whoever_writes_a_report_removes_them_too(tmp_path):
    abandoned(tmp_path)
    write_text(tmp_path / "report.json", "{}")
    assert left(tmp_path) == ["report.json"]


def test_files_of_other_machines_and_of_others_stay(tmp_path):
    kept = [abandoned(tmp_path, "0123456789ab"), tmp_path / ".gpustack-mine"]
    kept += [tmp_path / ".gpustack", tmp_path / "gpustack.part"]
    for path in kept[1:]:
        path.touch()
    remove_abandoned(tmp_path)
    assert all(path.exists() for path in kept)


def test_where_machines_cannot_be_told_apart_all_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(temporary, "_BOOT", tmp_path / "none")
    temporary._machine.cache_clear()
    try:
        path = abandoned(tmp_path)
        remove_abandoned(tmp_path)
        assert path.exists()
        with temporary_file(tmp_path) as (_, mine):
            assert mine.name.startswith(".gpustack-0-")
    finally:
        temporary._machine.cache_clear()


def refuse(*_):
    raise OSError(95, "Operation not supported")


def test_where_there_are_no_locks_all_stay_and_files_are_written(tmp_path, monkeypatch):
    path = abandoned(tmp_path)
    monkeypatch.setattr(fcntl, "flock", refuse)
    remove_abandoned(tmp_path)
    with temporary_file(tmp_path) as (file, mine):
        assert file.write(b"half") == 4
        remove_abandoned(tmp_path)
        assert mine.exists()
    monkeypatch.setattr(temporary, "_fcntl", lambda: None)
    remove_abandoned(tmp_path)
    assert path.exists()


def test_names_that_are_no_files_stay(tmp_path):
    stem = f".gpustack-{temporary._machine()}-1-"
    (tmp_path / f"{stem}folder.part").mkdir()
    os.mkfifo(tmp_path / f"{stem}pipe.part")
    (tmp_path / "precious").write_bytes(b"mine")
    (tmp_path / f"{stem}link.part").symlink_to("precious")
    remove_abandoned(tmp_path)
    assert len(list(tmp_path.iterdir())) == 4
    assert (tmp_path / "precious").read_bytes() == b"mine"


def test_a_file_taken_for_abandoned_before_it_was_locked_is_an_error(tmp_path, monkeypatch):
    lock = temporary._lock

    def too_late(file, wait):
        if wait:
            remove_abandoned(tmp_path)
        return lock(file, wait)

    monkeypatch.setattr(temporary, "_lock", too_late)
    with pytest.raises(OSError, match="try again"), temporary_file(tmp_path):
        pass
