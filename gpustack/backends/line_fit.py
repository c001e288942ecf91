"""The clip by a straight line through sorted samples; see `gpustack.clips.LinearFitClip`.

It judges a sample by its rank, so it needs frames only once the rejected ranks are known.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from gpustack.backends.columns import Floats, Ranks, Uniform, difference
from gpustack.backends.keep import Flags, bring_back, least_kept
from gpustack.backends.ragged import Ragged
from gpustack.backends.totals import column_sums, count_flags
from gpustack.clips import LinearFitClip

#: A line fits samples up to rounding if their mean distance from it is at most this share of their
#: range.
EXACT_FIT = 2.0**-40

#: Margin of `at_risk` for rounding, because its sums are added in another order.
SLACK = 2.0**-40


def rejected_ranks(clip: LinearFitClip, columns: Ragged) -> tuple[Flags, Flags]:
    """Run all passes of `clip`; return which ranks are too low and too high, both (ranks, m)."""
    rank = np.arange(len(columns.values))[:, np.newaxis]
    alive = (rank >= columns.lo) & (rank < columns.hi)
    low, high = np.zeros_like(alive), np.zeros_like(alive)
    count = columns.count
    least = least_kept(clip.keep, count)
    active = np.flatnonzero(count)
    passes = 0
    while len(active) and passes != clip.maxiters:
        values, left = columns.values, alive
        some: Ranks | slice = slice(None)
        if len(active) < columns.pixels:
            values, left, some = values.take(active, 1), left.take(active, 1), active
        below, above, short = _one_pass(clip, values, left, least[some])
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
    """Return the samples that a pass rejects, low and high, and columns where some came back."""
    line = Line.through(values, alive)
    low, high = line.outside(clip)
    count = count_flags(alive)
    return bring_back(low, high, lambda some: line.off[:, some], line.spread, count, least)


def left_between(low: Flags, high: Flags, columns: Ragged) -> tuple[Ranks, Ranks, Flags]:
    """Return the interval left in each column, and whether it says which samples survive.

    It does not if a rank between survivors is rejected. Nor does it if it would end between equal
    samples, which only differ by their frames.

    Parameters
    ----------
    low, high : ndarray of bool, shape (ranks, m)
        What `rejected_ranks` found in `columns`.

    Returns
    -------
    lo, hi : ndarray of int, shape (m,)
    whole : ndarray of bool, shape (m,)
        Whether the interval says which samples survive.
    """
    rank = np.arange(len(low))[:, np.newaxis]
    lo = columns.lo + count_flags(low)
    hi = columns.hi - count_flags(high)
    torn = ((low & (rank >= lo)) | (high & (rank < hi))).any(axis=0)
    torn |= (lo > columns.lo) & (columns.at(lo - 1) == columns.at(lo))
    torn |= (hi < columns.hi) & (columns.at(hi - 1) == columns.at(hi))
    return lo, hi, ~torn


def in_frames(low: Flags, high: Flags, by_frame: Floats) -> tuple[Flags, Flags]:
    """Convert flags by rank, both (ranks, m), to flags by frame, both (frames, m).

    Equal samples rank by frame.

    Parameters
    ----------
    low, high : ndarray of bool, shape (ranks, m)
    by_frame : ndarray, shape (frames, m)
        The sorted samples in frame order, +inf for others.
    """
    order = np.argsort(by_frame, axis=0, kind="stable")[: len(low)]
    found = np.zeros((2, *by_frame.shape), dtype=bool)
    for side, ranks in zip(found, (low, high), strict=True):
        np.put_along_axis(side, order, ranks, axis=0)
    return found[0], found[1]


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """The least-squares line through the survivors of each column.

    Parameters
    ----------
    off : ndarray of float64, shape (ranks, m)
        How far each survivor is above the line; 0 for other samples.
    spread : ndarray of float64, shape (m,)
        Mean absolute distance of the survivors from the line; NaN for fewer than three survivors,
        and if they are all on the line.
    """

    off: Floats
    spread: Floats

    @classmethod
    def through(cls, values: Floats, alive: Flags) -> Self:
        """The lines through the samples of sorted columns that are `alive`."""
        n = count_flags(alive)
        rank = _ranks(alive)
        lowest = np.take_along_axis(values, alive.argmax(axis=0)[np.newaxis], axis=0)[0]
        origin = lowest.astype(np.float64)
        above = values - origin
        np.copyto(above, 0.0, where=~alive)
        middle, squares = (n - 1) * 0.5, n * (n.astype(np.float64) ** 2 - 1) / 12
        slope = column_sums((rank - middle) * above)
        slope /= np.where(squares > 0, squares, np.nan)
        level = column_sums(above) / np.maximum(n, 1) - slope * middle
        range_ = above.max(axis=0)
        rank *= slope
        rank += level
        above -= rank
        np.copyto(above, 0.0, where=~alive)
        spread = column_sums(np.abs(above)) / np.maximum(n, 1)
        fits = spread <= EXACT_FIT * range_
        return cls(above, np.where((n < 3) | fits, np.nan, spread))

    def outside(self, clip: LinearFitClip) -> tuple[Flags, Flags]:
        """Which samples are too low and too high."""
        no = np.zeros(self.off.shape, dtype=bool)
        low = no if clip.low is None else self.off < -clip.low * self.spread
        high = no if clip.high is None else self.off > clip.high * self.spread
        return low, high


def _ranks(alive: Flags) -> Floats:
    """The ranks of the survivors among themselves, shape (ranks, m); undefined for others.

    A loop over rows takes a fifth of the time of numpy's cumulative sum.
    """
    result, rank = np.empty(alive.shape), np.full(alive.shape[1], -1.0)
    for flags, row in zip(alive, result, strict=True):
        rank += flags
        row[...] = rank
    return result


def at_risk(clip: LinearFitClip, columns: Uniform) -> Flags:
    """Which columns have a sample that may be too far from the line through their samples.

    Computed in loops over rows, whose sums differ from those of `Line.through` by rounding.
    """
    n = columns.count
    if n < 3:
        return np.zeros(columns.pixels, dtype=bool)
    rows = columns.rows[columns.lo : columns.hi]
    origin, middle = rows[0].astype(np.float64), (n - 1) * 0.5
    slope, level, off = np.zeros((3, columns.pixels))
    for rank, row in enumerate(rows):
        difference(row, origin, out=off)
        level += off
        off *= rank - middle
        slope += off
    slope /= n * (n * n - 1.0) / 12
    level = level / n - slope * middle
    total, lowest, highest = (np.zeros(columns.pixels) for _ in range(3))
    for row in rows:
        difference(row, origin, out=off)
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
