"""How far a shift leaves the corners of a frame from their places, measured by its quarters."""

from collections.abc import Callable
from itertools import product

import numpy as np

from gpustack.align.star_image import View

#: A rotation or scale counts if it moves the quarters more than this many times as far as they then
#: lie from where it puts them. If all four quarters are off by chance, this ratio is above r with a
#: probability of (1 + r^2)^-2, here one in 290. For simulated fields rotated by 0.2 degrees or more
#: the ratio is 6 or more.
SIGNIFICANCE = 4.0

#: Step from one row or column that is used to the next. It is as wide as views are smoothed, so
#: that the result is as good, and takes half of the time.
STRIDE = 2


def corner_distance(
    one: View, two: View, shift: Callable[[View, View], complex], step: float
) -> float:
    """How far the corners are from their places, in pixels; 0 where that is not significant.

    Parameters
    ----------
    one, two : ndarray of float32, shape (y, x)
        Views of the reference and of a frame where they overlap; 0 where nothing is seen.
    shift : callable
        Measures the shift, x + iy in pixels, that moves a part of `two` onto that of `one`.
    step : float
        The fraction of a pixel to which it measures.

    Notes
    -----
    A rotation and a scale move a point at z from the middle by c z. The number c is the
    least-squares solution for the measured shifts of the four quarters.
    """
    one, two = (image[::STRIDE, ::STRIDE] for image in (one, two))
    parts = list(product(*(_halves(length) for length in one.shape)))
    if not all(image[part].any() for image in (one, two) for part in parts):
        return 0.0
    middles = np.array([complex(_middle(x), _middle(y)) for y, x in parts])
    shifts = np.array([shift(one[part], two[part]) for part in parts])
    middles -= middles.mean()
    shifts -= shifts.mean()
    turned = np.vdot(middles, shifts) / np.vdot(middles, middles)
    moved = turned * middles
    rest = max(_rms(shifts - moved), step / 2)
    if not _rms(moved) > SIGNIFICANCE * rest:
        return 0.0
    return float(abs(turned) * np.hypot(*one.shape) * STRIDE / 2)


def _halves(length: int) -> tuple[slice, slice]:
    return slice(0, length // 2), slice(length // 2, length)


def _middle(part: slice) -> float:
    return (part.start + part.stop) / 2  # type: ignore[no-any-return]


def _rms(distances: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.abs(distances) ** 2)))
