"""The CUDA backend on several simulated devices, and on devices that cannot work."""

import threading
import time

import numpy as np
import pytest

import fakecuda
from bands import ROWS, Cuda, N, frames, rows_launched, same, stream
from gpustack.backends.base import Outputs, Samples
from gpustack.backends.cuda import device
from gpustack.backends.cuda.slots import Slot
from gpustack.backends.cuda.work import Rows, Work
from gpustack.backends.cuda.worker import Worker
from gpustack.errors import BackendError, FrameError, InputError
from gpustack.maps.rejections import RejectionCube
from recipes import recipe

pytestmark = pytest.mark.usefixtures("small_bands")


@pytest.mark.parametrize("where", ["progress", "read", "wait"])
def test_memory_that_is_out_elsewhere_ends_the_run(pretend, monkeypatch, where):
    # The band is not returned to the queue then, so continuing would leave its rows unwritten.
    pretend(devices=2)
    full = device.cupy().cuda.memory.OutOfMemoryError

    def fail(*_):
        raise full("of somebody else")

    more = {}
    if where == "wait":
        monkeypatch.setattr("gpustack.backends.cuda.slots.Slot.wait", fail)
    elif where == "read":
        more["before"] = lambda f, start: fail() if start >= 6 else None
    else:
        more["progress"] = fail
    with pytest.raises(full, match="of somebody else"):
        stream(frames(), recipe("median", N), **more)


def test_progress_is_told_in_the_thread_of_the_caller(pretend):
    world = pretend(devices=2, eager="always")
    threads, stopped, told = set(), [], []

    def progress(done, rows):
        threads.add(threading.get_ident())
        told.append((done, rows))
        if done < ROWS:  # the devices go on meanwhile
            deadline = time.monotonic() + 10
            while rows_launched(world) < ROWS and time.monotonic() < deadline:
                time.sleep(0.001)
            stopped.append(rows_launched(world) < ROWS)

    stream(frames(), recipe("median", N), progress=progress)
    assert threads == {threading.get_ident()}
    assert told[-1] == (ROWS, ROWS)
    assert not any(stopped)


def test_rows_that_were_lost_are_told(pretend, monkeypatch):
    world = pretend()
    world.fail_launches = 1
    monkeypatch.setattr("gpustack.backends.cuda.work.Rows.give_back", lambda *_: None)
    with pytest.raises(BackendError, match=r"lost rows: expected 23, got \d+"):
        stream(frames(), recipe("median", N))


@pytest.mark.parametrize("eager", [None, "always", 5])
def test_a_device_that_cannot_work_is_left_out(pretend, caplog, eager):
    caplog.set_level("DEBUG", "astropy.gpustack")
    asked = recipe("everything", N)
    pretend()
    whole, _ = stream(frames(), asked)
    for full in (0, 1):
        world = pretend(devices=2, eager=eager)
        world.taken[full] = fakecuda.CUDARuntimeError(46, "cudaErrorDevicesUnavailable")
        same(stream(frames(), asked)[0], whole)
        assert {number for number, _ in world.launched} == {1 - full}
        assert f"device {full} is not used: device {full} cannot be used: cudaErr" in caplog.text
        world = pretend(devices=2, eager=eager)
        world.used[full] = world.capacity - 2_000
        same(stream(frames(), asked)[0], whole)
        assert {number for number, _ in world.launched} == {1 - full}
        assert f"device {full} is not used: memory limit: expected room for" in caplog.text


def test_rows_that_a_device_gives_back_late_are_done_by_another(pretend, monkeypatch):
    asked = recipe("everything", N)
    pretend()
    whole, _ = stream(frames(), asked)
    world = pretend(devices=2, eager="always")
    start, run = Slot.start, Worker.run
    took, ended = threading.Event(), threading.Event()

    def late(slot, *arguments):
        if world.device == 0:
            assert took.wait(10)
            return start(slot, *arguments)
        took.set()
        assert ended.wait(60)  # the other device found nothing more to do
        raise fakecuda.OutOfMemoryError("full")

    def watched(worker, bands):
        problem = run(worker, bands)
        ended.set()
        return problem

    monkeypatch.setattr(Slot, "start", late)
    monkeypatch.setattr(Worker, "run", watched)
    same(stream(frames(), asked)[0], whole)
    assert {number for number, _ in world.launched} == {0}


def test_an_error_of_cuda_in_mid_run_is_raised(pretend, monkeypatch):
    pretend(devices=2)

    def fail(_):
        raise fakecuda.CUDARuntimeError(700, "cudaErrorIllegalAddress")

    monkeypatch.setattr(Slot, "wait", fail)
    with pytest.raises(fakecuda.CUDARuntimeError, match="IllegalAddress"):
        stream(frames(), recipe("median", N))


def test_the_failure_of_a_device_stops_the_others(pretend, monkeypatch):
    world = pretend(devices=2, eager="always")
    start, run, ended = Slot.start, Worker.run, threading.Event()

    def first(slot, *arguments):
        if world.device == 0:
            raise ValueError("broken")
        assert ended.wait(60)
        return start(slot, *arguments)

    def watched(worker, bands):
        try:
            return run(worker, bands)
        finally:
            ended.set()

    monkeypatch.setattr(Slot, "start", first)
    monkeypatch.setattr(Worker, "run", watched)
    with pytest.raises(ValueError, match="broken"):
        stream(frames(), recipe("median", N))
    assert len(world.launched) <= 1


def test_when_the_caller_is_interrupted_nothing_more_is_begun(pretend, monkeypatch):
    world = pretend(devices=2, eager="always")
    stop, stopped, late = Rows.stop, threading.Event(), []

    def told(rows):
        stop(rows)
        stopped.set()

    def before(f, start):
        if start >= 12 and not late and not stopped.wait(20):
            late.append(start)

    def progress(done, rows):
        raise KeyboardInterrupt

    monkeypatch.setattr(Rows, "stop", told)
    with pytest.raises(KeyboardInterrupt):
        stream(frames(), recipe("median", N), before=before, progress=progress)
    assert not late, "the caller was not heeded while rows were read"
    assert rows_launched(world) < ROWS


def test_bands_are_read_one_after_the_other_and_in_order(pretend, monkeypatch):
    # Files that are compressed as a whole must be read in order.
    pretend(devices=3)
    begin, take, works, starts = Work.__init__, Rows.take, [], []

    def begun(work, *given):
        begin(work, *given)
        works.append(work)

    def taken(rows, most):
        assert works[0].reading.locked()
        return take(rows, most)

    def before(f, start):
        assert works[0].reading.locked()
        starts.append(start)

    monkeypatch.setattr(Work, "__init__", begun)
    monkeypatch.setattr(Rows, "take", taken)
    stream(frames(), recipe("median", N), before=before)
    assert starts == sorted(starts)
    assert len(starts) > N


def test_where_no_device_can_work_the_first_reason_is_told(pretend):
    world = pretend(devices=2)
    for number in range(2):
        world.taken[number] = fakecuda.CUDARuntimeError(46, f"cudaErrorDevicesUnavailable {number}")
    with pytest.raises(BackendError, match=r"device 0 cannot be used: cudaErrorDev.* 0"):
        stream(frames(), recipe("median", N))


def test_devices_that_are_not_needed_are_not_touched(pretend, monkeypatch):
    monkeypatch.setattr("gpustack.backends.cuda.work.LEAST_BYTES", 1 << 20)
    world = pretend(devices=3)
    stream(frames(), recipe("median", N))
    assert world.touched == {0}


@pytest.mark.parametrize("what", ["masks", "outputs"])
def test_cupy_arrays_on_another_device_are_refused(pretend, what):
    pretend(devices=2)
    cupy, band, out = device.cupy(), [], Outputs()
    values, mask = np.ones((2, 3), "f4"), np.zeros((2, 3), bool)
    for data in (values, values):
        with cupy.cuda.Device(int(what == "masks")):
            flags = cupy.asarray(mask)
        band.append(Samples(cupy.asarray(data), flags))
    with cupy.cuda.Device(int(what == "outputs")):
        out.data = cupy.asarray(values)
    with pytest.raises(InputError, match=rf"{what}: expected all on device 0.* got .*\[1\]"):
        Cuda().run(band, recipe("median", 2), out)


@pytest.mark.parametrize("key", [2, slice(1, 3)])
def test_rejections_are_unpacked_where_they_are(pretend, key):
    pretend(devices=2)
    cupy, marks = device.cupy(), np.eye(3, 12, dtype=bool).reshape(3, 2, 6)
    with cupy.cuda.Device(1):
        there = cupy.asarray(np.packbits(marks, axis=-1))
    found = RejectionCube(there, marks.shape)[key]
    assert found.device.id == 1
    np.testing.assert_array_equal(found.get(), marks[key])


def test_a_frame_that_cannot_be_read_ends_the_run(pretend):
    world = pretend(devices=2)

    def before(f, start):
        if start >= 6 and f == 4:
            raise FrameError("frame 4", "cut off")

    with pytest.raises(FrameError, match="frame 4: cut off"):
        stream(frames(), recipe("median", N), before=before)
    assert not any(stream.step() for stream in world.streams), "work was left behind"
