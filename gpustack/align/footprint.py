"""Transforms from the pixels of one image to another, and the part of a grid an image covers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from astropy.wcs.utils import wcs_to_celestial_frame
from numpy.typing import NDArray

from gpustack.align.pixel_map import Transform

#: Tolerance, in pixels, to which distortions are inverted by iteration. Errors of astropy's
#: default, 1e-4, would show at the nodes of a `PixelMap`.
INVERSE_TOLERANCE = 1e-6
#: Largest distance, in pixels, between the points of an image that are transformed.
_STEP = 64
#: Grid pixels by which a footprint may reach beyond the points: interpolation reaches half a
#: pixel beyond the outermost centres, and an edge bends a little between points.
_PAD = 2
#: Smallest number of points along an axis of an image.
_LEAST = 9
#: An image is torn where neighbouring points are more than this many times as far apart as the
#: median. At the edges of a gnomonic projection 100 degrees wide they are 2.4 times as far apart.
TORN_CELL = 4.0

#: The lowest and highest x, then the lowest and highest y.
Footprint = tuple[float, float, float, float]


def transform_between(*pair: WCS) -> Transform:
    """The transform from pixels x, y of the first of two celestial WCS to those of the second.

    It returns NaN for pixels that do not transform back to themselves. In some projections, places
    on the other side of the sky have pixels too, but these transform back to other places.
    """

    def transform(x: Any, y: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        wcs, other = (one.deepcopy() for one in pair)  # threads must not share wcslib's objects
        with np.errstate(all="ignore"):
            there = _across(wcs, other, x, y)
            back = _across(other, wcs, *there)
            lost = ~(np.hypot(back[0] - x, back[1] - y) <= 1)
        return np.where(lost, np.nan, there[0]), np.where(lost, np.nan, there[1])

    return transform


def _across(wcs: WCS, other: WCS, x: Any, y: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Transform as `astropy.wcs.utils.pixel_to_pixel`, but more exactly and without warnings.

    Distortions are inverted by iteration to `INVERSE_TOLERANCE`, which diverges far outside of an
    image.
    """
    # World coordinates are in degrees whatever CUNIT says, and may have the latitude first.
    world = wcs.all_pix2world(x, y, 0)
    here = SkyCoord(
        world[wcs.wcs.lng], world[wcs.wcs.lat], unit="deg", frame=wcs_to_celestial_frame(wcs)
    )
    there = here.transform_to(wcs_to_celestial_frame(other)).represent_as("unitspherical")
    degrees = {other.wcs.lng: there.lon.deg, other.wcs.lat: there.lat.deg}
    found = other.all_world2pix(degrees[0], degrees[1], 0, tolerance=INVERSE_TOLERANCE, quiet=True)
    return found[0], found[1]


def points(shape: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x, y of points spread over an image of `shape`, out to the edges of its outermost pixels."""
    axes = [
        np.linspace(-0.5, length - 0.5, max(_LEAST, -(-length // _STEP) + 1))
        for length in shape[::-1]
    ]
    x, y = np.meshgrid(*axes)
    return x, y


def footprint(transform: Transform, shape: Sequence[int]) -> Footprint:
    """The extent of an image on a grid.

    Parameters
    ----------
    transform : callable
        From the image to the grid.
    shape : sequence of two int
        (y, x) of the image.

    Returns
    -------
    left, right, bottom, top : float
        Edges of pixels, such as 1.5 between pixels 1 and 2. NaN where no part of the image has a
        place on the grid.

    Notes
    -----
    The seam of an all-sky map, a pole or the edge of the sky may tear the image on the grid. There,
    every pixel is transformed, because pixels between points that are apart may lie anywhere.
    """
    x, y = points(shape)
    there = np.array(transform(x, y))
    left, right, bottom, top = _extent(there)
    for row, column in np.argwhere(_torn(*there)):
        here = y[row : row + 2, 0], x[0, column : column + 2]
        across = np.meshgrid(*map(_pixels, here[::-1], shape[::-1]))
        part = _extent(np.array(transform(*across)))
        left, bottom = np.fmin((left, bottom), (part[0], part[2]))
        right, top = np.fmax((right, top), (part[1], part[3]))
    return float(left), float(right), float(bottom), float(top)


def _extent(there: NDArray[np.float64]) -> Footprint:
    """The extent of transformed points, shape (2, rows, columns), without those that are NaN."""
    left, bottom = np.fmin.reduce(there, axis=(1, 2))
    right, top = np.fmax.reduce(there, axis=(1, 2))
    return float(left), float(right), float(bottom), float(top)


def _pixels(ends: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Centres of the pixels between two points of an axis, clipped to the edges of the image."""
    return np.clip(np.arange(np.floor(ends[0]), np.ceil(ends[1]) + 1), -0.5, length - 0.5)


def window(
    transform: Transform, shape: Sequence[int], grid_shape: Sequence[int]
) -> tuple[slice, slice] | None:
    """Rows and columns of a grid that an image touches; None where it does not touch the grid.

    Where the image is torn on the grid, these are all rows and columns: points of the image then
    do not bound where its pixels lie.
    """
    there = np.array(transform(*points(shape)))
    if _torn(*there).any():
        return slice(0, grid_shape[0]), slice(0, grid_shape[1])
    left, right, bottom, top = _extent(there)
    rows, columns = _span(bottom, top, grid_shape[0]), _span(left, right, grid_shape[1])
    return None if rows is None or columns is None else (rows, columns)


def _torn(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.bool_]:
    """Cells between points in which an image is torn, one row and column fewer than points.

    In such a cell, neighbouring points are much further apart than most, or some of the points
    have a place on the grid and others have none.
    """
    places = x + 1j * y
    lost = np.isnan(places)
    if lost.all():
        return np.zeros((len(x) - 1, len(x[0]) - 1), bool)
    ends = lost[:-1] & lost[1:], lost[:-1] | lost[1:]
    none, some = ends[0][:, :-1] & ends[0][:, 1:], ends[1][:, :-1] | ends[1][:, 1:]
    down, right = (np.abs(np.diff(places, axis=axis)) for axis in (0, 1))
    down, right = map(_far_apart, (down, right))
    far: NDArray[np.bool_] = down[:, :-1] | down[:, 1:] | right[:-1] | right[1:]
    return far | (some & ~none)


def _far_apart(apart: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which distances are far above their median; none where no two neighbours have a place."""
    known = apart[~np.isnan(apart)]
    return apart > TORN_CELL * (np.median(known) if known.size else np.inf)


def _span(low: float, high: float, length: int) -> slice | None:
    if not (low <= length - 0.5 and high >= -0.5):  # also where they are NaN
        return None
    first = max(int(np.floor(max(low, 0))) - _PAD, 0)
    return slice(first, min(int(np.ceil(min(high, length))) + _PAD, length))
