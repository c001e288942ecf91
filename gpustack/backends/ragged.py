"""Sorted columns, each with an interval of surviving ranks; see `gpustack.backends.columns`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gpustack.backends.block import Block
from gpustack.backends.columns import Floats, Ranks, Uniform, middle_deviation, middles
from gpustack.backends.stand_ins import StandIns
from gpustack.backends.totals import add_up, count_flags

#: The least number of columns with the same number of survivors that are grouped: such a group is
#: worth a hundred numpy calls of its own. Measured: numbers from 500 to 8000 change the time of a
#: clip by a tenth at most; with small ones threads wait for the GIL.
LEAST_GROUP = 6000

#: Up to this many samples the MAD is found by sorting, with a tenth of the numpy calls; for more,
#: by bisecting, with a third of the work.
SORT_MAD_SAMPLES = 25_000

#: Columns in which this many samples or more do not survive are not grouped by their number of
#: survivors.
MANY_LOST = 16


@dataclass(slots=True, eq=False)
class RejectedSamples:
    """Samples of columns that were rejected one by one.

    Parameters
    ----------
    flags : ndarray of bool, shape (frames, m)
    low, high : ndarray of int, shape (m,)
        How many were too low and too high.
    """

    flags: NDArray[np.bool_]
    low: Ranks
    high: Ranks

    @classmethod
    def none(cls, frames: int, pixels: int) -> Self:
        """Return an object for columns that have no rejected samples."""
        counts = np.zeros((2, pixels), np.intp)
        return cls(np.zeros((frames, pixels), dtype=bool), *counts)

    def take(self, which: Ranks | slice) -> Self:
        """Return the rejected samples of some of the columns."""
        return type(self)(self.flags[:, which], self.low[which], self.high[which])

    def add(self, low: NDArray[np.bool_], high: NDArray[np.bool_], columns: Ranks) -> None:
        """Add rejected samples of k columns; flags have shape (frames, k)."""
        self.flags[:, columns] |= low | high
        self.low[columns] += count_flags(low)
        self.high[columns] += count_flags(high)


@dataclass(slots=True, eq=False)
class Ragged:
    """Sorted columns with an interval of surviving ranks each.

    Parameters
    ----------
    index : ndarray of int, shape (m,)
        Positions of the columns in their tile.
    values : ndarray, shape (n, m), C-contiguous
        Sorted along axis 0; invalid samples are +inf at the end.
    valid : ndarray of int, shape (m,)
        How many samples are sorted: the valid ones, except those in `rejected`.
    lo, hi : ndarray of int, shape (m,)
        The survivors are ``values[lo:hi]``; only `move` and `remove` change the intervals.
    rejected : RejectedSamples or None
        The samples that were rejected one by one, by clips that leave no interval.
    stand_ins : StandIns or None
        The medians with which the last clip replaced rejected samples. Columns with stand-ins
        cannot be taken apart.
    """

    index: Ranks
    values: Floats
    valid: Ranks
    lo: Ranks
    hi: Ranks
    #: Cached statistics of the present survivors, by name.
    cache: dict[str, Floats] = field(default_factory=dict)
    rejected: RejectedSamples | None = None
    stand_ins: StandIns | None = None

    @property
    def low(self) -> Ranks:
        """How many samples of each column were rejected as too low."""
        return self.lo if self.rejected is None else self.lo + self.rejected.low

    @property
    def high(self) -> Ranks:
        """How many samples of each column were rejected as too high."""
        above = self.valid - self.hi
        return above if self.rejected is None else above + self.rejected.high

    @property
    def count(self) -> Ranks:
        """How many samples of each column survive."""
        return self.hi - self.lo

    @property
    def pixels(self) -> int:
        """How many columns."""
        return len(self.lo)

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """The dtype of the samples."""
        return self.values.dtype

    @property
    def column_bytes(self) -> int:
        """Bytes of the samples of a column."""
        return len(self.values) * self.values.itemsize

    def at(self, rank: Any) -> Floats:
        """The sample at `rank` of each column; some other sample if there is no such rank."""
        position = rank * self.pixels
        position += np.arange(self.pixels)
        samples: Floats = self.values.reshape(-1).take(position, mode="clip")
        return samples

    def cached(self, name: str, compute: Callable[[], Floats]) -> Floats:
        """The statistic `name` of the survivors, computed the first time it is asked for."""
        if name not in self.cache:
            self.cache[name] = compute()
        return self.cache[name]

    def move(self, lo: Ranks, hi: Ranks, which: Ranks | slice = slice(None)) -> None:
        """Set the intervals, of all columns or of some."""
        self.lo[which], self.hi[which] = lo, hi
        self.cache.clear()

    def remove(
        self, by_frame: Floats, low: NDArray[np.bool_], high: NDArray[np.bool_], some: Ranks
    ) -> None:
        """Remove rejected survivors of some columns, which may have any rank.

        Parameters
        ----------
        by_frame : ndarray, shape (frames, k)
            The samples of those columns in frame order, +inf for those that are not sorted.
        low, high : ndarray of bool, shape (frames, k)
            Which samples are too low and too high.
        some : ndarray of int, shape (k,)
            The columns.
        """
        out = low | high
        which = np.flatnonzero(out.any(axis=0))
        if not len(which):
            return
        if self.rejected is None:
            self.rejected = RejectedSamples.none(len(by_frame), self.pixels)
        columns = some[which]
        low, high, out = (flags.take(which, axis=1) for flags in (low, high, out))
        left = by_frame.take(which, axis=1)
        self.rejected.add(low, high, columns)
        np.copyto(left, np.inf, where=out)
        left.sort(axis=0)
        # Frames that have no valid sample in this tile are not among the values.
        self.values[:, columns] = left[: len(self.values)]
        count = count_flags(out)
        self.valid[columns] -= count
        self.hi[columns] -= count
        self.cache.clear()

    def take(self, which: Ranks | slice) -> Self:
        """Return some of the columns with their intervals.

        The result may share `values` with this object, so that only `move` may change it.
        Measured: ``values[:, which]`` takes up to eight times as long as `take`.
        """
        assert self.stand_ins is None
        if isinstance(which, slice):
            values = np.ascontiguousarray(self.values[:, which])
        elif len(which) == self.pixels and np.all(which[1:] > which[:-1]):
            values = self.values
        else:
            values = self.values.take(which, axis=1, mode="clip")
        index, valid, lo, hi = (
            part[which].copy() for part in (self.index, self.valid, self.lo, self.hi)
        )
        rejected = None if self.rejected is None else self.rejected.take(which)
        return type(self)(index, values, valid, lo, hi, rejected=rejected)

    def uniform(self) -> Uniform | Self:
        """The columns as `Uniform`, whose statistics are faster, if they share one interval."""
        lo, hi = int(self.lo[0]), int(self.hi[0])
        if np.all(self.lo == lo) and np.all(self.hi == hi):
            return Block(self.values, lo, hi, index=self.index)
        return self

    def grouped_by_count(self, active: Ranks) -> Iterator[tuple[Ranks, Self, Ranks]]:
        """Yield copies of some columns: groups with the same number of survivors, then the others.

        Parameters
        ----------
        active : ndarray of int
            The columns, in ascending order.

        Yields
        ------
        which : ndarray of int, shape (k,)
            The columns of a group, or the others.
        some : Ragged
            Copies of these columns. Those of a group share one interval and contain survivors
            only. Only `move` may change them.
        first : ndarray of int, shape (k,)
            The rank in this object of the first row of `some`, for each column.
        """
        lost = np.minimum(len(self.values) - self.hi[active] + self.lo[active], MANY_LOST)
        many = np.bincount(lost, minlength=MANY_LOST + 1) >= LEAST_GROUP
        many[-1] = False
        for number in np.flatnonzero(many):
            which = active[lost == number]
            which = which[np.argsort(self.lo[which].astype(np.uint8), kind="stable")]
            yield which, self._survivors_of(which), self.lo[which]
        which = active[~many[lost]]
        if len(which):
            yield which, self.take(which), np.zeros_like(which)

    def _survivors_of(self, which: Ranks) -> Self:
        """The survivors alone of columns with the same number of them, `which` sorted by `lo`."""
        lo, count = self.lo[which], int(self.count[which[0]])
        if lo[0] == lo[-1] and len(which) == self.pixels:  # all columns, in their order
            values = self.values[lo[0] : lo[0] + count]
        else:
            values = np.empty((count, len(which)), self.dtype)
            starts = np.searchsorted(lo, np.arange(lo[-1] + 2))
            for rank, (start, stop) in enumerate(pairwise(starts)):
                rows = self.values[rank : rank + count]
                values[:, start:stop] = rows.take(which[start:stop], axis=1, mode="clip")
        whole = np.full(len(which), count)
        return type(self)(self.index[which], values, whole, np.zeros_like(whole), whole.copy())

    def inner(self) -> Self:
        """The columns without their lowest and highest survivor, if three or more survive."""
        out = (self.count >= 3).astype(np.intp)
        return type(self)(self.index, self.values, self.valid, self.lo + out, self.hi - out)

    def survivors(
        self, some: slice, dtype: DTypeLike = np.float64
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Return a copy of the survivors of some columns, and flags where one is missing.

        Both have shape (ranks, columns), for the ranks at which any of the columns has a survivor.
        """
        lo, hi = self.lo[some], self.hi[some]
        first, last = int(lo.min()), int(hi.max())
        rank = np.arange(first, last)[:, np.newaxis]
        return self.values[first:last, some].astype(dtype), (rank < lo) | (rank >= hi)

    def total(self, origin: Floats | None, *, squared: bool = False) -> Floats:
        """The sum of ``x - origin``, or of its square, over the survivors, in float64.

        An `origin` of None means 0.
        """
        return add_up(self, len(self.values), origin, squared)

    def mad(self, dtype: DTypeLike) -> Floats:
        """The median absolute deviation about the median; see `middle_deviation`."""
        few = self.values.size <= SORT_MAD_SAMPLES
        return self._mad_by_sorting(dtype) if few else self._mad_by_bisecting(dtype)

    def _mad_by_sorting(self, dtype: DTypeLike) -> Floats:
        """The MAD by sorting all deviations: a tenth of the calls, each of which takes longer."""
        lower, upper = (middle.astype(dtype) for middle in middles(self))
        away = np.maximum(lower - self.values, self.values - upper)
        rank = np.arange(len(away))[:, np.newaxis]
        np.copyto(away, np.inf, where=(rank < self.lo) | (rank >= self.hi))
        away.sort(axis=0)
        column = np.arange(self.pixels)
        first, second = (away[(self.count + odd) // 2 - 1, column] for odd in (1, 2))
        return middle_deviation(lower, upper, first, second)

    def _mad_by_bisecting(self, dtype: DTypeLike) -> Floats:
        """The MAD by bisecting windows of ranks.

        The k samples nearest to the median are neighbours in the sorted column. As a
        window of k ranks moves up, the deviation at its low end falls and that at its
        high end grows. Bisection finds the first window whose high end is the further one.
        The nearest k samples are in that window or the one before.
        """
        half = (self.count + 1) >> 1
        lower, upper = (middle.astype(dtype) for middle in middles(self))

        def low_end_is_further(start: Ranks) -> NDArray[np.bool_]:
            further: NDArray[np.bool_] = lower - self.at(start) > self.at(start + half - 1) - upper
            return further

        last = self.hi - half + 1
        start = bisect(self.lo, last, low_end_is_further)
        this = self._above(start + half - 1, upper)
        before = self._below(start - 1, lower)
        first = np.minimum(this, before)
        # For an even count, the next deviation is that of a neighbour of the window.
        start -= before < this
        after = np.minimum(self._below(start - 1, lower), self._above(start + half, upper))
        return middle_deviation(lower, upper, first, np.where(self.count & 1, first, after))

    def _above(self, rank: Ranks, upper: Floats) -> Floats:
        """How far the sample at `rank` is above `upper`; inf beyond the survivors."""
        return np.where(rank < self.hi, self.at(rank) - upper, np.inf)

    def _below(self, rank: Ranks, lower: Floats) -> Floats:
        """How far the sample at `rank` is below `lower`; inf before the survivors."""
        return np.where(rank >= self.lo, lower - self.at(rank), np.inf)


def bisect(first: Ranks, last: Ranks, holds: Callable[[Ranks], NDArray[np.bool_]]) -> Ranks:
    """The first rank in ``[first, last)`` where `holds` fails, else `last`.

    `holds` must not become true again at higher ranks. Its result for ranks from `last` on
    is ignored.
    """
    first, last = first.copy(), np.maximum(first, last)
    while (open_ := first < last).any():
        middle = (first + last) >> 1
        up = holds(middle) & open_
        np.copyto(first, middle + 1, where=up)
        np.copyto(last, middle, where=open_ & ~up)
    return first
