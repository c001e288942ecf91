"""Real images by the coordinates in their headers, beside ccdproc and beside reproject alone."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.wcs import WCS

from gpustack import Reproject, stack, wcs_project

#: Coordinates to 1e-4 pixels, times the steepest gradients of these images.
INTERPOLATED = 2e-3


@pytest.fixture(scope="module")
def galactic_center(real_data):
    """One field in five WCS: TAN and CAR, equatorial and galactic, up to 58.6 degrees apart."""
    images = []
    for path in sorted((real_data / "galactic_center").glob("*.fits")):
        with fits.open(path) as hdus:
            image = next(hdu for hdu in hdus if hdu.data is not None and hdu.data.ndim == 2)
            data = image.data.astype(float)
            images.append(CCDData(data, unit="adu", wcs=WCS(image.header), header=image.header))
    assert len(images) == 5
    return images


@pytest.mark.parametrize("first", range(5))
def test_each_onto_the_grid_of_each(galactic_center, first):
    target = galactic_center[first]
    others = [image for image in galactic_center if image is not target]
    images = [target, *others]
    # What lies on the grid is not resampled, so that no pixel beside a NaN is lost.
    cube = [target.data, *(wcs_project(one, target.wcs, target.shape).data for one in others)]
    result = stack(images, align=Reproject(flux="ratio"), combine="sum", outputs=("count",))
    count = np.isfinite(cube).sum(axis=0)
    # A pixel whose place is at an edge of an image, to the tolerance of its place.
    same = result.count == count
    assert same.mean() > 0.9995
    total = np.nansum(cube, axis=0)
    spread = np.nanstd(total[same])
    assert np.abs(result.data - total)[same].max() < INTERPOLATED * spread


@pytest.mark.parametrize("first", [0, 4])
def test_data_and_mask_are_ccdprocs(galactic_center, first):
    ccdproc = pytest.importorskip("ccdproc")
    target = galactic_center[first]
    for image in galactic_center:
        ours, theirs = (
            project(image, target.wcs, target.shape)
            for project in (wcs_project, ccdproc.wcs_project)
        )
        np.testing.assert_array_equal(ours.data, theirs.data)
        np.testing.assert_array_equal(ours.mask, theirs.mask)


def test_all_around(galactic_center):
    result = stack(galactic_center, align="wcs:target=optimal,scale=30", outputs=("count",))
    assert result.count.max() == 5
    for image in galactic_center:
        height, width = image.shape
        x, y = result.wcs.world_to_pixel(image.wcs.pixel_to_world([0, width - 1], [0, height - 1]))
        rows, columns = result.data.shape
        assert ((x > -0.6) & (x < columns - 0.4) & (y > -0.6) & (y < rows - 0.4)).all()
