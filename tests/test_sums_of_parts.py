"""Sums of whole columns minus rejected samples equal the sums of survivors, bit for bit."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bands import Cpu
from gpustack.backends.block import Block
from gpustack.backends.ragged import Ragged
from gpustack.backends.rounding import least_size
from gpustack.backends.statistics import sums
from gpustack.backends.sums_of_parts import cache_sums
from gpustack.backends.tile_plan import ThreadPlan, TileCost
from gpustack.backends.unsorted import Unsorted
from gpustack.clips import MADClip, SigmaClip
from gpustack.recipe import Recipe
from stacks import outputs, plain
from traced import traced

VALUES = st.one_of(
    st.floats(-1000, 70_000, width=32),
    st.sampled_from([0.0, -0.0, 1e-42, 1e-30, 3e38, -3e38, 16_777_217.0, 0.1]),
    st.integers(0, 65_535).map(float),
)
COLUMNS = st.tuples(st.integers(1, 12), st.integers(1, 6)).flatmap(
    lambda shape: arrays("f4", shape, elements=VALUES)
)


def columns_of(data, lacking=0):
    """The sorted columns of `data`, without their `lacking` highest samples."""
    n, m = data.shape
    values = np.sort(data, axis=0)
    valid = np.full(m, n - lacking)
    values[n - lacking :] = np.inf
    return Ragged(np.arange(m), values, valid, np.zeros_like(valid), valid.copy())


@given(COLUMNS, st.data())
def test_sums_are_those_of_the_survivors(data, draw):
    part = columns_of(data, draw.draw(st.integers(0, len(data)), "lacking"))
    whole = Block(part.values.copy(), 0, len(data))
    for column, valid in enumerate(part.valid):
        lo = draw.draw(st.integers(0, int(valid)))
        part.lo[column], part.hi[column] = lo, draw.draw(st.integers(lo, int(valid)))
    with np.errstate(all="ignore"):
        wanted = part.total(None)
        cache_sums([part], whole)
        np.testing.assert_array_equal(sums(part), wanted)


def test_where_nothing_survives_in_common_nothing_is_taken_off():
    part = columns_of(np.arange(8.0).reshape(4, 2))
    for lo, hi in ((2, 2), (0, 0), (4, 4)):
        cache_sums([part], Block(part.values, lo, hi))
    assert not part.cache


def test_of_columns_that_have_lost_their_ends_the_rest_is_taken_off():
    values = np.sort(np.random.default_rng(2).normal(5, 3, (9, 40)).astype("f4"), axis=0)
    whole, lo = Block(values, 1, 7), np.arange(40) % 4
    part = Ragged(np.arange(40), values.copy(), np.full(40, 9), lo, np.full(40, 6))
    cache_sums([part], whole)  # in some columns, lo is less than the common one
    wanted = [column[first:6].sum(dtype=float) for column, first in zip(values.T, lo, strict=True)]
    np.testing.assert_array_equal(sums(part), wanted)


def test_of_sums_that_lack_their_ends_the_ends_count():
    data = np.array([[1.0, 2.0], [3.5, 4.25], [1e-3, 3e38], [7.0, 8.0], [2.0, 5.0]], "f4")
    whole = Unsorted(data, adds=True)
    part = columns_of(data)
    part.move(part.lo + 1, part.hi - 1)
    whole.lo, whole.hi = 1, 4
    with np.errstate(all="ignore"):
        wanted = part.total(None)
        cache_sums([part], whole)
    np.testing.assert_array_equal(sums(part), wanted)


def test_what_float64_would_round_is_added_up_anew():
    part = columns_of(np.array([[1e-30], [1.0], [3e38]], "f4"))
    part.move(part.lo, part.hi - 1)
    with np.errstate(all="ignore"):
        cache_sums([part], Block(part.values.copy(), 0, 3))
    assert sums(part)[0] == 1.0 + np.float64(np.float32(1e-30))


def test_most_columns_are_not_copied(monkeypatch):
    monkeypatch.setattr(Ragged, "total", lambda self, origin: pytest.fail("added up anew"))
    rng = np.random.default_rng(3)
    for sky in (1000, 0):  # samples of one sign, and of both
        part = columns_of(rng.normal(sky, 10, (25, 100)).astype("f4"))
        whole = Block(part.values.copy(), 0, 25)
        part.move(part.lo + 1, part.hi - 2)
        cache_sums([part], whole)
        np.testing.assert_array_equal(sums(part), part.values[1:-2].sum(axis=0, dtype=float))


def test_the_smallest_is_not_zero():
    data = np.array([[0.0, -0.0, 0.0, -3.0], [-2.0, 1e-42, 0.0, 5.0], [7.0, 4.0, 0.0, -4.0]], "f4")
    assert least_size(data).tolist() == [2.0, float(np.float32(1e-42)), 0.0, 3.0]


@pytest.mark.parametrize("outputs_asked", [("count",), ("count", "uncertainty")])
@pytest.mark.parametrize("clip", [SigmaClip(2.5, 2.5), MADClip(4, 4)], ids=str)
def test_many_samples_of_both_signs_keep_to_the_memory_promised(clip, outputs_asked):
    n, recipe = 1000, Recipe(clips=[clip], outputs=outputs_asked)
    values = np.random.default_rng(4).normal(0, 1, (n, 45, 100)).astype("f4")
    band = plain(values)
    out = replace(outputs(band, recipe), reasons=None, rejected=None)
    Cpu(threads=1).run(band, recipe, out)  # fills the caches that are kept between runs
    plan = ThreadPlan.within(TileCost(n, np.dtype("f4")), 1, 60_000_000)
    with traced() as taken:
        Cpu(tile_pixels=plan.pixels).run(band, recipe, out)
    assert (out.count < n).any()
    assert taken.peak <= plan.nbytes
