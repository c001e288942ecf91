"""The clip by a straight line through sorted samples; see `gpustack.clips.LinearFitClip`.

It judges a sample by its rank, so it needs no frames until it is known which ranks go.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import Floats, Ranks, Uniform
from gpustack.backends.ragged import Ragged, exact_sums
from gpustack.clips import LinearFitClip

#: A line through samples fits to rounding where their mean distance is this share of their range.
EXACT_FIT = 2.0**-40

#: Room for rounding, where sums are taken in another order.
SLACK = 2.0**-40

Flags = NDArray[np.bool_]


def rejected_ranks(clip: LinearFitClip, columns: Ragged) -> tuple[Flags, Flags]:
    """Which ranks of columns are too low and too high, pass by pass: both (ranks, m)."""
    rank = np.arange(len(columns.values))[:, np.newaxis]
    alive = (rank >= columns.lo) & (rank < columns.hi)
    low, high = np.zeros_like(alive), np.zeros_like(alive)
    count = columns.count
    least = np.minimum(clip.keep, count) if clip.keep >= 0 else np.maximum(count + clip.keep, 0)
    active = np.flatnonzero(count)
    passes = 0
    while len(active) and passes != clip.maxiters:
        some = slice(None) if len(active) == columns.pixels else active
        left = alive[:, some]
        below, above, short = _one_pass(clip, columns.values[:, some], left, least[some])
        out = below | above
        low[:, some] |= below
        high[:, some] |= above
        alive[:, some] = left & ~out
        active = active[out.any(axis=0) & ~short]
        passes += 1
    return low, high


def _one_pass(
    clip: LinearFitClip, values: Floats, alive: Flags, least: Ranks
) -> tuple[Flags, Flags, Flags]:
    """What a pass rejects, low and high, and in which columns some of it came back."""
    line = Line.through(values, alive)
    low, high = line.outside(clip)
    out = low | high
    kept = np.count_nonzero(alive, axis=0) - np.count_nonzero(out, axis=0)
    short: Flags = kept < least
    if short.any():
        away = np.where(out, np.abs(line.off) / line.spread, np.inf)[:, short]
        last = (least - kept)[np.newaxis, short] - 1
        reach = np.take_along_axis(np.sort(away, axis=0), last, axis=0)
        back = np.zeros_like(out)
        back[:, short] = away <= reach
        low, high = low & ~back, high & ~back
    return low, high, short


def in_frames(ranks: Flags, columns: Ragged, by_frame: Floats) -> Flags:
    """Samples that are flagged by rank, flagged in the order of the frames: (frames, m).

    Few are flagged, so each is looked for; equal samples rank by frame.

    Parameters
    ----------
    ranks : ndarray of bool, shape (ranks, m)
    columns : Ragged
    by_frame : ndarray, shape (frames, m)
        Their samples, +inf for those that are not sorted.
    """
    rank, column = np.nonzero(ranks)
    value, samples = columns.values[rank, column], by_frame[:, column]
    equal = samples == value
    before = rank - np.count_nonzero(samples < value, axis=0)
    tied = np.flatnonzero(np.count_nonzero(equal, axis=0) > 1)
    equal[:, tied] &= np.cumsum(equal[:, tied], axis=0) == before[tied] + 1
    found = np.zeros(by_frame.shape, dtype=bool)
    found[equal.argmax(axis=0), column] = True
    return found


@dataclass(frozen=True, slots=True)
class Line:
    """The least-squares line through the survivors of each column.

    Parameters
    ----------
    off : ndarray of float64, shape (ranks, m)
        How far each is above it; 0 for others.
    spread : ndarray of float64, shape (m,)
        Their mean distance; NaN for fewer than three, and where they are on it.
    """

    off: Floats
    spread: Floats

    @classmethod
    def through(cls, values: Floats, alive: Flags) -> Self:
        """The lines through the samples of sorted columns that are `alive`."""
        n = np.count_nonzero(alive, axis=0)
        rank = _ranks(alive)
        lowest = np.take_along_axis(values, alive.argmax(axis=0)[np.newaxis], axis=0)[0]
        origin = lowest.astype(np.float64)
        above = values - origin
        np.copyto(above, 0.0, where=~alive)
        middle, squares = (n - 1) * 0.5, n * (n.astype(np.float64) ** 2 - 1) / 12
        slope = exact_sums((rank - middle) * above)
        slope /= np.where(squares > 0, squares, np.nan)
        level = exact_sums(above) / np.maximum(n, 1) - slope * middle
        range_ = above.max(axis=0)
        rank *= slope
        rank += level
        above -= rank
        np.copyto(above, 0.0, where=~alive)
        spread = exact_sums(np.abs(above)) / np.maximum(n, 1)
        fits = spread <= EXACT_FIT * range_
        return cls(above, np.where((n < 3) | fits, np.nan, spread))

    def outside(self, clip: LinearFitClip) -> tuple[Flags, Flags]:
        """Which samples are too low and too high."""
        no = np.zeros(self.off.shape, dtype=bool)
        low = no if clip.low is None else self.off < -clip.low * self.spread
        high = no if clip.high is None else self.off > clip.high * self.spread
        return low, high


def _ranks(alive: Flags) -> Floats:
    """The ranks of the survivors among themselves, shape (ranks, m); others may be anything.

    A loop over rows takes a fifth of the time of numpy's cumulative sum.
    """
    result, rank = np.empty(alive.shape), np.full(alive.shape[1], -1.0)
    for here, row in zip(alive, result, strict=True):
        rank += here
        row[...] = rank
    return result


def at_risk(clip: LinearFitClip, columns: Uniform) -> Flags:
    """Which columns have a sample that may be too far from the line through them.

    In loops over rows, with sums that are not exact.
    """
    n = columns.count
    if n < 3:
        return np.zeros(columns.pixels, dtype=bool)
    rows = columns.rows[columns.lo : columns.hi]
    origin, middle = rows[0].astype(np.float64), (n - 1) * 0.5
    slope, level = np.zeros(columns.pixels), np.zeros(columns.pixels)
    for rank, row in enumerate(rows):
        above = row - origin
        level += above
        above *= rank - middle
        slope += above
    slope /= n * (n * n - 1.0) / 12
    level = level / n - slope * middle
    total, lowest, highest = (np.zeros(columns.pixels) for _ in range(3))
    for row in rows:
        off = row - origin
        off -= level
        level += slope  # the line at the next rank
        np.minimum(lowest, off, out=lowest)
        np.maximum(highest, off, out=highest)
        total += np.abs(off, out=off)
    spread = total / n * (1 - SLACK)
    spread[spread <= EXACT_FIT * (1 - SLACK) * (rows[-1] - origin)] = np.nan
    found = np.zeros(columns.pixels, dtype=bool)
    if clip.low is not None:
        found |= lowest < -clip.low * spread
    if clip.high is not None:
        found |= highest > clip.high * spread
    return found
