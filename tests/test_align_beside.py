"""The variances, flags and header cards of resampled frames."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, VarianceUncertainty

from gpustack import Reproject, stack, wcs_project
from gpustack.align import align_frames
from gpustack.align.base import OUTSIDE, Grid
from gpustack.align.pixel_map import PixelMap
from gpustack.align.projected import ProjectedFrame
from gpustack.align.resample import Resampling, contributes
from gpustack.backends.base import Samples
from gpustack.frames import open_frames
from gpustack.frames.coordinates import Coordinates
from placing import Read
from skies import noisy, tangent


@pytest.mark.parametrize("order", ["biquadratic", "bicubic"])
def test_the_variance_of_a_masked_pixel_goes_nowhere(order):
    image = noisy(tangent(degrees=4))
    image.mask = np.zeros(image.shape, bool)
    image.mask[50, 60] = True
    image.uncertainty = VarianceUncertainty(np.where(image.mask, 1e10, 1.0))
    target = tangent()
    made = wcs_project(image, target, order=order)
    inside = ~made.mask
    np.testing.assert_allclose(made.uncertainty.array[inside], 1, rtol=1e-6)
    (frame,) = align_frames(
        open_frames([image]), Reproject(target, shape=image.shape, order=order)
    ).frames
    variance, valid = frame.read_variance(0, 100), np.isfinite(frame.read(0, 100).data)
    np.testing.assert_array_equal(valid, inside)
    np.testing.assert_allclose(variance[valid], 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "value", "unit"),
    [
        (StdDevUncertainty, 100.0, "mJy"),
        (VarianceUncertainty, 1e4, "mJy2"),
        (InverseVariance, 1e-4, "1 / mJy2"),
    ],
)
def test_an_uncertainty_in_another_unit_than_the_data_is_brought_to_theirs(kind, value, unit):
    wcs, target = tangent(degrees=4), tangent()
    data = noisy(wcs).data
    given = kind(np.full(data.shape, value), unit=unit)
    image = CCDData(data, unit="Jy", wcs=wcs, uncertainty=given)
    made, inside = wcs_project(image, target), np.s_[45:55, 55:65]
    spread = made.uncertainty.represent_as(StdDevUncertainty)
    assert spread.unit == "Jy"
    np.testing.assert_allclose(spread.array[inside], 0.1, rtol=1e-6)
    align = Reproject(target, shape=data.shape)
    result = stack([image] * 2, align=align, combine="sum", uncertainty="propagated")
    np.testing.assert_allclose(result.uncertainty[inside], 0.1 * 2**0.5, rtol=1e-6)


@pytest.mark.parametrize("order", ["bilinear", "bicubic"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_a_variance_that_is_not_known_spoils_none_but_those_near(order, value):
    image = noisy(tangent(degrees=4))
    variance = np.ones(image.shape)
    variance[50, 60] = value
    image.uncertainty = VarianceUncertainty(variance)
    align = Reproject(tangent(), shape=image.shape, order=order)
    (frame,) = align_frames(open_frames([image]), align).frames
    found, valid = frame.read_variance(0, 100), np.isfinite(frame.read(0, 100).data)
    lost = valid & np.isnan(found)
    assert 0 < lost.sum() < 40
    np.testing.assert_allclose(found[valid & ~lost], 1, rtol=1e-6)


def test_no_variance_is_below_0_beside_a_step():
    image = noisy(tangent(degrees=4))
    image.uncertainty = VarianceUncertainty(
        np.where(np.arange(120) < 60, 1.0, 1e4) + 0 * image.data
    )
    align = Reproject(tangent(), shape=image.shape, order="bicubic")
    (frame,) = align_frames(open_frames([image]), align).frames
    assert np.nanmin(frame.read_variance(0, 100)) == 0


def test_what_told_of_the_pixels_of_a_frame_is_gone():
    image = noisy(tangent())
    cards = {"LTV1": 5.0, "LTM1_1": 1.0, "CCDSEC": "[1:9,1:9]", "CRPIX1A": 3.0, "WAT1_001": "x"}
    image.meta = fits.Header(cards | {"OBJECT": "m13"})
    result = stack(
        [image, noisy(tangent(degrees=2))], align=Reproject(tangent(degrees=9), shape=(50, 50))
    )
    assert not set(cards) & set(result.header)
    assert result.header["OBJECT"] == "m13"


@pytest.mark.parametrize("length", [8, 9])
def test_half_a_pixel_off_the_bits_of_each_pixel_are_in_one_place(length):
    """Flags come from the same pixel as samples of nearest-neighbour interpolation."""
    inner = Read(Samples(np.arange(length, dtype=float)[np.newaxis] + 1))
    inner.bits = inner.samples.data.astype(np.uint8)
    window = slice(0, 1), slice(0, length + 1)
    half = PixelMap.of(lambda x, y: (x - 0.5, y + 0.0), *window)
    how = Resampling(order="nearest-neighbor")
    frame = ProjectedFrame(inner, Grid((1, length + 1)), how, half, window, 1.0)
    expected = [*range(1, length + 1), 0]
    assert frame.read_flags(0, 1).tolist() == [expected]
    assert np.nan_to_num(frame.read(0, 1).data).tolist() == [expected]
    lacking = [frame.lacks(0, x) for x in range(length + 1)]
    assert lacking == [""] * length + [OUTSIDE]


def test_of_bits_one_row_tells_the_type_for_all_bands_and_a_header_is_made_once():
    """Each read of the first row of a gzip file may decompress it from its beginning again."""
    inner = Read(Samples(np.ones((40, 4))), np.ones((40, 4), np.uint8))
    window = slice(0, 40), slice(0, 4)
    beside = PixelMap.of(lambda x, y: (x - 0.25, y + 0.0), *window)
    frame = ProjectedFrame(inner, Grid((40, 4)), Resampling(), beside, window, 1.0)
    for y in range(0, 40, 10):
        frame.read_flags(y, y + 10)
    starts = [start for what, start, stop in inner.rows if what == "flags" and stop == 1]
    assert starts == [0]
    frame.inner.coordinates = Coordinates()
    assert frame.header is frame.header


def test_what_waves_of_splines_take_away_contributes_too():
    spline, line = Resampling(order="bicubic"), Resampling()
    shares = np.array([-0.5, -0.005, 0, 0.005, 0.5])
    assert contributes(shares, spline).tolist() == [True, False, False, False, True]
    assert contributes(shares[2:], line).tolist() == [False, True, True]
