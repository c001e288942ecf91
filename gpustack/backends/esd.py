"""The generalised ESD test for outliers; see `gpustack.clips.ESDClip`."""

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import Floats, Ranks, Uniform, chunks
from gpustack.backends.statistics import Columns
from gpustack.backends.totals import column_sums
from gpustack.clips import ESDClip
from gpustack.clips.esd_critical import critical_values


def outliers(clip: ESDClip, columns: Columns, least: Ranks, frames: int) -> tuple[Ranks, Ranks]:
    """How many samples at the low and at the high end of each column are outliers.

    Parameters
    ----------
    clip : ESDClip
    columns : Uniform or Ragged
    least : ndarray of int, shape (pixels,)
        How many samples of each column must survive.
    frames : int
        The most samples that a column can have.
    """
    count = np.broadcast_to(columns.count, columns.pixels)
    steps = np.minimum(clip.most(count), count - least)
    critical = critical_values(clip.significance, int(count.max(initial=0)))
    low, high = np.zeros((2, columns.pixels), np.intp)
    for some in chunks(columns.pixels, frames):
        away, first = _from_middle(columns, some, count[some])
        if len(away):
            low[some], high[some] = _test(away, first, count[some], steps[some], critical)
    return low, high


def _from_middle(columns: Columns, some: slice, count: Ranks) -> tuple[Floats, Ranks]:
    """The distances of survivors from a middle one, 0 for other ranks; and their first ranks."""
    away, missing = columns.survivors(some)
    first = np.zeros(len(count), np.intp)
    if not len(away):
        return away, first
    if missing is not None:
        first = missing.argmin(axis=0)  # the first rank that is not missing
    away -= away[np.minimum(first + count // 2, len(away) - 1), np.arange(len(count))]
    if missing is not None:
        np.copyto(away, 0.0, where=missing)
    return away, first


def at_risk(clip: ESDClip, columns: Uniform, least: int) -> NDArray[np.bool_]:
    """The columns from which `clip` may reject a sample, computed in the samples' dtype.

    The steps are those of the test, but samples that are set aside are subtracted from the sums. A
    column is at risk if the error of the sums leaves open whether a critical value is exceeded, or
    which end is further from the mean.
    """
    n = columns.count
    critical = critical_values(clip.significance, n)
    risk = np.zeros(columns.pixels, dtype=bool)
    for some in chunks(columns.pixels, n):
        values, _ = columns.survivors(some, columns.dtype)
        for step in range(min(int(clip.most(n)), n - least)):
            if n - step < 3:
                break
            if step == 0:
                ends = EndsTest(values)
            risk[some] |= ends.may_exceed(float(critical[n - step]))
            ends.set_aside()
    return risk


class EndsTest:
    """The ends of sorted columns, shape (n, m), and sums over the samples not yet set aside.

    The sums are of distances from the middle sample, and of their squares.
    """

    def __init__(self, values: Floats) -> None:
        self._values, (n, m) = values, values.shape
        self._center = values[n // 2].copy()
        # Positions in the flattened array.
        self._lo = np.arange(m)
        self._hi = self._lo + (n - 1) * m
        self._left, away = n, values - self._center
        self._total = column_sums(away)
        self._squares = column_sums(np.multiply(away, away, out=away))
        # Each sum has at most 2 n + 8 roundings. Those of the total are relative to the sum of the
        # absolute distances, which is at most the root of n times the sum of squares; those of
        # the squares are relative to the sum of squares.
        tiny = np.finfo(values.dtype)
        share = (2 * n + 8) * (tiny.eps / 2)
        self._off_mean = share * np.sqrt(n * self._squares)
        # Squaring the total doubles its error; with that of the squares it is three times as much.
        self._off_squares = 3 * n * share * self._squares + 8 * n * tiny.smallest_subnormal

    def may_exceed(self, critical: float | Floats) -> NDArray[np.bool_]:
        """Which columns may have an end more than `critical` standard deviations from the mean.

        They include those in which rounding leaves open which end is further from the mean.
        """
        n, mean = self._left, self._total / self._left
        flat = self._values.reshape(-1)
        top, bottom = (flat.take(at, mode="clip") for at in (self._hi, self._lo))
        top -= self._center
        bottom -= self._center
        above, below = top - mean, mean - bottom
        self._up = above >= below
        self._further = np.where(self._up, top, bottom)
        mean *= self._total
        squares = self._squares - mean
        squares -= self._off_squares / n
        squares /= n - 1
        reach, off = critical * np.sqrt(squares, out=squares), self._off_mean / n
        safe: NDArray[np.bool_] = np.maximum(above, below) + off <= reach
        above -= below
        safe &= np.abs(above, out=above) > 2 * off
        safe |= top == bottom
        return ~safe

    def set_aside(self) -> None:
        """Set aside the end that `may_exceed` found to be further from the mean."""
        self._total -= self._further
        self._squares -= self._further * self._further
        self._left -= 1
        down = self._up * len(self._up)
        self._hi -= down
        self._lo += len(self._up)
        self._lo -= down


def _test(
    left: Floats, first: Ranks, count: Ranks, steps: Ranks, critical: NDArray[np.float64]
) -> tuple[Ranks, Ranks]:
    """Test columns whose survivors are the `count` ranks from `first` on; others are 0.

    In `left`, samples are distances from a middle one; those that are set aside become 0.

    Returns how many samples at the low and at the high end of each column are outliers.
    """
    column = np.arange(len(count))
    lo, hi = first.copy(), first + count
    squares, found = left * left, np.zeros((2, len(count)), np.intp)
    for step in range(int(steps.max(initial=0))):
        n = hi - lo
        ends = left[lo.clip(max=len(left) - 1), column], left[hi - 1, column]
        going = (step < steps) & (n >= 3) & (ends[1] > ends[0])
        mean = column_sums(left) / n
        above, below = ends[1] - mean, mean - ends[0]
        up = above >= below
        about_mean = _squares_about_mean(left, squares, mean, lo, hi)
        deviation = np.where(up, above, below) / np.sqrt(about_mean / (n - 1))
        removed = np.where(up, hi - 1, lo)
        hi -= going & up
        lo += going & ~up
        beyond = going & (deviation > critical[n])
        np.copyto(found, (lo - first, first + count - hi), where=beyond)
        where = removed[going], column[going]
        left[where] = squares[where] = 0.0
    return found[0], found[1]


def _squares_about_mean(
    left: Floats, squares: Floats, mean: Floats, lo: Ranks, hi: Ranks
) -> Floats:
    """The sum of ``(x - mean)^2`` over the ranks ``[lo, hi)`` of `left`; other ranks are 0.

    Computed from the sum of `squares`, those of `left`, but where the difference would lose more
    than a bit: where the mean is far from 0 compared with the deviations.
    """
    total, shift = column_sums(squares), (hi - lo) * mean * mean
    far = np.flatnonzero(shift > total * 0.5)
    total -= shift
    if len(far):
        rank = np.arange(len(left))[:, np.newaxis]
        off = left.take(far, axis=1) - mean[far]
        np.copyto(off, 0.0, where=(rank < lo[far]) | (rank >= hi[far]))
        total[far] = column_sums(np.multiply(off, off, out=off))
    return total
