"""The standard deviation of winsorized survivors; see `gpustack.clips.WinsorizedClip`."""

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import Floats, Ranks, chunks
from gpustack.backends.statistics import Columns, median
from gpustack.backends.totals import column_sums
from gpustack.clips import (
    WINSOR_CUTOFF,
    WINSOR_FACTOR,
    WINSOR_ROUNDS,
    WINSOR_SETTLED,
    WinsorizedClip,
)


def winsorized_std(columns: Columns, center: Floats, frames: int) -> Floats:
    """The winsorized spread at which each column settles; NaN for fewer than 2 survivors.

    Parameters
    ----------
    columns : Uniform or Ragged
    center : ndarray of float, shape (pixels,)
        The medians of the columns.
    frames : int
        The most samples that a column can have.
    """
    count = np.broadcast_to(columns.count, columns.pixels)
    result = np.empty(columns.pixels)
    for some in chunks(columns.pixels, frames):
        away, missing = columns.survivors(some)
        away -= center[some]
        if missing is not None:
            # Missing samples are put at the centre, where winsorizing never moves them.
            np.copyto(away, 0.0, where=missing)
        del missing
        result[some] = _settled_spread(away, count[some])
    return result


def at_risk(clip: WinsorizedClip, columns: Columns) -> NDArray[np.bool_]:
    """The columns that may lose a sample to `clip`, found by one round in the samples' dtype.

    Let f(r) be `WINSOR_FACTOR` times the standard deviation of samples that are pulled in to a
    distance r from the median. f does not fall as r grows, because no two samples come nearer to
    each other. Let T be the spread with which the ends of a column just survive, and r be
    `WINSOR_CUTOFF` times T. The first reach is `WINSOR_CUTOFF` times the plain standard deviation.
    If it is >= r and f(r) >= T, the next spread is >= f(r) >= T, and the next reach is >= r again.
    So whichever round is the last, its spread leaves the column as it is.
    """
    tiny = np.finfo(columns.dtype)
    rounding, count = tiny.eps / 2, np.asarray(columns.count)
    lowest, highest = columns.at(columns.lo), columns.at(columns.hi - 1)
    center = median(columns).astype(columns.dtype)
    off = np.abs(center) * rounding  # at most so far from the exact median
    needed = np.zeros(columns.pixels, columns.dtype)
    for factor, gap in ((clip.low, center - lowest), (clip.high, highest - center)):
        if factor is not None:
            np.maximum(needed, (gap + off) / factor if factor else np.inf, out=needed)
    needed *= 1 + 8 * rounding
    reach = needed * columns.dtype.type(WINSOR_CUTOFF * (1 - 8 * rounding))
    plain, pulled = least_spreads(columns, center, reach)
    safe: NDArray[np.bool_] = WINSOR_FACTOR * (1 - 8 * rounding) * pulled >= needed
    safe &= WINSOR_CUTOFF * (1 - 8 * rounding) * plain >= reach
    safe |= (count < 2) | (lowest == highest)
    return ~safe


def least_spreads(columns: Columns, center: Floats, reach: Floats) -> tuple[Floats, Floats]:
    """Lower limits of the standard deviation (ddof 1) of survivors, as they are and pulled in.

    The latter are pulled in to a distance `reach` from the median; `center` is the median rounded
    to the samples' dtype. NaN where no limit is known.
    """
    tiny = np.finfo(columns.dtype)
    rounding, count = tiny.eps / 2, np.asarray(columns.count)
    # By how much sums of rounded terms may be too large: relative to them, and by underflow.
    share, least = (4 * count + 32) * rounding, 8 * count * tiny.smallest_subnormal
    # If no sample changes by more than d, no spread changes by more than 2 d.
    off = 2 * np.abs(center) * rounding
    spreads = []
    for total, squares in _sums(columns, center, reach):
        np.copyto(squares, np.nan, where=np.isinf(squares))
        variance = squares * (1 - share) - total * total / count - least
        variance /= np.maximum(count - 1, 1)
        spreads.append(np.sqrt(variance) * (1 - 8 * rounding) - off - reach * (4 * rounding))
    plain, pulled = spreads
    return plain, pulled


def _sums(columns: Columns, center: Floats, reach: Floats) -> Floats:
    """The sums of survivors' distances from the centre, and of the squares of these.

    Both for the distances as they are, and for distances pulled in to `reach`; shape
    (2, 2, pixels).
    """
    sums = np.empty((2, 2, columns.pixels), columns.dtype)
    ranks = int(np.max(columns.hi) - np.min(columns.lo))
    for some in chunks(columns.pixels, ranks):
        away, missing = columns.survivors(some, columns.dtype)
        away -= center[some]
        if missing is not None:
            np.copyto(away, 0.0, where=missing)
        squares = away * away
        sums[0, :, some] = column_sums(away), column_sums(squares)
        _pull_in(away, reach[some], out=away)
        np.multiply(away, away, out=squares)
        sums[1, :, some] = column_sums(away), column_sums(squares)
    return sums


def _settled_spread(away: Floats, count: Ranks) -> Floats:
    """The settled spread of columns of distances from the median; `count` of them are survivors."""
    scratch = np.empty_like(away)
    spread, reach = _std(away, count, scratch), np.full(len(count), np.inf)
    result, index = spread.copy(), np.arange(len(count))
    going = np.ones(len(count), dtype=bool)
    for _ in range(WINSOR_ROUNDS):
        # Pulling in distances again has the same effect as pulling in by the shortest reach so far.
        reach = np.minimum(reach, WINSOR_CUTOFF * spread)
        _pull_in(away, reach, out=scratch)
        fresh = WINSOR_FACTOR * _std(scratch, count, scratch)
        result[index[going]] = fresh[going]
        going &= np.abs(fresh - spread) > WINSOR_SETTLED * spread
        left, spread = np.count_nonzero(going), fresh
        if not left:
            break
        if left < len(going) // 2:  # copying columns in every round takes longer
            del scratch  # frees its memory before the copy is made
            away = away.take(np.flatnonzero(going), axis=1)  # in C order, unlike away[:, going]
            index, count = index[going], count[going]
            spread, reach = spread[going], reach[going]
            scratch, going = np.empty_like(away), np.ones(left, dtype=bool)
    return result


def _pull_in(away: Floats, reach: Floats, out: Floats) -> None:
    """Pull distances in to `reach`."""
    np.minimum(away, reach, out=out)
    np.maximum(out, -reach, out=out)


def _std(away: Floats, count: Ranks, scratch: Floats) -> Floats:
    """The standard deviation (ddof 1) of columns of distances, 0 for samples that do not count.

    It is computed from the squared distances from the median. Their sum is at most twice that from
    the mean, so at most one bit is lost. `scratch`, which may be `away`, is overwritten.
    """
    total = column_sums(away)
    squares = column_sums(np.multiply(away, away, out=scratch)) - total * total / count
    degrees = np.where(count > 1, count - 1.0, np.nan)
    spread: Floats = np.sqrt(np.maximum(squares, 0.0) / degrees)
    return spread
