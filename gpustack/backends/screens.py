"""Screens: bounds of clips computed in float32, with limits of their error.

Bounds in float32 take a third of the time of bounds in float64. Nearly every sample is further
from a bound than the error of the bound, so that float32 decides about it. The columns of the few
other samples are left to float64.
"""

import math
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.bounds import Bound, center_of, rows_beyond, without_ends
from gpustack.backends.columns import MAD_TO_STD, Floats, Ranks, Uniform
from gpustack.backends.ragged import Ragged
from gpustack.backends.statistics import mean, median
from gpustack.clips import ColumnClip, MADClip, SigmaClip

#: The largest relative error of rounding to float32, and the smallest positive float32.
ROUNDING, SMALLEST = 2.0**-24, 2.0**-149

#: Centres and spreads must be below this. If a factor times a spread then overflows float32, the
#: true bound is at least 2^103 - 2^100 above the largest float32, so that no sample is beyond it.
OVERFLOW_SAFE = 2.0**100

Pair = tuple[Bound, Bound]


@dataclass(frozen=True, slots=True, eq=False)
class Screen:
    """Bounds that are no wider than those of a clip, and bounds that are no narrower.

    Both are pairs (lower, upper). Samples within `inner` survive and samples beyond `outer` are
    rejected, except in a column of equal samples, where all survive.
    """

    inner: Pair
    outer: Pair

    def take(self, which: Ranks) -> "Screen":
        """Return the screen of some of the columns."""
        lower, upper = (
            (_take(inner, which), _take(outer, which))
            for inner, outer in zip(self.inner, self.outer, strict=True)
        )
        return Screen((lower[0], upper[0]), (lower[1], upper[1]))

    def intervals(self, columns: Ragged) -> tuple[Ranks, Ranks, NDArray[np.bool_]]:
        """The intervals that a pass leaves, and flags of columns for which they are not certain."""
        (lower, upper), (lowest, highest) = self.inner, self.outer
        below, low = count_beyond(np.less, columns.values, lower, lowest)
        above, high = count_beyond(np.greater, columns.values[::-1], upper, highest)
        return *without_ends(columns, below, above), low | high


def count_beyond(
    is_beyond: np.ufunc, rows: Floats, inner: Bound, outer: Bound
) -> tuple[Ranks, NDArray[np.bool_]]:
    """Count samples beyond `inner` in each column; flag columns where one is not beyond `outer`."""
    count = np.zeros(rows.shape[1], np.min_scalar_type(len(rows)))
    unsure = np.zeros(rows.shape[1], dtype=bool)
    for row, beyond in rows_beyond(is_beyond, rows, inner):
        count += beyond.view(np.uint8)
        unsure |= beyond > is_beyond(row, outer)
    return count, unsure


def _take(bound: Bound, which: Ranks) -> Bound:
    return bound if isinstance(bound, float) else bound.take(which, mode="clip")


def has_screen(clip: ColumnClip, dtype: np.dtype[np.floating]) -> TypeGuard[SigmaClip | MADClip]:
    """Whether a `Screen` can be computed for a clip of samples of `dtype`."""
    return dtype == np.float32 and isinstance(clip, SigmaClip | MADClip)


def screen(clip: SigmaClip | MADClip, columns: Uniform, first: bool = True) -> Screen:
    """Return the screen of a pass of `clip`; `first` says whether it is the first pass.

    The centre, the bounds, each factor and its product with the spread are rounded to float32.
    Each rounding changes a number by at most `ROUNDING` times the number.
    """
    center = median(columns) if isinstance(clip, MADClip) else center_of(clip, columns, first)
    return screen_around(clip, center, *_spread_between(clip, columns, center.astype(np.float32)))


def screen_around(
    clip: SigmaClip | MADClip, center: Floats, least: Floats, most: Floats, off: Floats | float = 0
) -> Screen:
    """Return the screen of `clip` about a centre that is wrong by at most `off`.

    The spread is between `least` and `most`, which are float32, may be wrong by a few roundings,
    and are overwritten.
    """
    near = center.astype(np.float32)
    least *= 1 - 8 * ROUNDING
    most *= 1 + 8 * ROUNDING
    slack = np.abs(near)
    unusable = ~((most < OVERFLOW_SAFE) & (slack < OVERFLOW_SAFE))
    slack *= 4 * ROUNDING
    slack += 4 * SMALLEST
    slack += off
    if unusable.any():
        slack[unusable], least[unusable], most[unusable] = np.inf, 0, 0
    below, above = near - slack, np.add(near, slack, out=slack)
    return Screen(_bounds(clip, above, below, least), _bounds(clip, below, above, most))


def _bounds(clip: SigmaClip | MADClip, low: Floats, high: Floats, unit: Floats) -> Pair:
    """The bounds: `clip.low` units below `low`, and `clip.high` units above `high`."""
    lower = -np.inf if clip.low is None else low - clip.low * unit
    upper = np.inf if clip.high is None else high + clip.high * unit
    return lower, upper


def _spread_between(
    clip: SigmaClip | MADClip, columns: Uniform, center: Floats
) -> tuple[Floats, Floats]:
    """Lower and upper limits of the spread; inf or NaN if float32 overflows or it is undefined."""
    if isinstance(clip, MADClip):
        return _mad_between(columns, 1.0)
    if clip.spread == "mad_std":
        return _mad_between(columns, MAD_TO_STD)
    about = center if clip.about == "center" else mean(columns).astype(np.float32)
    return _std_between(columns, about, clip.ddof)


def _mad_between(columns: Uniform, factor: float) -> tuple[Floats, Floats]:
    mad = columns.mad(np.float32).astype(np.float32)
    least, most = mad * (factor * (1 - 8 * ROUNDING)), mad * (factor * (1 + 8 * ROUNDING))
    least -= 4 * SMALLEST
    most += 4 * SMALLEST
    return least, most


def sum_error(n: int) -> float:
    """The largest relative error of a sum of squares of n deviations in float32.

    This allows for 3 roundings of each square, n - 1 of their sum in any order, and a few more.

    References
    ----------
    Higham, Accuracy and Stability of Numerical Algorithms, lemma 3.1.
    """
    roundings = (n + 8) * ROUNDING
    return roundings / (1 - roundings) if roundings < 1 else math.inf


def _std_between(columns: Uniform, about: Floats, ddof: int) -> tuple[Floats, Floats]:
    """Limits of the standard deviation, from the length of the vector of deviations.

    The sum of squares has 3 roundings of each square, n - 1 of the sum and one of a product here,
    and lacks squares that underflow to 0. If deviations are about a value that is wrong by `off`,
    the length is wrong by at most sqrt(n) times `off`.
    """
    n, root, divide = columns.valid, *_factors(columns.count, ddof)
    squares = columns.sum_of_squares(about)
    share, lost = sum_error(n), 4 * n * SMALLEST
    least, most = squares * (1 - share), squares * (1 + share)
    least -= lost
    most += lost
    off = np.abs(about)
    off *= root * ROUNDING * (1 + 8 * ROUNDING)
    off += root * SMALLEST
    np.sqrt(np.maximum(least, 0, out=least), out=least)
    least -= off
    least *= divide * (1 - 8 * ROUNDING)
    np.sqrt(most, out=most)
    most += off
    most *= divide * (1 + 8 * ROUNDING)
    return least, most


def _factors(count: Any, ddof: int) -> tuple[Any, Any]:
    """The square root of `count`, and 1 / the root of ``count - ddof``; NaN where that is not > 0.

    Floats for a count that columns share, as these leave float32 arrays in float32.
    """
    degrees = np.subtract(count, ddof, dtype=np.float64)
    root, divide = np.sqrt(count), 1 / np.sqrt(np.where(degrees > 0, degrees, np.nan))
    return (root, divide) if np.ndim(count) else (float(root), float(divide))
