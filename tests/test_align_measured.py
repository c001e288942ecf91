"""What frames are weighted and scaled by that are resampled: by what the camera saw."""

import numpy as np
import pytest
from astropy.nddata import CCDData

from gpustack import Noise, RecipeError, Reproject, Statistic, stack
from gpustack.align import bring_together
from gpustack.frames import open_frames
from skies import SCALE, noisy, tangent

#: A median of 12,000 differences, or distances, of noise.
NOISY = 0.05
#: Where frames lie: on the grid of the first, by half a pixel beside it, and turned.
PLACES = {"whole": {}, "half": {"crpix": (60.5, 50.5)}, "turned": {"degrees": 7.0}}


def night(places=PLACES, **more):
    """A frame of noise of sigma 10 at each place."""
    return [noisy(tangent(**place), seed=f, **more) for f, place in enumerate(places.values())]


@pytest.mark.parametrize("order", ["bilinear", "bicubic"])
@pytest.mark.parametrize("role", ["weights", "scale"])
def test_interpolation_changes_no_weight_and_no_scale(role, order):
    """A frame that lies on the grid keeps its noise, others are smoothed."""
    how = {"weights": "noise"} if role == "weights" else {"scale": "mad"}
    result = stack(night(), align=Reproject(order=order), **how)
    numbers = result.frames[role.removesuffix("s") if role == "weights" else role]
    expected = 1 / 100 if role == "weights" else 1
    np.testing.assert_allclose(numbers, expected, rtol=2 * NOISY)
    aligned = bring_together(open_frames(night()), Reproject(order=order)).frames
    assert [round(frame.whole().std()) < 10 for frame in aligned] == [False, True, True]


def test_a_fainter_frame_is_scaled_by_what_it_is_fainter():
    frames = night()
    for frame, transparency in zip(frames, (1, 0.5, 0.25), strict=True):
        frame.data[:] = 1000 + transparency * (frame.data - 100)
    found = stack(frames, align=Reproject(), scale="mad", zero="median").frames["scale"]
    np.testing.assert_allclose(found, [1, 2, 4], rtol=NOISY)


@pytest.mark.parametrize("flux", ["ratio", "local", "unscaled"])
def test_counts_of_smaller_pixels_are_those_of_larger_ones(flux):
    small = noisy(tangent(scale=SCALE / 2, crpix=(120, 100)), shape=(200, 240), seed=1)
    frames = [noisy(tangent(degrees=7)), small]
    align = Reproject(tangent(), shape=(100, 120), flux=flux)
    weights = stack(frames, align=align, weights="noise").frames["weight"]
    factor = 1 if flux == "unscaled" else 4
    np.testing.assert_allclose(weights, [1 / 100, 1 / (10 * factor) ** 2], rtol=3 * NOISY)


def test_a_region_is_one_of_the_grid():
    """The turned frame is noisy on one side, which is that side of the grid too."""
    frames = night()
    for frame in frames:
        frame.data[:, 60:] = 100 + 3 * (frame.data[:, 60:] - 100)
    for region, sigma in (("[10:45,20:80]", 10), ("[75:110,20:80]", 30)):
        result = stack(frames, align=Reproject(), weights=Noise(region))
        np.testing.assert_allclose(result.frames["weight"] * sigma**2, 1, rtol=4 * NOISY)


def test_a_region_beside_a_frame_is_an_error_that_names_it():
    frames = [noisy(tangent()), noisy(tangent(crpix=(110.5, 50.5)), seed=1)]
    with pytest.raises(RecipeError, match=r"got none in frame 1, which has some elsewhere"):
        stack(frames, align=Reproject(), scale=Statistic("mad", "[90:120,1:100]"))


def test_masks_and_ranges_leave_samples_out():
    frames = night(masked=0.1)
    for frame in frames:
        frame.data[frame.mask] = 1e6
        frame.data[:20] = 5000
    result = stack(frames, "range:high=1000", align=Reproject(), weights="noise")
    np.testing.assert_allclose(result.frames["weight"], 1 / 100, rtol=3 * NOISY)


def test_what_lies_beneath_is_a_part_of_the_frame_and_no_more():
    frame = CCDData(np.arange(12000.0).reshape(100, 120), unit="adu", wcs=tangent(degrees=90))
    align = Reproject(tangent(), shape=(100, 120))
    (opened,) = bring_together(open_frames([frame]), align).frames
    values, invalid = opened.read_beneath((slice(40, 50), slice(50, 80)))
    assert 30 <= values.shape[0] <= 32
    assert 10 <= values.shape[1] <= 12
    assert not invalid.any()
    assert set(values.ravel()) <= set(frame.data.ravel())
