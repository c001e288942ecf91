"""Real images aligned by their world coordinates, against ccdproc and `wcs_project`."""

from functools import cache

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.wcs import WCS

from gpustack import Reproject, stack, wcs_project

#: Accuracy of places, 1e-4 pixels, times the steepest gradient of these images.
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


@pytest.fixture(scope="module")
def projected(galactic_center):
    """A function that projects one image onto the grid of another, by their numbers; cached."""

    @cache
    def made(number, first):
        target = galactic_center[first]
        return wcs_project(galactic_center[number], target.wcs, target.shape)

    return made


def beside(first):
    """The numbers of two images to project onto the first; all pairs occur in one direction."""
    return [(first + by) % 5 for by in (1, 3)]


@pytest.mark.parametrize("first", range(5))
def test_each_onto_the_grid_of_each(galactic_center, projected, first):
    others = beside(first)
    images = [galactic_center[number] for number in (first, *others)]
    # The image that defines the grid is not resampled, so that it loses no pixel beside a NaN.
    cube = [images[0].data, *(projected(number, first).data for number in others)]
    result = stack(images, align=Reproject(flux="ratio"), combine="sum", outputs=("count",))
    count = np.isfinite(cube).sum(axis=0)
    # Counts may differ where a place is at an edge of an image, within the accuracy of places.
    same = result.count == count
    assert same.mean() > 0.9995
    total = np.nansum(cube, axis=0)
    spread = np.nanstd(total[same])
    assert np.abs(result.data - total)[same].max() < INTERPOLATED * spread


@pytest.mark.parametrize("first", [0, 4])
def test_data_and_mask_are_ccdprocs(galactic_center, projected, first):
    ccdproc = pytest.importorskip("ccdproc")
    target = galactic_center[first]
    for number in (first, *beside(first)):
        ours = projected(number, first)
        theirs = ccdproc.wcs_project(galactic_center[number], target.wcs, target.shape)
        np.testing.assert_array_equal(ours.data, theirs.data)
        np.testing.assert_array_equal(ours.mask, theirs.mask)


def test_an_optimal_grid_covers_all_frames(galactic_center):
    result = stack(galactic_center, align="wcs:target=optimal,scale=30", outputs=("count",))
    assert result.count.max() == 5
    for image in galactic_center:
        height, width = image.shape
        x, y = result.wcs.world_to_pixel(image.wcs.pixel_to_world([0, width - 1], [0, height - 1]))
        rows, columns = result.data.shape
        assert ((x > -0.6) & (x < columns - 0.4) & (y > -0.6) & (y < rows - 0.4)).all()
