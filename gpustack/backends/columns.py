"""Sorted columns, the interval of ranks that survives, and its statistics.

Samples of a column are sorted once; every clip moves the ends of an interval
``[lo, hi)`` of ranks. Most columns of a tile share one interval: `Uniform` holds them
all and its statistics are plain loops over rows. Columns in which something is invalid
or was rejected are few: `Ragged` holds copies of those, with an interval each.

Both give the same bits for the same column: sums run over the survivors in ascending
order, so neither the order of the frames nor the company of other columns matters.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ranks = NDArray[np.intp]

#: 1 / Phi^-1(3/4): the standard deviation of a normal distribution in units of its
#: median absolute deviation.
MAD_TO_STD = 1.482602218505602


@dataclass(slots=True)
class Uniform:
    """Columns that share one interval ``[lo, hi)``; row k of `rows` is their k-th rank."""

    rows: list[Floats]
    lo: int
    hi: int

    @property
    def count(self) -> int:
        """How many samples of each column survive."""
        return self.hi - self.lo

    @property
    def valid(self) -> int:
        """How many samples of each column came in valid: all."""
        return len(self.rows)

    @property
    def pixels(self) -> int:
        """How many columns."""
        return len(self.rows[0])

    def at(self, rank: int) -> Floats:
        """The samples at `rank`."""
        return self.rows[min(max(rank, 0), len(self.rows) - 1)]

    def survivors(self) -> Iterator[tuple[Floats, NDArray[np.bool_] | None]]:
        """The surviving rows in ascending order, each with no column to leave out."""
        for row in self.rows[self.lo : self.hi]:
            yield row, None

    def kth_deviation(self, center: Floats, k: int) -> Floats:
        """The k-th smallest ``|x - center|`` of the survivors, k >= 1.

        The k samples nearest to the centre are neighbours in the sorted column, so it
        is the least over windows of k ranks of the larger deviation at their ends.
        """
        nearest = np.full(self.pixels, np.inf)
        below, above = np.empty(self.pixels), np.empty(self.pixels)
        for i in range(self.lo, self.hi - k + 1):
            np.subtract(center, self.rows[i], out=below)
            np.subtract(self.rows[i + k - 1], center, out=above)
            np.maximum(below, above, out=below)
            np.minimum(nearest, below, out=nearest)
        return nearest


@dataclass(slots=True)
class Ragged:
    """Columns with an interval each.

    Parameters
    ----------
    index : ndarray of int, shape (m,)
        Where the columns stand in their tile.
    values : ndarray, shape (n, m), C-contiguous
        Sorted along axis 0; invalid samples are +inf at the end.
    valid : ndarray of int, shape (m,)
        How many samples came in valid.
    lo, hi : ndarray of int, shape (m,)
        The survivors are ``values[lo:hi]``. Changed in place by clips.
    """

    index: Ranks
    values: Floats
    valid: Ranks
    lo: Ranks
    hi: Ranks

    @property
    def count(self) -> Ranks:
        """How many samples of each column survive."""
        return self.hi - self.lo

    @property
    def pixels(self) -> int:
        """How many columns."""
        return len(self.lo)

    def at(self, rank: Ranks) -> Floats:
        """The sample at `rank` of each column."""
        n, m = self.values.shape
        inside = np.minimum(np.maximum(rank, 0), n - 1)
        inside *= m
        inside += np.arange(m)
        return self.values.reshape(-1).take(inside, mode="clip")

    def survivors(self) -> Iterator[tuple[Floats, NDArray[np.bool_] | None]]:
        """Rows in ascending order, each with the columns that it has no survivor of."""
        all_in = range(int(self.lo.max()), int(self.hi.min()))
        for k in range(int(self.lo.min()), int(self.hi.max())):
            yield self.values[k], None if k in all_in else (k < self.lo) | (k >= self.hi)

    def kth_deviation(self, center: Floats, k: Ranks) -> Floats:
        """The k-th smallest ``|x - center|`` of the survivors, k >= 1.

        As the window of k ranks moves up, the deviation at its low end falls and that
        at its high end grows: bisect for where they cross.
        """

        def low_end_is_further(start: Ranks) -> NDArray[np.bool_]:
            return center - self.at(start) > self.at(start + k - 1) - center

        last = self.hi - k + 1
        cross = bisect(self.lo, last, low_end_is_further)
        high_end = np.where(cross < last, self.at(cross + k - 1) - center, np.inf)
        low_end = np.where(cross > self.lo, center - self.at(cross - 1), np.inf)
        return np.minimum(low_end, high_end)

    def take(self, which: NDArray[Any]) -> Self:
        """Copies of some of the columns."""
        return type(self)(
            self.index[which],
            np.ascontiguousarray(self.values[:, which]),
            self.valid[which],
            self.lo[which],
            self.hi[which],
        )


Columns = Uniform | Ragged


def bisect(first: Ranks, last: Ranks, holds: Callable[[Ranks], NDArray[np.bool_]]) -> Ranks:
    """The first rank in ``[first, last)`` where `holds` fails, else `last`.

    `holds` must not become true again further up; it is not asked about `last`.
    """
    first, last = first.copy(), np.maximum(first, last)
    while (open_ := first < last).any():
        middle = (first + last) >> 1
        up = holds(middle) & open_
        np.copyto(first, middle + 1, where=up)
        np.copyto(last, middle, where=open_ & ~up)
    return first


def total(columns: Columns, origin: Floats, *, squared: bool = False) -> Floats:
    """The sum of ``x - origin``, or of its square, over the survivors, in float64."""
    result = np.zeros(columns.pixels)
    term = np.empty(columns.pixels)
    for row, left_out in columns.survivors():
        np.subtract(row, origin, out=term)
        if squared:
            np.multiply(term, term, out=term)
        if left_out is not None:
            np.copyto(term, 0.0, where=left_out)
        np.add(result, term, out=result)
    return result


def pivot(columns: Columns) -> Floats:
    """A sample from the middle of the survivors, about which sums are taken, in float64."""
    return columns.at((columns.lo + columns.hi) >> 1).astype(np.float64)  # type: ignore[arg-type]


def mean(columns: Columns) -> Floats:
    """The mean of the survivors, in float64; meaningless where there are none."""
    origin = pivot(columns)
    return origin + total(columns, origin) / columns.count


def median(columns: Columns) -> Floats:
    """The median of the survivors, in float64: of an even number the middle of two."""
    lower = columns.at((columns.lo + columns.hi - 1) >> 1)  # type: ignore[arg-type]
    upper = columns.at((columns.lo + columns.hi) >> 1)  # type: ignore[arg-type]
    return np.add(lower, upper, dtype=np.float64) * 0.5


def std(columns: Columns, center: Floats, ddof: int = 0) -> Floats:
    """The standard deviation about the mean `center`; NaN for `ddof` samples or fewer."""
    degrees = np.asarray(columns.count - ddof, dtype=np.float64)
    degrees = np.where(degrees > 0, degrees, np.nan)
    return np.sqrt(total(columns, center, squared=True) / degrees)


def mad_std(columns: Columns, center: Floats) -> Floats:
    """`MAD_TO_STD` times the median absolute deviation about the median `center`."""
    half, next_half = (columns.count + 1) >> 1, (columns.count + 2) >> 1
    lower = columns.kth_deviation(center, half)  # type: ignore[arg-type]
    if np.array_equal(half, next_half):
        return lower * MAD_TO_STD
    upper = columns.kth_deviation(center, next_half)  # type: ignore[arg-type]
    return (lower + upper) * 0.5 * MAD_TO_STD
