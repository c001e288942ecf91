"""The oracle's clips against published answers and answers written out by hand."""

import numpy as np
import pytest

from gpustack.clips import (
    ESDClip,
    ExtremaClip,
    LinearFitClip,
    MADClip,
    NoiseClip,
    PercentileClip,
    PercentileRankClip,
    SigmaClip,
    SigmaMedianClip,
    VarianceClip,
    WinsorizedClip,
)
from gpustack.clips.esd_critical import critical_values
from oracle import run_clip
from oracle_clips import Column, critical_value
from oracle_statistics import student_quantile

#: Rosner 1983, table 1: three of these are outliers at 5% if up to ten are tested.
ROSNER = """
    -0.25 0.68 0.94 1.15 1.20 1.26 1.26 1.34 1.38 1.43 1.49 1.49 1.55 1.56 1.58 1.65 1.69 1.70
    1.76 1.77 1.81 1.91 1.94 1.96 1.99 2.06 2.09 2.10 2.14 2.15 2.23 2.24 2.26 2.35 2.37 2.40 2.47
    2.54 2.62 2.64 2.90 2.92 2.92 2.93 3.21 3.26 3.30 3.59 3.68 4.30 4.64 5.34 5.42 6.01"""


def left(clip, values):
    """The samples that survive a clip."""
    column = Column(list(values), list(values), [True] * len(values))
    run_clip(clip, column, np.dtype(np.float64))
    assert column.low + column.high == len(values) - len(column.survivors())
    return [values[i] for i in column.survivors()]


def test_the_published_example_of_esd_has_three_outliers():
    values = [float(text) for text in ROSNER.split()]
    assert left(ESDClip(10 / 54, 0.05), values) == [v for v in values if v < 5.3]


@pytest.mark.parametrize(
    ("p", "degrees", "t"),
    [
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.995, 5, 4.032),
        (0.975, 10, 2.228),
        (0.95, 30, 1.697),
    ],
)
def test_quantiles_are_those_of_printed_tables(p, degrees, t):
    assert student_quantile(p, degrees) == pytest.approx(t, abs=6e-4)


@pytest.mark.parametrize("significance", [0.001, 0.05, 0.5])
def test_critical_values_agree_with_a_series(significance):
    # Both compute the quantile to about 1e-13; 1 - p loses another three digits.
    values = critical_values(significance, 60)
    assert np.isinf(values[:3]).all()
    expected = [critical_value(significance, n) for n in range(3, 61)]
    np.testing.assert_allclose(values[3:], expected, rtol=1e-9)


def test_critical_values_are_there_for_the_smallest_significance():
    """One minus such a significance is 1, but a critical value still exists."""
    found = np.array([critical_values(s, 41)[41] for s in (1e-9, 1e-14, 1e-17, 1e-100, 1e-300)])
    assert (np.diff(found) > 0).all()
    assert found[-1] <= 40 / 41**0.5  # the largest distance possible


def test_a_rank_is_no_further_out_than_half_the_frames():
    assert [PercentileRankClip(rank=rank).steps(10) for rank in (9, -1e300, 2.9)] == [5, -5, 2]


def test_a_rank_that_rounding_keeps_from_a_whole_number_is_one():
    ranks = {0.7: 180, 0.29: 200, -0.7: 180, 0.58: 100}
    assert [PercentileRankClip(rank=r).steps(n) for r, n in ranks.items()] == [63, 29, -63, 29]


EVEN = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 100.0]
BY_HAND = {
    # Median 5.5, MAD 2.5: bounds 0.5 and 10.5.
    "mad": (MADClip(2, 2, 1), EVEN, EVEN[:9]),
    # Bounds 5.5 -+ 0.5 * 5.5.
    "percentile": (PercentileClip(0.5, 0.5), EVEN, EVEN[2:8]),
    # floor(0.5 * 5) = 2 ranks below the lower middle 5 is 3, 2.5 from 5.5: bounds 0.5 and 10.5.
    "rank": (PercentileRankClip(2, 2, -0.5), EVEN, EVEN[:9]),
    # 9 ranks above the upper middle is limited to the highest sample, 94.5 away.
    "rank-far": (PercentileRankClip(1, 1, 9), EVEN, EVEN[:9]),
    # A sample on a bound is rejected: 3 and 8 are 2.5 from the median.
    "rank-on": (PercentileRankClip(1, 1, -0.5), EVEN, EVEN[3:7]),
    "rank-none": (PercentileRankClip(1, 1, -1), [5.0, 5.0, 5.0, 9.0], [5.0, 5.0, 5.0, 9.0]),
    # sqrt(3^2 + 5.5) = 3.81 about 5.5, the centre of all passes.
    "noise": (NoiseClip(1, 1, rdnoise=3), EVEN, EVEN[1:9]),
    "noise-high": (NoiseClip(None, 1, rdnoise=3), EVEN, EVEN[:8]),
    # The mean of 2 to 9 is 5.5, that of all 14.5.
    "trimmed": (SigmaClip(0.4, 0.4, "trimmed_mean", maxiters=1), EVEN, EVEN[:9]),
    # The two samples nearest to the median, both at 0.5, are kept.
    "keep": (PercentileClip(0.01, 0.01, keep=1), EVEN, [5.0, 6.0]),
    "keep-three": (PercentileClip(0.01, 0.01, keep=3), EVEN, [4.0, 5.0, 6.0, 7.0]),
    "lose-three": (PercentileClip(0.01, 0.01, keep=-3), EVEN, EVEN[1:9]),
    # The least-squares line is 65/11 i - 133/11: 100 is 3.53 mean distances above it, the lowest
    # of the others 1.57 below.
    "linear": (LinearFitClip(1.6, 3.5, 1), EVEN, EVEN[:9]),
    "linear-low": (LinearFitClip(1.5, 3.6, 1), EVEN, [*EVEN[:8], 100.0]),
    "linear-line": (LinearFitClip(0, 0), EVEN[:9], EVEN[:9]),
    "linear-two": (LinearFitClip(0, 0), [1.0, 9.0], [1.0, 9.0]),
    "share": (ExtremaClip(1, 2, "share"), EVEN, EVEN[1:8]),
    "esd": (ESDClip(0.3, 0.05), EVEN, EVEN[:9]),
    "esd-keep": (ESDClip(0.3, 0.05, keep=10), EVEN, EVEN),
    "winsorized": (WinsorizedClip(3, 3), EVEN, EVEN[:9]),
    "winsorized-two": (WinsorizedClip(3, 3), [1.0, 9.0], [1.0, 9.0]),
}


@pytest.mark.parametrize(("clip", "values", "survivors"), BY_HAND.values(), ids=BY_HAND)
def test_answers_by_hand(clip, values, survivors):
    assert left(clip, values) == survivors


#: A clip, the samples, the survivors, the medians that replace the others, the number of low ones.
REPLACED = {
    # Median 5.5, s 30.2: 100 is 3.13 s off. Then [1..9, 5.5]: median 5.25, s 2.59, bounds
    # -2.5 and 13.0.
    "once": (SigmaMedianClip(3, 3), EVEN, EVEN[:9], [5.5], 0),
    # An odd count: the median stays 3, and s becomes 1.14, with bounds 1.29 and 4.71. Then s is
    # 0.707 and the bounds are 1.94 and 4.06: 2 and 4 survive.
    "odd": (
        SigmaMedianClip(1.5, 1.5, 2),
        [1.0, 2.0, 3.0, 4.0, 90.0],
        [2.0, 3.0, 4.0],
        [3.0, 3.0],
        1,
    ),
    "odd-all": (SigmaMedianClip(1, 1), [1.0, 2.0, 3.0, 4.0, 90.0], [3.0], [3.0] * 4, 2),
    # Median 9, s 40.3: -90 is rejected. Then [0, 8, 9, 10, 11, 12]: with an even count the median
    # moves to 9.5, and s is 4.32: 0 is rejected.
    "low": (
        SigmaMedianClip(1.5, None, 2),
        [-90.0, 0.0, 8.0, 10.0, 11.0, 12.0],
        [8.0, 10.0, 11.0, 12.0],
        [9.0, 9.5],
        2,
    ),
    # The middle samples always survive.
    "tight": (SigmaMedianClip(0, 0), [1.0, 2.0, 4.0, 9.0], [2.0, 4.0], [3.0, 3.0], 1),
    "two": (SigmaMedianClip(0, 0), [1.0, 9.0], [1.0, 9.0], [], 0),
    "one": (SigmaMedianClip(0, 0), [7.0], [7.0], [], 0),
    "none": (SigmaMedianClip(0, 0), [], [], [], 0),
}


@pytest.mark.parametrize(
    ("clip", "values", "survivors", "stand_ins", "low"), REPLACED.values(), ids=REPLACED
)
def test_medians_in_the_place_of_samples_by_hand(clip, values, survivors, stand_ins, low):
    column = Column(list(values), list(values), [True] * len(values))
    run_clip(clip, column, np.dtype(np.float64))
    assert [values[i] for i in column.survivors()] == survivors
    assert column.stand_ins == stand_ins
    assert (column.low, column.high) == (low, len(stand_ins) - low)


#: Frames of one level, the last of which is scaled up from a sixteenth of the counts.
UNLIKE = {"seen": [10.0, 10, 10, 10, 14, 14], "scale": [1.0] * 5 + [16.0]}
OWN_NOISE = {
    # Units sqrt(10) and sqrt(160): squares 1.6 and 0.1 over 5, so 14 is 2.17 and 0.54 sigma off.
    "poisson": (SigmaClip(2, 2, ddof=1, about="center", poisson=True), UNLIKE, [4]),
    "poisson-none": (SigmaClip(2, 2.2, ddof=1, about="center", poisson=True), UNLIKE, []),
    # Noise sqrt(10) and 16 sqrt(10 / 16) = 12.6.
    "noise": (NoiseClip(1, 1), UNLIKE, [4]),
    # With a gain of 4 and sensitivity noise: sqrt(2.5 + 0.01 * 100), 16 sqrt(0.156 + 0.0039).
    "noise-all": (NoiseClip(1, 0.6, gain=4, snoise=0.1), UNLIKE, [4, 5]),
    "variance": (
        VarianceClip(2, 2),
        {"seen": [1.0, 2, 3, 9, 9], "variance": [4.0, 1, 1, 1, 16]},
        [3],
    ),
    "variance-none": (VarianceClip(2, 2), {"seen": [1.0, 2, 9], "variance": [1.0, 1, np.nan]}, []),
}


@pytest.mark.parametrize(("clip", "column", "rejected"), OWN_NOISE.values(), ids=OWN_NOISE)
def test_samples_are_judged_by_their_own_noise(clip, column, rejected):
    n = len(column["seen"])
    judged = Column(raw=column["seen"], alive=[True] * n, **column)
    run_clip(clip, judged, np.dtype(np.float64))
    assert [i for i in range(n) if not judged.alive[i]] == rejected
