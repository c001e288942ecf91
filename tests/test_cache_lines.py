"""Buffers with rows an odd number of cache lines apart, and threads that share a memory limit."""

import numpy as np
import pytest

from bands import BandSource, Files
from gpustack import RangeClip
from gpustack.backends.band_threads import run_in_turn
from gpustack.backends.cache_lines import LINE, empty_rows, lines_bytes, rows_in, spare_bytes
from gpustack.backends.cpu import BufferPool, CpuBackend
from gpustack.backends.tile_plan import SHARED, SHARED_BY_SUMS, TileCost, plan_threads
from gpustack.recipe import Recipe
from stacks import outputs, plain


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("pixels", [1, 7, 16, 1024, 16_384, 131_072])
def test_rows_are_an_odd_number_of_lines_apart(dtype, pixels):
    rows = empty_rows(5, pixels, dtype)
    assert (rows.shape, rows.dtype) == ((5, pixels), dtype)
    assert rows.ctypes.data % LINE == 0
    step, rest = divmod(rows.strides[0], LINE)
    assert (step % 2, rest) == (1, 0)
    assert all(row.flags.c_contiguous for row in rows)


@pytest.mark.parametrize("pixels", [1, 15, 16, 17, 31, 32, 33, 8192])
def test_rows_do_not_overlap_and_take_what_is_said(pixels):
    size = lines_bytes(4, pixels, "f4")
    assert size <= 4 * pixels * 4 + spare_bytes(4)
    for start in range(0, LINE, 4):
        memory = np.full(size + LINE, 7, np.uint8)
        rows = rows_in(memory[start : start + size], 4, pixels, "f4")
        rows[...] = np.arange(4, dtype="f4")[:, np.newaxis]
        assert np.array_equal(rows, np.repeat(np.arange(4.0)[:, np.newaxis], pixels, axis=1))
        assert (memory[:start] == 7).all()
        assert (memory[start + size :] == 7).all()


def test_too_little_memory_is_an_error():
    with pytest.raises(ValueError, match="strides"):
        rows_in(np.empty(100, np.uint8), 4, 64, "f4")


@pytest.mark.parametrize(("room", "threads"), [(1 << 30, 4), (20_000_000, 1)])
def test_fewer_threads_share_a_small_limit(room, threads):
    plan = plan_threads(TileCost(40, np.dtype("f4")), 4, room)
    assert plan.threads == threads
    assert plan.nbytes <= room


@pytest.mark.parametrize("part", [1 / 2, 1 / 4])
def test_threads_have_tiles_of_a_part_of_the_full_size(part):
    cost, rooms = (
        TileCost(40, np.dtype("f4"), clips=False),
        range(1_000_000, 200_000_000, 1_000_000),
    )
    plans = [plan_threads(cost, 4, room, part) for room in rooms]
    assert {plan.threads for plan in plans} == {1, 2, 3, 4}
    parts = {1: 0, 2: part, 3: 1 / 2, 4: 1 / 2}
    for plan in plans:
        assert plan.pixels >= parts[plan.threads] * cost.full_tile
    of_two = min(plan.pixels for plan in plans if plan.threads == 2)
    assert of_two < (part + 0.1) * cost.full_tile


def test_a_thread_that_cannot_hold_a_band_leaves_its_room_to_the_others(monkeypatch):
    # One row of all frames, which is wide, takes most of the limit.
    band, seen = plain(np.ones((40, 3, 100_000), "f4")), []

    def seen_bands(run, source, recipe, out, plan, progress):
        seen.append(plan.workers)
        run_in_turn(run, source, recipe, out, plan, progress)

    def seen_pool(n, pixels, dtype):
        seen.append(pixels)
        return BufferPool(n, pixels, dtype)

    monkeypatch.setattr("gpustack.backends.cpu.run_in_turn", seen_bands)
    monkeypatch.setattr("gpustack.backends.cpu.BufferPool", seen_pool)
    source = Files(band, np.dtype("f4"))
    asked = Recipe()
    out = outputs(band, asked)
    out.reasons = None
    CpuBackend(threads=2).stream(source, asked, out, 50_000_000)
    pixels, threads = seen
    assert threads == 1
    assert pixels > 60_000  # it would be 34,000 if the other thread had its share


ADDS_UP = {
    "mean": (Recipe(combine="mean"), {}, True),
    "sum": (Recipe(combine="sum"), {}, True),
    "median": (Recipe(combine="median"), {}, False),
    "clip": (Recipe(RangeClip(high=9)), {}, False),
    "weights": (Recipe(weights=(1.0, 2.0)), {}, False),
    "scale": (Recipe(scale=(1.0, 2.0)), {}, False),
    "float64": (Recipe(), {"dtype": "f8"}, False),
    "masks": (Recipe(), {"masks": True}, False),
    "reasons": (Recipe(), {"reasons": True}, False),
}


@pytest.mark.parametrize(("recipe", "given", "found"), ADDS_UP.values(), ids=ADDS_UP)
def test_threads_share_less_where_they_only_add_up(monkeypatch, recipe, given, found):
    dtype = np.dtype(given.get("dtype", "f4"))
    masks = [np.zeros((4, 5), bool)] * 2 if "masks" in given else None
    band = plain(np.ones((2, 4, 5), dtype), masks)
    out, parts = outputs(band, recipe), []
    if "reasons" not in given:
        out.reasons = None

    def seen_part(cost, threads, room, least, pixels):
        parts.append(least)
        return plan_threads(cost, threads, room, least, pixels)

    monkeypatch.setattr("gpustack.backends.cpu.plan_threads", seen_part)
    CpuBackend(threads=2).stream(BandSource(band, dtype), recipe, out, 1 << 20)
    assert parts == [SHARED_BY_SUMS if found else SHARED]
