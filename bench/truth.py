"""What the answers must be: each case written plainly in float64, and how answers are compared.

Nothing here is fast, and nothing is shared with a library that is measured.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]
Statistic = Callable[[Samples], Any]

#: 1 / (quantile of the normal distribution at 3/4): MAD to standard deviation.
MAD_TO_STD = 1.482602218505602

#: Largest relative difference of a pixel. gpustack promises 1e-6; peers add float32
#: samples up in float32, one rounding of 6e-8 for each of some tens of frames.
GPUSTACK_TOLERANCE, PEER_TOLERANCE = 1e-6, 1e-5

#: In spreads: so close to a bound, float32 statistics decide by their rounding.
CLOSE = 5e-4

#: Of all pixels, how many may be left out of a comparison, for being close to a bound or
#: clipped by another definition; with all others equal, the work is the same.
MOST_LEFT_OUT = 0.03


class DisagreementError(Exception):
    """A library gives another answer than the definition; its time means nothing."""


@dataclass(frozen=True, slots=True)
class Truth:
    """The right image, and where it may be missed.

    Parameters
    ----------
    image : ndarray of float64, shape (y, x)
    close : ndarray of bool, shape (y, x), or None
        A sample lies within `CLOSE` of a bound.
    readmits : ndarray of bool, shape (y, x), or None
        A sample that an earlier pass rejected lies within the bounds of the last pass.
        `astropy.stats.sigma_clip` makes its mask from those bounds alone, so it takes
        the sample back; all others leave it out.
    """

    image: Samples
    close: NDArray[np.bool_] | None = None
    readmits: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """The largest relative difference, and the fraction of pixels left out of it."""

    worst: float
    left_out: float


def compare(image: NDArray[Any], truth: Truth, tolerance: float, readmits: bool) -> Agreement:
    """How well an answer agrees; `readmits` where it takes rejected samples back.

    Raises
    ------
    DisagreementError
        Where a pixel differs by more than `tolerance`, or too many had to be left out.
    """
    if image.shape != truth.image.shape:
        raise DisagreementError(f"expected shape {truth.image.shape}, got {image.shape}")
    left_out = np.zeros(image.shape, bool)
    for doubt in (truth.close, truth.readmits if readmits else None):
        if doubt is not None:
            left_out |= doubt
    difference = np.abs(image - truth.image) / np.abs(truth.image)
    result = Agreement(float(difference[~left_out].max()), float(left_out.mean()))
    # A NaN is a difference too.
    if not result.worst <= tolerance:
        raise DisagreementError(
            f"expected relative differences <= {tolerance:g}, got {result.worst:g}"
        )
    if result.left_out > MOST_LEFT_OUT:
        raise DisagreementError(
            f"expected <= {MOST_LEFT_OUT:.0%} of the pixels to be in doubt, "
            f"got {result.left_out:.1%}"
        )
    return result


def mean(cube: NDArray[Any]) -> Truth:
    """The mean of the valid samples."""
    return Truth(np.nanmean(cube, axis=0, dtype=np.float64))


def total(cube: NDArray[Any]) -> Truth:
    """The sum of the valid samples."""
    return Truth(np.nansum(cube, axis=0, dtype=np.float64))


def median(cube: NDArray[Any]) -> Truth:
    """The median of the valid samples."""
    return Truth(_median(cube.astype(np.float64)))


def weighted_mean(cube: NDArray[Any], weights: Samples) -> Truth:
    """The mean with a weight for each frame."""
    return Truth(np.average(cube.astype(np.float64), axis=0, weights=weights))


def trimmed_mean(cube: NDArray[Any]) -> Truth:
    """The mean without the lowest and the highest sample."""
    return Truth(np.sort(cube, axis=0)[1:-1].mean(axis=0, dtype=np.float64))


def clipped_mean(center: str, spread: str, maxiters: int | None) -> Callable[..., Truth]:
    """The mean of what is left by clipping at three spreads, pass by pass."""
    middle: Statistic = _median if center == "median" else partial(np.nanmean, axis=0)
    width: Statistic = _mad_std if spread == "mad_std" else partial(np.nanstd, axis=0)

    def truth(cube: NDArray[Any]) -> Truth:
        values = cube.astype(np.float64).reshape(len(cube), -1)
        alive = values.copy()
        close, readmits = np.zeros((2, values.shape[1]), bool)
        todo, passes = np.arange(values.shape[1]), 0
        while todo.size and passes != maxiters:
            passes += 1
            part, first = alive[:, todo], values[:, todo]
            at, unit = middle(part), width(part)
            close[todo] |= (np.abs(np.abs(part - at) / unit - 3) < CLOSE).any(axis=0)
            readmits[todo] = (np.isnan(part) & (np.abs(first - at) <= 3 * unit)).any(axis=0)
            outside = np.abs(part - at) > 3 * unit
            part[outside] = np.nan
            alive[:, todo] = part
            todo = todo[outside.any(axis=0)]
        shape = cube.shape[1:]
        image = np.nanmean(alive, axis=0)
        return Truth(image.reshape(shape), close.reshape(shape), readmits.reshape(shape))

    return truth


def _median(values: Samples) -> Samples:
    """The median along axis 0 without NaN, which sort puts last."""
    ordered = np.sort(values, axis=0)
    count = np.count_nonzero(~np.isnan(values), axis=0)
    low, high = (
        np.take_along_axis(ordered, rank[None], axis=0)[0]
        for rank in ((count - 1) // 2, count // 2)
    )
    middle: Samples = (low + high) / 2
    return middle


def _mad_std(values: Samples) -> Samples:
    mad = _median(np.abs(values - _median(values)))
    return MAD_TO_STD * mad
