"""Uncertainties propagated from the variances of samples: every backend against the oracle."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import oracle_maps
from gpustack import ExtremaClip, Grow, RangeClip, Recipe
from gpustack.clips import MADClip, VarianceClip
from maprun import run_maps
from oracle import solve
from recipes import EVERYTHING, SIGMA, frame_weights, level, scale, zero
from stacks import plain, sky, some, with_variances, with_weights
from stacks import stack as stack_of
from tolerances import assert_same_bits

N = 6
STACKS = ("masked", "mixed-masks", "infinite", "ties", "fits-uint16", "one-pixel")
PLAIN = replace(Recipe(), uncertainty="propagated")
#: Name -> recipe for N frames.
RECIPES = {
    **{
        combine: replace(PLAIN, combine=combine, clips=SIGMA)
        for combine in ("mean", "sum", "median", "lower_median", "lmedian")
    },
    "no-clip": PLAIN,
    "two-left": replace(PLAIN, combine="median", clips=[ExtremaClip(1, 3)]),
    "two-left-lower": replace(PLAIN, combine="lower_median", clips=[ExtremaClip(1, 3)]),
    "two-left-lmedian": replace(PLAIN, combine="lmedian", clips=[ExtremaClip(1, 3)]),
    "none-left": replace(PLAIN, clips=[RangeClip(1e6)], combine="sum"),
    "float32": replace(PLAIN, dtype="float32", combine="sum"),
    "weighted": replace(PLAIN, weights=frame_weights(N), clips=EVERYTHING),
    "weighted-sum": replace(PLAIN, weights=frame_weights(N), combine="sum"),
    "sample": replace(PLAIN, weights="sample", clips=SIGMA),
    "sample-sum": replace(PLAIN, weights="sample", combine="sum"),
    "scale": replace(PLAIN, scale=scale(N), zero=zero(N), clips=EVERYTHING, combine="median"),
    "raw": replace(PLAIN, scale=level(N), weights=frame_weights(N), clips=SIGMA, clip_on="raw"),
    "variance-clip": replace(PLAIN, scale=scale(N), clips=[VarianceClip(1.4, 1.7)]),
    "grow": replace(PLAIN, clips=[*EVERYTHING, Grow(1.5)]),
    "grow-sample": replace(PLAIN, weights="sample", clips=[MADClip(5, 7), Grow(1)], combine="sum"),
}
#: Relative tolerance: terms are float64 in both, but summed in different orders.
ROUNDING = 1e-13


def samples(stack_name, asked):
    """The samples of a stack with variances, some of them unusable."""
    return with_variances(stack_of(stack_name, N, replace(asked, uncertainty="auto")))


@cache
def answered(name, stack_name):
    """The oracle's map, and the pixels that rounding cannot change; cached for all backends."""
    asked = RECIPES[name]
    band = samples(stack_name, asked)
    want = solve(band, asked)
    return oracle_maps.propagated(band, asked, want), ~want.close


def near(given, expected, sure):
    np.testing.assert_allclose(given[sure], expected[sure], rtol=ROUNDING)


@pytest.mark.parametrize("stack_name", STACKS)
@pytest.mark.parametrize("name", RECIPES)
def test_the_oracle(backend, name, stack_name):
    out, maps = run_maps(backend, samples(stack_name, RECIPES[name]), RECIPES[name])
    assert out.uncertainty is None
    near(maps["uncertainty"], *answered(name, stack_name))


def test_the_stacks_have_all_kinds_of_variances():
    for name in ("mean", "scale", "sample"):
        band = samples("masked", RECIPES[name])
        found = oracle_maps.propagated(band, RECIPES[name], solve(band, RECIPES[name]))
        assert np.isinf(found).any()
        assert 2 < np.isnan(found).sum() < 30


# Columns whose answers are written out by hand.

NAN, INF = np.nan, np.inf
HALF_PI = math.pi / 2


@pytest.mark.parametrize(
    ("combine", "variances", "expected"),
    [
        ("mean", [4, 9, 3, 20], 6 / 4),
        ("sum", [4, 9, 3, 20], 6),
        ("median", [4, 9, 3, 20], 6 / 4 * HALF_PI**0.5),
        ("lower_median", [4, 9, 3], 4 / 3 * HALF_PI**0.5),
        ("lmedian", [4, 9, 3], 4 / 3 * HALF_PI**0.5),
        ("mean", [16, 9], 2.5),
        ("median", [16, 9], 2.5),
        ("lower_median", [16, 9], 2.5 * HALF_PI**0.5),
        ("lmedian", [16, 9], 2.5 * HALF_PI**0.5),
        *[(name, [16], 4) for name in ("mean", "sum", "median", "lower_median", "lmedian")],
        ("mean", [0, 0], 0),
        ("mean", [4, -0.0, 5], 1),
        ("mean", [4, NAN], NAN),
        ("sum", [4, -1], NAN),
        ("median", [4, INF, 9], INF),
        ("mean", [NAN, INF], NAN),
    ],
)
def test_columns(backend, combine, variances, expected):
    data = np.arange(len(variances), dtype="f4").reshape(-1, 1, 1)
    band = [
        replace(one, variance=np.full((1, 1), v))
        for one, v in zip(plain(data), variances, strict=True)
    ]
    _, maps = run_maps(backend, band, replace(PLAIN, combine=combine))
    np.testing.assert_allclose(maps["uncertainty"], expected, rtol=ROUNDING)


@pytest.mark.parametrize("bad", [NAN, -1, -INF, INF])
@pytest.mark.parametrize("way", ["masked", "clipped", "without-weight"])
def test_a_variance_that_is_not_used_does_not_show(backend, way, bad):
    data = np.array([1, 2, 3, 500], "f4").reshape(4, 1, 1)
    masks = np.zeros(data.shape, bool)
    masks[3] = way == "masked"
    variances = [3, 4, 2, bad]
    band = [
        replace(one, variance=np.full((1, 1), v))
        for one, v in zip(plain(data, masks), variances, strict=True)
    ]
    clips = [RangeClip(high=100)] if way == "clipped" else []
    weights = [1, 1, 1, 0] if way == "without-weight" else None
    _, maps = run_maps(backend, band, replace(PLAIN, clips=clips, weights=weights))
    assert maps["uncertainty"][0, 0] == 1


def test_where_weights_add_up_to_nothing_there_is_none(backend):
    band = with_variances(plain(sky(3).astype("f4")))
    for combine in ("mean", "sum"):
        _, maps = run_maps(backend, band, replace(PLAIN, combine=combine, weights=[0, 0, 0]))
        assert np.isnan(maps["uncertainty"]).all()


@pytest.mark.parametrize("step", [1, 2, 7])
@pytest.mark.parametrize("name", ["mean", "sample", "grow", "grow-sample"])
def test_bands_change_no_bit(backend, cut, name, step):
    asked = RECIPES[name]
    band = with_variances(plain(sky(N, (9, 11)).astype("f4"), some(N, (9, 11), 0.1)))
    band = with_weights(band) if asked.weights == "sample" else band
    one = run_maps(backend, band, asked)
    cut(step)
    other = run_maps(backend, band, asked)
    assert_same_bits(one[0], other[0])
    for map_, made in one[1].items():
        np.testing.assert_array_equal(made, other[1][map_], err_msg=map_)
