"""Sorted columns that share one interval of surviving ranks.

Samples of a column are sorted once; every clip moves the ends of an interval
``[lo, hi)`` of ranks. Most columns of a tile share one interval: `Uniform` holds them
all and its statistics are plain loops over rows. Columns in which something is invalid
or was rejected are few: `gpustack.backends.ragged.Ragged` holds copies of those, with an
interval each.

Both return the same bits for the same column: sums run over the survivors in ascending
order, so that they depend neither on the order of the frames nor on the other columns.
If sums are exact in any order, columns need not be sorted at all; see `unsorted`.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

Floats = NDArray[np.floating]
Ranks = NDArray[np.intp]
#: Samples of each frame or rank: n arrays of shape (pixels,), or one of shape (n, pixels).
Rows = list[Floats] | Floats

#: 1 / Phi^-1(3/4): the standard deviation of a normal distribution in units of its
#: median absolute deviation.
MAD_TO_STD = 1.482602218505602

#: Samples of a chunk of columns, for code that makes several arrays of the size of the chunk. With
#: fewer samples, two threads spend their time waiting for the GIL.
CHUNK_SAMPLES = 800_000

#: Samples of a chunk that is converted to float64 and added up; each numpy call takes all of them.
SUM_SAMPLES = 131_072


def chunks(pixels: int, n: int, samples: int = CHUNK_SAMPLES) -> Iterator[slice]:
    """Cut `pixels` columns of `n` samples each into chunks of about `samples` samples."""
    step = max(samples // n, 1)
    for start in range(0, pixels, step):
        yield slice(start, min(start + step, pixels))


@dataclass(slots=True, eq=False)
class Uniform:
    """Columns that share one interval ``[lo, hi)``; row k of `rows` is their k-th rank."""

    rows: Rows
    lo: int
    hi: int
    #: Cached statistics that clips, value and uncertainty share, by name and interval.
    cache: dict[Hashable, Floats] = field(default_factory=dict)
    #: Positions of the columns in their tile; an ellipsis stands for all.
    index: Ranks | EllipsisType = ...

    @property
    def count(self) -> int:
        """How many samples of each column survive."""
        return self.hi - self.lo

    @property
    def low(self) -> int:
        """How many samples of each column were rejected as too low."""
        return self.lo

    @property
    def high(self) -> int:
        """How many samples of each column were rejected as too high."""
        return self.valid - self.hi

    @property
    def valid(self) -> int:
        """How many samples of each column are valid: all."""
        return len(self.rows)

    @property
    def pixels(self) -> int:
        """How many columns."""
        return len(self.rows[0])

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """The dtype of the samples."""
        return self.rows[0].dtype

    def take(self, index: Ranks) -> Floats:
        """Sorted copies of some columns, shape (n, m)."""
        values = np.empty((len(self.rows), len(index)), self.dtype)
        for row, out in zip(self.rows, values, strict=True):
            row.take(index, out=out, mode="clip")
        return values

    def at(self, rank: Any) -> Floats:
        """The samples at `rank`; those at the nearest rank if there is no such rank."""
        row: Floats = self.rows[min(max(rank, 0), len(self.rows) - 1)]
        return row

    def survivors(self, some: slice, dtype: DTypeLike = np.float64) -> tuple[Floats, None]:
        """Return a copy of the survivors of some columns, shape (ranks, columns).

        The second value is None: no survivor is missing.
        """
        rows = [row[some] for row in self.rows[self.lo : self.hi]]
        return np.array(rows, dtype), None

    def inner(self) -> Self:
        """The columns without their lowest and highest survivor, if three or more survive."""
        out = int(self.count >= 3)
        return type(self)(self.rows, self.lo + out, self.hi - out)

    def total(self, origin: Floats | None, *, squared: bool = False) -> Floats:
        """The sum of ``x - origin``, or of its square, over the survivors, in float64.

        An `origin` of None means 0.
        """
        result, term = np.zeros(self.pixels), np.empty(self.pixels)
        for row in self.rows[self.lo : self.hi]:
            if origin is None:
                np.copyto(term, row)
            else:
                difference(row, origin, out=term)
            if squared:
                np.multiply(term, term, out=term)
            np.add(result, term, out=result)
        return result

    def sum_of_squares(self, origin: Floats) -> Floats:
        """The sum of ``(x - origin)^2``, in the samples' dtype and in any order of summation."""
        total, term = np.zeros_like(origin), np.empty_like(origin)
        for row in self.rows[self.lo : self.hi]:
            np.subtract(row, origin, out=term)
            np.multiply(term, term, out=term)
            np.add(total, term, out=total)
        return total

    def cached(self, name: str, compute: Callable[[], Floats]) -> Floats:
        """The statistic `name` of the survivors, computed the first time it is asked for."""
        key = name, self.lo, self.hi
        if key not in self.cache:
            self.cache[key] = compute()
        return self.cache[key]

    def mad(self, dtype: DTypeLike) -> Floats:
        """The median absolute deviation about the median; see `middle_deviation`."""
        half, next_half = (self.count + 1) >> 1, (self.count + 2) >> 1
        lower, upper = middles(self)
        first = self._kth_deviation(half, dtype)
        second = first if half == next_half else self._kth_deviation(next_half, dtype)
        return middle_deviation(lower, upper, first, second)

    def _kth_deviation(self, k: int, dtype: DTypeLike) -> Floats:
        """The k-th smallest deviation, k >= 1; see `middle_deviation`.

        The k samples nearest to the median are neighbours in the sorted column. So the result
        is the minimum, over all windows of k ranks, of the larger deviation at their two ends.
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


def difference(a: Floats, b: Floats, out: Floats) -> None:
    """Compute ``a - b`` in float64, where one of them has the samples' dtype.

    Measured: a copy and an in-place subtraction take 0.35 ns a sample, one subtraction
    that casts in its loop 0.57.
    """
    if a.dtype != out.dtype:
        np.copyto(out, a)
        np.subtract(out, b, out=out)
    else:
        np.copyto(out, b)
        np.subtract(a, out, out=out)


def middles(columns: Any) -> tuple[Floats, Floats]:
    """The two middle survivors, in the samples' dtype; for an odd count the same one twice."""
    low, high = (columns.lo + columns.hi - 1) >> 1, (columns.lo + columns.hi) >> 1
    lower = columns.at(low)
    return lower, lower if isinstance(low, int) and low == high else columns.at(high)


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
    if first.dtype != np.float32 and np.isinf(result).any():  # the sum of large values
        halves = first * 0.5 + second * 0.5 + (upper * 0.5 - lower * 0.5)
        np.copyto(result, halves, where=np.isinf(result))
    return np.abs(result, out=result)  # the difference of +0.0 and -0.0 may be -0.0
