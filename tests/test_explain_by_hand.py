"""`explain` for columns of a few samples, against answers by hand and astropy."""

import re

import numpy as np
import pytest
from astropy.nddata import NDData, VarianceUncertainty
from astropy.stats import sigma_clip

from gpustack import (
    ExtremaClip,
    NoiseClip,
    RangeClip,
    SigmaClip,
    SigmaMedianClip,
    VarianceClip,
    explain,
)
from gpustack.clips import LinearFitClip


def test_a_column_by_hand():
    # Median 10, std 2.309: 16 is above 14.619. Then median 10, std 0.632: none is above 11.265.
    column = np.array([9, 10, 10, 10, 11, 16], float)
    found = explain(column[:, None, None], 0, 0, SigmaClip(low=None, high=2))
    first, last = found.steps[0].passes
    assert (first.center, first.lower, first.high, first.low) == (10, -np.inf, (5,), ())
    assert first.upper == pytest.approx(10 + 2 * column.std())
    assert last.upper == pytest.approx(10 + 2 * column[:5].std())
    assert (last.low, last.high, last.kept) == ((), (), ())
    assert found.samples["pass"].tolist() == [0, 0, 0, 0, 0, 1]
    assert (found.data, found.count, found.low, found.high) == (10, 5, 0, 1)


@pytest.mark.parametrize("center", ["mean", "median"])
@pytest.mark.parametrize("seed", range(8))
def test_the_last_bounds_are_those_of_astropy(center, seed):
    column = np.random.default_rng(seed).standard_cauchy(20)
    found = explain(column[:, None, None], 0, 0, SigmaClip(1.7, 2.3, center))
    with np.errstate(all="ignore"):
        kept, lower, upper = sigma_clip(
            column, sigma_lower=1.7, sigma_upper=2.3, maxiters=None, cenfunc=center,
            masked=False, return_bounds=True,
        )  # fmt: skip
    last = found.steps[0].passes[-1]
    assert (last.lower, last.upper) == pytest.approx((lower, upper))
    assert found.count == np.isfinite(kept).sum()


def test_medians_in_the_place_of_samples_by_hand():
    # The median 9 replaces -90; then the median of 0, 8, 9, 10, 11, 12 is 9.5.
    column = np.array([-90, 0, 8, 10, 11, 12], float)[:, None, None]
    found = explain(column, 0, 0, SigmaMedianClip(low=2, high=None))
    first, second, *_ = found.steps[0].passes
    assert (first.center, first.low, first.upper) == (9, (0,), np.inf)
    assert first.lower == pytest.approx(9 - 2 * column.std(ddof=1))
    standing = np.array([9, 0, 8, 10, 11, 12])
    assert (second.center, second.low) == (9.5, (1,))
    assert second.lower == pytest.approx(9.5 - 2 * standing.std(ddof=1))
    assert found.steps[0].passes[2].center == 9.75
    # None of 8, 9, 9.5, 10, 11, 12 is below 9.75 - 2 * 1.38.
    assert len(found.steps[0].passes) == 3
    assert (found.data, found.count, found.low) == (pytest.approx(59.5 / 6), 4, 2)
    assert found.uncertainty == pytest.approx(np.std([8, 10, 11, 12]) / 2)


def test_passes_are_no_more_than_asked_for():
    # Each pass rejects only the largest sample: 3000, 300, 30; the fourth rejects nothing.
    column = np.array([0, 1, 2, 3, 4, 30, 300, 3000], float)[:, None, None]
    clips = [SigmaClip(2, 2, maxiters=most) for most in (1, 2, 4, 9, None)]
    passes = [len(explain(column, 0, 0, clip).steps[0].passes) for clip in clips]
    assert passes == [1, 2, 4, 4, 4]


def test_samples_that_keep_brings_back_are_said_to_be_out_of_bounds():
    column = np.array([0, 10, 11, 30], float)[:, None, None]
    found = explain(column, 0, 0, SigmaClip(0.01, 0.01, keep=2))
    (only,) = found.steps[0].passes
    assert (only.low, only.high, only.kept) == ((0,), (3,), (1, 2))
    assert "10  used, kept out of bounds" in str(found)
    later = explain(column, 0, 0, [SigmaClip(0.01, 0.01, keep=2), RangeClip(high=10)])
    assert later.samples["fate"].tolist() == ["low", "used", "high", "high"]
    assert later.samples["step"].tolist() == [1, 0, 2, 1]


def test_of_equal_samples_the_earlier_frame_is_the_lower():
    column = np.array([5, 5, 5, 5], float)[:, None, None]
    found = explain(column, 0, 0, ExtremaClip(1, 2))
    assert (found.steps[0].low, found.steps[0].high) == ((0,), (2, 3))


@pytest.mark.parametrize("poisson", [False, True])
def test_the_first_pass_of_a_trimmed_mean_is_trimmed(poisson):
    column = np.array([0, 10, 12, 14, 1000], float)[:, None, None]
    found = explain(column, 0, 0, SigmaClip(1, 1, "trimmed_mean", poisson=poisson))
    assert [made.center for made in found.steps[0].passes][:2] == [12, 9]


def test_bounds_by_the_variance_of_each_sample_by_hand():
    # The median is 10. With a spread of 1 the bounds are 8 and 13, with 3 they are 4 and 19.
    variances = [1, 1, 1, 9, 1, np.nan]
    frames = [
        NDData(np.full((1, 1), value), uncertainty=VarianceUncertainty(np.full((1, 1), variance)))
        for value, variance in zip([7.0, 10, 10, 18, 14, 10], variances, strict=True)
    ]
    found = explain(frames, 0, 0, VarianceClip(2, 3))
    first, last = found.steps[0].passes
    assert (first.low, first.high, first.center, first.lower) == ((0,), (4,), 10, None)
    assert first.bounds[:5] == ((10, 8, 13), (10, 8, 13), (10, 8, 13), (10, 4, 19), (10, 8, 13))
    assert np.isnan(first.bounds[5][1:]).all()
    assert [own is None for own in last.bounds] == [True, False, False, False, True, False]
    said = str(found)
    assert "7  rejected low by clip 1, variance, pass 1: below 8\n" in said
    assert "18  used; bounds of clip 1: 4 to 19\n" in said
    assert "10  used; bounds of clip 1: undefined\n" in said
    assert "pass 1: center 10, lower bounds 4 to 8, upper bounds 13 to 19; 1 rejected low" in said


def test_bounds_that_are_undefined_are_not_among_those_of_all():
    frames = [
        NDData(np.full((1, 1), 10.0), uncertainty=VarianceUncertainty(np.full((1, 1), variance)))
        for variance in (np.nan, 1, 9)
    ]
    said = str(explain(frames, 0, 0, VarianceClip(2, 3)))
    assert "center 10, lower bounds 4 to 8, upper bounds 13 to 19; 0 rejected low" in said


def test_the_line_by_hand():
    # Sorted 0, 1, 2, 3, 14: the line is -2 + 3 rank, the distances 2, 0, 2, 4, 4, on average 2.4.
    column = np.array([14, 3, 2, 1, 0], float)[:, None, None]
    found = explain(column, 0, 0, LinearFitClip(5, 1.5, maxiters=1))
    (made,) = found.steps[0].passes
    assert (made.high, made.center) == ((0,), None)
    expected = [(line, line - 12, line + 3.6) for line in (10, 7, 4, 1, -2)]
    np.testing.assert_allclose(made.bounds, expected, rtol=1e-14)
    assert "14  rejected high by clip 1, linear: above 13.6, line at 10\n" in str(found)
    assert "line -2 to 10, lower bounds -14 to -2, upper bounds 1.6 to 13.6; 0 r" in str(found)


def test_samples_that_keep_brings_back_have_bounds_of_their_own():
    column = np.array([0, 10, 11, 30], float)[:, None, None]
    clip = NoiseClip(0.01, 0.01, keep=2)
    found = explain(column, 0, 0, clip, scale=[1, 1, 1, 1.5])
    (only,) = found.steps[0].passes
    assert (only.low, only.high, only.kept) == ((0,), (3,), (1, 2))
    assert "10  used, kept out of bounds; bounds of clip 1: 10.46" in str(found)


def test_a_noise_model_shows_what_it_combines():
    column = np.array([100, -4, 9, np.nan], float)[:, None, None]
    found = explain(column, 0, 0, combine="nmodel:rdnoise=3,gain=1", scale=[1, 2, -1, 1])
    noise = np.sqrt([109, 4 * 9, 18])
    np.testing.assert_allclose(found.samples["noise"][:3], noise)
    assert np.isnan(found.samples["noise"][3])
    assert found.data == pytest.approx(np.sqrt((noise**2).sum()) / 3)
    assert re.search(r"\nnmodel = 4.2557\d*: 3 of 4 samples;", str(found))
    assert re.search(r"raw  scale  value +noise  fate\n", str(found))
