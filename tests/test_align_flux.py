"""What resampling preserves, surface brightness or the counts of stars, on a simulated sky."""

import re

import numpy as np
import pytest
from astropy.nddata import CCDData
from astropy.units import Unit

from gpustack import NoiseClip, NoiseModel, RangeClip, Reproject, SigmaClip, stack, wcs_project
from gpustack.align.brightness import AREA, is_brightness
from gpustack.errors import GpustackWarning
from skies import SCALE, SIGMA, stars, tangent

METHODS = ("interp", "adaptive", "exact")
#: Relative tolerance of a uniform surface brightness. Interpolation and kernels have only rounding
#: errors; exact areas have those of areas on the sky.
UNIFORM = 1e-6
#: Relative tolerance of the counts of a star. Kernels are truncated sums over pixels.
TOTAL = 1e-3
#: Relative tolerance of the counts of a star on a stack.
STAR = 5e-3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [0.7, 1.0, 1.6])
def test_surface_brightness_stays_uniform(method, scale):
    ccd = CCDData(np.full((60, 50), 7.0), unit="adu", wcs=tangent(crpix=(25, 30)))
    target = tangent(degrees=27, scale=scale * SCALE, crpix=(20, 20))
    made = wcs_project(ccd, target, (40, 40), method=method, flux="unscaled").data
    inside = np.isfinite(made)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(made[inside], 7, rtol=UNIFORM)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [0.7, 1.0, 1.3])
@pytest.mark.parametrize("flux", ["ratio", "local"])
def test_the_counts_of_a_star_stay_what_they_were(method, scale, flux):
    wcs = tangent(crpix=(40, 40))
    ccd = CCDData(stars(wcs, (80, 80), [[10.0, 20.0]], 1000.0), unit="adu", wcs=wcs)
    target = tangent(degrees=27, scale=scale * SCALE, crpix=(60.3, 60.4))
    made = wcs_project(ccd, target, (120, 120), method=method, flux=flux).data
    assert np.nansum(made) == pytest.approx(1000, rel=TOTAL)


def test_where_pixels_differ_over_the_field_only_local_areas_are_right():
    """Tested ten degrees from the centre of a gnomonic projection, where pixels are 4.6% larger."""
    wcs = tangent(scale=0.05, crpix=(40, 40))
    target = tangent(crval=(10.0, 31.0), scale=0.05, crpix=(40, 40))
    at = [[10.0, 31.0]]
    wcs.wcs.crpix = [40, 40 - 220]
    ccd = CCDData(stars(wcs, (80, 80), at, 1000.0, sigma=SIGMA * 0.05), unit="adu", wcs=wcs)
    sums = {
        flux: np.nansum(wcs_project(ccd, target, (80, 80), order="bicubic", flux=flux).data)
        for flux in ("ratio", "local")
    }
    assert sums["local"] == pytest.approx(1000, rel=TOTAL)
    assert abs(sums["ratio"] - 1000) > 30


DITHERS = {
    "dithers": [((0.0007 * i, -0.0005 * i), 0.0, 1.0) for i in range(5)],
    "turned": [((0.0003 * i, 0.0), 72.0 * i + 0.3, 1.0) for i in range(5)],
    "two cameras": [((0.0003 * i, 0.0002), 180.0 * (i % 2), 1.0 + 0.3 * (i % 2)) for i in range(5)],
}


@pytest.mark.parametrize("frames", DITHERS.values(), ids=DITHERS)
@pytest.mark.parametrize("method", METHODS)
def test_stars_of_a_stack_are_where_they_were_and_as_bright(frames, method):
    rng = np.random.default_rng(7)
    grid = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(-1, 2)
    at = [10.0, 20.0] + 0.0018 * grid + rng.uniform(-3e-5, 3e-5, (9, 2))
    images = []
    for (dx, dy), degrees, scale in frames:
        wcs = tangent((10 + dx, 20 + dy), degrees, SCALE * scale, (60, 60))
        images.append(CCDData(stars(wcs, (120, 120), at, 5000.0, sky=3.0), unit="adu", wcs=wcs))
    result = stack(images, align=Reproject(method=method), combine="mean")
    x, y = result.wcs.all_world2pix(at, 0).T
    rows, columns = np.indices(result.data.shape)
    for cx, cy in zip(x, y, strict=True):
        near = np.hypot(columns - cx, rows - cy) < 8.5
        star = result.data[near] - 3.0 * sky_area(images)
        assert star.sum() == pytest.approx(5000, rel=STAR)
        place = [(axis[near] * star).sum() / star.sum() for axis in (columns, rows)]
        assert np.hypot(place[0] - cx, place[1] - cy) < 0.1


def sky_area(images):
    """The mean factor on a sky of one count per pixel: target pixel area over frame pixel area."""
    areas = [abs(np.linalg.det(image.wcs.pixel_scale_matrix)) for image in images]
    return np.mean([areas[0] / area for area in areas])


@pytest.mark.parametrize("unit", ["MJy/sr", "Jy/beam", "erg / (s cm2 arcsec2)"])
@pytest.mark.parametrize("flux", ["ratio", "local"])
def test_surface_brightness_that_is_scaled_is_warned_of(unit, flux):
    frames = [
        CCDData(np.full((20, 20), 10.0), unit=unit, wcs=tangent(scale=scale, crpix=(10, 10)))
        for scale in (SCALE, SCALE / 2)
    ]
    with pytest.warns(GpustackWarning, match="surface brightness.*multiplies it by 4, ") as told:
        stack(frames, align=Reproject(flux=flux))
    assert told[0].filename == __file__
    with pytest.warns(GpustackWarning, match="ccd: .* is surface brightness"):
        wcs_project(frames[1], frames[0].wcs, flux=flux)
    wcs_project(frames[1], frames[0].wcs, flux="unscaled")
    result = stack(frames, align=Reproject(flux="unscaled"))
    np.testing.assert_allclose(result.data, 10, rtol=UNIFORM)


def far_from_its_reference_point(unit, value=10.0):
    """A frame 11 degrees from its reference point, where pixels are 1.1 times as large, and a
    target whose reference point is at that place."""
    wcs = tangent(scale=0.05, crpix=(40, 40 - 220))
    target = tangent(crval=(10.0, 31.0), scale=0.05, crpix=(40, 40))
    return CCDData(np.full((80, 80), value), unit=unit, wcs=wcs), target


def test_the_scale_that_is_warned_of_is_one_that_pixels_have():
    """The factor at the reference points would be 1, but that of the frame is outside the frame."""
    image, target = far_from_its_reference_point("MJy/sr")
    with pytest.warns(GpustackWarning, match="flux='local' multiplies it by") as one:
        made = wcs_project(image, target, flux="local").data
    with pytest.warns(GpustackWarning, match="flux='local' multiplies it by") as other:
        stack([image] * 2, align=Reproject(target, shape=(80, 80), flux="local"), outputs=())
    for said in (one[0], other[0]):
        factor = float(re.search(r"multiplies it by ([\d.]+), ", str(said.message))[1])
        assert factor == pytest.approx(made[40, 40] / 10, rel=AREA)
        assert abs(factor - 1) > 0.03
    wcs_project(image, target, flux="ratio")


def test_what_is_local_and_does_not_touch_the_grid_is_not_warned_of():
    image, _ = far_from_its_reference_point("MJy/sr")
    made = wcs_project(image, tangent(crval=(200.0, -30.0)), (5, 5), flux="local")
    assert made.mask.all()


@pytest.mark.parametrize("unit", ["adu", "electron / s", "Jy", "mag", "mag(AB)", "dex(cm/s2)", ""])
def test_what_may_be_counts_is_not_warned_of(unit):
    assert not is_brightness(Unit(unit))
    assert not is_brightness(None)


LEVELS = {
    "range": {"clips": [RangeClip(high=60)]},
    "noise": {"clips": [NoiseClip(rdnoise=50, gain=2)]},
    "photons": {"clips": [SigmaClip(0.5, 0.5, poisson=True)]},
    "model": {"combine": NoiseModel(gain=2)},
}


@pytest.mark.parametrize("asked", LEVELS.values(), ids=LEVELS)
def test_what_judges_by_the_level_in_a_frame_is_warned_of_where_values_are_scaled(asked):
    frames = [
        CCDData(np.full((20, 20), 10.0), unit="adu", wcs=tangent(scale=scale, crpix=(10, 10)))
        for scale in (SCALE, SCALE / 2)
    ]
    with pytest.warns(
        GpustackWarning, match="sees the values of frame 1 multiplied by 4, the ratio"
    ):
        stack(frames, **asked, align=Reproject())
    with pytest.warns(GpustackWarning, match=r"multiplied by 0\.25, the ratio"):
        stack([frames[1], frames[0].multiply(4)], **asked, align=Reproject())
    stack(frames, **asked, align=Reproject(flux="unscaled"))
    stack([frames[0], frames[0].copy()], **asked, align=Reproject())
    stack(frames, SigmaClip(0.5, 0.5), align=Reproject())
