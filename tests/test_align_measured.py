"""Weights and scales of resampled frames, which are measured on the frame before resampling."""

import numpy as np
import pytest
from astropy.nddata import CCDData

from gpustack import Noise, RecipeError, Reproject, Statistic, stack
from gpustack.align import align_frames
from gpustack.frames import open_frames
from skies import SCALE, distorted, noisy, tangent

#: Relative tolerance of a noise measured as a median of 12,000 differences or distances.
NOISY = 0.05
#: The places of frames: on the grid of the first, half a pixel off it, and rotated.
PLACES = {"whole": {}, "half": {"crpix": (60.5, 50.5)}, "turned": {"degrees": 7.0}}


def night(places=PLACES, **more):
    """A frame of noise of sigma 10 at each place."""
    return [noisy(tangent(**place), seed=f, **more) for f, place in enumerate(places.values())]


@pytest.mark.parametrize("order", ["bilinear", "bicubic"])
@pytest.mark.parametrize("role", ["weights", "scale"])
def test_interpolation_changes_no_weight_and_no_scale(role, order):
    """A frame on the grid keeps its noise, while interpolation smooths the others."""
    how = {"weights": "noise"} if role == "weights" else {"scale": "mad"}
    result = stack(night(), align=Reproject(order=order), **how)
    numbers = result.frames[role.removesuffix("s") if role == "weights" else role]
    expected = 1 / 100 if role == "weights" else 1
    np.testing.assert_allclose(numbers, expected, rtol=2 * NOISY)
    aligned = align_frames(open_frames(night()), Reproject(order=order)).frames
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
    """Frames are noisier on one side; the region selects that side of the grid."""
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


def test_masks_leave_samples_out():
    """Half of the rows are masked, and much noisier."""
    frames = night()
    for frame in frames:
        frame.mask = np.zeros(frame.shape, bool)
        frame.mask[::2] = True
        frame.data[::2] += np.random.default_rng(5).normal(0, 50, frame.data[::2].shape)
    result = stack(frames, align=Reproject(order="nearest-neighbor"), weights="noise")
    np.testing.assert_allclose(result.frames["weight"], 1 / 100, rtol=4 * NOISY)


def test_ranges_leave_samples_out():
    frames = night()
    for frame in frames:
        frame.data[:60] = np.random.default_rng(5).normal(5000, 300, (60, 120))
    result = stack(frames, "range:high=1000", align=Reproject(), weights="noise")
    np.testing.assert_allclose(result.frames["weight"], 1 / 100, rtol=4 * NOISY)


@pytest.mark.parametrize("bent", [0, 30])
def test_a_region_is_one_of_a_distorted_frame_too(bent):
    """With ``bent=30``, places cannot be interpolated between nodes."""
    target = tangent()
    image = noisy(distorted(amount=bent), seed=1) if bent else noisy(tangent(degrees=3), seed=1)
    image.data[:, 60:] = 100 + 3 * (image.data[:, 60:] - 100)
    align = Reproject(target, shape=(100, 120))
    (opened,) = align_frames(open_frames([image]), align).frames
    assert opened.pixel_map.rough.any() == bool(bent)
    for region, sigma in (("[25:50,30:70]", 10), ("[70:95,30:70]", 30)):
        weights = stack([image, image], align=align, weights=Noise(region)).frames["weight"]
        np.testing.assert_allclose(weights * sigma**2, 1, rtol=6 * NOISY)


@pytest.mark.parametrize("method", ["adaptive", "exact"])
def test_no_other_way_to_resample_changes_a_weight(method):
    weights = stack(night(), align=Reproject(method=method), weights="noise").frames["weight"]
    np.testing.assert_allclose(weights, 1 / 100, rtol=2 * NOISY)


@pytest.mark.parametrize("place", [100, 100.5])
def test_between_small_pixels_there_is_less_noise(place):
    """Half way between small pixels, four of them make a sample of the grid; on them, one does."""
    small = noisy(tangent(scale=SCALE / 2, crpix=(place + 20, place)), shape=(200, 240), seed=1)
    align = Reproject(tangent(), shape=(100, 120), flux="unscaled")
    weights = stack([small, small], align=align, weights="noise").frames["weight"]
    (frame, _) = align_frames(open_frames([small, small]), align).frames
    np.testing.assert_allclose(weights * frame.whole().var(), 1, rtol=3 * NOISY)


def test_a_mad_is_that_of_the_nearest_samples_by_exact_areas_too():
    found = stack(night(), align=Reproject(method="exact"), scale="mad").frames["scale"]
    np.testing.assert_allclose(found, 1, rtol=2 * NOISY)


@pytest.mark.parametrize("method", ["adaptive", "exact"])
def test_frames_that_are_averaged_have_less_noise(method):
    """The sum of four small pixels of sigma 5 has the noise of a large pixel of sigma 10."""
    small = noisy(tangent(scale=SCALE / 2, crpix=(120, 100)), shape=(200, 240), seed=1)
    small.data[:] = 25 + (small.data - 100) / 2
    align = Reproject(tangent(), shape=(100, 120), method=method)
    weights = stack([noisy(tangent()), small], align=align, weights="noise").frames["weight"]
    np.testing.assert_allclose(weights, 1 / 100, rtol=3 * NOISY)


@pytest.mark.parametrize("scale", [0.5, 0.4, 0.3])
def test_the_noise_of_a_frame_is_the_same_on_smaller_pixels(scale):
    """Several of the smaller pixels have the same nearest sample."""
    target = tangent(scale=scale * SCALE, crpix=(150, 125))
    align = Reproject(target, shape=(250, 300), flux="unscaled")
    frame = noisy(tangent(degrees=7))
    weights = stack([frame, frame], align=align, weights="noise").frames["weight"]
    np.testing.assert_allclose(weights, 1 / 100, rtol=4 * NOISY)


def test_the_nearest_samples_are_those_of_the_frame():
    frame = CCDData(np.arange(12000.0).reshape(100, 120), unit="adu", wcs=tangent(degrees=30))
    align = Reproject(tangent(), shape=(100, 120), flux="unscaled")
    (opened,) = align_frames(open_frames([frame]), align).frames
    found = opened.nearest().whole()
    assert found.count() > 6000
    assert set(found.compressed()) <= set(frame.data.ravel())
    assert not set(opened.whole().compressed()) <= set(frame.data.ravel())
