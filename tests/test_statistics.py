"""Statistics of frames: by hand, by their definitions, and from which samples they are computed."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpustack import ExtremaClip, NoiseClip, RangeClip, Statistic, stack
from gpustack.backends.statistics import midpoint
from gpustack.frames import open_frames
from gpustack.normalize import statistics
from gpustack.normalize.survey import survey
from watched import Watched

SHAPE = (12, 10)
#: Relative tolerance of float64 numbers after a few operations on exact numbers.
EXACT = 1e-12
#: Six standard errors of a noise measured on 40 x 36 triples; a MAD has an efficiency of 37%.
NOISY = 6 / math.sqrt(2 * 40 * 36 * 0.37)


def sky(n=4, seed=3, shape=SHAPE):
    """Frames of noise about 100, as float64."""
    return np.random.default_rng(seed).normal(100, 5, (n, *shape))


def test_median_mean_and_spread_by_hand():
    values = np.array([7.0, 1, 2, 100])
    assert statistics.median(values.copy()) == 4.5
    assert statistics.mean(values) == 27.5
    assert statistics.mad(values.copy()) == 3  # the median of 2.5, 3.5, 2.5, 95.5
    assert statistics.median(np.array([3.0])) == 3
    assert statistics.mad(np.array([3.0])) == 0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([5.0] * 20, 5),
        ([1.0, 2, 9], 2),  # too few samples: the median
        # Central 70% of 20: ranks 3 to 16, range 3 to 17, bins of 1.4: [8, 9.4) has the most.
        ([0, 1, 2, 3, 5, 7, 8, 8.2, 8.4, 8.6, 8.8, 10, 12, 13, 14, 15, 16, 17, 30, 40], 8.4),
        # More than half of the samples are one value, the end of the range.
        ([*range(9), *[100] * 11], 100),
    ],
)
def test_mode_by_hand(values, expected):
    assert statistics.mode(np.array(values, float)) == expected


#: Samples whose differences and sums no float holds.
LARGE = 1.7e308 * np.array([-1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, 0.0])


def test_statistics_of_samples_near_the_largest_float():
    assert statistics.median(LARGE.copy()) == 1.7e308
    assert statistics.mode(LARGE.copy()) == 1.7e308
    assert statistics.mad(LARGE.copy()) == 0
    assert statistics.mad(LARGE[[0, 1, 9, 11]].copy()) == 0.85e308
    # Refused later: as a scale or zero a number has to be finite.
    assert not math.isfinite(statistics.mean(LARGE))
    assert not math.isfinite(statistics.mean(LARGE[[1, 2, 0, 9]]))


def mode_in_words(values):
    """The mode by its definition, without sorting or searching bins."""
    ordered = sorted(values)
    n = len(ordered)
    central = ordered[int(n * 0.3 / 2) : int(n * 1.7 / 2)]
    low, span = central[0], ordered[int(n * 1.7 / 2)] - central[0]
    best = []
    for step in range(92):
        start = low + span * 0.01 * step
        inside = [value for value in central if start <= value < start + span * 0.1]
        if len(inside) > len(best):
            best, before = inside, sum(value < start for value in central)
    return central[(2 * before + len(best)) // 2] if best else low


@given(st.lists(st.integers(-40, 40), min_size=10, max_size=60))
def test_mode_is_what_its_definition_says(values):
    assert statistics.mode(np.array(values, float)) == mode_in_words(values)


def test_mode_finds_the_peak_below_a_tail_of_stars():
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(1000, 10, 20000), 1000 + rng.exponential(200, 8000)])
    assert abs(statistics.mode(values.copy()) - 1000) < 5
    assert statistics.median(values) > 1004


def test_noise_is_that_of_the_noise_alone():
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:40, :40]
    plane = 500 + 30 * x + 7 * y + rng.normal(0, 4, (40, 40))
    plane[::9, ::9] += 3000
    invalid = np.zeros(plane.shape, bool)
    invalid[3:6] = True
    plane[3:6] = np.nan
    found = statistics.noise(plane, invalid)
    assert abs(found / 4 - 1) < 0.2 + NOISY, "stars in 6% of the triples raise it by some 15%"
    clean = rng.normal(0, 4, (40, 40))
    assert abs(statistics.noise(clean, ~np.isfinite(clean)) / 4 - 1) < NOISY


def test_noise_by_hand():
    row = np.array([[0.0, 9, 3, 9, 1, 9]])
    invalid = np.zeros(row.shape, bool)
    # 2 * 3 - 0 - 1 and 2 * 9 - 9 - 9.
    unit = 1 / NormalDist().inv_cdf(0.75) / math.sqrt(6)
    assert statistics.noise(row, invalid) == pytest.approx(unit * 2.5, rel=EXACT)
    for column in (1, 3, 5):
        invalid[0] = np.arange(6) == column
        assert statistics.noise(row, invalid) == pytest.approx(unit * 5, rel=EXACT)
    assert math.isnan(statistics.noise(row[:, :4], invalid[:, :4]))


# Which samples are used.


@pytest.mark.parametrize("kind", ["median", "mean", "mode", "mad"])
@given(data=st.data())
def test_what_is_masked_or_outside_does_not_matter(kind, data):
    plane = sky(1)[0]
    mask = np.zeros(SHAPE, bool)
    mask[3, 2:5], mask[7] = True, True
    wild = st.sampled_from([np.nan, np.inf, -np.inf, 1e30, -1e30, 0.0])
    hidden, beside = plane.copy(), plane.copy()
    hidden[mask] = data.draw(wild)
    region = np.s_[2:9, 1:8]
    outside = np.ones(SHAPE, bool)
    outside[region] = False
    beside[outside] = data.draw(wild)
    measure = Statistic(kind)
    expected = measured(np.ma.array(plane, mask=mask), measure)
    assert measured(np.ma.array(hidden, mask=mask), measure) == expected
    measure = Statistic(kind, region)
    assert measured(beside, measure) == measured(plane, measure)
    assert measured(plane, measure) == measured(plane[region], Statistic(kind))


def measured(plane, measure, ranges=()):
    (values,) = survey(open_frames([plane]), [measure], ranges).values()
    return values[0]


def test_what_a_leading_range_clip_rejects_is_left_out():
    planes = sky(2).astype("f4")
    planes[1] *= 2
    planes[:, :6] = [[[0.1]], [[5000]]]
    clips = [RangeClip(low=0.2), RangeClip(high=4000), ExtremaClip(0, 1)]
    result = stack(planes, clips, scale="median")
    clean = stack(planes[:, 6:], scale="median")
    np.testing.assert_array_equal(result.frames["scale"], clean.frames["scale"])


@pytest.mark.parametrize(
    ("value", "clip", "is_in"),
    [
        (0.1, RangeClip(high=0.1), False),
        (0.1, RangeClip(low=0.1), True),
        (0.7, RangeClip(high=0.7), True),
        (0.7, RangeClip(low=0.7), False),
        (0.5, RangeClip(0.5, 0.5), True),
    ],
)
def test_bounds_are_float64_as_those_of_the_clip(value, clip, is_in):
    """The float32 nearest to 0.1 is above 0.1, and that nearest to 0.7 is below 0.7."""
    plane = np.full(SHAPE, value, "f4")
    assert (measured(plane, Statistic("mean"), [clip]) is not None) is is_in


@pytest.mark.parametrize(
    ("shape", "region"),
    [((9, 5), np.s_[2:6, 1:4]), ((3, 4, 5), np.s_[1:3, 2:3, 0:4]), ((30,), np.s_[4:9])],
)
def test_only_rows_of_the_region_are_read_and_each_once(shape, region, monkeypatch):
    monkeypatch.setattr("gpustack.frames.sections.AT_ONCE", 2 * shape[-1])
    cube = sky(1, shape=shape)[0]
    frame = Watched(open_frames([cube])[0])
    found = survey([frame], [Statistic("mean", region), Statistic("median", region)], ())
    expected = np.arange(cube.size).reshape(shape)[region] // shape[-1]
    assert frame.rows == sorted(set(expected.ravel().tolist()))
    np.testing.assert_allclose(found["mean", Statistic("mean", region).region], cube[region].mean())
    assert found["median", Statistic("mean", region).region] == [np.median(cube[region])]


def test_all_statistics_of_a_stack_take_one_look_at_each_frame(monkeypatch):
    frames = [Watched(frame) for frame in open_frames(list(sky()))]
    monkeypatch.setattr("gpustack.maker.LocalMaker.open", lambda *_, **__: frames)
    stack("any", scale="mad", zero="mode", weights="noise")
    assert all(frame.rows.count(0) == 2 for frame in frames), "one look, and the stack's"


def test_the_middle_of_two_near_the_end_of_floats():
    lower, upper = np.array([[1.53e308, 3.0, -np.inf], [1.7e308, 4.0, -np.inf]])
    with np.errstate(all="ignore"):
        found = midpoint(lower, upper)
    np.testing.assert_array_equal(found, [1.615e308, 3.5, -np.inf])


@pytest.mark.parametrize("more", [[], [0.1]])
def test_the_deviation_of_samples_near_the_end_of_floats(more):
    column = np.array([-1.1, 1.2, 0, -1, 1, *more])
    cube, center = 1e308 * column.reshape(-1, 1, 1), np.median(column)
    found = stack(cube, uncertainty="mad_std", combine="median", backend="cpu")
    expected = 1.482602218505602 * np.median(np.abs(column - center)) / np.sqrt(len(column))
    np.testing.assert_allclose(found.uncertainty[0, 0] / 1e308, expected, rtol=1e-12)


@pytest.mark.parametrize("noise", [{"rdnoise": 1e160}, {"rdnoise": 1.0, "gain": 1e-200}])
def test_a_noise_beyond_floats_rejects_nothing(noise):
    cube = np.random.default_rng(1).normal(100, 5, (6, 4, 5))
    assert (stack(cube, NoiseClip(**noise)).count == 6).all()
