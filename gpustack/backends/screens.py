"""What clips by bounds do to columns of float32, told in float32; where it cannot tell, it says so.

Bounds in float32 take a third of the time of those in float64, and it is known how far they may
be off. Nearly every sample lies so far from them that it does not matter; the columns of the few
others are for float64 to decide.
"""

import math
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.bounds import Bound, center_of, rows_beyond, without_ends
from gpustack.backends.columns import MAD_TO_STD, Floats, Ranks, Uniform
from gpustack.backends.ragged import Ragged
from gpustack.backends.statistics import mean, median
from gpustack.clips import ColumnClip, MADClip, SigmaClip

#: Half the last bit of a float32, relative to it, and the smallest float32.
ROUNDING, SMALLEST = 2.0**-24, 2.0**-149

#: Of centres and spreads below this: where a factor times a spread overflows float32, the bound
#: that is meant is 2^103 - 2^100 or more above the largest float32, so that nothing is beyond it.
FAR = 2.0**100

Pair = tuple[Bound, Bound]


@dataclass(frozen=True, slots=True, eq=False)
class Screen:
    """Bounds no wider than those of a clip, and bounds no narrower, as lower and upper ones.

    Samples within `inner` pass, and those beyond `outer` do not: but in a column all of whose
    samples are equal, where all pass.
    """

    inner: Pair
    outer: Pair

    def take(self, which: Ranks) -> "Screen":
        """Those of some of the columns."""
        lower, upper = (
            (_take(inner, which), _take(outer, which))
            for inner, outer in zip(self.inner, self.outer, strict=True)
        )
        return Screen((lower[0], upper[0]), (lower[1], upper[1]))

    def intervals(self, columns: Ragged) -> tuple[Ranks, Ranks, NDArray[np.bool_]]:
        """The intervals that a pass leaves, and of which columns they are not sure."""
        (lower, upper), (lowest, highest) = self.inner, self.outer
        below, low = count_beyond(np.less, columns.values, lower, lowest)
        above, high = count_beyond(np.greater, columns.values[::-1], upper, highest)
        return *without_ends(columns, below, above), low | high


def count_beyond(
    is_beyond: np.ufunc, rows: Floats, inner: Bound, outer: Bound
) -> tuple[Ranks, NDArray[np.bool_]]:
    """How many samples of each column are beyond `inner`, and where one is not beyond `outer`."""
    count = np.zeros(rows.shape[1], np.min_scalar_type(len(rows)))
    unsure = np.zeros(rows.shape[1], dtype=bool)
    for row, beyond in rows_beyond(is_beyond, rows, inner):
        count += beyond.view(np.uint8)
        unsure |= beyond > is_beyond(row, outer)
    return count, unsure


def _take(bound: Bound, which: Ranks) -> Bound:
    return bound if isinstance(bound, float) else bound.take(which, mode="clip")


def tells(clip: ColumnClip, dtype: np.dtype[np.floating]) -> TypeGuard[SigmaClip | MADClip]:
    """Whether there is a `Screen` for a clip of samples of a dtype."""
    return dtype == np.float32 and isinstance(clip, SigmaClip | MADClip)


def screen(clip: SigmaClip | MADClip, columns: Uniform, first: bool = True) -> Screen:
    """What float32 tells of the bounds of a pass of `clip`, whether it is the first.

    Bounds are rounded to float32, as is the centre before them, each by no more than `ROUNDING`
    of themselves; so are a factor and its product with a spread.
    """
    center = median(columns) if isinstance(clip, MADClip) else center_of(clip, columns, first)
    return screen_around(clip, center, *_spread_between(clip, columns, center.astype(np.float32)))


def screen_around(
    clip: SigmaClip | MADClip, center: Floats, least: Floats, most: Floats, off: Floats | float = 0
) -> Screen:
    """Bounds at the distances that a clip has from a centre that is `off` by no more than that.

    Its spread is between `least` and `most`, which are float32, may be off by some roundings, and
    are overwritten.
    """
    near = center.astype(np.float32)
    least *= 1 - 8 * ROUNDING
    most *= 1 + 8 * ROUNDING
    slack = np.abs(near)
    untold = ~((most < FAR) & (slack < FAR))
    slack *= 4 * ROUNDING
    slack += 4 * SMALLEST
    slack += off
    if untold.any():
        slack[untold], least[untold], most[untold] = np.inf, 0, 0
    below, above = near - slack, np.add(near, slack, out=slack)
    return Screen(_bounds(clip, above, below, least), _bounds(clip, below, above, most))


def _bounds(clip: SigmaClip | MADClip, low: Floats, high: Floats, unit: Floats) -> Pair:
    """So many units below `low` and above `high`."""
    lower = -np.inf if clip.low is None else low - clip.low * unit
    upper = np.inf if clip.high is None else high + clip.high * unit
    return lower, upper


def _spread_between(
    clip: SigmaClip | MADClip, columns: Uniform, center: Floats
) -> tuple[Floats, Floats]:
    """No more, and no less, than the spread; inf or NaN where float32 overflows or it has none."""
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
    """How far a sum of squares of n deviations in float32 may be off, relative to it.

    3 roundings of each square, n - 1 of their sum in any order, and a few to spare.

    References
    ----------
    Higham, Accuracy and Stability of Numerical Algorithms, lemma 3.1.
    """
    roundings = (n + 8) * ROUNDING
    return roundings / (1 - roundings) if roundings < 1 else math.inf


def _std_between(columns: Uniform, about: Floats, ddof: int) -> tuple[Floats, Floats]:
    """By the length of the vector of deviations.

    Of the squares 3 roundings, n - 1 of their sum, one of a product here, and squares that became
    0. About something else by `off` the length is another by no more than sqrt(n) times that.
    """
    n, root = columns.count, math.sqrt(columns.count)
    squares = columns.sum_of_squares(about)
    share, lost = sum_error(n), 4 * n * SMALLEST
    least, most = squares * (1 - share), squares * (1 + share)
    least -= lost
    most += lost
    off = np.abs(about)
    off *= root * ROUNDING * (1 + 8 * ROUNDING)
    off += root * SMALLEST
    divide = 1 / math.sqrt(n - ddof) if n > ddof else math.nan
    np.sqrt(np.maximum(least, 0, out=least), out=least)
    least -= off
    least *= divide * (1 - 8 * ROUNDING)
    np.sqrt(most, out=most)
    most += off
    most *= divide * (1 + 8 * ROUNDING)
    return least, most
