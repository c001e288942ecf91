"""`explain` for pixels of aligned frames."""

import numpy as np
import pytest

from gpustack import Reproject, explain, stack
from skies import noisy, tangent


def frames():
    """Dithered and rotated frames of different sizes; the last is elsewhere on the sky."""
    places = [tangent((10 + 0.0007 * i, 20 - 0.0005 * i), degrees=7.0 * i) for i in (0, 2)]
    images = [noisy(wcs, (100 + 7 * i, 120), seed=i) for i, wcs in enumerate(places)]
    return [*images, noisy(tangent((50.0, 20.0)))]


def test_explain_shows_the_pixel_of_the_grid():
    images = frames()[:2]
    result = stack(images, align="wcs", combine="median")
    found = explain(images, 33, 44, align="wcs", combine="median")
    assert found.data == result.data[44, 33]


@pytest.mark.parametrize("method", ["interp", "adaptive", "exact"])
def test_explain_tells_what_is_outside_from_what_is_not_finite(method):
    images = frames()
    images[1].data[40:60, 40:60] = np.nan
    align = Reproject(images[0].wcs, shape=(100, 120), method=method)
    fates = set()
    for number, x in enumerate(range(2, 120, 13)):
        # A checkerboard of places, to save time: every row and column, but half of the places.
        for y in range(3 + 16 * (number % 2), 100, 32):
            rows = explain(images, x, y, align=align).samples
            assert rows["fate"][2] == "left out"
            there = images[1].wcs.world_to_pixel(images[0].wcs.pixel_to_world(x, y))
            outside = not (-0.5 <= there[0] < 119.5 and -0.5 <= there[1] < 106.5)
            assert (rows["fate"][1] == "outside of the frame") == outside
            assert np.isnan(rows["raw"][1]) == (rows["fate"][1] != "used")
            fates.add(rows["fate"][1])
    assert fates == {"used", "not finite", "outside of the frame"}
