"""Sorted columns, the interval of ranks that survives, and its statistics.

Samples of a column are sorted once; every clip moves the ends of an interval
``[lo, hi)`` of ranks. Most columns of a tile share one interval: `Uniform` holds them
all and its statistics are plain loops over rows. Columns in which something is invalid
or was rejected are few: `Ragged` holds copies of those, with an interval each.

Both give the same bits for the same column: sums run over the survivors in ascending
order, so neither the order of the frames nor the company of other columns matters.
Where sums are exact in any order, columns need not be sorted at all: see `unsorted`.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

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
    #: Statistics that clips, value and uncertainty share, by name and interval.
    known: dict[Hashable, Floats] = field(default_factory=dict)

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

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """Of the samples."""
        return self.rows[0].dtype

    def take(self, index: Ranks) -> Floats:
        """Sorted copies of some columns, shape (n, m)."""
        values = np.empty((len(self.rows), len(index)), self.dtype)
        for row, out in zip(self.rows, values, strict=True):
            row.take(index, out=out, mode="clip")
        return values

    def at(self, rank: int) -> Floats:
        """The samples at `rank`; some other sample where there is no such rank."""
        return self.rows[min(max(rank, 0), len(self.rows) - 1)]

    def survivors(self) -> Iterator[tuple[Floats, NDArray[np.bool_] | None]]:
        """The surviving rows in ascending order, each with no column to leave out."""
        for row in self.rows[self.lo : self.hi]:
            yield row, None

    def once(self, name: str, compute: Callable[[], Floats]) -> Floats:
        """The statistic `name` of the survivors, computed the first time it is asked for."""
        key = name, self.lo, self.hi
        if key not in self.known:
            self.known[key] = compute()
        return self.known[key]

    def mad(self, dtype: DTypeLike) -> Floats:
        """The median absolute deviation about the median; see `middle_deviation`."""
        half, next_half = (self.count + 1) >> 1, (self.count + 2) >> 1
        lower, upper = middles(self)
        first = self._kth_deviation(half, dtype)
        second = first if half == next_half else self._kth_deviation(next_half, dtype)
        return middle_deviation(lower, upper, first, second)

    def _kth_deviation(self, k: int, dtype: DTypeLike) -> Floats:
        """The k-th smallest deviation, k >= 1.

        The k samples nearest to the median are neighbours in the sorted column, so it
        is the least over windows of k ranks of the larger deviation at their ends.
        """
        lower, upper = middles(self)
        nearest = np.full(self.pixels, np.inf, dtype)
        below, above = np.empty_like(nearest), np.empty_like(nearest)
        for i in range(self.lo, self.hi - k + 1):
            np.subtract(lower, self.rows[i], out=below, dtype=dtype)
            np.subtract(self.rows[i + k - 1], upper, out=above, dtype=dtype)
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
    values : ndarray, shape (n, at least m), C-contiguous
        Sorted along axis 0; invalid samples are +inf at the end.
    place : ndarray of int, shape (m,)
        Where the columns stand in `values`, which subsets of columns share.
    valid : ndarray of int, shape (m,)
        How many samples came in valid.
    lo, hi : ndarray of int, shape (m,)
        The survivors are ``values[lo:hi]``; changed by `move` alone.
    """

    index: Ranks
    values: Floats
    place: Ranks
    valid: Ranks
    lo: Ranks
    hi: Ranks
    #: Statistics of the present survivors, by name.
    known: dict[str, Floats] = field(default_factory=dict)

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
        """Of the samples."""
        return self.values.dtype

    def at(self, rank: Ranks) -> Floats:
        """The sample at `rank` of each column; some other where there is no such rank."""
        position = rank * self.values.shape[1]
        position += self.place
        samples: Floats = self.values.reshape(-1).take(position, mode="clip")
        return samples

    def survivors(self) -> Iterator[tuple[Floats, NDArray[np.bool_] | None]]:
        """Rows in ascending order, each with the columns that it has no survivor of."""
        all_in = range(int(self.lo.max()), int(self.hi.min()))
        some_out = self.pixels < self.values.shape[1]
        for k in range(int(self.lo.min()), int(self.hi.max())):
            row = self.values[k]
            left_out = None if k in all_in else (k < self.lo) | (k >= self.hi)
            yield row.take(self.place, mode="clip") if some_out else row, left_out

    def once(self, name: str, compute: Callable[[], Floats]) -> Floats:
        """The statistic `name` of the survivors, computed the first time it is asked for."""
        if name not in self.known:
            self.known[name] = compute()
        return self.known[name]

    def move(self, lo: Ranks, hi: Ranks, which: Ranks | slice = slice(None)) -> None:
        """Set the intervals, of all columns or of some."""
        self.lo[which], self.hi[which] = lo, hi
        self.known.clear()

    def mad(self, dtype: DTypeLike) -> Floats:
        """The median absolute deviation about the median; see `middle_deviation`.

        The k samples nearest to the median are neighbours in the sorted column. As a
        window of k ranks moves up, the deviation at its low end falls and that at its
        high end grows: bisect for the first window whose high end is the further one.
        The nearest k are in that window or the one before.
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
        # Of an even number, the next deviation is that of a neighbour of the window.
        start -= before < this
        after = np.minimum(self._below(start - 1, lower), self._above(start + half, upper))
        return middle_deviation(lower, upper, first, np.where(self.count & 1, first, after))

    def _above(self, rank: Ranks, upper: Floats) -> Floats:
        """How far the sample at `rank` is above `upper`; inf past the survivors."""
        return np.where(rank < self.hi, self.at(rank) - upper, np.inf)

    def _below(self, rank: Ranks, lower: Floats) -> Floats:
        """How far the sample at `rank` is below `lower`; inf before the survivors."""
        return np.where(rank >= self.lo, lower - self.at(rank), np.inf)

    def take(self, which: NDArray[np.bool_]) -> Self:
        """Some of the columns, with copies of their intervals."""
        parts = (self.index, self.place, self.valid, self.lo, self.hi)
        index, place, valid, lo, hi = (part[which] for part in parts)
        return type(self)(index, self.values, place, valid, lo, hi)


Columns = Uniform | Ragged


def bisect(first: Ranks, last: Ranks, holds: Callable[[Ranks], NDArray[np.bool_]]) -> Ranks:
    """The first rank in ``[first, last)`` where `holds` fails, else `last`.

    `holds` must not become true again further up. Its answer for ranks from `last` on
    is not heeded.
    """
    first, last = first.copy(), np.maximum(first, last)
    while (open_ := first < last).any():
        middle = (first + last) >> 1
        up = holds(middle) & open_
        np.copyto(first, middle + 1, where=up)
        np.copyto(last, middle, where=open_ & ~up)
    return first


def difference(a: Floats, b: Floats, out: Floats) -> None:
    """``a - b`` in float64, where one of them is of the samples' dtype.

    Measured: a copy and an in-place subtraction take 0.35 ns a sample, one subtraction
    that casts in its loop 0.57.
    """
    if a.dtype != out.dtype:
        np.copyto(out, a)
        np.subtract(out, b, out=out)
    else:
        np.copyto(out, b)
        np.subtract(a, out, out=out)


def middles(columns: Columns) -> tuple[Floats, Floats]:
    """The two middle survivors, in the samples' dtype; of an odd number the same one twice."""
    lower = columns.at((columns.lo + columns.hi - 1) >> 1)  # type: ignore[arg-type]
    upper = columns.at((columns.lo + columns.hi) >> 1)  # type: ignore[arg-type]
    return lower, upper


def middle_deviation(lower: Floats, upper: Floats, first: Floats, second: Floats) -> Floats:
    """The median of ``|x - median|``, in float64, from the two middle deviations.

    With `lower` and `upper` the middle samples and `gap` between them, ``|x - median|`` is
    ``(lower - x) + gap / 2`` below and ``(x - upper) + gap / 2`` above. So half the gap is
    added once, here, and a deviation is one difference of two samples: rounded once, and
    in order, so that the k-th smallest is the rounded k-th smallest.
    """
    result = np.add(first, second, dtype=np.float64)
    if lower is not upper:
        result += np.subtract(upper, lower, dtype=np.float64)
    result *= 0.5
    return np.abs(result, out=result)  # differences of +0.0 and -0.0 have either sign


def total(columns: Columns, origin: Floats | None, *, squared: bool = False) -> Floats:
    """The sum of ``x - origin``, or of its square, over the survivors, in float64.

    None is an origin of 0.
    """
    result = np.zeros(columns.pixels)
    term = np.empty(columns.pixels)
    for row, left_out in columns.survivors():
        if origin is None:
            np.copyto(term, row)
        else:
            difference(row, origin, out=term)
        if squared:
            np.multiply(term, term, out=term)
        if left_out is not None:
            np.copyto(term, 0.0, where=left_out)
        np.add(result, term, out=result)
    return result


def pivot(columns: Columns) -> Floats | None:
    """About what samples are added up; None is 0.

    For float64, a sample from the middle of the survivors. float32 needs none: sums of
    its samples have 29 bits to spare.
    """
    if columns.dtype == np.float32:
        return None
    return columns.at((columns.lo + columns.hi) >> 1)  # type: ignore[arg-type]


def mean(columns: Columns) -> Floats:
    """The mean of the survivors, in float64; meaningless where there are none."""

    def compute() -> Floats:
        origin = pivot(columns)
        result = total(columns, origin)
        result /= columns.count
        return result if origin is None else np.add(result, origin, out=result)

    return columns.once("mean", compute)


def median(columns: Columns) -> Floats:
    """The median of the survivors: of an even number the middle of two, in float64."""
    lower, upper = middles(columns)
    if lower is upper:
        return lower
    middle = np.add(lower, upper, dtype=np.float64) * 0.5
    return np.where(lower == upper, lower, middle)  # the sum of large ones may overflow


def std(columns: Columns, ddof: int = 0) -> Floats:
    """The standard deviation about the mean; NaN for `ddof` samples or fewer."""
    squares = columns.once("squares", lambda: total(columns, mean(columns), squared=True))
    degrees = np.asarray(columns.count - ddof, dtype=np.float64)
    return np.sqrt(squares / np.where(degrees > 0, degrees, np.nan))


def mad_std(columns: Columns, dtype: DTypeLike = np.float64) -> Floats:
    """`MAD_TO_STD` times the median absolute deviation about the median, in float64.

    Deviations are rounded to `dtype`.
    """
    name = f"mad_std in {np.dtype(dtype)}"
    return columns.once(name, lambda: columns.mad(dtype) * MAD_TO_STD)


def quick_mad_std(columns: Columns) -> Floats:
    """`mad_std` with deviations rounded to the samples' own dtype.

    float32 takes half the time of float64 and is off by 6e-8 of the result. Where it
    overflows the result is that of float64.
    """
    result = mad_std(columns, columns.dtype)
    top = columns.at(columns.hi - 1)  # type: ignore[arg-type]
    overflown = np.isinf(result) & np.isfinite(top)  # not where columns are meaningless
    return np.where(overflown, mad_std(columns), result) if overflown.any() else result
