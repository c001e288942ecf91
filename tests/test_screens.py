"""Screens of clips: all columns that lose a sample are at risk, and few others."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gpustack.backends import esd, frame_screens, line_fit, winsorized
from gpustack.backends.bounds import bounds
from gpustack.backends.columns import Uniform
from gpustack.backends.ragged import Ragged
from gpustack.backends.screens import has_screen, screen
from gpustack.backends.statistics import mean, std
from gpustack.backends.unsorted import Unsorted
from gpustack.clips import (
    ESDClip,
    LinearFitClip,
    MADClip,
    NoiseClip,
    SigmaClip,
    WinsorizedClip,
)
from gpustack.recipe import Recipe
from oracle import solve
from stacks import plain, run

N = st.integers(1, 14)
SAMPLES = {
    "f4": (
        st.floats(width=32, allow_nan=False, allow_infinity=False),
        st.floats(-1000, 70_000, width=32),
        st.sampled_from([999.0, 1000.0, 1001.0, 1003.0, 1e4, 1e30]),
    ),
    "f8": (st.floats(-1e100, 1e100), st.sampled_from([0.0, 1.0, 1 + 1e-14, 3.0, 1e200])),
}
COLUMNS = st.one_of(
    N.flatmap(lambda n, dtype=dtype, some=some: arrays(dtype, (n, 5), elements=some))
    for dtype, kinds in SAMPLES.items()
    for some in kinds
)
FACTORS = st.none() | st.sampled_from([0.0, 0.5, 1.0, 1.37, 1.7, 3.0, np.inf])


def uniform(data):
    return Uniform(list(np.sort(data, axis=0)), 0, len(data))


def ragged(data, lo, hi):
    n, m = data.shape
    values = np.ascontiguousarray(np.sort(data, axis=0))
    return Ragged(np.arange(m), values, np.full(m, n), np.array(lo), np.array(hi))


def touched(clip, columns):
    """The columns that lose a sample by the exact bounds or the exact test."""
    with np.errstate(all="ignore"):
        if isinstance(clip, ESDClip):
            frames = len(columns.rows)
            low, high = esd.outliers(clip, columns, np.zeros(columns.pixels, int), frames)
            return (low > 0) | (high > 0)
        found = bounds(clip, columns, True, columns.pixels + 100)
        lowest, highest = columns.at(columns.lo), columns.at(columns.hi - 1)
        return (lowest < found.lower) | (highest > found.upper)


def at_risk(clip, columns):
    with np.errstate(all="ignore"):
        if isinstance(clip, ESDClip):
            return esd.at_risk(clip, columns, 0)
        return winsorized.at_risk(clip, columns)


@given(COLUMNS, FACTORS, FACTORS)
def test_what_winsorizing_rejects_was_at_risk(data, low, high):
    clip, columns = WinsorizedClip(low, high), uniform(data)
    assert not (touched(clip, columns) & ~at_risk(clip, columns)).any()


@given(COLUMNS, st.data(), FACTORS)
def test_what_winsorizing_rejects_of_intervals_was_at_risk(data, draw, factor):
    n, m = data.shape
    lo = draw.draw(st.lists(st.integers(0, n - 1), min_size=m, max_size=m))
    hi = [draw.draw(st.integers(first + 1, n)) for first in lo]
    clip, columns = WinsorizedClip(factor, factor), ragged(data, lo, hi)
    assert not (touched(clip, columns) & ~at_risk(clip, columns)).any()


@given(COLUMNS, st.sampled_from([0.1, 0.3, 0.5, 0.9]), st.sampled_from([0.001, 0.05, 0.5, 0.9]))
def test_what_the_esd_test_rejects_was_at_risk(data, outliers, significance):
    clip, columns = ESDClip(outliers, significance), uniform(data)
    assert not (touched(clip, columns) & ~at_risk(clip, columns)).any()


def by_a_hair():
    """Yield sorted columns whose levels and spreads make float32 round in many ways."""
    rng = np.random.default_rng(7)
    for n, level, noise in [(3, 1e6, 1), (9, 1000, 30), (25, 0, 1), (25, 1e7, 30), (2000, 3000, 5)]:
        yield np.sort(rng.normal(level, noise, (n, 500)).astype("f4"), axis=0)


@pytest.mark.parametrize("clip", [WinsorizedClip(2, 2), ESDClip(significance=0.3)], ids=str)
def test_what_is_rejected_of_samples_whose_squares_underflow_was_at_risk(clip):
    for scale in (2e-23, 5e-23, 1e-22):
        data = np.random.default_rng(0).normal(0, scale, (7, 20_000)).astype("f4")
        rejected = touched(clip, uniform(data))
        assert rejected.sum() > 100
        assert not (rejected & ~at_risk(clip, uniform(data))).any()


def test_the_least_spreads_are_no_more_than_the_spreads():
    for data in by_a_hair():
        exact = data.astype(float)
        away = exact - np.median(exact, axis=0)
        reach = np.random.default_rng(1).uniform(0, np.abs(away).max(axis=0)).astype("f4")
        center = np.median(exact, axis=0).astype("f4")
        plain, pulled = winsorized.least_spreads(uniform(data), center, reach)
        wide = reach.astype(float)
        for least, values in ((plain, away), (pulled, np.clip(away, -wide, wide))):
            spread = values.std(axis=0, ddof=1)
            assert (least <= spread).all()
            assert (least >= spread * (1 - 1e-3) - 1e-6 * np.abs(center)).all()


def test_no_end_is_thought_near_that_is_further_by_a_hair():
    for data in by_a_hair():
        ends, left = esd.EndsTest(data), [list(column) for column in data.T.astype(float)]
        first_screen = np.ones(data.shape[1], dtype=bool)
        for _ in range(min(8, len(data) - 2)):
            mean, spread = np.mean(left, axis=1), np.std(left, axis=1, ddof=1)
            above = np.array([column[-1] for column in left]) - mean
            below = mean - np.array([column[0] for column in left])
            critical = np.maximum(above, below) / spread * (1 - 1e-12)
            with np.errstate(invalid="ignore"):
                assert ends.may_exceed(critical)[first_screen].all()
                first_screen &= ~ends.may_exceed(critical * 1.01)
            assert first_screen.mean() > 0.8
            ends.set_aside()
            for column, high in zip(left, above >= below, strict=True):
                column.pop(-1 if high else 0)


def test_of_ends_that_are_equally_far_none_is_told_to_be_further():
    for data in by_a_hair():
        half = data[: len(data) // 2] - data[-1]
        ends = esd.EndsTest(np.concatenate([half, np.zeros_like(half[:1]), -half[::-1]]))
        assert ends.may_exceed(1e6).all()


@pytest.mark.parametrize("clip", [WinsorizedClip(3, 3), ESDClip(0.3, 0.05)], ids=str)
@pytest.mark.parametrize("n", [5, 25, 60])
@pytest.mark.parametrize(("dtype", "scale"), [("f4", 1.0), ("f4", 1e-15), ("f4", 1e15), ("f8", 1)])
def test_little_is_at_risk_that_is_not_touched(clip, n, dtype, scale):
    rng = np.random.default_rng(n)
    data = rng.normal(1000, 30, (n, 6_000))
    data[rng.random(data.shape) < 0.003] += 1000
    columns = uniform((data * scale).astype(dtype))
    risk, hit = at_risk(clip, columns), touched(clip, columns)
    assert 0 < hit.sum() < 0.6 * data.shape[1]
    assert not (hit & ~risk).any()
    # A column close to a critical value, after a large sample was set aside, may stay undecided.
    assert (risk & ~hit).sum() < 0.01 * data.shape[1]


@pytest.mark.parametrize("clip", [WinsorizedClip(3, 3), ESDClip(0.3, 0.05)], ids=str)
def test_a_column_of_one_value_or_two_samples_is_safe(clip):
    assert not at_risk(clip, uniform(np.full((9, 3), 1000.1, "f4"))).any()
    assert not at_risk(clip, uniform(np.full((1, 3), 1000.1, "f4"))).any()
    assert not at_risk(clip, uniform(np.array([[1.0], [9.0]], "f4"))).any()


FLOATS = st.one_of(
    N.flatmap(lambda n, some=some: arrays("f4", (n, 5), elements=some)) for some in SAMPLES["f4"]
)
SPREADS = st.one_of(
    st.builds(
        dict,
        center=st.sampled_from(["mean", "median", "trimmed_mean"]),
        ddof=st.integers(0, 2),
        about=st.sampled_from(["mean", "center"]),
    ),
    st.builds(dict, center=st.sampled_from(["mean", "median"]), spread=st.just("mad_std")),
    st.none(),
)


def told_and_true(clip, data, columns=None, *, first=True):
    """Which samples are beyond the inner and outer bounds of a screen, and which are rejected."""
    columns = uniform(data) if columns is None else columns
    with np.errstate(all="ignore"):
        first_screen = screen(clip, columns, first)
        found = bounds(clip, uniform(data), first, len(data))
        beyond = [
            (data < low) | (data > high) for low, high in (first_screen.inner, first_screen.outer)
        ]
        return *beyond, (data < found.lower) | (data > found.upper)


@given(FLOATS, FACTORS, FACTORS, SPREADS, st.booleans())
def test_a_screen_has_the_bounds_between_its_own(data, low, high, spread, first):
    clip = MADClip(low, high) if spread is None else SigmaClip(low, high, **spread)
    beyond_inner, beyond_outer, rejected = told_and_true(clip, data, first=first)
    varies = np.ptp(data.astype(float), axis=0) > 0
    assert not (rejected & ~beyond_inner & varies).any()
    assert not (beyond_outer & ~rejected & varies).any()
    assert not rejected[:, ~varies].any()


@given(FLOATS, st.integers(-4, 4), st.integers(0, 2), st.sampled_from(["mean", "median"]))
def test_no_sample_is_told_by_a_hair(data, ulps, ddof, center):
    # A factor with which the highest sample is only just rejected, or only just survives.
    columns = uniform(data[:, :1])
    with np.errstate(all="ignore"):
        middle = mean(columns) if center == "mean" else np.median(data[:, :1].astype(float), axis=0)
        ratio = (columns.at(len(data) - 1) - middle) / std(columns, ddof)
    factor = float(ratio[0] * (1 + ulps * 2.0**-24))
    if not 0 <= factor < np.inf:
        return
    clip = SigmaClip(None, factor, center, "std", ddof=ddof)
    beyond_inner, beyond_outer, rejected = told_and_true(clip, data[:, :1])
    assert not (rejected & ~beyond_inner).any()
    assert not (beyond_outer & ~rejected).any()


@pytest.mark.parametrize("n", [9, 10])
@pytest.mark.parametrize(("level", "sigma"), [(1e5, 0.01), (1e5, 3), (0, 5e-23), (0, 1e-44)])
@pytest.mark.parametrize(
    "clip",
    [
        MADClip(2, 2),
        SigmaClip(2, 2, "mean", spread="mad_std"),
        SigmaClip(0.2, 0.2, "mean"),
        SigmaClip(2, 2, "mean"),
        SigmaClip(2, 2, about="center"),
    ],
    ids=str,
)
def test_no_sample_is_told_wrong_where_last_bits_are_large(clip, level, sigma, n):
    data = np.random.default_rng(n).normal(level, sigma, (n, 20_000)).astype("f4")
    beyond_inner, beyond_outer, rejected = told_and_true(clip, data)
    varies = np.ptp(data.astype(float), axis=0) > 0
    assert not (rejected & ~beyond_inner & varies).any()
    assert not (beyond_outer & ~rejected & varies).any()


def test_sums_of_many_squares_that_are_rounded_alike_tell_nothing_by_a_hair():
    # When equal squares are summed, each addition is rounded in the same direction.
    levels = np.random.default_rng(3).uniform(1, 2, 30).astype("f4")
    data = np.repeat(np.outer([0, 1, 60], levels).astype("f4"), [1500, 1500, 1], axis=0)
    column = data[:, 0].astype(float)
    ratio = float((column[-1] - column.mean()) / column.std())
    for off in (-(2.0**-20), 2.0**-20):
        clip = SigmaClip(None, ratio * (1 + off), "mean")
        beyond_inner, beyond_outer, rejected = told_and_true(clip, data)
        assert not (rejected & ~beyond_inner).any()
        assert not (beyond_outer & ~rejected).any()


@pytest.mark.parametrize("scale", [1e-19, 1.0, 1e15])
@pytest.mark.parametrize(
    "clip",
    [
        SigmaClip(3, 3, "mean"),
        SigmaClip(3, 3, about="center"),
        SigmaClip(spread="mad_std"),
        MADClip(3, 3),
    ],
    ids=str,
)
def test_a_screen_tells_of_nearly_all_samples(clip, scale):
    data = np.random.default_rng(0).normal(1000, 30, (25, 20_000))
    beyond_inner, beyond_outer, rejected = told_and_true(clip, (data * scale).astype("f4"))
    assert rejected.sum() > 100
    assert (beyond_inner & ~beyond_outer).sum() < 20


@given(FLOATS, FACTORS, FACTORS, st.integers(0, 2))
def test_columns_that_are_not_sorted_have_the_same_screen(data, low, high, ddof):
    clip = SigmaClip(low, high, "mean", "std", ddof=ddof)
    columns = Unsorted(data)
    if columns.inexact().any():
        return
    beyond_inner, beyond_outer, rejected = told_and_true(clip, data, columns)
    varies = np.ptp(data.astype(float), axis=0) > 0
    assert not (rejected & ~beyond_inner & varies).any()
    assert not (beyond_outer & ~rejected & varies).any()


def test_intervals_are_unsure_where_a_sample_is_between_the_bounds():
    # 12 samples of 0, 12 of 1, and one so far off that it is only just rejected, or survives.
    data = np.repeat(np.array([[0.0], [1.0]], "f4"), 12, axis=0)
    columns = []
    for beyond in (10.0, 1.0, None):
        top = 2.0 if beyond is None else beyond
        columns.append(np.concatenate([data, np.full((1, 1), top, "f4")]))
    values = np.concatenate(columns, axis=1)
    some = ragged(values, [0, 0, 0], [25, 25, 25])
    exact = values.astype(float)
    factor = float((exact[-1, 2] - exact[:, 2].mean()) / exact[:, 2].std())
    clip = SigmaClip(None, factor, "mean")
    lo, hi, unsure = screen(clip, some.uniform()).intervals(some)
    assert (lo == 0).all()
    assert hi[:2].tolist() == [24, 25]
    assert unsure.tolist() == [False, False, True]


def test_every_column_is_at_risk_of_a_clip_by_frame_where_a_scale_is_below_0():
    columns, clip = uniform(np.ones((3, 4), "f4")), SigmaClip(poisson=True)
    for scale, all_are in (((1.0, 0.5, 2.0), False), ((1.0, -0.5, 2.0), True)):
        found = frame_screens.at_risk(clip, columns, Recipe(scale=scale), np.zeros, np.zeros)
        assert found.tolist() == [all_are] * 4


@pytest.mark.parametrize("about", ["mean", "center"])
def test_squares_that_overflow_hide_no_sample_from_a_clip_by_frame(backend, about):
    # In units of their noise, the root of their level, these deviations have squares that do not.
    band = plain(np.multiply.outer([1.0, 1.1, 0.9, 1.05, 50.0], np.full((1, 3), 1e200)))
    recipe = Recipe(SigmaClip(1.5, 1.5, poisson=True, about=about), scale=[1, 1.1, 1, 1, 1])
    found, expected = run(backend, band, recipe), solve(band, recipe)
    assert (expected.count == 2).all()
    np.testing.assert_array_equal(found.count, expected.count)


def test_a_sample_too_far_from_a_line_by_a_hair_was_at_risk():
    data = np.sort(np.random.default_rng(0).normal(1000, 30, (15, 300)), axis=0)
    for column in data.T[:, :, np.newaxis]:
        line = line_fit.Line.through(column, np.ones(column.shape, bool))
        factor = np.nextafter(line.off.max() / line.spread[0], 0)
        clip = LinearFitClip(None, float(factor))
        if line.outside(clip)[1].any():
            assert line_fit.at_risk(clip, uniform(column)).all()


def test_there_are_screens_of_float32_by_sigma_or_the_mad():
    float32, float64 = np.dtype("f4"), np.dtype("f8")
    assert has_screen(SigmaClip(), float32)
    assert has_screen(MADClip(), float32)
    assert not has_screen(SigmaClip(), float64)
    assert not has_screen(NoiseClip(5.0, 1.0), float32)


def test_a_bound_that_overflows_on_the_way_is_not_told():
    column = np.array([-3.0, *[-0.2] * 4, 1.0, 1.0, *[2.2] * 4]) * 1e38
    risk, _, true = told_and_true(MADClip(3, 3), column.astype("f4")[:, np.newaxis])
    assert true[0, 0]
    assert risk[0, 0]
