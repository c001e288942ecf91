"""Unsorted columns with missing samples: their sums are those of the valid samples alone."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gpustack import stack
from gpustack.backends import sorted_tile
from gpustack.backends.incomplete import Incomplete
from gpustack.backends.sorted_tile import sort_tile
from gpustack.backends.statistics import mean
from gpustack.backends.tiles import Tile
from gpustack.backends.unsorted import Unsorted
from gpustack.clips import ExtremaClip, RangeClip, SigmaClip
from gpustack.recipe import Recipe

SAMPLES = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.floats(-1000, 70_000, width=32),
    st.just(np.float32(np.inf)),
)
COLUMNS = st.integers(1, 12).flatmap(lambda n: arrays("f4", (n, 5), elements=SAMPLES))
MEAN = Recipe(combine="mean", outputs=())


def columns(data):
    return Incomplete(list(data), np.isfinite(data).sum(axis=0))


def valid_samples(data, pixel):
    return [Fraction(float(x)) for x in data[:, pixel] if np.isfinite(x)]


@given(COLUMNS)
def test_exact_sums_and_squares_are_those_of_the_valid_samples(data):
    some = columns(data)
    with np.errstate(all="ignore"):
        inexact = some.inexact() | some.inexact_squares() | (some.count == 0)
        origin = mean(some).astype("f4").astype("f8")
        sums, squares = some.total(None), some.total(origin, squared=True)
    for pixel in np.flatnonzero(~inexact):
        valid = valid_samples(data, pixel)
        assert Fraction(sums[pixel]) == sum(valid)
        assert Fraction(squares[pixel]) == sum((x - Fraction(origin[pixel])) ** 2 for x in valid)


@given(COLUMNS)
def test_the_ends_are_those_of_the_valid_samples(data):
    with np.errstate(all="ignore"):
        some = columns(data)
    for pixel, column in enumerate(data.T):
        valid = column[np.isfinite(column)]
        assert some.lowest[pixel] == min(valid, default=np.inf)
        assert some.highest[pixel] == max(valid, default=-np.inf)


@given(COLUMNS)
def test_a_column_whose_valid_samples_may_be_rounded_counts_as_inexact(data):
    with np.errstate(all="ignore"):
        found = columns(data).inexact()
        for pixel in range(data.shape[1]):
            valid = data[np.isfinite(data[:, pixel]), pixel]
            if len(valid):
                assert found[pixel] >= Unsorted(valid[:, np.newaxis]).inexact()[0]


def sort(data, recipe=MEAN):
    """The sorted tile of `data`, in which NaN is missing."""
    n, pixels = data.shape
    buffer = np.empty((n + 1, pixels), "f4")
    buffer[:n] = data
    tile = Tile.all_valid(buffer[:n])
    for f, row in enumerate(buffer[:n]):
        invalid = np.isnan(row)
        row[invalid] = np.inf
        tile.count_out(f, invalid, None, None)
    return sort_tile(tile, buffer, recipe)


def with_nan(*where):
    data = np.random.default_rng(4).normal(1000, 30, (6, 50)).astype("f4")
    for place in where:
        data[place] = np.nan
    return data


def test_columns_stay_where_they_are():
    tile = sort(with_nan((2, 7), (slice(None), 9)))
    assert isinstance(tile.uniform, Incomplete)
    assert not tile.parts
    assert tile.uniform.count[[0, 7, 9]].tolist() == [6, 5, 0]


def test_a_column_whose_sum_may_be_rounded_is_sorted_with_the_samples_that_it_has():
    data = with_nan((2, 7))
    data[:, 7] = [3e38, 1.0, np.nan, 1e-30, -3e38, 2.0]
    tile = sort(data)
    (part,) = tile.parts
    assert part.index.tolist() == [7]
    assert part.values[:5, 0].tolist() == sorted(data[~np.isnan(data[:, 7]), 7].tolist())
    assert (part.lo.tolist(), part.hi.tolist()) == ([0], [5])


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(combine="median", outputs=()),
        Recipe(clips=(ExtremaClip(1, 1),), combine="mean", outputs=()),
        Recipe(combine="mean", uncertainty="mad_std"),
    ],
)
def test_other_recipes_copy_what_lacks_samples(recipe):
    tile = sort(with_nan((2, 7)), recipe)
    assert not isinstance(tile.uniform, Incomplete)
    assert [part.index.tolist() for part in tile.parts] == [[7]]


SIGMA = SigmaClip(2, 2.5, center="mean", spread="std")
OUTPUTS = Recipe().outputs
RECIPES = {
    "mean": {"combine": "mean"},
    "sum": {"combine": "sum"},
    "range": {"clips": RangeClip(-40, 1050), "combine": "mean"},
    "max": {"clips": RangeClip(high=1050), "combine": "max"},
    "sigma": {"clips": SIGMA, "combine": "mean"},
    "one pass": {"clips": replace(SIGMA, maxiters=1, ddof=1, keep=4), "combine": "sum"},
    "min": {"clips": SIGMA, "combine": "min"},
    "both": {"clips": [RangeClip(-40, 1060), SIGMA, SIGMA], "combine": "mean"},
    "weights": {"clips": SIGMA, "combine": "mean", "weights": np.linspace(0.5, 2, 45)},
    "scale": {"clips": SIGMA, "scale": np.linspace(0.9, 1.1, 45)},
    "reason": {"clips": SIGMA, "outputs": (*OUTPUTS, "reason")},
}


@pytest.mark.parametrize("n", [8, 45])
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_result_has_the_bits_that_copied_columns_give(monkeypatch, recipe, n):
    rng = np.random.default_rng(5)
    sky = rng.choice([-1000, 0, 1000], 400, p=[0.3, 0.1, 0.6])
    data = rng.normal(sky, 30, (n, 400)).astype("f4")
    data[rng.random(data.shape) < 0.3] = np.nan
    data[:, :3] = np.nan
    data[1, 5:9] = 1e15
    recipe = recipe | {name: recipe[name][:n] for name in {"weights", "scale"} & recipe.keys()}
    tiles, leave = [], sorted_tile._leave_unsorted
    monkeypatch.setattr(
        sorted_tile, "_leave_unsorted", lambda *args: tiles.append(leave(*args)) or tiles[-1]
    )
    found = stack(data.reshape(n, 20, 20), **recipe)
    assert isinstance(tiles[-1].uniform, Incomplete)
    monkeypatch.setattr(sorted_tile, "may_stay_incomplete", lambda recipe: False)
    copied = stack(data.reshape(n, 20, 20), **recipe)
    assert not isinstance(tiles[-1].uniform, Incomplete)
    for name in ("data", "mask", "uncertainty", "count", "low", "high"):
        np.testing.assert_array_equal(getattr(found, name), getattr(copied, name), strict=True)
    assert list(found.frames["rejected"]) == list(copied.frames["rejected"])
