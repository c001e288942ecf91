"""The standard deviation of winsorized survivors; see `gpustack.clips.WinsorizedClip`."""

import numpy as np

from gpustack.backends.columns import Floats, Ranks, chunks
from gpustack.backends.esd import FEW_SAMPLES
from gpustack.backends.ragged import column_sums
from gpustack.backends.statistics import Columns
from gpustack.clips import WINSOR_CUTOFF, WINSOR_FACTOR, WINSOR_ROUNDS, WINSOR_SETTLED


def winsorized_std(columns: Columns, center: Floats, frames: int) -> Floats:
    """What the spread of each column settles at; NaN for fewer than 2 survivors.

    Parameters
    ----------
    columns : Uniform or Ragged
    center : ndarray of float, shape (pixels,)
        The medians.
    frames : int
        The most samples that a column can have.
    """
    count = np.broadcast_to(columns.count, columns.pixels)
    result = np.empty(columns.pixels)
    for some in chunks(columns.pixels, frames, FEW_SAMPLES):
        away, missing = columns.survivors(some)
        away -= center[some]
        if missing is not None:
            # At the centre they stay where they are, however far others are pulled in.
            np.copyto(away, 0.0, where=missing)
        result[some] = _settle(away, count[some])
    return result


def _settle(away: Floats, count: Ranks) -> Floats:
    """The settled spread of columns of distances from the median, of which `count` count."""
    spread, reach = _std(away, count), np.full(len(count), np.inf)
    result, going = spread.copy(), np.arange(len(count))
    for _ in range(WINSOR_ROUNDS):
        # To pull in what was pulled in before is to pull in by the shortest reach so far.
        reach = np.minimum(reach, WINSOR_CUTOFF * spread)
        fresh = WINSOR_FACTOR * _std(np.clip(away, -reach, reach), count)
        result[going] = fresh
        on = np.abs(fresh - spread) > WINSOR_SETTLED * spread
        if not on.any():
            break
        going, away, count = going[on], away[:, on], count[on]
        spread, reach = fresh[on], reach[on]
    return result


def _std(away: Floats, count: Ranks) -> Floats:
    """The standard deviation (ddof 1) of columns in which what does not count is 0."""
    mean = column_sums(away) / count
    off = away - mean
    np.multiply(off, off, out=off)
    squares = column_sums(off) - (len(away) - count) * mean * mean
    degrees = np.where(count > 1, count - 1.0, np.nan)
    spread: Floats = np.sqrt(np.maximum(squares, 0.0) / degrees)
    return spread
