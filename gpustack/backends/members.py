"""Which samples of each frame survive, found from unsorted samples by value and frame."""

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import Floats
from gpustack.backends.ragged import Ragged, bisect
from gpustack.backends.statistics import Columns
from gpustack.clips import ESDClip, ExtremaClip
from gpustack.recipe import Recipe


class Members:
    """Test which samples are inside the interval of their column, frame by frame.

    Holds no reference to the sorted samples, so that their buffer can be reused.

    Parameters
    ----------
    columns : Uniform or Ragged
        The sorted columns and their intervals.
    recipe : Recipe
        If it has clips by rank, an interval may end between equal samples; of these, the sample of
        the earlier frame has the lower rank.
    """

    def __init__(self, columns: Columns, recipe: Recipe) -> None:
        some = np.asarray(columns.count > 0)
        self._lowest = np.where(some, columns.at(columns.lo), np.inf)
        self._highest = np.where(some, columns.at(columns.hi - 1), -np.inf)
        self._lo, self._hi = columns.lo, columns.hi
        self._rejected: NDArray[np.bool_] | None = None
        if isinstance(columns, Ragged) and columns.rejected:
            self._rejected = columns.rejected.flags
        self._ends: list[tuple[Floats, NDArray[np.intp]]] = []
        if any(isinstance(clip, ExtremaClip | ESDClip) for clip in recipe.clips):
            values = (self._lowest, self._highest)
            self._ends = [(value, _first_rank(columns, value)) for value in values]

    def inside(self, row: Floats, f: int) -> NDArray[np.bool_]:
        """Return which samples of a frame survive.

        Must be called for all frames in order: equal samples at an end of an interval are ranked
        by frame.

        Parameters
        ----------
        row : ndarray, shape (pixels,)
            The samples of the frame, +inf where invalid.
        f : int
            Which frame.
        """
        if self._rejected is not None:
            row = np.where(self._rejected[f], np.inf, row)
        if not self._ends:
            return (row >= self._lowest) & (row <= self._highest)
        inside = (row > self._lowest) & (row < self._highest)
        for value, rank in self._ends:
            equal = row == value
            inside |= equal & (rank >= self._lo) & (rank < self._hi)
            np.add(rank, equal, out=rank)
        return inside


def _first_rank(columns: Columns, value: Floats) -> NDArray[np.intp]:
    """The rank of the first sample that is not below `value`."""
    first = np.zeros(columns.pixels, np.intp)
    if isinstance(columns, Ragged):
        return bisect(first, columns.hi, lambda rank: columns.at(rank) < value)
    for row in columns.rows[: columns.hi]:
        first += row < value
    return first
