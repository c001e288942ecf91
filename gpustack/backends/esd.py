"""The generalised ESD test for outliers; see `gpustack.clips.ESDClip`."""

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import Floats, Ranks, chunks
from gpustack.backends.ragged import column_sums
from gpustack.backends.statistics import Columns
from gpustack.clips import ESDClip
from gpustack.critical import critical_values

#: Samples that are worked on at a time. Several copies of them in float64 stay in cache.
FEW_SAMPLES = 200_000


def outliers(clip: ESDClip, columns: Columns, least: Ranks, frames: int) -> tuple[Ranks, Ranks]:
    """How many samples at the low and at the high end of each column are outliers.

    Parameters
    ----------
    clip : ESDClip
    columns : Uniform or Ragged
    least : ndarray of int, shape (pixels,)
        So many samples must survive.
    frames : int
        The most samples that a column can have.
    """
    count = np.broadcast_to(columns.count, columns.pixels)
    steps = np.minimum(clip.most(count), count - least)
    critical = critical_values(clip.significance, int(count.max(initial=0)))
    low, high = np.zeros((2, columns.pixels), np.intp)
    for some in chunks(columns.pixels, frames, FEW_SAMPLES):
        values, missing = columns.survivors(some)
        if not len(values):
            continue
        first = np.zeros(values.shape[1], np.intp)
        if missing is not None:
            # argmin gives the first rank that is not missing.
            first = missing.argmin(axis=0)
            np.copyto(values, 0.0, where=missing)
        low[some], high[some] = _test(values, first, count[some], steps[some], critical)
    return low, high


def _test(
    values: Floats, first: Ranks, count: Ranks, steps: Ranks, critical: NDArray[np.float64]
) -> tuple[Ranks, Ranks]:
    """The test of columns whose survivors are the `count` ranks from `first` on.

    All other values are 0.
    """
    column = np.arange(len(count))
    middle = values[np.minimum(first + count // 2, len(values) - 1), column]
    lo, hi = first.copy(), first + count
    rank = np.arange(len(values))[:, np.newaxis]
    values = np.where((rank >= lo) & (rank < hi), values - middle, 0.0)
    left, found = values.copy(), np.zeros((2, len(count)), np.intp)
    for step in range(int(steps.max(initial=0))):
        n = hi - lo
        ends = values[lo.clip(max=len(values) - 1), column], values[hi - 1, column]
        going = (step < steps) & (n >= 3) & (ends[1] > ends[0])
        mean = column_sums(left) / n
        above, below = ends[1] - mean, mean - ends[0]
        up = above >= below
        deviation = np.where(up, above, below) / _std(left, mean, n)
        removed = np.where(up, hi - 1, lo)
        hi -= going & up
        lo += going & ~up
        beyond = going & (deviation > critical[n])
        np.copyto(found, (lo - first, first + count - hi), where=beyond)
        left[removed[going], column[going]] = 0.0
    return found[0], found[1]


def _std(left: Floats, mean: Floats, n: Ranks) -> Floats:
    """The standard deviation (ddof 1) of columns of `n` values and zeros that do not count."""
    off = left - mean
    np.multiply(off, off, out=off)
    squares = column_sums(off) - (len(left) - n) * mean * mean
    spread: Floats = np.sqrt(np.maximum(squares, 0.0) / (n - 1))
    return spread
