"""Columns whose rows lie in one array, so that one numpy call processes all ranks."""

import numpy as np
from numpy.typing import DTypeLike

from gpustack.backends.columns import SUM_SAMPLES, Floats, Rows, Uniform, chunks, middles
from gpustack.backends.totals import add_up, column_sums


class Block(Uniform):
    """Columns that share one interval; `rows` is an array (n, pixels), each row contiguous.

    Methods work on chunks of columns, which stay in cache from one numpy call to the next.
    """

    __slots__ = ()

    rows: Floats

    def survivors(self, some: slice, dtype: DTypeLike = np.float64) -> tuple[Floats, None]:
        """Return a copy of the survivors of some columns, shape (ranks, columns).

        The second value is None: no survivor is missing.
        """
        return self.rows[self.lo : self.hi, some].astype(dtype), None

    def total(self, origin: Floats | None, *, squared: bool = False) -> Floats:
        """The sum of ``x - origin``, or of its square, over the survivors, in float64.

        An `origin` of None means 0.
        """
        return add_up(self, len(self.rows), origin, squared)

    def sum_of_squares(self, origin: Floats) -> Floats:
        """The sum of ``(x - origin)^2``, in the samples' dtype and in any order of summation."""
        result = np.empty_like(origin)
        for some in chunks(self.pixels, len(self.rows), SUM_SAMPLES):
            terms = self.rows[self.lo : self.hi, some] - origin[some]
            np.multiply(terms, terms, out=terms)
            result[some] = column_sums(terms)
        return result

    def _kth_deviation(self, k: int, dtype: DTypeLike) -> Floats:
        lower, upper = middles(self)
        first, last = self.rows[self.lo : self.hi - k + 1], self.rows[self.lo + k - 1 : self.hi]
        nearest = np.empty(self.pixels, dtype)
        for some in chunks(self.pixels, len(self.rows), SUM_SAMPLES):
            below = np.subtract(lower[some], first[:, some], dtype=dtype)
            above = np.subtract(last[:, some], upper[some], dtype=dtype)
            np.maximum(below, above, out=below)
            nearest[some] = np.minimum.reduce(below, axis=0, initial=np.inf)
        return nearest


def uniform(rows: Rows, lo: int, hi: int) -> Uniform:
    """Return columns that share one interval: a `Block` for rows in one array, else `Uniform`."""
    kind = Block if isinstance(rows, np.ndarray) else Uniform
    return kind(rows, lo, hi)
