"""Columns that are not sorted: sums that are exact in any order, and screened clips."""

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bands import Cpu
from gpustack import stack
from gpustack.backends.base import Samples
from gpustack.backends.columns import Uniform
from gpustack.backends.statistics import mean, std
from gpustack.backends.unsorted import Unsorted, needs_order
from gpustack.clips import ExtremaClip, RangeClip, SigmaClip
from gpustack.errors import GpustackWarning
from gpustack.recipe import Recipe
from stacks import run

FLOAT32 = np.dtype("f4")
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
LIKE_IMAGES = st.floats(-1000, 70_000, width=32)
COLUMNS = st.integers(1, 12).flatmap(
    lambda n: st.one_of(arrays("f4", (n, 5), elements=some) for some in (FINITE, LIKE_IMAGES))
)


def columns(data):
    return Unsorted(data)


@given(COLUMNS)
def test_sums_of_the_other_columns_are_exact(data):
    some = columns(data)
    exact = np.flatnonzero(~some.inexact())
    sums = some.total(None)
    for pixel in exact:
        assert Fraction(sums[pixel]) == sum(Fraction(float(x)) for x in data[:, pixel])


@given(COLUMNS)
def test_squares_of_the_other_columns_are_exact(data):
    some = columns(data)
    with np.errstate(over="ignore"):
        origin = mean(some).astype("f4").astype("f8")
        exact = np.flatnonzero(~(some.inexact() | some.inexact_squares()))
        sums = some.total(origin, squared=True)
    for pixel in exact:
        middle = Fraction(origin[pixel])
        squares = sum((Fraction(float(x)) - middle) ** 2 for x in data[:, pixel])
        assert Fraction(sums[pixel]) == squares


@given(COLUMNS, st.integers(0, 1), st.integers(0, 1))
def test_sums_and_squares_without_the_ends_are_exact(data, low, high):
    if len(data) <= low + high:
        return
    some = columns(data)
    with np.errstate(over="ignore"):
        exact = np.flatnonzero(~(some.inexact() | some.inexact_squares()))
        some.lo, some.hi = low, len(data) - high
        origin = mean(some).astype("f4").astype("f8")
        sums, squares = some.total(None), some.total(origin, squared=True)
    for pixel in exact:
        left = [Fraction(float(x)) for x in np.sort(data[:, pixel])[low : len(data) - high]]
        assert Fraction(sums[pixel]) == sum(left)
        assert Fraction(squares[pixel]) == sum((x - Fraction(origin[pixel])) ** 2 for x in left)


@pytest.mark.parametrize(
    ("column", "inexact"),
    [
        ([1000.25, 1003.5, 998.125], False),
        ([1000.0, 6000.0, 1000.0], False),
        ([1000.0, 8000.0, 1000.0], True),
        ([1000.0, 6000.0, 1000.0, 6000.0], False),
        ([1000.0, 7000.0, 1000.0, 7000.0], True),
        ([0.0, 1000.25, -998.125], True),
        ([0.0, -0.0, 0.0], False),
        ([5.0, 0.0, 5.0], True),
        ([3e38, 3e38, 3e38], False),
        ([3e38, -3e38, 1.0], True),
    ],
)
def test_which_columns_have_inexact_squares(column, inexact):
    data = np.array(column, "f4")[:, None]
    with np.errstate(over="ignore"):
        assert columns(data).inexact_squares().tolist() == [inexact]
        assert columns(-data).inexact_squares().tolist() == [inexact]


@given(COLUMNS)
def test_the_squares_are_those_about_the_mean(data):
    # Within n times the rounding error of their sum and of the mean.
    some = Uniform(list(np.sort(data, axis=0)), 0, len(data))
    found = std(some) ** 2 * len(data)
    for pixel, square in enumerate(found):
        column = [Fraction(float(x)) for x in data[:, pixel]]
        middle = sum(column) / len(column)
        expected = sum((x - middle) ** 2 for x in column)
        largest = max(abs(x) for x in column)
        assert abs(Fraction(square) - expected) <= 50 * 2.0**-52 * float(expected) + (
            50 * len(column) * (2.0**-53 * float(largest)) ** 2
        )


def test_one_sample_by_one_bit_above_the_others():
    # The rounding error of their mean is up to a millionth of their difference.
    x = np.float32(1.89)
    for n in range(3, 200, 7):
        data = np.full((n, 1), x)
        data[-1] = np.nextafter(x, np.float32(9))
        step = float(data[-1, 0]) - float(x)
        found = std(Uniform(list(data), 0, n))[0]
        assert found == pytest.approx(step * np.sqrt(n - 1) / n, rel=1e-13, abs=0)


@pytest.mark.parametrize(
    ("column", "inexact"),
    [
        ([1000.25, 1003.5, 998.125], False),
        ([0.0, 1000.25, -998.125], False),
        ([0.0, -0.0, 0.0], False),
        ([-1e-3, 30.0, 5.0], False),
        ([1e-42, 2e-45, 3e-44], False),
        ([1.0, 2.0**24, 0.0], False),
        ([1.0, 2.0**30, 0.0], True),
        ([1e-30, 1.0, 1.0], True),
        ([3e38, 3e38, 1.0], True),
    ],
)
def test_which_columns_are_inexact(column, inexact):
    data = np.array(column, "f4")[:, None]
    assert columns(data).inexact().tolist() == [inexact]
    assert columns(-data).inexact().tolist() == [inexact]


def test_ordinary_images_have_no_inexact_columns():
    rng = np.random.default_rng(3)
    for level, noise in ((1000, 30), (0, 30), (0, 1e-18), (0, 0)):
        data = rng.normal(level, noise, (25, 2000)).astype("f4")
        assert not columns(data).inexact().any()
    assert not columns(rng.poisson(0.5, (25, 2000)).astype("f4")).inexact().any()


@pytest.mark.parametrize(
    ("recipe", "dtype", "needed"),
    [
        (Recipe(outputs=()), "f4", False),
        (Recipe(outputs=()), "f8", True),
        (Recipe(), "f4", False),
        (Recipe(combine="median"), "f4", True),
        (Recipe(combine="max"), "f4", True),
        (Recipe(combine="max", clips=[SigmaClip(center="mean")]), "f4", False),
        (Recipe(combine="median", outputs=()), "f4", True),
        (Recipe(combine="lower_median", outputs=()), "f4", True),
        (Recipe(combine="lmedian", outputs=()), "f4", True),
        (Recipe(combine="quadrature"), "f4", True),
        (Recipe(combine="quadrature", weights=[1, 2]), "f4", False),
        (Recipe(clips=[RangeClip(0, 1), SigmaClip(center="mean")], outputs=()), "f4", False),
        (Recipe(clips=[SigmaClip(center="median")], outputs=()), "f4", True),
        (Recipe(clips=[SigmaClip(center="mean", spread="mad_std")], outputs=()), "f4", True),
        (Recipe(clips=[ExtremaClip(1, 1)], outputs=()), "f4", False),
        (Recipe(clips=[RangeClip(0, 1), ExtremaClip(0, 1)], combine="sum"), "f4", False),
        (Recipe(clips=[ExtremaClip(1, 1)], outputs=()), "f8", True),
        (Recipe(clips=[ExtremaClip(2, 0)], outputs=()), "f4", True),
        (Recipe(clips=[ExtremaClip(1, 1)], combine="max"), "f4", True),
        (Recipe(clips=[ExtremaClip(1, 1)], combine="median"), "f4", True),
        (Recipe(clips=[ExtremaClip(1, 1)] * 2), "f4", True),
        (Recipe(clips=[ExtremaClip(1, 1), SigmaClip(center="mean")]), "f4", True),
        (Recipe(clips=[SigmaClip(center="mean"), ExtremaClip(1, 1)]), "f4", True),
    ],
)
def test_which_recipes_need_order(recipe, dtype, needed):
    assert needs_order(recipe, np.dtype(dtype)) is needed


def test_extrema_need_order_where_their_frames_are_asked_for():
    assert needs_order(Recipe(clips=[ExtremaClip(1, 1)]), FLOAT32, members=True)
    assert not needs_order(Recipe(clips=[SigmaClip(center="mean")]), FLOAT32, members=True)


def test_inexact_columns_do_not_depend_on_the_order_of_frames():
    column = np.array([1e30, 1.0, -1e30, 3.0], "f4")
    sums = {float(np.sum(column[list(order)], dtype=float)) for order in permutations(range(4))}
    assert len(sums) > 1
    means = set()
    for order in permutations(range(4)):
        band = [Samples(column[i].reshape(1, 1)) for i in order]
        means.add(run(Cpu(), band, Recipe(outputs=())).data[0, 0])
    assert len(means) == 1


def test_squares_that_may_round_do_not_depend_on_the_order_of_frames():
    # They would differ in the last bits of float64, which a result in float32 does not show.
    data = np.random.default_rng(6).normal(0, 1000, (7, 1, 60)).astype("f4")
    assert not columns(data[:, 0]).inexact().any()
    recipe = Recipe(dtype="float64")
    orders = (data, data[::-1])
    one, other = (run(Cpu(), [Samples(frame) for frame in band], recipe) for band in orders)
    np.testing.assert_array_equal(one.uncertainty, other.uncertainty)


def test_a_tile_with_many_inexact_columns_is_sorted_as_a_whole():
    data = np.random.default_rng(2).normal(100, 5, (5, 8, 32)).astype("f4")
    data[3, :, :20] *= 1e-12
    recipe = Recipe(clips=[SigmaClip(1.2, 1.2, "mean")], outputs=())
    whole = run(Cpu(), [Samples(frame) for frame in data], recipe)
    apart = run(Cpu(tile_pixels=3), [Samples(frame) for frame in data], recipe)
    np.testing.assert_array_equal(whole.data, apart.data)
    np.testing.assert_array_equal(whole.count, apart.count)


@pytest.mark.parametrize("bzero", [1e39, np.nan, -np.inf])
def test_integers_that_bzero_makes_infinite_are_invalid(bzero):
    band = [Samples(np.array([[v]], "u1"), bzero=z) for v, z in ((1, 0), (2, 0), (3, bzero))]
    for recipe in (Recipe(outputs=()), Recipe(combine="median")):
        got = run(Cpu(), band, recipe)
        assert (got.data[0, 0], got.count[0, 0]) == (1.5, 2)


def test_the_samples_of_users_are_left_as_they_are():
    data = np.random.default_rng(4).normal(100, 5, (9, 6, 7)).astype("f4")
    data[2, 3, 4] = np.nan
    before = data.copy()
    for recipe in (Recipe(outputs=()), Recipe(combine="median"), Recipe(clips=[SigmaClip(2, 2)])):
        run(Cpu(tile_pixels=13), [Samples(frame) for frame in data], recipe)
        np.testing.assert_array_equal(data, before)
        assert data.flags.writeable


def test_invalid_samples_are_found_after_others_were_not():
    # The second tile is the first with an invalid sample.
    data = np.random.default_rng(1).normal(100, 5, (5, 40, 64)).astype("f4")
    data[2, 30, 7], data[3, 31, 9] = np.nan, -np.inf
    for recipe in (Recipe(outputs=()), Recipe(), Recipe(clips=[SigmaClip(2, 2)])):
        backend = Cpu(threads=1, tile_pixels=1024)
        got = run(backend, [Samples(frame) for frame in data], recipe)
        assert got.marks[2, 30, 7]
        assert got.marks[3, 31, 9]
        assert np.isfinite(got.data).all()
        again = run(backend, [Samples(frame.copy()) for frame in data], recipe)
        np.testing.assert_array_equal(got.data, again.data)


def test_weights_go_with_their_frames_where_one_has_nothing():
    data = np.arange(1, 5, dtype="f4").reshape(4, 1, 1) * np.ones((4, 6, 7), "f4")
    data[1] = np.nan
    with pytest.warns(GpustackWarning, match="frame 1: no valid sample"):
        found = stack(data, weights=[1, 2, 3, 4], backend="cpu")
    np.testing.assert_array_equal(found.data, (1 * 1 + 3 * 3 + 4 * 4) / 8)
