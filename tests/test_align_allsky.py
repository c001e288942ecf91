"""Resample frames across the seam of an all-sky map, a pole or the edge of the sky."""

import numpy as np
import pytest
from astropy.nddata import CCDData
from astropy.wcs import WCS

from gpustack import Reproject, stack, wcs_project
from gpustack.align import align_frames
from gpustack.align.footprint import footprint, transform_between
from gpustack.align.pixel_map import PixelMap
from gpustack.frames import open_frames
from skies import tangent

#: Tolerance of samples: places are interpolated to 1e-4 pixels, and samples differ by up to 80.
INTERPOLATED = 1e-4 * 80
#: Relative tolerance of areas, which change by about this much from one pixel to the next.
AREA = 0.02
#: Tolerance of a footprint in pixels, because the edge of an image bends between the points that
#: are sampled. The centre of every pixel is half a pixel of its own inside the edge.
HALF = 0.5


def allsky(projection, degrees=3.0, crval=(0.0, 0.0)):
    """The WCS of a map of the whole sky, and its shape."""
    wcs, shape = WCS(naxis=2), (int(180 / degrees), int(360 / degrees))
    wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
    wcs.wcs.cdelt, wcs.wcs.crval = [-degrees, degrees], crval
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    return wcs, shape


def field(crval, scale):
    return tangent(crval, scale=scale, crpix=(40, 35)), (70, 80)


CAR = allsky("CAR")
CASES = {
    "an all-sky map turned": (CAR, allsky("CAR", crval=(10, 0))),
    "onto an ellipse": (CAR, allsky("AIT")),
    "from an ellipse": (allsky("AIT"), CAR),
    "Mollweide": (CAR, allsky("MOL")),
    "a field on the seam": (field((180, 0), 0.15), allsky("CAR", 1.5)),
    "a field around the pole": (field((0, 90), 0.5), CAR),
    "a map onto the pole": (CAR, field((0, 90), 0.5)),
    "a map onto its seam": (CAR, field((180, 10), 0.5)),
    "half of the sky": (allsky("SIN", 3.0), CAR),
    "axes swapped": (
        (tangent(crpix=(50, 50)).swapaxes(0, 1), (90, 100)),
        (tangent(crpix=(50, 50), degrees=3), (100, 100)),
    ),
    "a grid with axes swapped": (
        (tangent(crpix=(50, 50), degrees=3), (90, 100)),
        (tangent(crpix=(50, 50)).swapaxes(0, 1), (100, 100)),
    ),
    "mirrored": (
        (mirrored := tangent(crpix=(50, 50), scale=-1e-4), (90, 100)),
        (tangent(crpix=(50, 50), degrees=3), (100, 100)),
    ),
}
mirrored.wcs.cdelt = [1e-4, 1e-4]


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request):
    (wcs, shape), (target, target_shape) = request.param
    data = np.random.default_rng(1).normal(500, 10, shape)
    return CCDData(data, unit="adu", wcs=wcs), target, target_shape


def test_no_pixel_is_lost(case):
    image, target, shape = case
    expected = wcs_project(image, target, shape).data
    got = stack([image, image], align=Reproject(target, shape=shape), combine="max")
    np.testing.assert_array_equal(np.isfinite(got.data), np.isfinite(expected))
    assert np.isfinite(expected).sum() > 30
    np.testing.assert_allclose(got.data, expected, rtol=0, atol=INTERPOLATED)


def test_no_pixel_is_lost_at_the_edges_of_bands_and_blocks(case, monkeypatch):
    image, target, shape = case
    align = Reproject(target, shape=shape)
    (frame,) = align_frames(open_frames([image]), align).frames
    whole = frame.read(0, shape[0]).data
    monkeypatch.setattr("gpustack.align.blocks.SIDE", 60)
    bands = [frame.read(y, min(y + 37, shape[0])).data for y in range(0, shape[0], 37)]
    np.testing.assert_array_equal(np.concatenate(bands), whole)


def test_the_footprint_holds_every_pixel(case):
    image, target, _ = case
    to_grid = transform_between(image.wcs, target)
    x, y = to_grid(*np.indices(image.shape, dtype=float)[::-1])
    left, right, bottom, top = footprint(to_grid, image.shape)
    assert left - HALF <= np.nanmin(x) <= np.nanmax(x) <= right + HALF
    assert bottom - HALF <= np.nanmin(y) <= np.nanmax(y) <= top + HALF


def test_a_frame_of_which_one_point_has_a_place():
    """No two neighbouring points have a place, which must not make numpy warn (an error here)."""

    def transform(x, y):
        here = np.hypot(x - 99.5, y - 99.5) < 1
        return np.where(here, x, np.nan), np.where(here, y, np.nan)

    assert footprint(transform, (200, 200)) == (99, 100, 99, 100)


def test_a_union_holds_all_of_a_map_of_the_sky():
    wcs, shape = allsky("AIT")
    image = CCDData(np.ones(shape), unit="adu", wcs=wcs)
    (frame,) = align_frames(open_frames([image]), Reproject(extent="union")).frames
    longitude, _ = wcs.pixel_to_world_values(*np.indices(shape)[::-1])
    assert np.isfinite(frame.whole()).sum() == np.isfinite(longitude).sum()


def test_local_areas_are_those_of_each_pixel(case):
    image, target, shape = case
    image.data[:] = 1
    made = wcs_project(image, target, shape, flux="local").data
    rows, columns = np.indices(shape, dtype=float)
    to_frame = transform_between(target, image.wcs)
    ends = [
        to_frame(columns + dx, rows + dy) for dx, dy in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))
    ]
    right, left, up, down = (x + 1j * y for x, y in ends)
    exact = np.abs(((right - left).conj() * (up - down)).imag)
    known = np.isfinite(exact) & np.isfinite(made) & (exact < 5 * np.nanmedian(exact))
    assert known.sum() > 20
    off = np.abs(made[known] / exact[known] - 1)
    # At a seam, neighbouring pixels of one image are at opposite ends of the other.
    assert np.quantile(off, 0.97) < AREA


def test_what_lies_beside_a_torn_frame_is_passed_at_once(monkeypatch):
    """Transforming pixels takes 2 ms even for a few; of 630 blocks only 4 are on the frame."""
    (wcs, shape), (target, target_shape) = CASES["a field on the seam"]
    image = CCDData(np.ones(shape), unit="adu", wcs=wcs)
    align = Reproject(target, shape=target_shape)
    (frame,) = align_frames(open_frames([image]), align).frames
    asked = []
    extent = PixelMap.extent
    monkeypatch.setattr(PixelMap, "extent", lambda *a: asked.append(a[1:]) or extent(*a))
    assert np.isfinite(frame.read(0, target_shape[0]).data).sum() > 30
    assert len(asked) < 100


def test_of_a_map_that_is_turned_by_whole_pixels_every_area_is_1():
    """Including those of pixels across the seam and beyond the ends of the map."""
    (wcs, shape), (target, _) = CAR, allsky("CAR", crval=(9.0, 0.0))
    image = CCDData(np.ones(shape), unit="adu", wcs=wcs)
    made = wcs_project(image, target, shape, flux="local").data
    np.testing.assert_allclose(made, 1, rtol=1e-9)
    align = Reproject(target, shape=shape, flux="local")
    (frame,) = align_frames(open_frames([image]), align).frames
    np.testing.assert_allclose(frame.read(0, shape[0]).data, 1, rtol=1e-9)
