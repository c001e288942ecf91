"""Clips that cannot reject a lone outlier, or anything, among so few frames are warned of."""

import numpy as np
import pytest

from gpustack import (
    AvgSigmaClip,
    ESDClip,
    LinearFitClip,
    MADClip,
    Offsets,
    PercentileRankClip,
    SigmaClip,
    SigmaMedianClip,
    WinsorizedClip,
    stack,
)
from gpustack.errors import GpustackWarning


@pytest.fixture
def cube():
    return np.random.default_rng(7).normal(100, 5, (9, 24, 17)).astype(np.float32)


def test_a_clip_that_can_reject_nothing_warns(cube):
    with pytest.warns(GpustackWarning, match="5 frames, .* only 2.5 standard"):
        stack(cube[:5], SigmaClip(3, 3))
    with pytest.warns(GpustackWarning, match=r"only 2.2 .* not rejected; use a lower threshold"):
        stack(cube[:5], SigmaMedianClip(2.24, 2.24))
    cube[:5, 0, 0] = 1, 2, 3, 2, 1e30
    assert stack(cube[:5], SigmaMedianClip(2.23, 2.23)).high[0, 0] == 1
    for clip in (SigmaClip(3, 2.4), SigmaClip(3, 3, spread="mad_std")):
        assert stack(cube[:5], clip).high[0, 0] == 1
    stack(cube, SigmaClip(2.9, 2.9))


@pytest.mark.parametrize("n", [2, 3, 5, 10])
@pytest.mark.parametrize("center", ["mean", "median", "trimmed_mean"])
@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("about", ["mean", "center"])
def test_no_outlier_is_further_out_than_the_warning_says(n, center, ddof, about):
    planes = [np.full((2, 2), i) for i in (*range(n - 1), 1e9)]
    is_mean = center == "mean" or n == 2
    farthest = (n - 1) ** 0.5 if is_mean else n / (n - 1) ** 0.5
    if about == "center" and not is_mean:
        farthest = n**0.5
    farthest *= ((n - ddof) / n) ** 0.5
    way = {"center": center, "ddof": ddof, "about": about}
    inside = SigmaClip(farthest * 0.999, farthest * 0.999, maxiters=1, **way)
    if n > 2:  # of two samples, both are equally far out
        assert stack(planes, inside).high.all()
    outside = SigmaClip(farthest * 1.001, farthest * 1.001, **way)
    with pytest.warns(GpustackWarning, match=f"a lone outlier among {n} frames"):
        assert not stack(planes, outside).high.any()


def test_lone_outliers_that_pull_a_line_are_told_of():
    def planes(n):
        return np.concatenate([np.arange(n - 1) / 1000, [1e9]]).reshape(n, 1, 1)

    assert stack(planes(14), LinearFitClip()).high == 1
    with pytest.warns(GpustackWarning, match="13 frames, .* 4.7 mean distances from the line out"):
        assert stack(planes(13), LinearFitClip()).high == 0
    with pytest.warns(GpustackWarning, match="nothing of 2 frames, which are too few"):
        assert stack(planes(2), LinearFitClip()).high == 0
    stack(planes(6), LinearFitClip(2, 2))  # the most is 2, except for rounding and scatter


def test_winsorizing_three_samples_ends_before_a_far_outlier_is_pulled_in():
    planes = np.array([0, 0.001, 1e9]).reshape(3, 1, 1)
    assert stack(planes, WinsorizedClip(4.2, 4.2)).high == 1
    with pytest.warns(GpustackWarning, match=r"3 frames, .* only 4\.3 winsorized .* not rejected"):
        assert stack(planes, WinsorizedClip(4.3, 4.3)).high == 0


def two_exposures():
    """Two exposures, the second with outliers in its first ten columns of pixels."""
    planes = np.random.default_rng(3).normal(100, 5, (2, 20, 30))
    planes[1, :, :10] += 1e5
    return planes


#: A clip, a threshold just too high to reject one of two samples, and one just low enough.
OF_TWO = {
    "mad_std": (lambda high: SigmaClip(None, high, spread="mad_std"), 0.675, 0.674),
    "std": (lambda high: SigmaClip(None, high), 1.001, 0.999),
    "mad": (lambda high: MADClip(None, high), 1.001, 0.999),
    "winsorized": (lambda high: WinsorizedClip(None, high), 0.624, 0.623),
    "rank": (lambda high: PercentileRankClip(None, high), 1.001, 0.999),
}


@pytest.mark.parametrize(("clip", "above", "below"), OF_TWO.values(), ids=OF_TWO)
def test_clips_by_a_spread_of_two_samples_are_told_of(clip, above, below):
    for threshold in (above, 3):
        with pytest.warns(GpustackWarning, match="among 2 frames, .* use noise:low=none .*=.min"):
            assert (stack(two_exposures(), clip(threshold)).count == 2).all()
    assert (stack(two_exposures(), clip(below)).count == 1).all(), "clean ones too"


@pytest.mark.parametrize("clip", [AvgSigmaClip, ESDClip, LinearFitClip, SigmaMedianClip])
def test_clips_that_need_three_samples_are_told_of(clip):
    given = clip() if clip is ESDClip else clip(0.1, 0.1)
    with pytest.warns(GpustackWarning, match="nothing of 2 frames, .* use noise:low=none .*=.min"):
        result = stack(two_exposures(), given)
    np.testing.assert_allclose(result.data, two_exposures().mean(axis=0))


def test_what_warnings_of_two_frames_recommend_helps():
    planes = two_exposures()
    np.testing.assert_array_equal(stack(planes, combine="min").data, planes.min(axis=0))
    result = stack(planes, "noise:low=none,rdnoise=5")
    np.testing.assert_array_equal(result.data[:, :10], planes[0, :, :10])
    np.testing.assert_array_equal(result.count[:, 10:], 2)


def test_clips_that_keep_all_are_told_of(cube):
    cube[0] += 1e9
    assert stack(cube, SigmaClip(2, 2, spread="mad_std", keep=8)).high.all()
    with pytest.warns(GpustackWarning, match="nothing of 9 frames, as keep=9 keeps them all"):
        assert not stack(cube, SigmaClip(2, 2, spread="mad_std", keep=9)).high.any()


def test_a_share_of_outliers_that_is_less_than_a_sample_is_told_of(cube):
    cube[0] += 1e9
    assert stack(cube[:4], ESDClip()).high.all()
    with pytest.warns(GpustackWarning, match="nothing of 3 frames; use a larger share"):
        assert not stack(cube[:3], ESDClip()).high.any()
    stack(cube[:3], ESDClip(outliers=0))  # as asked for


def test_a_standard_deviation_of_no_more_samples_than_ddof_is_told_of(cube):
    cube[0] += 1e9
    with pytest.warns(GpustackWarning, match="3 frames, .* only 0 standard deviations out"):
        assert not stack(cube[:3], SigmaClip(0.5, 0.5, ddof=3)).high.any()


def test_an_outlier_just_as_far_out_as_the_threshold_is_not_rejected(cube):
    with pytest.warns(GpustackWarning, match="5 frames, .* only 2 standard deviations"):
        stack(cube[:5], SigmaClip(2, 2, center="mean"))


@pytest.mark.parametrize("clip", [SigmaClip(2.5, 2.5), SigmaMedianClip(5**0.5, 5**0.5)])
def test_a_threshold_at_which_the_scatter_of_the_others_decides_does_not_warn(cube, clip):
    cube[4] = 1e6
    rejected = stack(cube[:5], clip).high  # no warning, which would be an error
    assert 0 < rejected.sum() < rejected.size


@pytest.mark.filterwarnings("ignore:frame .. left out")
def test_frames_that_are_left_out_lend_a_clip_no_power(cube):
    align = Offsets([(0, 0)] * 3 + [(500, 0)] * 6, "reference")
    with pytest.warns(GpustackWarning, match="a lone outlier among 3 frames"):
        stack(cube, SigmaClip(2.2, 2.2), align=align)
