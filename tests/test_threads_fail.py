"""Errors in threads and lack of memory: one clear error, no kept buffers, no hang."""

import gc
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest
from astropy.io import fits

from bands import N, frames, stream
from gpustack import Combiner, OutOfMemoryError, combine, explain, stack
from gpustack.backends.band_threads import BandPlan, run_in_turn
from gpustack.backends.base import Outputs, Samples
from gpustack.backends.cuda.slots import Slot
from gpustack.errors import FrameError
from gpustack.plan import plan_bands
from gpustack.recipe import Recipe
from recipes import recipe

ROWS, WIDTH, FRAMES = 120, 8, 3
BANDS = plan_bands(ROWS, 1, 4)


@dataclass
class Source:
    """Frames that can be read until `fails` raises; records the reads and the buffers."""

    fails: object = staticmethod(lambda f, start: None)
    n: int = FRAMES
    rows: int = ROWS
    width: int = WIDTH
    reads: list = field(default_factory=list)
    buffers: list = field(default_factory=list)

    @property
    def row_bytes(self):
        return [4 * self.width] * self.n

    def read(self, f, start, stop, into=None):
        self.reads.append((f, start))
        self.buffers.append(weakref.ref(into))
        self.fails(f, start)
        return Samples(np.zeros((stop - start, self.width), np.float32))


def in_turn(source, run=lambda *_: None, threads=2, progress=None):
    out = Outputs(np.zeros((ROWS, WIDTH), np.float32))
    run_in_turn(run, source, Recipe(), out, BandPlan(BANDS, threads), progress)


def no():
    return FrameError("b.fits", "no")


def fail_at(number, make_error=no):
    """A function that raises at its `number`-th call, in any thread."""
    lock, left = threading.Lock(), [number]

    def call(*_):
        with lock:
            left[0] -= 1
            fails = left[0] == 0
        if fails:
            raise make_error()

    return call


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("where", ["read", "run", "progress"])
@pytest.mark.parametrize("number", [1, 5])
def test_an_error_stops_all_threads_and_comes_through(threads, where, number):
    before = threading.active_count()
    fail = fail_at(number)
    source = Source(fail if where == "read" else Source.fails)
    with pytest.raises(FrameError, match=r"b\.fits: no"):
        in_turn(source, fail if where == "run" else lambda *_: None, threads,
                fail if where == "progress" else None)  # fmt: skip
    assert threading.active_count() == before
    if where != "progress":
        # At most what was in progress: one band of each thread, and the next one.
        assert len(source.reads) <= (number + 2 * threads) * FRAMES


def test_who_reads_stops_between_two_frames():
    reading, failed = threading.Event(), threading.Event()

    def read(f, start):
        if start == BANDS[1].start:
            reading.set()
            failed.wait(10)

    def run(samples, recipe, out):
        assert reading.wait(10)
        raise ValueError("no")

    class Told(ThreadPoolExecutor):
        """An executor that signals when a thread has finished."""

        def submit(self, work):
            future = super().submit(work)
            future.add_done_callback(lambda done: done.exception() and failed.set())
            return future

    source = Source(read)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gpustack.backends.band_threads.ThreadPoolExecutor", Told)
        with pytest.raises(ValueError, match="no"):
            in_turn(source, run)
    # The second band was being read: its first frame, and no more.
    assert [f for f, start in source.reads if start == BANDS[1].start] == [0]


@pytest.mark.parametrize("where", ["read", "run"])
def test_an_error_keeps_no_buffers(where):
    fail = fail_at(3, MemoryError)
    source = Source(fail if where == "read" else Source.fails)
    gc.disable()
    try:
        with pytest.raises(MemoryError):
            in_turn(source, fail if where == "run" else lambda *_: None)
        assert source.buffers
        assert [buffer for buffer in source.buffers if buffer() is not None] == []
    finally:
        gc.enable()


# The device


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize("number", [1, N, 3 * N + 1])
@pytest.mark.usefixtures("small_bands")
def test_an_error_in_reading_for_devices_keeps_no_slots(pretend, devices, number):
    pretend(devices=devices)
    before = threading.active_count()
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(FrameError, match=r"b\.fits: no"):
            stream(frames(), recipe("everything", N), before=fail_at(number))
        assert not any(isinstance(one, Slot) for one in gc.get_objects())
    finally:
        gc.enable()
    assert threading.active_count() == before


# Memory of the host


@pytest.fixture
def cube():
    return np.random.default_rng(1).normal(10, 1, (4, 30, 20)).astype(np.float32)


def run_out(*_, **__):
    raise MemoryError("Unable to allocate 1.00 TiB")


WHERE = {
    "the result": "gpustack.engine.outputs_of",
    "maps": "gpustack.engine.derived",
    "a buffer of a thread": "gpustack.backends.cpu.BufferPool.lend",
    "a thread at work": "gpustack.backends.tile_job.TileJob.run",
    "a band": "gpustack.backends.cpu.run_in_turn",
}
MESSAGE = r"out of memory: expected memory for .*, got: Unable to allocate 1\.00 TiB; .*--memory"


@pytest.mark.parametrize("place", WHERE.values(), ids=WHERE)
def test_memory_that_runs_out_is_an_error_that_says_what_to_lower(cube, monkeypatch, place):
    monkeypatch.setattr(place, run_out)
    before = threading.active_count()
    doors = (
        lambda: stack(cube, backend="cpu"),
        lambda: combine([*map(partial(_ccd), cube)]),
        lambda: Combiner([*map(_ccd, cube)]).average_combine(),
    )
    for door in doors:
        with pytest.raises(OutOfMemoryError, match=MESSAGE) as caught:
            door()
        assert isinstance(caught.value, MemoryError)
        assert caught.value.__context__ is None, "it would keep all buffers"
    assert threading.active_count() == before


def _ccd(plane):
    from astropy.nddata import CCDData

    return CCDData(plane, unit="adu")


def test_no_memory_for_a_tile_is_not_a_broken_file(cube, tmp_path, monkeypatch):
    path = tmp_path / "a.fits"
    fits.CompImageHDU(cube[0], compression_type="GZIP_1").writeto(path)
    monkeypatch.setattr("gpustack.frames.planes._pieces", run_out)
    with pytest.raises(OutOfMemoryError, match=r"got: .*a\.fits: Unable to allocate 1\.00 TiB; "):
        stack(path, unit="adu", backend="cpu")


def test_no_memory_for_a_thread_is_out_of_memory(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(OutOfMemoryError, match="got: can't start new thread"):
        stack(np.ones((4, 300, 200), np.float32), backend="cpu")


def test_a_small_stack_needs_no_thread(cube, monkeypatch):
    monkeypatch.setattr(threading.Thread, "start", None)
    np.testing.assert_allclose(stack(cube, backend="cpu").data, cube.mean(axis=0), rtol=1e-6)


def test_other_errors_stay_what_they_are(cube, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("a fault")

    monkeypatch.setattr("gpustack.backends.tile_job.TileJob.run", fail)
    with pytest.raises(RuntimeError, match="a fault"):
        stack(cube, backend="cpu")


def test_what_is_explained_may_run_out_too(cube, monkeypatch):
    monkeypatch.setattr("gpustack.explanation.open_frames", run_out)
    with pytest.raises(MemoryError):
        explain(cube, 1, 1)


# On one core, because Python waits for ever for a thread that had no memory to start.
SHORT = """
import os, resource, sys
os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
import numpy, scipy.special, astropy.io.fits, astropy.units, gpustack.engine, gpustack.writing
with open("/proc/self/statm") as file:
    taken = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + (10 << 20),) * 2)
sys.argv[1:] = ["combine", "a.fits", "b.fits", "-o", "out.fits", "--backend", "cpu"]
from gpustack.cli import main
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits on memory as Linux has them")
def test_a_machine_without_memory_is_code_3_and_leaves_nothing(tmp_path):
    for name in ("a.fits", "b.fits"):
        plane = np.zeros((2000, 2000), np.float32)
        fits.writeto(tmp_path / name, plane, fits.Header({"BUNIT": "adu"}))
    done = subprocess.run(
        [sys.executable, "-c", SHORT],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 3, done.stderr
    assert "gpustack: out of memory: " in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.fits", "b.fits"]
