"""The CUDA backend on simulated devices: memory limits, and running out of memory."""

import gc
import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest

import fakecuda
import fakekernels
from bands import MEMORY, ROWS, WIDTH, BandSource, Cuda, Files, N, frames, same, stream
from gpustack.backends.base import Outputs, Samples
from gpustack.backends.cuda import device, staging, worker
from gpustack.backends.cuda.backend import CudaBackend
from gpustack.backends.cuda.launch import Job, Kernels
from gpustack.backends.cuda.slots import Slot
from gpustack.backends.cuda.work import READERS, Work
from gpustack.errors import MemoryLimitError, OutOfMemoryError
from gpustack.plan import Band
from gpustack.recipe import Recipe
from oracle import solve
from recipes import recipe
from stacks import outputs, run, sky
from tolerances import assert_agrees

pytestmark = pytest.mark.usefixtures("small_bands")


@pytest.mark.parametrize("memory", [100_000, 60_000, 30_000, 16_000])
def test_the_limit_of_the_host_is_kept(pretend, memory):
    asked = recipe("everything", N)
    pretend()
    whole, _ = stream(frames(), asked)
    world = pretend()
    out, told = stream(frames(), asked, memory=memory)
    same(out, whole)
    assert world.most_pinned <= memory
    assert len(told) > 4


@pytest.mark.parametrize("memory", [100_000, "60kB", 30_000, 16_000])
def test_the_limit_of_the_device_is_kept(pretend, monkeypatch, memory):
    asked = recipe("everything", N)
    pretend()
    whole, _ = stream(frames(), asked)
    world = pretend(devices=2)
    same(stream(frames(), asked, device_memory=memory)[0], whole)
    assert world.most_used <= int(str(memory).replace("kB", "000"))
    monkeypatch.setenv("GPUSTACK_DEVICE_MEMORY", str(memory))
    world = pretend()
    same(stream(frames(), asked)[0], whole)
    assert world.most_used <= int(str(memory).replace("kB", "000"))


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_slot_takes_no_more_of_a_device_than_its_layout_says(pretend, rows):
    world = pretend()
    asked, band = recipe("everything", N), frames()
    out = outputs(band, asked)
    job = Job(asked, N, np.dtype("f4"), np.dtype("f4"), out)
    source = Files(band, np.dtype("f4"))
    layout = Work(source, job, out, Kernels()).layout(rows)
    slot = Slot(layout, layout.size, device.cupy().cuda.MemoryPool())
    assert slot.begin(Band(0, rows)) == layout
    assert world.used == [layout.size]


@pytest.mark.parametrize("what", ["types", "masks"])
def test_what_reading_makes_is_within_the_limit_of_the_host(pretend, monkeypatch, what):
    world, made = pretend(), [0]
    kept = staging._decoded
    monkeypatch.setattr("gpustack.backends.cuda.pipeline.LEAST_BANDS", 1)

    def decoded(*arguments):
        samples = kept(*arguments)
        made.append(samples.data.nbytes)
        return samples

    class Masks(BandSource):
        """A source whose masks are created when they are read."""

        def read(self, f, start, stop, into=None):
            samples = super().read(f, start, stop)
            made.append(samples.mask.nbytes)
            return replace(samples, mask=samples.mask.copy())

    kind = BandSource
    if what == "types":
        monkeypatch.setattr(staging, "_decoded", decoded)
        band = [Samples(s.data.astype("f4" if i else "u2")) for i, s in enumerate(frames())]
    else:
        band, kind = frames(), Masks
    memory, asked = 49_500, recipe("median", N)
    out, _ = stream(band, asked, memory=memory, kind=kind)
    assert_agrees(out, solve(band, asked), asked.combine)
    assert len(made) > 1
    assert world.most_pinned + READERS * max(made) <= memory


def test_what_is_read_of_a_wider_type_has_room(pretend):
    pretend()
    n = 2 * READERS
    data = sky(n, (ROWS, WIDTH)).astype("f4")
    band = [Samples(plane.astype("f8" if f == 0 else "f4")) for f, plane in enumerate(data)]

    placed = [threading.Event() for _ in range(ROWS)]

    def before(f, start):
        if f == READERS + 1:  # read by the thread that has already placed frame 1 in the slot
            placed[start].set()
        assert f > 0 or placed[start].wait(60)

    out, _ = stream(band, recipe("median", n), before=before)
    np.testing.assert_allclose(out.data, np.median(data, axis=0), rtol=1e-6)


def test_nothing_that_was_read_is_held_beside_the_slot(pretend):
    pretend()
    band = frames(weights=True)
    job = Job(recipe("median", N), N, np.dtype("f4"), np.dtype("f4"), outputs(band, Recipe()))
    source = BandSource(band, np.dtype("f4"))
    intake = Work(source, job, Outputs(), Kernels()).layout(3).intake
    block = np.zeros(intake.size, np.uint8)
    samples, _ = intake.read(2, Band(4, 7), block)
    for name in ("data", "mask", "weight"):
        assert np.shares_memory(getattr(samples, name), block)
        np.testing.assert_array_equal(getattr(samples, name), getattr(band[2], name)[4:7])


def test_only_small_slots_are_kept_by_the_pool_of_pinned_memory(pretend, monkeypatch):
    pretend()
    cuda, pooled, own = device.cupy().cuda, [], []
    allocate, pin = cuda.alloc_pinned_memory, cuda.PinnedMemory
    monkeypatch.setattr(cuda, "alloc_pinned_memory", lambda n: pooled.append(n) or allocate(n))
    monkeypatch.setattr(cuda, "PinnedMemory", lambda n: own.append(n) or pin(n))
    monkeypatch.setattr("gpustack.backends.cuda.slots.POOLED", 32 << 10)
    monkeypatch.setattr("gpustack.backends.cuda.worker.POOLED", 32 << 10)
    monkeypatch.setattr("gpustack.backends.cuda.pipeline.LEAST_BANDS", 1)
    stream(frames(), recipe("everything", N), memory=3 * (18 << 10))
    assert (set(pooled), own) == ({16 << 10}, [])
    pooled.clear()
    stream(frames(), recipe("everything", N), memory=3 * (48 << 10))
    assert (set(pooled), own) == ({32 << 10}, [])
    pooled.clear()
    stream(frames(), recipe("everything", N), memory=3 * (80 << 10), kind=BandSource)
    assert (set(pooled), own) == ({32 << 10}, []), "more than the pool keeps, for nothing"
    pooled.clear()
    monkeypatch.setattr("gpustack.backends.cuda.work.LEAST_BYTES", 60 << 10)
    stream(frames(), recipe("everything", N), memory=3 * (80 << 10), kind=BandSource)
    assert not pooled
    assert (32 << 10) < max(own) < (64 << 10), "it was rounded up"


def test_a_limit_below_one_row_is_refused(pretend):
    pretend()
    for limits in ({"memory": 3000}, {"device_memory": 3000}):
        with pytest.raises(MemoryLimitError, match=r"at least one row .* got .*3,000"):
            stream(frames(), recipe("median", N), **limits)


@pytest.mark.parametrize("room", [35_000, 30_000, 20_000, 16_000, 12_500])
def test_out_of_memory_halves_the_band_and_goes_on(pretend, monkeypatch, room):
    # As if another program took the free memory after it was counted.
    asked = recipe("everything", N)
    pretend()
    whole, _ = stream(frames(), asked, device_memory="1MB")
    monkeypatch.setattr("gpustack.backends.cuda.pipeline.LEAST_BANDS", 1)
    world = pretend(capacity=room)
    out, told = stream(frames(), asked, device_memory="1MB")
    same(out, whole)
    assert len(told) > 1
    assert world.most_used <= room
    assert world.used == [0]


def test_one_row_that_does_not_fit_is_an_error(pretend):
    pretend(capacity=5_000)
    with pytest.raises(OutOfMemoryError, match="device 0 is out of memory: expected room for one"):
        stream(frames(), recipe("everything", N), device_memory="1MB")


@pytest.mark.parametrize("fails", [1, 2, 3])
def test_what_was_under_way_when_memory_ran_out_counts_once(pretend, monkeypatch, fails):
    asked = recipe("everything", N)
    pretend()
    whole, _ = stream(frames(), asked)
    world = pretend(devices=2)

    monkeypatch.setattr("gpustack.backends.cuda.pipeline.LEAST_BANDS", 2)
    to_come = [fails]

    def before(f, start):
        if (f, start) == (0, 12):
            world.fail_launches += to_come.pop() if to_come else 0

    same(stream(frames(), asked, before=before)[0], whole)
    assert not to_come
    assert world.fail_launches == 0


def test_what_the_pool_of_cupy_holds_unused_is_given_back(pretend):
    asked = recipe("everything", N)
    pretend()
    whole, _ = stream(frames(), asked)
    world = pretend(capacity=1 << 20)
    cupy = device.cupy()
    cupy.empty((1 << 20) - 4096, np.uint8)
    assert world.capacity - world.used[0] < 5000
    same(stream(frames(), asked)[0], whole)


def test_what_the_pool_of_cupy_holds_is_given_back_before_fewer_rows_are_tried(pretend):
    asked = recipe("everything", N)
    pretend()
    whole, _ = stream(frames(), asked)
    world = pretend(capacity=1 << 20)
    device.cupy().empty((1 << 20) - 4096, np.uint8)
    same(stream(frames(), asked, device_memory="1MB")[0], whole)
    assert world.used == [0]


def test_a_fifth_of_what_is_free_is_left_to_others(pretend, monkeypatch):
    monkeypatch.setattr("gpustack.backends.cuda.pipeline.LEAST_BANDS", 1)
    world = pretend(capacity=20_000)
    stream(frames(), recipe("everything", N))
    assert 8_000 < world.most_used <= 16_000


def test_memory_that_is_out_while_a_kernel_is_compiled_is_none_to_report(pretend, monkeypatch):
    asked, compile_, left = recipe("everything", N), fakekernels._compile, [1]
    pretend()
    whole, _ = stream(frames(), asked)

    def full(*arguments):
        if left:
            left.pop()
            raise fakecuda.OutOfMemoryError("no room for a kernel")
        return compile_(*arguments)

    monkeypatch.setattr(fakekernels, "_compile", full)
    pretend()
    same(stream(frames(), asked)[0], whole)
    assert not left


def test_reasons_that_nobody_wants_stay_on_the_device(pretend, monkeypatch):
    copy, sizes = fakecuda.MemoryPointer.copy_to_host_async, {}

    def copied(memory, address, size, stream=None):
        sizes[name] = sizes.get(name, 0) + size
        copy(memory, address, size, stream)

    monkeypatch.setattr(fakecuda.MemoryPointer, "copy_to_host_async", copied)
    monkeypatch.setattr("gpustack.backends.cuda.pipeline.LEAST_BANDS", 1)
    monkeypatch.setattr("gpustack.backends.cuda.work.LEAST_BYTES", 1 << 20)
    for name in ("linear", "esd"):  # only the first one needs reasons
        pretend()
        band, asked = frames(), recipe(name, N)
        Cuda().run(band, asked, replace(outputs(band, asked), reasons=None))
    assert sizes["linear"] == sizes["esd"]


def test_the_limit_of_the_pool_of_cupy_is_kept(pretend):
    asked = recipe("everything", N)
    world = pretend()
    device.cupy().get_default_memory_pool().set_limit(size=20_000)
    stream(frames(), asked)
    assert world.most_used <= 20_000


def test_copies_of_cupy_arrays_are_let_go_before_fewer_rows_are_tried(pretend, monkeypatch):
    world = pretend()
    cupy, data = device.cupy(), sky(N, (ROWS, WIDTH))
    band = [
        Samples(cupy.asarray(plane.astype("f8" if i else "f4"))) for i, plane in enumerate(data)
    ]
    out, after = Outputs(cupy.empty((ROWS, WIDTH), "f8")), []
    before = world.used[0]
    world.fail_launches = 1
    free = device.free_unused
    monkeypatch.setattr(device, "free_unused", lambda: free() or after.append(world.used[0]))
    Cuda().run(band, recipe("median", N), out, np.dtype("f4"))
    assert after
    assert set(after) == {before}
    want = np.median(data.astype("f4"), axis=0)
    np.testing.assert_allclose(out.data.get(), want, rtol=1e-6)


def test_the_limit_covers_both_copies_of_arrays_that_begin_anywhere(pretend):
    """Of float32 among float64, a copy that is aligned is made first, then one of float64."""
    world = pretend()
    cupy, n = device.cupy(), 2
    data = sky(n, (ROWS, WIDTH)).astype("f4")
    shifted = cupy.asarray(np.concatenate([np.zeros(1, np.uint8), data[0].view("u1").ravel()]))
    band = [
        Samples(shifted[1:].view("f4").reshape(ROWS, WIDTH)),
        Samples(cupy.asarray(data[1].astype("f8"))),
    ]
    out, limit = Outputs(cupy.empty((ROWS, WIDTH), "f8")), 8 * ROWS * WIDTH
    CudaBackend(limit).stream(BandSource(band, np.dtype("f8")), Recipe(), out, MEMORY)
    np.testing.assert_allclose(out.data.get(), data.mean(axis=0, dtype="f8"))
    assert [pixels * (4 + 8) <= limit for _, pixels in world.launched] == [True, True]


def test_the_log_keeps_no_buffers(pretend, caplog):
    caplog.set_level("DEBUG", "astropy.gpustack")
    pretend(capacity=16_000)
    stream(frames(), recipe("everything", N), device_memory="1MB")
    assert "out of memory" in caplog.text
    for record in caplog.records:
        assert all(isinstance(arg, str | int) for arg in record.args)


class Held(Files):
    """A source whose reading holds more memory than the samples, as for compressed files."""

    held_bytes = 200_000


def test_fewer_read_at_once_where_each_holds_much(pretend, monkeypatch):
    pretend()
    counts, read = [], worker.read_band
    monkeypatch.setattr(worker, "read_band", lambda *args: counts.append(args[-1]) or read(*args))
    want = run(Cuda(), frames(), recipe("median", N))
    for memory in (1 << 24, 900_000, 300_000):
        same(stream(frames(), recipe("median", N), memory=memory, kind=Held)[0], want)
    assert [*dict.fromkeys(counts)] == [READERS, 4, 1]


@pytest.mark.parametrize("where", ["wait", "finish"])
def test_an_error_in_placing_keeps_no_slots(pretend, monkeypatch, where):
    pretend()
    slots = weakref.WeakSet()
    begin = Slot.begin
    monkeypatch.setattr(Slot, "begin", lambda slot, band: slots.add(slot) or begin(slot, band))

    def fail(*args):
        raise ValueError("no room")

    monkeypatch.setattr(Slot, where, fail)
    gc.disable()
    try:
        with pytest.raises(ValueError, match="no room"):
            stream(frames(), recipe("median", N))
        assert not slots
    finally:
        gc.enable()
