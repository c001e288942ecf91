"""Columns that need no sorting, because only their ends are used and sums are exact in any order.

Otherwise sorting makes sums independent of the order of the frames; see
`gpustack.backends.rounding`. Sums of squares about the mean are exact, too, if the range of a
column is not too large compared with its smallest sample: if there is a sky, and no cosmic ray.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.block import uniform
from gpustack.backends.cache_lines import empty_rows
from gpustack.backends.columns import SUM_SAMPLES, Floats, Ranks, Rows, Uniform, chunks
from gpustack.backends.network import sort_columns
from gpustack.backends.rounding import least_size, may_round
from gpustack.backends.stored import Stored
from gpustack.clips import Clip, ExtremaClip, RangeClip, SigmaClip
from gpustack.combines import MEDIANS, QUADRATURES
from gpustack.recipe import Recipe

#: Samples of a chunk of columns that is decoded and scanned. In smaller chunks, parts of rows are
#: too short to be read fast: a quarter of the size takes a fifth longer, in memory and from files.
PART_SAMPLES = 524_288
#: In how many parts copied columns are sorted, so that the buffer for sorting stays small.
SORT_PARTS = 8


def needs_order(recipe: Recipe, dtype: np.dtype[np.floating], members: bool = False) -> bool:
    """Whether a recipe uses ranks other than the ends, or sums that float64 may round.

    `members` says whether the survivors of each frame may be asked for.
    """
    return (
        dtype != np.float32
        or recipe.method in MEDIANS
        or (recipe.method in QUADRATURES and recipe.weights is None)  # squares are not exact
        # The sort is pruned to this one end, unless more of the column is needed.
        or (recipe.combine in ("min", "max") and not recipe.clips and not members)
        or recipe.spread == "mad_std"
        or _clips_need_order(recipe, members)
    )


def _clips_need_order(recipe: Recipe, members: bool) -> bool:
    """Whether the clips need sorted columns.

    They do not if the recipe adds up, the last clip rejects only the ends, all others are range
    clips, and nobody asks of which frames the rejected samples are.
    """
    clips, adds = recipe.clips, recipe.combine in ("mean", "sum")
    if clips and adds and not members and _takes_ends(clips[-1]):
        return not all(isinstance(clip, RangeClip) for clip in clips[:-1])
    return any(_needs_order(clip) for clip in clips)


def _takes_ends(clip: Clip) -> bool:
    return isinstance(clip, ExtremaClip) and max(clip.nlow, clip.nhigh) <= 1


def _needs_order(clip: Clip) -> bool:
    if isinstance(clip, SigmaClip):
        return (clip.center, clip.spread) != ("mean", "std") or clip.poisson
    return not isinstance(clip, RangeClip)


def adds_up(recipe: Recipe) -> bool:
    """Whether samples of columns are added up here; `WeightedSum` adds up weighted ones."""
    plain = recipe.combine in ("mean", "sum") and recipe.weights is None
    return plain or any(isinstance(clip, SigmaClip) for clip in recipe.clips)


def squares_add_up(recipe: Recipe) -> bool:
    """Whether squared deviations of the survivors are added up."""
    return recipe.spread == "std"


class Unsorted(Uniform):
    """Columns in frame order, all of whose samples survive except at most one at each end.

    Parameters
    ----------
    rows : list of ndarray of float32, shape (pixels,), or one of shape (frames, pixels)
    adds : bool
        Whether the sums of the columns will be needed.
    stored : Stored or None
        The samples of all rows as stored, if they are still to be decoded into `rows`.

    Attributes
    ----------
    lowest, highest : ndarray of float32, shape (pixels,)
        The ends of the columns, the only samples whose rank is known.
    """

    __slots__ = ("_sums", "highest", "lowest")

    def __init__(self, rows: Rows, adds: bool = False, stored: Stored | None = None) -> None:
        super().__init__(rows, 0, len(rows))
        self._sums: Floats | None = None
        if isinstance(rows, np.ndarray):
            self._look_by_parts(rows, adds, stored)
            return
        self.lowest, self.highest = (end(rows[0], rows[-1]) for end in (np.minimum, np.maximum))
        for row in rows[1:-1]:
            np.minimum(self.lowest, row, out=self.lowest)
            np.maximum(self.highest, row, out=self.highest)

    def _look_by_parts(self, rows: Floats, adds: bool, stored: Stored | None) -> None:
        self.lowest, self.highest = np.empty((2, self.pixels), rows.dtype)
        sums = np.empty(self.pixels) if adds else None
        for some in chunks(self.pixels, len(rows), PART_SAMPLES):
            if stored is not None:
                stored.fill(some)
            part = rows[:, some]
            np.minimum.reduce(part, axis=0, out=self.lowest[some])
            np.maximum.reduce(part, axis=0, out=self.highest[some])
            if sums is not None:  # exact in any order, or not used
                np.add.reduce(part, axis=0, dtype=np.float64, out=sums[some])
        self._sums = sums

    def at(self, rank: Any) -> Floats:
        """The lowest or the highest sample; no other rank is known."""
        ends = {0: self.lowest, len(self.rows) - 1: self.highest}
        return ends[rank]

    def total(self, origin: Floats | None, *, squared: bool = False) -> Floats:
        """The sum of ``x - origin``, or of its square, over the survivors, in float64.

        The ends that do not survive, at most one on each side, are subtracted from the sum of all
        samples, which is as exact. An `origin` of None means 0.
        """
        n = len(self.rows)
        result: Floats
        if self._sums is not None and origin is None and not squared:
            result = self._sums
        else:
            result = uniform(self.rows, 0, n).total(origin, squared=squared)
        for end in [self.lowest] * self.lo + [self.highest] * (n - self.hi):
            term = end.astype(np.float64) if origin is None else end - origin
            result = result - (term * term if squared else term)
        return result

    def sum_of_squares(self, origin: Floats) -> Floats:
        """The sum of ``(x - origin)^2`` over all samples, in their dtype and in any order."""
        return uniform(self.rows, 0, len(self.rows)).sum_of_squares(origin)

    def take(self, index: Ranks) -> Floats:
        """Copies of some columns, shape (n, m), each sorted."""
        n, step = len(self.rows), self.pixels // SORT_PARTS + 1
        values = np.empty((n, len(index)), self.dtype)
        block = empty_rows(n + 1, min(len(index), step), self.dtype)
        for start in range(0, len(index), step):
            some = index[start : start + step]
            part = block[:, : len(some)]
            for row, out in zip(self.rows, part, strict=False):
                row.take(some, out=out, mode="clip")
            for out, row in zip(values, sort_columns(part[:n], part), strict=True):
                out[start : start + step] = row
        return values

    def inexact(self) -> NDArray[np.bool_]:
        """The columns whose sum float64 might round."""
        least = self.lowest if self.lowest.min() > 0 else self._smallest()
        return may_round(len(self.rows), self.lowest, self.highest, least)

    def inexact_squares(self) -> NDArray[np.bool_]:
        """The columns whose sum of squares about their rounded mean float64 might round.

        If all samples have one sign, they and that mean are multiples of the last bit u of the
        smallest sample, and u is more than 2^-24 times that sample. The sum is at most n / 4
        times the squared range, or n / 4 + 1 / n times if the mean is that of all samples but the
        ends. It is exact if it is at most 2^53 u^2.
        """
        n = len(self.rows)
        reach = np.float32(np.sqrt(n / 4 + 1 / n) * 2.0 ** (24 - 53 / 2) * (1 + 2.0**-20))
        smallest = np.maximum(self.lowest, -self.highest)  # below 0 where signs differ
        wide: NDArray[np.bool_] = (self.highest - self.lowest) * reach > smallest
        return wide

    def _smallest(self) -> Floats:
        """The smallest ``|x|`` other than 0; 0 where there is none."""
        result = np.empty(self.pixels, self.dtype)
        for some in chunks(self.pixels, len(self.rows), SUM_SAMPLES):
            result[some] = least_size(np.array([row[some] for row in self.rows]))
        return result
