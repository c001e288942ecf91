"""The few samples that a run keeps for the report page, without any effect on its result."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty

from gpustack import AvgSigmaClip, ExtremaClip, Grow, InputError, SigmaClip, VarianceClip, stack
from gpustack.kept_samples import (
    LEAST_WIDTH,
    MIDDLE,
    OVERVIEW,
    STRIP_WIDTH,
    STRIPS,
    _middle,
    _overview,
    _strips,
)
from gpustack.maps import execute
from gpustack.show.stacked import stacked

RNG = np.random.default_rng(7)


def sky(n, shape):
    data = RNG.normal(100, 5, (n, *shape)).astype("f4")
    data[RNG.random(data.shape) < 0.02] += 200
    data[RNG.random(data.shape) < 0.01] = np.nan
    return data


def at(kept, data):
    """The samples of a cube at the rows and columns that were kept."""
    return data[:, np.array(kept.cut.rows)][:, :, np.array(kept.cut.columns)]


SHAPES = [(900, 41), (30, 1700), (401, 801), (7, 5), (1, 900), (3, 1)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_samples_of_the_cuts_are_kept(shape):
    data = sky(4, shape)
    look = stack(data, SigmaClip(1.2, 1.2), look=True, memory="16MB").look
    for kept in look.parts:
        there = np.isfinite(at(kept, data))
        assert there.size
        np.testing.assert_array_equal(kept.invalid, ~there)
        np.testing.assert_array_equal(kept.values[there], at(kept, data)[there])
    assert max(look.overview.values.shape[1:]) <= OVERVIEW
    assert max(look.middle.values.shape[1:]) <= MIDDLE


CASES = {
    "plain": ({}, SigmaClip(2, 2)),
    "median": ({"combine": "median"}, [ExtremaClip(), SigmaClip(spread="mad_std")]),
    "scaled": ({"scale": [1, 2, 0.5, 1], "zero": [0, 3, 1, 2]}, SigmaClip(1.4, 1.4)),
    "weights": ({"weights": RNG.random((4, 500, 420))}, SigmaClip(1.4, 1.4)),
    "sum": ({"combine": "sum"}, SigmaClip(1.4, 1.4)),
}


@pytest.mark.parametrize(("words", "clips"), CASES.values(), ids=CASES)
def test_what_is_stacked_again_are_the_bits_of_the_stack(words, clips):
    assert_same_bits(stack(sky(4, (500, 420)), clips, look=True, **words))


def test_clips_by_the_noise_of_rows_take_that_of_whole_rows():
    data = RNG.normal(100, 5, (9, 500, 420)).astype("f4")
    result = stack(data, AvgSigmaClip(1.4, 1.4), look=True)
    assert_same_bits(result)
    measured_again = stacked(result.look.overview, result.recipe).count
    assert (measured_again != at(result.look.overview, result.count[np.newaxis])[0]).any()


def assert_same_bits(result):
    assert result.low.any()
    for kept in result.look.parts:
        again = stacked(kept, result.look.recipe)
        ours = np.where(result.mask, np.nan, result.data)
        np.testing.assert_array_equal(again.data, at(kept, ours[np.newaxis])[0])
        for name in ("count", "low", "high"):
            expected = at(kept, getattr(result, name)[np.newaxis])[0]
            np.testing.assert_array_equal(getattr(again, name), expected)


def test_variances_and_masks_are_kept():
    data = sky(5, (450, 30))
    frames = [
        CCDData(d, mask=d > 280, unit="adu", uncertainty=StdDevUncertainty(np.full(d.shape, 5.0)))
        for d in data
    ]
    result = stack(frames, VarianceClip(), weights="variance", look=True)
    again = stacked(result.look.middle, result.recipe)
    np.testing.assert_array_equal(again.data, at(result.look.middle, result.data[np.newaxis])[0])


def test_rejections_grow_where_neighbours_were_kept():
    result = stack(sky(6, (500, 500)), [SigmaClip(2, 2), Grow(1)], look=True)
    inside = (slice(2, -2),) * 2
    again = stacked(result.look.middle, result.recipe).count[inside]
    ours = at(result.look.middle, result.count[np.newaxis])[0][inside]
    np.testing.assert_array_equal(again, ours)
    without = stacked(result.look.strips, result.recipe).count.mean()
    assert without > ours.mean() + 0.1


@pytest.mark.parametrize("suffix", ["fits", "fits.gz"])
def test_files_in_bands_on_threads(tmp_path, suffix):
    data = sky(3, (300, 200))
    for i, plane in enumerate(data):
        fits.writeto(tmp_path / f"{i}.{suffix}", plane, fits.Header({"BUNIT": "adu"}))
    result = stack(str(tmp_path / "*.fits*"), SigmaClip(1.2, 1.2), look=True, memory="900kB")
    there = np.isfinite(at(result.look.overview, data))
    kept = np.where(result.look.overview.invalid, np.nan, result.look.overview.values)
    np.testing.assert_array_equal(kept[there], at(result.look.overview, data)[there])
    assert result.look.watch.seconds["stream"] > 0
    assert result.look.watch.reads


def test_cupy_arrays(cuda):
    data = sky(3, (40, 30))
    look = stack(cuda.asarray(data), look=True).look
    np.testing.assert_array_equal(look.overview.values, at(look.overview, data))


def test_keeping_samples_does_not_change_the_result():
    data = sky(5, (60, 50))
    one, other = (stack(data, SigmaClip(1.4, 1.4), look=look) for look in (False, True))
    assert one.look is None
    np.testing.assert_array_equal(one.data, other.data)
    assert one.recipe == other.recipe


def test_kept_samples_count_within_the_limit_on_memory(monkeypatch):
    limits = []

    def noted(*words):
        limits.append(words[5])
        return execute(*words)

    monkeypatch.setattr("gpustack.maker.execute", noted)
    result = stack(sky(10, (500, 400)), SigmaClip(2, 2), look=True, memory="2MB")
    assert 0 < result.look.nbytes <= 2e6 / 8
    assert limits == [2_000_000 - result.look.nbytes]


def test_variances_count_within_the_limit_on_memory():
    frames = [
        CCDData(plane, unit="adu", uncertainty=StdDevUncertainty(np.full(plane.shape, 5.0)))
        for plane in sky(10, (250, 200))
    ]
    result = stack(frames, VarianceClip(), look=True, memory="1MB")
    assert result.look.middle.variance is not None
    assert 0 < result.look.nbytes <= 1e6 / 8


def test_frames_of_more_axes_show_the_first_plane():
    data = sky(3, (2, 30, 20))
    look = stack(data, look=True).look
    assert look.shape == (30, 20)
    np.testing.assert_array_equal(look.overview.values, data[:, 0])


@pytest.mark.parametrize("n", [1, 30, 1000, 100_000])
def test_however_many_frames_it_is_few_samples(n):
    most = (1 << 24) // n
    for height, width in ((4096, 6000), (1, 10**6), (10**5, 3), (1, 1)):
        shape = (height, width)
        for cut, share in ((_overview, 2), (_middle, 4), (_strips, 4)):
            made = cut(*shape, most // share)
            assert 0 <= made.rows[0] <= made.rows[-1] < height
            assert 0 <= made.columns[0] <= made.columns[-1] < width
            least = LEAST_WIDTH**2 if cut is _middle else LEAST_WIDTH
            assert len(made.rows) * len(made.columns) <= max(most // share, least)
        assert len(made.rows) <= STRIPS
        assert len(made.columns) <= STRIP_WIDTH


def test_the_middle_of_the_image_is_kept():
    strips = _strips(10 * STRIPS, 3 * STRIP_WIDTH, 1 << 24)
    assert strips.columns == range(STRIP_WIDTH, 2 * STRIP_WIDTH)
    assert strips.rows == range(5, 5 + 10 * STRIPS, 10)
    middle = _middle(MIDDLE + 340, MIDDLE + 240, 1 << 24)
    assert (middle.rows, middle.columns) == (range(170, 170 + MIDDLE), range(120, 120 + MIDDLE))


def test_a_result_without_it_cannot_be_shown(tmp_path):
    from gpustack import write_page

    pytest.importorskip("matplotlib")
    with pytest.raises(InputError, match=r"expected a result of stack\(look=True\), got one that"):
        write_page(stack(sky(3, (5, 5))), tmp_path / "a.html")


def test_kept_samples_are_those_of_the_backend(tmp_path):
    stored = RNG.integers(0, 30000, (1, 5, 6), "i2")
    header = fits.Header({"BSCALE": 0.1, "BZERO": 7.3, "BUNIT": "adu"})
    hdu = fits.PrimaryHDU(stored[0])
    hdu.header.update(header)
    hdu.writeto(tmp_path / "scaled.fits")
    other = CCDData(np.zeros((5, 6)), unit="adu")
    result = stack([tmp_path / "scaled.fits", other], combine="max", look=True)
    np.testing.assert_array_equal(result.look.middle.values[0], result.data)


@pytest.mark.filterwarnings("ignore:.*given 2 times")
def test_blank_samples_are_invalid(tmp_path):
    hdu = fits.PrimaryHDU(np.arange(30, dtype="i2").reshape(5, 6))
    hdu.header.update({"BLANK": 15, "BUNIT": "adu"})
    hdu.writeto(tmp_path / "blank.fits")
    look = stack([tmp_path / "blank.fits"] * 2, combine="max", look=True).look
    assert np.argwhere(look.middle.invalid).tolist() == [[0, 2, 3], [1, 2, 3]]
