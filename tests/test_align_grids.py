"""The grids onto which frames are resampled, for every kind of target."""

import numpy as np
import pytest
from astropy.nddata import NDData
from astropy.wcs import DistortionLookupTable
from astropy.wcs.wcsapi import HighLevelWCSWrapper

from gpustack import Reproject, stack, wcs_project
from gpustack.align import align_frames
from gpustack.align.target import has_fine_tables
from gpustack.errors import RecipeError
from gpustack.frames import open_frames
from skies import SCALE, noisy, tangent

#: The promised accuracy of places, in pixels. Samples differ by up to 80.
PLACES = 1e-4


def dithered(n):
    """Dithered and rotated frames."""
    return [
        noisy(tangent((10 + 0.0007 * i, 20), degrees=7.0 * i, scale=SCALE), seed=i, masked=0.01)
        for i in range(n)
    ]


@pytest.mark.parametrize("method", ["interp", "adaptive", "exact"])
@pytest.mark.parametrize("target", ["first", "optimal"])
def test_coordinates_that_are_wrapped(method, target):
    images = dithered(2)
    wrapped = [
        NDData(one.data, mask=one.mask, unit="adu", wcs=HighLevelWCSWrapper(one.wcs))
        for one in images
    ]
    how = Reproject(target, method=method)
    np.testing.assert_array_equal(stack(wrapped, align=how).data, stack(images, align=how).data)


def test_the_shape_of_an_optimal_grid_is_about_its_centre():
    images = dithered(3)
    whole = stack(images, align=Reproject("optimal"))
    for shape in ((40, 30), (300, 301)):
        part = stack(images, align=Reproject("optimal", shape=shape))
        assert part.data.shape == shape
        pairs = zip(shape[::-1], whole.data.shape[::-1], strict=True)
        moved = part.wcs.wcs.crpix - whole.wcs.wcs.crpix
        # Without a shape, the grid is also fitted to the pixels that frames cover.
        np.testing.assert_allclose(moved, [(a - b) / 2 for a, b in pairs], atol=2)


def test_a_union_has_no_shape_of_its_own():
    with pytest.raises(RecipeError, match="shape: expected none with extent='union'"):
        Reproject(extent="union", shape=(10, 10))


@pytest.mark.filterwarnings("ignore:only one frame")
@pytest.mark.parametrize("period", [8, 16, 24, 40])
def test_tables_that_bend_between_nodes(period):
    """A distortion by a lookup table with one number per column of pixels."""
    image = noisy(tangent(), shape=(60, 70))
    steps = np.arange(70)
    table = np.tile(0.3 * np.sin(2 * np.pi * steps / period), (60, 1)).astype(np.float32)
    image.wcs.cpdis1 = DistortionLookupTable(table, (1, 1), (1, 1), (1, 1))
    target = tangent()
    target.array_shape = (60, 70)
    found = stack([image], align=Reproject(target)).data
    expected = wcs_project(image, target).data
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=PLACES * 80)


def test_a_target_below_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    images = dithered(2)
    images[1].write(tmp_path / "grid.fits")
    found = stack(images, align=Reproject("~/grid.fits"))
    expected = stack(images, align=Reproject(tmp_path / "grid.fits"))
    np.testing.assert_array_equal(found.data, expected.data)


def test_a_frame_whose_edge_is_that_of_the_grid_has_no_pixel_there():
    images = [noisy(tangent(crpix=(x, 50)), shape=(100, 120)) for x in (60, 180, -60)]
    images.append(noisy(tangent(crpix=(60, 150))))
    left_out = align_frames(open_frames(images), Reproject()).columns["left_out"]
    assert [bool(why) for why in left_out] == [False, True, True, True]
    images[1] = noisy(tangent(crpix=(179, 50)))
    left_out = align_frames(open_frames(images), Reproject()).columns["left_out"]
    assert [bool(why) for why in left_out] == [False, False, True, True]


@pytest.mark.parametrize(("apart", "fine"), [(31, True), (32, False)])
def test_a_table_is_fine_that_has_a_number_for_less_than_32_pixels(apart, fine):
    wcs = tangent()
    assert not has_fine_tables(wcs)
    wcs.det2im2 = DistortionLookupTable(np.zeros((4, 4), "f4"), (1, 1), (1, 1), (40, apart))
    assert has_fine_tables(wcs) is fine
