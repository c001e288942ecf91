"""Sums of squares of columns that lost samples at their ends are exact, bit for bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpustack import ExtremaClip, SigmaClip, stack
from gpustack.backends import squares_of_parts
from gpustack.backends.block import Block
from gpustack.backends.ragged import Ragged
from gpustack.backends.squares_of_parts import ENDS, cache_squares
from gpustack.backends.statistics import squares_about_mean, sums
from gpustack.backends.sums_of_parts import cache_sums


def part_of(values, index, lo, hi):
    values = values.take(index, axis=1)
    return Ragged(index, values, np.full(len(index), len(values)), lo.copy(), hi.copy())


@given(
    st.integers(1, 40),
    st.sampled_from([0.0, 1000.0, 1e7]),
    st.integers(0, 3),
    st.integers(0, 2**32 - 1),
)
def test_squares_are_those_of_the_survivors(n, level, ends, seed):
    rng = np.random.default_rng(seed)
    data = rng.normal(level, 30, (n, 60))
    data[rng.random(data.shape) < 0.05] += 1e6
    values = np.sort(data.astype("f4"), axis=0)
    first, last = min(ends, n // 3), n - min(ends, n // 3)
    uniform, parts = Block(values, first, last), []
    for index in (np.arange(0, 60, 3), np.arange(1, 60, 3)):
        lo = np.minimum(first + rng.integers(0, 3, len(index)), last)
        hi = np.maximum(last - rng.integers(0, 3, len(index)), lo)
        if n > 20:
            hi[0] = max(lo[0], last - ENDS - 1)  # lost too many samples
        parts.append(part_of(values, index, lo, hi))
    with np.errstate(all="ignore"):  # some columns have no survivors
        fresh = [part_of(values, part.index, part.lo, part.hi) for part in parts]
        wanted = [squares_about_mean(part) for part in fresh]
        plain = squares_about_mean(Block(values, first, last))
        cache_sums(parts, uniform)
        cache_squares(parts, uniform)
    for part, squares in zip(parts, wanted, strict=True):
        np.testing.assert_array_equal(
            part.cached("squares", lambda: pytest.fail("not known")), squares
        )
    rest = np.arange(2, 60, 3)
    known = uniform.cached("squares", lambda: pytest.fail("not known"))
    np.testing.assert_array_equal(known[rest], plain[rest])


def test_parts_that_lost_much_or_have_no_sums_stay_as_they_are(monkeypatch):
    monkeypatch.setattr(squares_of_parts, "_squares", lambda *given: pytest.fail("squared"))
    values = np.sort(np.random.default_rng(1).normal(100, 3, (30, 8)).astype("f4"), axis=0)
    uniform, index = Block(values, 0, 30), np.arange(4)
    torn = part_of(values, index, np.zeros(4, int), np.full(4, 30 - ENDS - 1))
    sums(torn)
    unknown = part_of(values, index, np.zeros(4, int), np.full(4, 29))
    cache_squares([torn, unknown], uniform)
    assert "squares" not in torn.cache
    assert "squares" not in unknown.cache


def test_columns_that_hold_ends_that_others_lost_are_squared_with_them():
    data = np.random.default_rng(8).normal(1000, 10, (100, 60, 70)).astype("f4")
    data[3, :10] = 5000
    clips = [SigmaClip(4, 4), ExtremaClip(1, 1, among="share")]
    with np.errstate(all="ignore"):
        one, other = (stack(some, clips, backend="cpu") for some in (data, data.astype("f8")))
    assert (one.count[:10] == 99).any()
    np.testing.assert_array_equal(one.count, other.count)
    np.testing.assert_allclose(one.uncertainty, other.uncertainty, rtol=1e-6)
