"""The CUDA backend on pretended devices: bands, buffers, streams, memory, several devices."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

import fakecuda
from bands import BandSource, Cuda
from gpustack.backends.base import Outputs, Samples
from gpustack.backends.cuda import abi, device, staging
from gpustack.backends.cuda.backend import CudaBackend
from gpustack.backends.cuda.launch import Job, Kernels
from gpustack.backends.cuda.slots import Slot
from gpustack.backends.cuda.staging import merged
from gpustack.backends.cuda.work import READERS, Work
from gpustack.backends.cuda.worker import SLOTS
from gpustack.errors import BackendError, FrameError, InputError, MemoryLimitError
from gpustack.plan import Band
from gpustack.recipe import Recipe
from oracle import solve
from recipes import ROUTES, recipe
from stacks import outputs, plain, run, sky, stack
from tolerances import assert_agrees, assert_same_bits

#: Frames, rows and columns of what is cut into bands.
N, ROWS, WIDTH = 6, 23, 40
#: When streams work: when somebody waits for them, at once, or by lot.
EAGER = (None, "always", 1, 2, 3, 4)


@pytest.fixture(autouse=True)
def small_bands(monkeypatch):
    """Bands may be small; else no stack of a test is cut."""
    monkeypatch.setattr("gpustack.backends.cuda.work.LEAST_BYTES", 1)


def frames(weights=False):
    """Masked samples of many rows."""
    data, masks = sky(N, (ROWS, WIDTH)).astype("f4"), sky(N, (ROWS, WIDTH), 1) > 110
    weight = sky(N, (ROWS, WIDTH), 2) if weights else [None] * N
    return [Samples(*parts) for parts in zip(data, masks, weight, strict=True)]


class Files(BandSource):
    """Samples that are read into the buffers of the backend, as those of files are."""

    before = staticmethod(lambda f, start: None)

    @property
    def row_bytes(self):
        return [self.width * dtype.itemsize for dtype in self.stored]

    def read(self, f, start, stop, into=None):
        self.before(f, start)
        samples = super().read(f, start, stop)
        rows = np.frombuffer(into, np.uint8, samples.data.nbytes).view(samples.data.dtype)
        rows = rows.reshape(samples.data.shape)
        rows[...] = samples.data
        return Samples(rows, samples.mask, samples.weight)


def stream(band, asked, *, memory=1 << 24, kind=Files, before=None, progress=None, **limits):
    """The outputs of `CudaBackend.stream`, and the rows done as they were told."""
    given = kind(band, np.dtype(np.float32))
    if before is not None:
        object.__setattr__(given, "before", before)
    out, told = outputs(band, asked), []
    CudaBackend(**limits).stream(
        given, asked, out, memory, progress or (lambda done, rows: told.append((done, rows)))
    )
    assert progress or told[-1] == (ROWS, ROWS)
    assert told == sorted(told)
    return out, [done for done, _ in told]


def rows_launched(world):
    return sum(pixels for _, pixels in world.launched) // WIDTH


def same(one, other):
    assert_same_bits(one, other)
    np.testing.assert_array_equal(one.valid, other.valid)
    np.testing.assert_array_equal(one.rejected, other.rejected)


@pytest.mark.parametrize("eager", EAGER)
@pytest.mark.parametrize("name", ROUTES)
def test_whenever_streams_work_the_answer_is_right(pretend, name, eager):
    asked = recipe(name, N)
    band = frames(weights=asked.weights == "sample")
    world = pretend(eager=eager)
    out, told = stream(band, asked)
    assert_agrees(out, solve(band, asked), asked.combine)
    assert len(told) >= 2 * SLOTS, "every buffer was to be used again"
    assert len(world.launched) == len(told)


@pytest.mark.parametrize("name", ROUTES)
def test_neither_bands_nor_devices_change_a_bit(pretend, monkeypatch, name):
    asked = recipe(name, N)
    band = frames(weights=asked.weights == "sample")
    pretend()
    whole = run(Cuda(), band, asked)
    for devices in (1, 2, 3):
        world = pretend(devices=devices, eager=7)
        same(stream(band, asked)[0], whole)
        same(stream(band, asked, kind=BandSource, device_memory=60_000)[0], whole)
        assert {number for number, _ in world.launched} == set(range(devices))


def test_reading_goes_on_while_bands_are_under_way(pretend):
    # Nothing works by itself here: all that is done before the host waits is asked for.
    world = pretend()
    asked_when_read = []

    def before(f, start):
        if f == 0:
            asked_when_read.append(([name for _, name in world.asked], len(world.log)))

    stream(frames(), recipe("median", N), before=before)
    for number, (asked, done) in enumerate(asked_when_read[:SLOTS]):
        assert (asked.count("kernel"), asked.count("down")) == (number, number)
        assert done == 0, "the host waited before all slots were in use"


def test_three_streams_and_each_does_its_part(pretend):
    world = pretend()
    stream(frames(), recipe("median", N))
    by_name = {}
    for number, name in world.asked:
        by_name.setdefault(name, set()).add(id(number))
    up, kernel, down = by_name["up"], by_name["kernel"], by_name["down"]
    assert len(up | kernel | down) == 3
    assert len(up) == len(kernel) == len(down) == 1
    assert not {id(stream) for stream in world.null} & (up | kernel | down)


def test_buffers_are_made_once_and_samples_go_up_in_one_copy(pretend, monkeypatch):
    world, made = pretend(), []
    allocate = fakecuda.alloc_pinned_memory
    module = __import__("cupy")
    monkeypatch.setattr(
        module.cuda, "alloc_pinned_memory", lambda size: made.append(size) or allocate(size)
    )
    _, told = stream(frames(), recipe("median", N))
    assert len(made) == SLOTS
    assert [name for _, name in world.asked].count("up") == len(told)


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
        """Whose masks are made when they are read."""

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
    stream(frames(), recipe("everything", N), memory=3 * (64 << 10), kind=BandSource)
    assert not pooled
    assert (32 << 10) < max(own) < (64 << 10), "it was rounded up"


def test_a_limit_below_one_row_is_refused(pretend):
    pretend()
    for limits in ({"memory": 3000}, {"device_memory": 3000}):
        with pytest.raises(MemoryLimitError, match=r"at least one row .* got .*3,000"):
            stream(frames(), recipe("median", N), **limits)


@pytest.mark.parametrize("room", [35_000, 30_000, 20_000, 16_000, 12_500])
def test_out_of_memory_halves_the_band_and_goes_on(pretend, monkeypatch, room):
    # Somebody else takes what was free, after it was counted.
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
    with pytest.raises(MemoryLimitError, match="device 0 is out of memory: expected room for one"):
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


@pytest.mark.parametrize("where", ["progress", "read", "wait"])
def test_memory_that_is_out_elsewhere_ends_the_run(pretend, monkeypatch, where):
    # Nobody gives the band back then: going on would leave its rows as they were.
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
    caplog.set_level("INFO", "gpustack")
    asked = recipe("everything", N)
    pretend()
    whole, _ = stream(frames(), asked)
    for full in (0, 1):
        world = pretend(devices=2, eager=eager)
        world.taken[full] = fakecuda.CUDARuntimeError(46, "cudaErrorDevicesUnavailable")
        same(stream(frames(), asked)[0], whole)
        assert {number for number, _ in world.launched} == {1 - full}
        assert f"device {full} takes no part: device {full} cannot be used: cudaErr" in caplog.text
        world = pretend(devices=2, eager=eager)
        world.used[full] = world.capacity - 2_000
        same(stream(frames(), asked)[0], whole)
        assert {number for number, _ in world.launched} == {1 - full}
        assert f"device {full} takes no part: memory limit: expected room for" in caplog.text


def test_rows_that_a_device_gives_back_late_are_done_by_another(pretend, monkeypatch):
    asked = recipe("everything", N)
    pretend()
    whole, _ = stream(frames(), asked)
    world = pretend(devices=2, eager="always")
    start, taken = Slot.start, []

    def late(slot, *arguments):
        if world.device == 0:
            return start(slot, *arguments)
        taken.append(slot.band.rows)
        deadline = time.monotonic() + 10
        while rows_launched(world) < ROWS - taken[0] and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.02)  # the other device finds nothing more to do, and ends
        raise fakecuda.OutOfMemoryError("full")

    monkeypatch.setattr(Slot, "start", late)
    same(stream(frames(), asked)[0], whole)
    assert {number for number, _ in world.launched} == {0}


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


def test_what_the_pool_of_cupy_holds_unused_is_given_back(pretend):
    asked = recipe("everything", N)
    pretend()
    whole, _ = stream(frames(), asked)
    world = pretend(capacity=1 << 20)
    cupy = device.cupy()
    cupy.empty((1 << 20) - 4096, np.uint8)
    assert world.capacity - world.used[0] < 5000
    same(stream(frames(), asked)[0], whole)


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


def test_the_log_keeps_no_buffers(pretend, caplog):
    caplog.set_level("INFO", "gpustack")
    pretend(capacity=16_000)
    stream(frames(), recipe("everything", N), device_memory="1MB")
    assert "out of memory" in caplog.text
    for record in caplog.records:
        assert all(isinstance(arg, str | int) for arg in record.args)


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


def test_a_frame_that_cannot_be_read_ends_the_run(pretend):
    world = pretend(devices=2)

    def before(f, start):
        if start >= 6 and f == 4:
            raise FrameError("frame 4", "cut off")

    with pytest.raises(FrameError, match="frame 4: cut off"):
        stream(frames(), recipe("median", N), before=before)
    assert not any(stream.step() for stream in world.streams), "work was left behind"


def test_a_kernel_that_does_not_compile_names_file_and_line(pretend):
    world = pretend()
    world.error = 'combine.cu(41): error: identifier "x" is undefined'
    with pytest.raises(BackendError, match=r"combine\.cu does not compile.*N=6.*combine\.cu\(41\)"):
        run(Cuda(), frames(), recipe("median", N))


def test_a_kernel_is_compiled_once_for_each_device(pretend):
    world = pretend(devices=2)
    for _ in range(3):
        stream(frames(), recipe("median", N))
    assert sorted(number for number, _ in world.built) == [0, 1]
    one, other = (names for _, names in world.built)
    assert one == other
    assert one["N"] == str(N)


@pytest.mark.parametrize(
    ("stack_name", "stored", "swap"),
    [
        ("big-endian-f4", "float", "1"),
        ("fits-uint16", "short", "1"),
        ("u1", "unsigned char", "0"),
        ("i8", "long long", "0"),
        ("f2", "float", "0"),  # brought to the working dtype on the host
        ("mixed-types", "float", "0"),
        ("wide-and-narrow", "double", "0"),
    ],
)
def test_samples_go_up_as_they_are_where_kernels_know_them(pretend, stack_name, stored, swap):
    world = pretend()
    run(Cuda(), stack(stack_name, N, recipe("median", N)), recipe("median", N))
    names = world.built[-1][1]
    assert (names["STORED"], names["SWAP"]) == (stored, swap)


def test_more_frames_than_registers_hold_are_streamed(pretend):
    world = pretend()
    for n, dtype, expected in ((128, "f4", "128"), (129, "f4", "0"), (65, "f8", "0")):
        band = plain(sky(n, (2, 3)).astype(dtype))
        got = run(Cuda(), band, recipe("median", n))
        np.testing.assert_array_equal(got.data, np.median([s.data for s in band], axis=0))
        assert world.built[-1][1]["N"] == expected


def test_a_plain_recipe_asks_for_nothing_it_does_not_need(pretend):
    world = pretend()
    band = plain(sky(N).astype("f4"))
    out = outputs(band, recipe("median", N))
    for name in ("uncertainty", "marks", "valid", "rejected", "count", "low", "high"):
        setattr(out, name, None)
    Cuda().run(band, recipe("median", N), out)
    names = {name: world.built[-1][1][name] for name in ("MASKED", "LOOK", "SPREAD", "SCALED")}
    assert set(names.values()) == {"0"}
    np.testing.assert_array_equal(out.data, np.median([s.data for s in band], axis=0))


def test_neighbours_go_over_together():
    assert merged([(0, 100), (512, 10), (100_000, 50), (256, 256)]) == [(0, 522), (100_000, 50)]
    assert merged([]) == []


def test_blanks_of_the_widest_integers(pretend):
    pretend()
    data = np.array([5, 2**63 + 1, 7], "u8").reshape(3, 1, 1)
    for blank, count in ((2**63 + 1, 2), (-1, 3), (5, 2), (2**70, 3)):
        got = run(Cuda(), plain(data, blank=blank), recipe("mean", 3))
        assert got.count[0, 0] == count


def test_tables_have_the_size_that_the_readme_of_the_kernels_says():
    assert (abi.FRAME.itemsize, abi.CLIP.itemsize, abi.OUT.itemsize) == (112, 56, 72)
