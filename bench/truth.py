"""The correct answers: each case written plainly in float64, and how answers are compared.

Nothing here is fast, and nothing is shared with a library that is measured.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data import sample_variance

Samples = NDArray[np.float64]
Statistic = Callable[[Samples], Any]
#: Computes the lowest and the highest value that survive.
Bounds = Callable[[Samples], tuple[Samples, Samples]]

#: 1 / (quantile of the normal distribution at 3/4): MAD to standard deviation.
MAD_TO_STD = 1.482602218505602

#: Largest relative difference of a pixel. gpustack promises 1e-6; peers add up float32 samples in
#: float32, with one rounding of 6e-8 for each of some tens of frames.
GPUSTACK_TOLERANCE, PEER_TOLERANCE = 1e-6, 1e-5

#: Closer to a bound than this, the rounding of float32 statistics decides. In spreads, or in sixths
#: of the distance between two bounds.
CLOSE = 5e-4

#: The largest share of pixels that may be left out of a comparison because they are close to a
#: bound or clipped by another definition. If all others are equal, the work is the same.
MOST_LEFT_OUT = 0.03


class DisagreementError(Exception):
    """The answer of a library differs from the definition, so its time means nothing."""


@dataclass(frozen=True, slots=True)
class Truth:
    """The correct image, and the pixels in which an answer may differ.

    Parameters
    ----------
    image : ndarray of float64, shape (y, x)
    close : ndarray of bool, shape (y, x), or None
        Where a sample lies within `CLOSE` of a bound.
    readmits : ndarray of bool, shape (y, x), or None
        Where a sample that an earlier pass rejected lies within the bounds of the last pass.
        `astropy.stats.sigma_clip` makes its mask from those bounds alone, so it readmits the
        sample; all others leave it out.
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
    """How well an answer agrees with the truth; `readmits`: the library readmits rejected samples.

    Raises
    ------
    DisagreementError
        Where a pixel differs by more than `tolerance`, or too many pixels had to be left out.
    """
    if image.shape != truth.image.shape:
        raise DisagreementError(f"expected shape {truth.image.shape}, got {image.shape}")
    left_out = np.zeros(image.shape, bool)
    for doubt in (truth.close, truth.readmits if readmits else None):
        if doubt is not None:
            left_out |= doubt
    difference = np.abs(image - truth.image) / np.abs(truth.image)
    result = Agreement(float(difference[~left_out].max()), float(left_out.mean()))
    # Written so that NaN counts as a difference.
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


def trimmed_share(nlow: int, nhigh: int) -> Callable[..., Truth]:
    """The mean without the lowest and highest, of which fewer where samples lack, as in IRAF."""

    def truth(cube: NDArray[Any]) -> Truth:
        ordered = np.sort(cube.astype(np.float64), axis=0)  # NaN last
        count = np.count_nonzero(~np.isnan(ordered), axis=0)
        low, high = (np.floor(count * k / len(cube) + 0.001) for k in (nlow, nhigh))
        rank = np.arange(len(cube))[:, None, None]
        ordered[(rank < low) | (rank >= count - high)] = np.nan
        return Truth(np.nanmean(ordered, axis=0))

    return truth


def clipped_mean(center: str, spread: str, maxiters: int | None) -> Callable[..., Truth]:
    """The mean after clipping at 3 spreads, for `maxiters` passes (None = to convergence)."""
    middle: Statistic = _median if center == "median" else partial(np.nanmean, axis=0)
    width: Statistic = _mad_std if spread == "mad_std" else partial(np.nanstd, axis=0)
    return mean_within(lambda values: _around(middle(values), width(values)), maxiters)


def deviation_clipped_mean(about: str) -> Callable[..., Truth]:
    """The mean after clipping about the median at 3 standard deviations, to convergence.

    The deviations are divided by n - 1, and are about the mean or, as `about` = "center", the
    median.
    """

    def bounds(values: Samples) -> tuple[Samples, Samples]:
        at = _median(values)
        off = values - (at if about == "center" else np.nanmean(values, axis=0))
        count = np.count_nonzero(~np.isnan(values), axis=0)
        return _around(at, np.sqrt(np.nansum(off * off, axis=0) / (count - 1)))

    return mean_within(bounds, None)


def mad_clipped_mean(times: float = 3) -> Callable[..., Truth]:
    """The mean after clipping about the median at so many MADs, to convergence."""
    return mean_within(lambda v: _around(_median(v), times / 3 * _mad(v)), None)


def winsorized_mean() -> Callable[..., Truth]:
    """The mean after clipping about the median at 3 winsorized deviations, to convergence."""
    return mean_within(lambda values: _around(_median(values), _winsorized_std(values)), None)


def ccd_clipped_mean(rdnoise: float, gain: float) -> Callable[..., Truth]:
    """The mean after clipping about the median at 3 times the noise of a CCD, to convergence."""

    def bounds(values: Samples) -> tuple[Samples, Samples]:
        at = _median(values)
        return _around(at, np.sqrt((rdnoise / gain) ** 2 + at / gain))

    return mean_within(bounds, None)


def rank_clipped_mean(share: float) -> Callable[..., Truth]:
    """The mean after one clip at 3 times the distance from the median to a sample below it.

    That sample is `share` of half the frames below the median, in rank.
    """

    def bounds(values: Samples) -> tuple[Samples, Samples]:
        n, at = len(values), _median(values)
        sample = np.sort(values, axis=0)[(n - 1) // 2 - int(share * (n // 2))]
        return _around(at, at - sample)

    return mean_within(bounds, 1)


def percentile_mean(low: float, high: float) -> Callable[..., Truth]:
    """The mean of the samples that differ from the median by at most such shares of it."""

    def bounds(values: Samples) -> tuple[Samples, Samples]:
        at = _median(values)
        return at * (1 - low), at * (1 + high)

    return mean_within(bounds, 1)


def variance_clipped_mean() -> Callable[..., Truth]:
    """The mean after clipping about the median at 3 times the root of each sample's variance."""
    return mean_within(lambda v: _around(_median(v), np.sqrt(sample_variance(v))), None)


def poisson_clipped_mean(scales: NDArray[Any], iraf: bool = False) -> Callable[..., Truth]:
    """The mean of scaled frames after clipping in units of the root of each frame's level.

    The clip is about the median, to convergence. `iraf`: deviations are from the median too, not
    from the mean, and their squares are divided by n - 1.
    """
    by = scales.astype(np.float64)[:, None]

    def bounds(values: Samples) -> tuple[Samples, Samples]:
        at = _median(values)
        unit = np.sqrt(np.maximum(1, at * by))
        off = (values - (at if iraf else np.nanmean(values, axis=0))) / unit
        count = np.count_nonzero(~np.isnan(values), axis=0) - (1 if iraf else 0)
        return _around(at, unit * np.sqrt(np.nansum(off * off, axis=0) / count))

    clipped = mean_within(bounds, None)
    return lambda cube: clipped(cube * by[:, :, None])


def row_clipped_mean() -> Callable[..., Truth]:
    """The mean after clipping about the median by a noise that is computed from whole rows.

    The noise is in units of the root of the level.
    """

    def row(samples: Samples) -> Truth:
        at = _median(samples)
        squares = (samples - at) ** 2 / np.maximum(1, at)
        s = np.sqrt(squares.sum() / (samples.size - 1))

        def bounds(values: Samples) -> tuple[Samples, Samples]:
            at = _median(values)
            return _around(at, s * np.sqrt(np.maximum(1, at)))

        return mean_within(bounds, None)(samples)

    def truth(cube: NDArray[Any]) -> Truth:
        rows = [row(cube[:, y].astype(np.float64)) for y in range(cube.shape[1])]
        return Truth(np.array([one.image for one in rows]), np.array([one.close for one in rows]))

    return truth


def line_clipped_mean(times: float) -> Callable[..., Truth]:
    """The mean after clipping about a line through the sorted samples, to convergence.

    Samples further than `times` mean distances from the line are rejected.
    """

    def bounds(values: Samples) -> tuple[Samples, Samples]:
        order = np.argsort(values, axis=0)
        ordered = np.take_along_axis(values, order, axis=0)
        count = np.count_nonzero(~np.isnan(values), axis=0)
        rank = np.where(np.isnan(ordered), np.nan, np.arange(len(values))[:, None])
        off, level = rank - (count - 1) / 2, np.nanmean(values, axis=0)
        slope = np.nansum(off * (ordered - level), axis=0) / np.nansum(off * off, axis=0)
        line, here = level + slope * off, np.empty_like(values)
        np.put_along_axis(here, order, line, axis=0)
        spread = times * np.nanmean(np.abs(ordered - line), axis=0)
        return here - spread, here + spread

    return mean_within(bounds, None)


def mean_within(bounds: Bounds, maxiters: int | None) -> Callable[..., Truth]:
    """The mean of the samples within bounds, which each pass computes anew from the survivors."""

    def truth(cube: NDArray[Any]) -> Truth:
        values = cube.astype(np.float64).reshape(len(cube), -1)
        alive = values.copy()
        close, readmits = np.zeros((2, values.shape[1]), bool)
        todo, passes = np.arange(values.shape[1]), 0
        while todo.size and passes != maxiters:
            passes += 1
            part, first = alive[:, todo], values[:, todo]
            lower, upper = bounds(part)
            near = CLOSE * (upper - lower) / 6
            close[todo] |= (np.minimum(np.abs(part - lower), np.abs(part - upper)) < near).any(
                axis=0
            )
            readmits[todo] = (np.isnan(part) & (first >= lower) & (first <= upper)).any(axis=0)
            outside = (part < lower) | (part > upper)
            part[outside] = np.nan
            alive[:, todo] = part
            todo = todo[outside.any(axis=0)]
        shape = cube.shape[1:]
        image = np.nanmean(alive, axis=0)
        return Truth(image.reshape(shape), close.reshape(shape), readmits.reshape(shape))

    return truth


def replaced_mean() -> Callable[..., Truth]:
    """The mean with medians in the place of samples beyond 3 standard deviations (ddof 1).

    For cubes without NaN. Later passes treat these medians as samples.
    """

    def truth(cube: NDArray[Any]) -> Truth:
        values = cube.astype(np.float64).reshape(len(cube), -1)
        close, todo = np.zeros(values.shape[1], bool), np.arange(values.shape[1])
        while todo.size:
            part = values[:, todo]
            at, spread = _median(part), part.std(axis=0, ddof=1)
            away = np.abs(part - at)
            close[todo] |= (np.abs(away - 3 * spread) < CLOSE * spread).any(axis=0)
            outside = away > 3 * spread
            values[:, todo] = np.where(outside, at, part)
            todo = todo[outside.any(axis=0)]
        shape = cube.shape[1:]
        return Truth(values.mean(axis=0).reshape(shape), close.reshape(shape))

    return truth


def esd_mean(outliers: float, significance: float) -> Callable[..., Truth]:
    """The mean without the outliers of the generalised ESD test (Rosner, 1983)."""
    from scipy.stats import t as student

    def critical(n: int) -> float:
        t = student.ppf(1 - significance / (2 * n), n - 2)
        return float((n - 1) * t / np.sqrt(n * (n - 2 + t * t)))

    def truth(cube: NDArray[Any]) -> Truth:
        n, left = len(cube), cube.astype(np.float64).reshape(len(cube), -1)
        image, close = left.mean(axis=0), np.zeros(left.shape[1], bool)
        for taken in range(int(outliers * n + 1e-9)):
            away = np.abs(left - np.nanmean(left, axis=0))
            furthest = np.nanargmax(away, axis=0), np.arange(left.shape[1])
            excess = away[furthest] / np.nanstd(left, axis=0, ddof=1) - critical(n - taken)
            left[furthest] = np.nan
            close |= np.abs(excess) < CLOSE
            image = np.where(excess > 0, np.nanmean(left, axis=0), image)
        return Truth(image.reshape(cube.shape[1:]), close.reshape(cube.shape[1:]))

    return truth


def _around(at: Samples, unit: Samples) -> tuple[Samples, Samples]:
    """Bounds three spreads below and above a centre."""
    return at - 3 * unit, at + 3 * unit


def _median(values: Samples) -> Samples:
    """The median along axis 0, ignoring NaN, which sort puts last."""
    ordered = np.sort(values, axis=0)
    count = np.count_nonzero(~np.isnan(values), axis=0)
    low, high = (
        np.take_along_axis(ordered, rank[None], axis=0)[0]
        for rank in ((count - 1) // 2, count // 2)
    )
    middle: Samples = (low + high) / 2
    return middle


def _mad(values: Samples) -> Samples:
    return _median(np.abs(values - _median(values)))


def _mad_std(values: Samples) -> Samples:
    return MAD_TO_STD * _mad(values)


def _winsorized_std(values: Samples) -> Samples:
    """The standard deviation s, times 1.134, of samples pulled in to 1.5 s until it settles."""
    at, pulled = _median(values), values.copy()
    spread: Samples = np.nanstd(values, axis=0, ddof=1)
    going = np.arange(values.shape[1])
    while going.size:
        s, m = spread[going], at[going]
        pulled[:, going] = np.clip(pulled[:, going], m - 1.5 * s, m + 1.5 * s)
        spread[going] = 1.134 * np.nanstd(pulled[:, going], axis=0, ddof=1)
        going = going[np.abs(spread[going] - s) > 0.0005 * s]
    return spread
