"""Unsorted columns in which samples are missing.

Copying such columns and sorting the copies takes several times as long as adding up the valid
samples where they are.
"""

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gpustack.backends.columns import SUM_SAMPLES, Floats, Ranks, Rows, Uniform, chunks
from gpustack.backends.totals import add_up, column_sums
from gpustack.backends.unsorted import Unsorted
from gpustack.clips import ExtremaClip
from gpustack.recipe import Recipe


def may_stay_incomplete(recipe: Recipe) -> bool:
    """Whether columns with missing samples may stay unsorted if complete ones may.

    They may not if a clip rejects ends of columns, which then differ in their intervals.
    """
    return not any(isinstance(clip, ExtremaClip) for clip in recipe.clips)


class Incomplete(Unsorted):
    """Columns in frame order, with +inf in the place of missing samples.

    The ends and the sums are those of the valid samples, so `inexact` and `inexact_squares` hold
    as for complete columns. Without a valid sample, the lowest one is +inf and the highest -inf.

    Parameters
    ----------
    rows : list of ndarray of float32, shape (pixels,), or one of shape (frames, pixels)
    count : ndarray of int, shape (pixels,)
        How many samples of each column are valid.
    """

    __slots__ = ("count",)

    count: Ranks  # type: ignore[assignment]  # complete columns share one

    def __init__(self, rows: Rows, count: Ranks) -> None:
        Uniform.__init__(self, rows, 0, len(rows))
        self.count, self._sums = count, np.empty(self.pixels)
        self.lowest, self.highest = np.empty((2, self.pixels), self.dtype)
        for some in chunks(self.pixels, len(rows), SUM_SAMPLES):
            part, missing = self._part(some)
            np.minimum.reduce(part, axis=0, out=self.lowest[some])
            np.copyto(part, 0.0, where=missing)
            np.add.reduce(part, axis=0, dtype=np.float64, out=self._sums[some])
            highest = np.maximum.reduce(part, axis=0, out=self.highest[some])
            negative = np.flatnonzero(highest == 0)  # unless a sample is 0
            lacks = np.where(missing[:, negative], -np.inf, part[:, negative])
            highest[negative] = lacks.max(axis=0)

    def _part(self, some: slice) -> tuple[Floats, NDArray[np.bool_]]:
        """Copies of some columns, shape (frames, columns), and flags where a sample is missing."""
        part = np.array([row[some] for row in self.rows])
        return part, np.isinf(part)

    def survivors(  # type: ignore[override]
        self, some: slice, dtype: DTypeLike = np.float64
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Return a copy of the samples of some columns, and flags where one is missing.

        Both have shape (frames, columns).
        """
        part, missing = self._part(some)
        return part.astype(dtype), missing

    def sum_of_squares(self, origin: Floats) -> Floats:
        """The sum of ``(x - origin)^2`` over the valid samples, in their dtype, in any order."""
        result = np.empty_like(origin)
        for some in chunks(self.pixels, len(self.rows), SUM_SAMPLES):
            terms, missing = self._part(some)
            terms -= origin[some]
            np.copyto(terms, 0.0, where=missing)
            np.multiply(terms, terms, out=terms)
            result[some] = column_sums(terms)
        return result

    def total(self, origin: Floats | None, *, squared: bool = False) -> Floats:
        """The sum of ``x - origin``, or of its square, over the valid samples, in float64.

        An `origin` of None means 0.
        """
        if self._sums is not None and origin is None and not squared:
            return self._sums
        return add_up(self, len(self.rows), origin, squared)
