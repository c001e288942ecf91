"""Unsorted columns in which samples are missing, for means and sums without clips.

Copying such columns and sorting the copies takes several times as long as adding up the valid
samples where they are.
"""

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import SUM_SAMPLES, Floats, Ranks, Rows, Uniform, chunks
from gpustack.backends.totals import add_up
from gpustack.backends.unsorted import Unsorted
from gpustack.recipe import Recipe


def may_stay_incomplete(recipe: Recipe, members: bool) -> bool:
    """Whether columns with missing samples may stay unsorted if complete ones may.

    `members` says whether the survivors of each frame may be asked for.
    """
    return not recipe.clips and not members


class Incomplete(Unsorted):
    """Columns in frame order, with +inf in the place of missing samples.

    The ends and the sums are those of the valid samples, so `inexact` and `inexact_squares` hold
    as for complete columns. The highest sample of a column in which one is missing counts as at
    least 0.

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
            np.maximum.reduce(part, axis=0, out=self.highest[some])
            np.add.reduce(part, axis=0, dtype=np.float64, out=self._sums[some])

    def _part(self, some: slice) -> tuple[Floats, NDArray[np.bool_]]:
        """Copies of some columns, and flags where a sample is missing."""
        part = np.array([row[some] for row in self.rows])
        return part, np.isinf(part)

    def survivors(self, some: slice) -> tuple[Floats, NDArray[np.bool_]]:  # type: ignore[override]
        """Return the samples of some columns, in float64, and flags where one is missing."""
        part, missing = self._part(some)
        return part.astype(np.float64), missing

    def total(self, origin: Floats | None, *, squared: bool = False) -> Floats:
        """The sum of ``x - origin``, or of its square, over the valid samples, in float64.

        An `origin` of None means 0.
        """
        if self._sums is not None and origin is None and not squared:
            return self._sums
        return add_up(self, len(self.rows), origin, squared)
