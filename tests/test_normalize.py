"""Scale, zero and weights of frames, given or measured, and their effect on a stack."""

import math

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from hypothesis import given
from hypothesis import strategies as st

from gpustack import Keyword, Noise, Statistic, stack
from gpustack.errors import GpustackWarning, RecipeError
from gpustack.frames import open_frames
from gpustack.normalize.survey import survey

pytestmark = pytest.mark.filterwarnings("ignore:frames differ in EXPTIME")

SHAPE = (12, 10)
#: Relative tolerance of float64 numbers after a few operations on exact numbers.
EXACT = 1e-12
#: Absolute tolerance where scaled numbers of a few hundred cancel.
CANCELLED = 1e-9
#: Six standard errors of a noise measured on 40 x 36 triples; a MAD has an efficiency of 37%.
NOISY = 6 / math.sqrt(2 * 40 * 36 * 0.37)


def sky(n=4, seed=3, shape=SHAPE):
    """Frames of noise about 100, as float64."""
    return np.random.default_rng(seed).normal(100, 5, (n, *shape))


def ccd(plane, **header):
    return CCDData(np.asarray(plane, float), unit="adu", header=fits.Header(header))


@given(
    kind=st.sampled_from(["median", "mean", "mode", "mad"]),
    powers=st.lists(st.integers(-2, 2), min_size=3, max_size=3),
)
def test_a_frame_that_is_scaled_is_scaled_back(kind, powers):
    plane = sky(1)[0]
    factors = 2.0 ** np.array(powers)
    result = stack([plane * factor for factor in factors], scale=kind, combine="max")
    np.testing.assert_allclose(result.data, plane * factors[0], rtol=EXACT)


@given(
    kind=st.sampled_from(["median", "mean", "mode"]),
    shifts=st.lists(st.integers(-50, 50), min_size=3, max_size=3),
)
def test_a_frame_that_is_shifted_is_shifted_back(kind, shifts):
    plane = sky(1)[0].round()
    result = stack([plane + shift for shift in shifts], zero=kind, combine="max")
    np.testing.assert_allclose(result.data, plane + shifts[0], rtol=EXACT)


@given(
    kind=st.sampled_from(["median", "mean", "mode"]),
    factors=st.lists(st.sampled_from([0.25, 0.5, 1.0, 2.0]), min_size=3, max_size=3),
    shifts=st.lists(st.integers(-500, 500), min_size=3, max_size=3),
)
def test_spread_and_level_together_are_brought_back(kind, factors, shifts):
    plane = sky(1)[0].round()
    planes = [plane * factor + shift for factor, shift in zip(factors, shifts, strict=True)]
    result = stack(planes, scale="mad", zero=kind, combine="max")
    np.testing.assert_allclose(result.data, planes[0], rtol=CANCELLED)


@pytest.mark.parametrize("reference", [0, 2, 3, "mean"])
def test_the_reference_only_multiplies_or_shifts_the_result(reference):
    planes = sky() * np.array([1, 2, 3, 4]).reshape(-1, 1, 1)
    first, other = (stack(planes, scale=Statistic("median", None, r)) for r in (None, reference))
    ratio = other.data / first.data
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=EXACT)
    medians = np.median(planes, axis=(1, 2))
    level = medians.mean() if reference == "mean" else medians[reference]
    np.testing.assert_allclose(other.frames["scale"], level / medians, rtol=EXACT)
    first, other = (stack(planes, zero=Statistic("median", None, r)) for r in (None, reference))
    np.testing.assert_allclose(other.data - first.data, level - medians[0], atol=CANCELLED)
    np.testing.assert_allclose(other.frames["zero"], medians - level, atol=CANCELLED)


def test_a_zero_is_measured_after_the_scale_that_is_given():
    frames = [ccd(plane, EXPTIME=t) for plane, t in zip(sky(3), (10.0, 20, 5), strict=True)]
    result = stack(frames, scale="exposure", zero="median")
    np.testing.assert_allclose(result.frames["scale"], [1, 0.5, 2])
    zero, scale = (np.array(result.frames[name]).reshape(-1, 1, 1) for name in ("zero", "scale"))
    levels = np.median((sky(3) - zero) * scale, axis=(1, 2))
    np.testing.assert_allclose(levels, np.median(frames[0].data), rtol=EXACT)


def test_a_scale_is_measured_after_the_zero_that_is_read(tmp_path):
    frames = [
        ccd(plane * k + bias, BIAS=bias)
        for plane, k, bias in zip(sky(3), (1, 2, 4), (50, 70, 90), strict=True)
    ]
    result = stack(frames, scale="median", zero="!bias")
    medians = np.median(sky(3), axis=(1, 2)) * (1, 2, 4)
    np.testing.assert_allclose(result.frames["scale"], medians[0] / medians, rtol=EXACT)
    assert list(result.frames["zero"]) == [50, 70, 90]


def test_frames_without_valid_samples_are_no_reference():
    planes = sky(3)
    planes[0] = np.nan
    with pytest.warns(GpustackWarning, match="frame 0: no valid sample"):
        result = stack(planes, scale="mad", zero="median", weights="noise")
    without = stack(planes[1:], scale="mad", zero="median", weights="noise")
    np.testing.assert_array_equal(result.data, without.data)
    assert list(result.frames["scale"])[:2] == [1, 1]
    assert result.frames["weight"][0] == 0
    called = []
    with pytest.warns(GpustackWarning, match="frame 0: no valid sample"):
        stack(planes, scale=lambda image: called.append(image) or 2.0)
    assert len(called) == 2


@pytest.mark.filterwarnings("ignore::gpustack.errors.GpustackWarning")
@pytest.mark.parametrize("weights", ["noise", "median"])
def test_frames_none_of_which_has_a_valid_sample_weigh_the_same(weights):
    result = stack(np.full((3, 4, 5), np.nan), weights=weights)
    assert result.mask.all()
    assert list(result.frames["weight"]) == [1, 1, 1]


def test_frames_without_valid_samples_have_no_part_in_the_exposure():
    frames = [CCDData(plane, unit="adu", meta={"EXPTIME": 10.0}) for plane in sky(3)]
    frames[0].data[:] = np.nan
    frames[0].meta["EXPTIME"] = 60.0
    for weights in ("noise", Statistic("median")):
        with pytest.warns(GpustackWarning, match="frame 0: no valid sample"):
            assert stack(frames, weights=weights).header["EXPTIME"] == 10


# Weights.


def test_weights_by_noise_are_inverse_variances_of_the_scaled_frames():
    sigmas = np.array([2.0, 4, 8])
    rng = np.random.default_rng(8)
    planes = 100 + sigmas.reshape(-1, 1, 1) * rng.normal(size=(3, 40, 40))
    plain = stack(planes, weights="noise").frames["weight"]
    np.testing.assert_allclose(plain * sigmas**2, 1, rtol=2 * NOISY)
    scaled = stack(planes, weights="noise", scale=[1, 3, 0.5]).frames["weight"]
    np.testing.assert_allclose(scaled, plain / np.array([1, 3, 0.5]) ** 2, rtol=EXACT)


def test_masked_samples_do_not_count_as_noise_on_either_side():
    plane = sky(1, shape=(40, 40))[0]
    for side in (slice(0, 20), slice(20, 40)):
        spoilt = plane.copy()
        spoilt[:, side] = 1e6 * np.random.default_rng(1).normal(size=(40, 20))
        bad = np.zeros(plane.shape, bool)
        bad[:, side] = True
        (frame,) = open_frames([np.ma.array(spoilt, mask=bad)])
        half = np.delete(plane, side, axis=1)
        (alone,) = open_frames([half])
        kept = [survey([one], [Noise()], ())["noise", None] for one in (frame, alone)]
        assert kept[0] == kept[1]


def test_scaling_frames_does_not_change_what_noise_weighs():
    planes = sky(4)
    factors = np.array([1, 4, 0.5, 2]).reshape(-1, 1, 1)
    one = stack(planes, scale="median", weights="noise")
    other = stack(planes * factors, scale="median", weights="noise")
    np.testing.assert_allclose(other.frames["weight"], one.frames["weight"], rtol=EXACT)
    np.testing.assert_allclose(other.data, one.data, rtol=EXACT)


def test_weights_by_what_headers_files_and_samples_say(tmp_path):
    frames = [ccd(plane, EXPTIME=5.0 * i, NCOMBINE=i) for i, plane in enumerate(sky(3), 1)]
    del frames[1].header["NCOMBINE"]
    listed = tmp_path / "weights.txt"
    listed.write_text("# of the night\n3\n\n 0.5 # clouds\n2e0\n")
    for measure, expected in {
        "exposure": [5, 10, 15],
        "ncombine": [1, 1, 3],
        Keyword("EXPTIME"): [5, 10, 15],
        f"@{listed}": [3, 0.5, 2],
        "mean": [frame.data.mean() for frame in frames],
        "median": [np.median(frame.data) for frame in frames],
    }.items():
        np.testing.assert_allclose(stack(frames, weights=measure).frames["weight"], expected)
    by_function = stack(frames, weights=lambda frame: frame.mean())
    np.testing.assert_allclose(
        by_function.frames["weight"], [frame.data.mean() for frame in frames]
    )


# What the result says about the numbers.


def test_the_header_says_in_words_what_numbers_were_taken_from():
    frames = [ccd(plane, EXPTIME=3.0) for plane in sky(3)]
    result = stack(
        frames,
        scale=Statistic("mad", np.s_[2:9, 3:], 1),
        zero=Statistic("mode", reference="mean"),
        weights="noise",
    )
    lines = list(result.header["HISTORY"])
    for line in (
        "scale by mad over [4:*,3:9], relative to frame 1",
        "zero by mode, relative to the mean",
        "weights by noise",
    ):
        assert line in lines
    stated = stack(frames, scale="exposure", zero="!EXPTIME", weights=np.ma.count)
    said = list(stated.header["HISTORY"])
    assert "scale by exposure in EXPTIME, relative to frame 0" in said
    assert "zero by !EXPTIME" in said
    assert "weights by a function" in said


def test_a_recipe_with_measures_is_run_and_its_result_has_numbers():
    planes = sky(4)
    direct = stack(planes, scale="mad", zero="mean", weights="noise")
    again = stack(planes, direct.recipe)
    np.testing.assert_array_equal(again.data, direct.data)
    assert again.recipe == direct.recipe
    assert all(
        isinstance(getattr(again.recipe, name), tuple) for name in ("scale", "zero", "weights")
    )


@pytest.mark.parametrize("shape", [(3,), (3, 1, 1)])
def test_a_masked_weight_is_0(shape):
    frames = np.array([0.0, 24, 48]).reshape(3, 1, 1)
    weights = np.ma.MaskedArray([1.0, 1, 100], [0, 0, 1]).reshape(shape)
    assert stack(frames, weights=weights).data == 12
    assert stack(frames, weights=np.array([True, True, False]).reshape(shape)).data == 12


@pytest.mark.parametrize("kind", ["mean", "median", "mode", "mad"])
def test_a_statistic_does_not_depend_on_others(kind):
    (frame,) = open_frames([np.random.default_rng(1).normal(1000, 50, (60, 60))])
    alone = survey([frame], [Statistic(kind)], ())[kind, None]
    others = [Statistic(other) for other in ("mad", "median", "mode", "mean")]
    assert survey([frame], others, ())[kind, None] == alone


def test_weights_of_each_frame_in_a_list():
    frames = np.array([1.0, 3.0]).reshape(2, 1, 1)
    weights = [np.ma.MaskedArray([[5.0]], [[True]]), np.ma.MaskedArray([[1.0]], [[False]])]
    assert stack(frames, weights=weights).data == 3


def test_numbers_given_as_zero_change_no_spread_that_scales():
    planes = sky(3) * np.array([1, 2, 4]).reshape(-1, 1, 1)
    alone = stack(planes, scale="mad").frames["scale"]
    beside = stack(planes, scale="mad", zero=[0, 3, 50]).frames["scale"]
    np.testing.assert_array_equal(beside, alone)


def test_weights_by_a_statistic_are_those_of_the_frames_before_scaling():
    planes = sky(3)
    alone = stack(planes, weights="mean").frames["weight"]
    scaled = stack(planes, weights="mean", scale=[1, 2, 4]).frames["weight"]
    np.testing.assert_array_equal(scaled, alone)


def test_a_mode_may_be_the_highest_value_looked_at():
    values = np.concatenate([np.zeros(3), np.arange(6), np.full(11, 100.0)])
    (frame,) = open_frames([values.reshape(4, 5)])
    assert survey([frame], [Statistic("mode")], ())["mode", None] == [100]


@pytest.mark.parametrize("kind", ["median", "mean", "mode"])
def test_levels_near_0_that_scale_a_frame_beyond_all_others_are_told_of(kind):
    frames = [sky(1)[0], np.full(SHAPE, 1.5)]
    with pytest.warns(GpustackWarning, match=rf"scale by {kind}: 6\d\.\d+ for frame 1 and 1 for"):
        stack(frames[:2], scale=kind)
    frames[1] = np.full(SHAPE, 5.0)  # like a flat at the end of twilight
    stack(frames[:2], scale=kind)
    stack(frames[:2], zero=kind)
    stack([frames[0], 100 + (frames[0] - 100) / 40], scale="mad")  # spreads may differ that much


def test_a_reference_whose_level_is_0_is_named_once():
    frames = [np.zeros(SHAPE), np.ones(SHAPE)]
    with pytest.raises(RecipeError, match=r"of one sign, got 0 in frame 0$"):
        stack(frames, scale="median")
