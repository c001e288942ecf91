"""The CUDA backend on simulated devices: bands, buffers, streams, kernels."""

import threading
from functools import cache

import numpy as np
import pytest

import fakecuda
from answers import CPU
from bands import BandSource, Cuda, N, frames, same, stream
from gpustack.backends.cuda import abi
from gpustack.backends.cuda.slots import Slot
from gpustack.backends.cuda.staging import merged
from gpustack.backends.cuda.work import Rows
from gpustack.backends.cuda.worker import SLOTS
from gpustack.errors import BackendError
from oracle import solve
from recipes import ROUTES, recipe
from stacks import outputs, plain, run, sky, stack
from tolerances import assert_agrees, assert_same_bits

pytestmark = pytest.mark.usefixtures("small_bands")

#: When streams do their work: when something waits for them, at once, or at random moments.
EAGER = (None, "always", 1, 2, 3, 4)


@cache
def answered(name):
    """The samples for a recipe, and the oracle's answer."""
    asked = recipe(name, N)
    band = frames(weights=asked.weights == "sample")
    return band, solve(band, asked)


@pytest.mark.parametrize("eager", EAGER)
@pytest.mark.parametrize("name", ROUTES)
def test_whenever_streams_work_the_answer_is_right(pretend, name, eager):
    asked, (band, want) = recipe(name, N), answered(name)
    world = pretend(eager=eager)
    out, told = stream(band, asked)
    assert_agrees(out, want, asked.combine)
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


def test_reading_goes_on_while_bands_are_under_way(pretend, monkeypatch):
    pretend()
    all_read, read, waited = threading.Event(), [], Slot.wait

    def wait(slot):
        assert all_read.wait(60), "the host waited before all slots were in use"
        waited(slot)

    def before(f, start):
        if f == 0:
            read.append(start)
        if len(read) == SLOTS:
            all_read.set()

    monkeypatch.setattr(Slot, "wait", wait)
    stream(frames(), recipe("median", N), before=before)
    assert len(read) > SLOTS


def test_results_are_placed_while_bands_are_read(pretend, monkeypatch):
    pretend()
    placed, finish = threading.Event(), Rows.finish

    def finished(rows, slot, out):
        finish(rows, slot, out)
        placed.set()

    def before(f, start):
        if start > 0:
            assert placed.wait(60), "the host read on before it placed what was done"

    monkeypatch.setattr(Rows, "finish", finished)
    stream(frames(), recipe("median", N), before=before)


def test_the_next_band_is_taken_while_results_are_placed(pretend, monkeypatch):
    pretend()
    begun, read, finish = threading.Event(), threading.Event(), Slot.finish

    def finished(slot, out):
        begun.set()
        assert read.wait(60), "no band was read while one was placed"
        return finish(slot, out)

    def before(f, start):
        if begun.is_set():
            read.set()

    monkeypatch.setattr(Slot, "finish", finished)
    stream(frames(), recipe("median", N), before=before)


def test_each_waits_for_the_results_of_its_own_device(pretend, monkeypatch):
    pretend(devices=2)
    waited, wait = set(), Slot.wait
    monkeypatch.setattr(Slot, "wait", lambda s: waited.add(fakecuda.world.device) or wait(s))
    stream(frames(), recipe("median", N))
    assert waited == {0, 1}


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


def test_a_kernel_that_does_not_compile_names_file_and_line(pretend):
    world = pretend()
    world.error = 'combine.cu(41): error: identifier "x" is undefined'
    with pytest.raises(
        BackendError, match=r"combine\.cu cannot be compiled.*N=6.*combine\.cu\(41\)"
    ):
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
        ("f2", "float", "0"),  # converted to the working dtype on the host
        ("mixed-types", "float", "0"),
        ("wide-and-narrow", "double", "0"),
    ],
)
def test_samples_go_up_as_they_are_where_kernels_know_them(pretend, stack_name, stored, swap):
    world = pretend()
    run(Cuda(), stack(stack_name, N, recipe("median", N)), recipe("median", N))
    names = world.built[-1][1]
    assert (names["STORED"], names["SWAP"]) == (stored, swap)


@pytest.mark.parametrize(
    ("name", "n", "dtype", "frames", "block"),
    [
        ("median", 128, "f4", "128", "64"),
        ("median", 129, "f4", "129", "32"),
        ("median", 361, "f4", "0", "128"),
        ("median", 65, "f8", "65", "32"),
        ("median", 187, "f8", "0", "128"),
        ("mean", 129, "f4", "0", "128"),
    ],
)
def test_where_samples_are_kept(pretend, name, n, dtype, frames, block):
    # In registers; in shared memory if ranks are needed; or nowhere.
    world = pretend()
    band, asked = plain(sky(n, (2, 3)).astype(dtype)), recipe(name, n)
    assert_same_bits(run(Cuda(), band, asked), run(CPU, band, asked), ("mask", "count"))
    names = world.built[-1][1]
    assert (names["N"], names["BLOCK"]) == (frames, block)


def test_a_plain_recipe_asks_for_nothing_it_does_not_need(pretend):
    world = pretend()
    band = plain(sky(N).astype("f4"))
    out = outputs(band, recipe("median", N))
    for name in ("uncertainty", "reasons", "valid", "rejected", "count", "low", "high"):
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


def test_records_keep_their_sizes():
    assert (abi.FRAME.itemsize, abi.CLIP.itemsize, abi.OUT.itemsize) == (128, 104, 72)
