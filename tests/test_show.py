"""The measurements for pictures and pages, on frames with known noise and outliers."""

import numpy as np
import pytest

from gpustack import ExtremaClip, RangeClip, Recipe, SigmaClip, stack
from gpustack.result.outlier_frames import FLOORS, RULE, out_of_line, outlying_names
from gpustack.show.frames import frame_table
from gpustack.show.noise import frame_noise, measure_noise_curve
from gpustack.show.residuals import EDGES, residuals
from gpustack.show.stacked import Stacked, of_frames, plain

SHAPE, SIGMA = (300, 400), 5.0

#: Relative tolerance of a noise measured on about 10,000 pixels: ten standard errors.
CLOSE = 0.1


def frames(n=8, shape=SHAPE, level=1000.0, seed=1, hits=0.01):
    """Frames of noise of `SIGMA` on a slope, with a fraction `hits` of outliers."""
    rng = np.random.default_rng(seed)
    data = rng.normal(level, SIGMA, (n, *shape)) + np.arange(shape[1]) * 0.5
    data[rng.random(data.shape) < hits] += 300
    return data.astype("f4")


def mosaic(n=4):
    """Frames of pure noise, each valid in part of the columns; on average 1.4 frames per pixel."""
    data = frames(n, hits=0)
    for f, frame in enumerate(data):
        first = int(f * 0.9 * SHAPE[1] / n)
        frame[:, :first] = frame[:, first + 36 * SHAPE[1] // 100 :] = np.nan
    return data


def perforated(n=6):
    """Frames of pure noise in which a random 30% of the samples is missing."""
    data = frames(n, hits=0)
    data[np.random.default_rng(5).random(data.shape) < 0.3] = np.nan
    return data


#: Frames of pure noise, not all valid at every pixel, in which a page must not find faults.
PARTLY = {"mosaic": mosaic(), "perforated": perforated()}

CLIP = SigmaClip(4, 4, spread="mad_std")


def looked(data, *arguments, **words):
    result = stack(data, *arguments, look=True, **words)
    return result, result.look


def curve_of(look, recipe):
    return measure_noise_curve(look.strips, recipe, frame_noise(look.strips, recipe))


# Noise


def test_the_noise_falls_as_the_root_of_n():
    result, look = looked(frames(16), CLIP)
    sigmas = frame_noise(look.strips, result.recipe)
    np.testing.assert_allclose(sigmas, SIGMA, rtol=CLOSE)
    found = measure_noise_curve(look.strips, result.recipe, sigmas)
    assert found.counts == [1, 2, 4, 8, 16]
    np.testing.assert_allclose(found.expected, sigmas.mean() / np.sqrt(found.counts), rtol=0.02)
    assert found.ratio == pytest.approx(1, abs=CLOSE)


def test_noise_that_frames_share_does_not_fall():
    rng = np.random.default_rng(3)
    data = frames(16, hits=0) + rng.normal(0, SIGMA, SHAPE).astype("f4")
    result, look = looked(data, CLIP)
    found = curve_of(look, result.recipe)
    assert found.ratio > 2.5


def test_a_median_reaches_less():
    result, look = looked(frames(16, hits=0), combine="median")
    found = curve_of(look, result.recipe)
    assert found.ratio == pytest.approx(1.25, abs=CLOSE)


@pytest.mark.parametrize("data", PARTLY.values(), ids=PARTLY)
def test_of_each_pixel_the_noise_of_the_frames_that_it_has_is_expected(data):
    result, look = looked(data)
    found = curve_of(look, result.recipe)
    assert found.ratio == pytest.approx(1, abs=CLOSE / 2)
    there = np.isfinite(data).sum(axis=0)
    expected = SIGMA / np.sqrt(np.median(there[there > 0]))
    assert found.expected[-1] == pytest.approx(expected, rel=CLOSE / 2)


def test_weights_count_where_their_frames_are_valid():
    data = mosaic()
    data[1] = (data[1] - 1100) * 3 + 1100
    weights = np.random.default_rng(6).uniform(0.5, 2, data.shape)
    for given in ([1, 1 / 9, 1, 1], weights):
        result, look = looked(data, weights=given)
        found = curve_of(look, result.recipe)
        assert found.ratio == pytest.approx(1, abs=CLOSE)


def test_a_sum_is_told_as_a_mean():
    result, look = looked(frames(4, hits=0), combine="sum")
    found = curve_of(look, result.recipe)
    assert found.noise[-1] == pytest.approx(SIGMA / 2, rel=CLOSE)


def test_weights_and_scales_enter():
    data = frames(4, hits=0)
    data[3] = (data[3] - data[3].mean()) * 6 + data[3].mean()
    result, look = looked(data, weights=[1, 1, 1, 1 / 36])
    found = curve_of(look, result.recipe)
    assert found.ratio == pytest.approx(1, abs=CLOSE)
    weights = np.broadcast_to(np.array([1, 1, 1, 1 / 36])[:, None, None], data.shape)
    result, look = looked(data, weights=weights)
    each = curve_of(look, result.recipe)
    np.testing.assert_allclose([each.noise, each.expected], [found.noise, found.expected], 1e-6)
    scaled, look = looked(frames(2, hits=0), scale=[1, 2])
    assert frame_noise(look.strips, scaled.recipe)[1] == pytest.approx(2 * SIGMA, rel=CLOSE)


NONE = {
    "max": (frames(4), {"combine": "max"}),
    "no noise": (np.ones((4, 9, 9), "f4"), {}),
    "narrow": (frames(4, (9, 3)), {}),
    "one frame": (frames(1), {}),
    "nothing valid": (np.full((3, 9, 9), np.nan, "f4"), {}),
}


@pytest.mark.filterwarnings("ignore::gpustack.errors.GpustackWarning")
@pytest.mark.parametrize(("data", "words"), NONE.values(), ids=NONE)
def test_where_there_is_no_such_law(data, words):
    result, look = looked(data, **words)
    assert curve_of(look, result.recipe) is None


def test_so_few_frames_that_a_clip_leaves_none_are_passed_by():
    result, look = looked(frames(8), ExtremaClip(1, 2))
    found = curve_of(look, result.recipe)
    assert found.counts == [4, 8]


@pytest.mark.filterwarnings("ignore:no pixel of the result has a value")
def test_what_all_frames_reach_has_to_be_a_number():
    data = frames(8, hits=0) * np.float32(5e34)
    result, look = looked(data, combine="sum")
    assert not np.isfinite(result.data).any()
    assert curve_of(look, result.recipe) is None
    few, look = looked(data[:4], combine="sum")
    found = curve_of(look, few.recipe)
    assert found.counts == [1, 2, 4]


# Residuals


def test_normal_noise_has_normal_residuals():
    result, look = looked(frames(20, hits=0))
    found = residuals(look.strips, result.recipe)
    total = 20 * look.strips.values[0].size
    assert found.kept.sum() == total
    assert not found.rejected.any()
    inner = found.normal > 1000
    np.testing.assert_allclose(found.kept[inner], found.normal[inner], rtol=CLOSE)
    assert found.beyond(3.0)[0] == pytest.approx(0.0027, rel=0.2)


def test_photon_noise_and_noisier_frames_are_allowed_for():
    rng = np.random.default_rng(2)
    level = np.linspace(100, 20000, SHAPE[1])
    data = rng.normal(level, np.sqrt(level), (12, *SHAPE))
    data[5] += rng.normal(0, 300, SHAPE)
    result, look = looked(data.astype("f4"))
    assert residuals(look.strips, result.recipe).beyond(3.5)[0] < 0.002


def test_hits_are_rejected_far_out():
    result, look = looked(frames(12, hits=0.01), CLIP)
    found = residuals(look.strips, result.recipe)
    assert found.rejected[-1] == pytest.approx(0.01 * found.kept.sum(), rel=0.15)
    assert found.kept[-1] == 0
    assert len(EDGES) == len(found.kept) + 1


@pytest.mark.parametrize("data", PARTLY.values(), ids=PARTLY)
def test_pixels_of_few_frames_have_residuals_as_wide_as_those_of_many(data):
    result, look = looked(data)
    found = residuals(look.strips, result.recipe)
    count = (~look.strips.invalid).sum(axis=0)
    assert found.kept.sum() == count[count > 1].sum()
    assert found.beyond(3.0)[0] == pytest.approx(0.0027, rel=0.2)


def test_rejected_samples_lie_further_from_a_mean_of_few_than_from_that_of_many():
    data = np.random.default_rng(4).normal(1000, SIGMA, (3, *SHAPE))
    hits = np.random.default_rng(5).random(data.shape) < 0.01
    data[hits] += 9 * SIGMA
    result, look = looked(data, RangeClip(high=1000 + 6 * SIGMA - 2))
    found = residuals(look.strips, result.recipe)
    # The mean of two survivors has half the variance of each.
    middle = np.average((EDGES[:-1] + EDGES[1:]) / 2, weights=found.rejected)
    assert middle == pytest.approx(9 / np.sqrt(1 + 1 / 2), rel=0.03)


def test_where_no_pixel_has_two_survivors_there_are_no_residuals():
    data = frames(2, hits=0)
    data[0, :, :200] = data[1, :, 200:] = np.nan
    result, look = looked(data)
    assert residuals(look.strips, result.recipe) is None


def test_samples_without_noise_have_no_residuals():
    result, look = looked(np.ones((3, 9, 9), "f4"))
    assert residuals(look.strips, result.recipe) is None


# Frames


def numbers(n=9, **columns):
    ones = np.ones(n)
    given = {"scale": ones, "zero": 0 * ones, "weight": ones, "noise": 5 * ones}
    given |= {"valid": ones, "low": 0.01 * ones, "high": 0.01 * ones}
    return given | {name: np.array(value, float) for name, value in columns.items()}


def with_one(value, others=1.0, n=9):
    return np.array([others] * (n - 1) + [value])


STRAY = {
    "scale": (with_one(1.06), True),
    "scale within its floor": (with_one(1.04), False),
    "zero": (with_one(6.0, 0.0), True),
    "zero within the noise": (with_one(4.0, 0.0), False),
    "weight": (with_one(0.7), True),
    "noise": (with_one(6.0, 5.0), True),
    "valid": (with_one(0.9), True),
    "low": (with_one(0.016, 0.01), True),
    "high within its floor": (with_one(0.014, 0.01), False),
    "high": (with_one(np.nan, 0.01), False),
}


@pytest.mark.parametrize(("name", "case"), STRAY.items(), ids=STRAY)
def test_which_numbers_are_out_of_line(name, case):
    column, expected = name.split()[0], case[1]
    flags = out_of_line(numbers(**{column: case[0]}))
    assert flags[column].tolist() == [False] * 8 + [expected]
    assert list(outlying_names(flags, 8)) == [column] * expected
    assert not any(flags[other].any() for other in FLOORS if other != column)


def test_a_frame_within_the_scatter_of_the_others_is_in_line():
    spread = np.linspace(0.5, 1.5, 9)
    assert not out_of_line(numbers(scale=spread))["scale"].any()


def test_of_few_frames_none_is_out_of_line():
    assert not out_of_line(numbers(4, scale=[1, 1, 1, 9]))["scale"].any()
    unknown = [np.nan] * 5
    assert not out_of_line(numbers(9, scale=[1, 1, 1, 9, *unknown]))["scale"].any()
    assert out_of_line(numbers(9, scale=[1, 1, 1, 1, 9, *unknown[1:]]))["scale"].sum() == 1


def test_the_rule_says_the_numbers_of_the_floors():
    for share in (FLOORS["scale"].share, FLOORS["weight"].share, FLOORS["noise"].share):
        assert f"{100 * share:g} %" in RULE
    assert f"{100 * FLOORS['low'].fixed:g} % (rejected)" in RULE
    assert f"{100 * FLOORS['valid'].fixed:g} % of the pixels (valid)" in RULE


def test_the_frame_with_a_trail_is_found():
    data = frames(9, hits=0.001)
    data[4, 100:120] += 200
    result, look = looked(data, CLIP)
    sigmas = frame_noise(look.strips, result.recipe)
    table = frame_table(result.per_frame, look.overview, result.recipe, sigmas)
    assert np.flatnonzero(out_of_line(table)["high"]).tolist() == [4]
    assert table["high"][4] == pytest.approx(20 / 300, rel=0.25), "and some good samples"
    np.testing.assert_allclose(table["low"] + table["high"], table["rejected"], atol=0.002)


def test_samples_of_pixels_without_a_survivor_have_a_side_too():
    data = frames(6, (40, 50), hits=0)
    data[:, :, 3] = 0
    data[:, :, 7] = 9000
    data[:2, :, 8], data[2:, :, 8] = 0, 9000
    result, look = looked(data, RangeClip(500, 5000))
    sigmas = frame_noise(look.strips, result.recipe)
    table = frame_table(result.per_frame, look.overview, result.recipe, sigmas)
    np.testing.assert_allclose(table["low"], np.array([2, 2, 1, 1, 1, 1]) / 50)
    np.testing.assert_allclose(table["high"], np.array([1, 1, 2, 2, 2, 2]) / 50)


def test_more_frames_do_not_look_at_all_samples_more_often(monkeypatch):
    looks = []
    monkeypatch.setattr(Stacked, "rejected", counting(Stacked.rejected, looks))
    counts = []
    for n in (6, 12):
        looks.clear()
        result, look = looked(frames(n, (20, 30)), CLIP)
        sigmas = frame_noise(look.strips, result.recipe)
        frame_table(result.per_frame, look.overview, result.recipe, sigmas)
        residuals(look.overview, result.recipe)
        counts.append(len(looks))
    assert 0 < counts[0] == counts[1]


def counting(of, looks):
    """A property that notes each use of another."""
    return property(lambda made: looks.append(made) or of.fget(made))


# Recipes


def test_plain_rejects_nothing():
    recipe = Recipe(clips=(CLIP,), combine="median", scale=(1.0, 2.0), uncertainty="mad_std")
    assert plain(recipe) == Recipe(combine="mean", scale=(1.0, 2.0))
    assert plain(Recipe(combine="max")).method == "max"


def test_the_numbers_of_some_frames():
    recipe = Recipe(scale=(1.0, 2.0, 3.0), weights=(4.0, 5.0, 6.0))
    assert of_frames(recipe, [2, 0]) == Recipe(scale=(3.0, 1.0), weights=(6.0, 4.0))
