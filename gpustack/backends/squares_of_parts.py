"""Sums of squares of columns that lost a few samples at their ends, without copying the columns.

All rows are squared anyway, for the columns that lost nothing. So for columns that lost a sample or
two, the survivors are not copied; squares of rejected samples count as 0. Squares are still added
up from the lowest sample to the highest, so the sums are the same to the last bit. With few frames,
rows lie in separate arrays. Each row of a chunk would then be a numpy call of its own, and copies
are faster.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.block import Block
from gpustack.backends.columns import SUM_SAMPLES, Floats, Ranks, chunks
from gpustack.backends.ragged import Ragged
from gpustack.backends.statistics import rounded_mean, shift_to_mean, squares_about_mean
from gpustack.backends.totals import column_sums

#: Columns that lost more samples than this at one end are squared separately.
ENDS = 8

#: Parts are skipped if more than this share of their columns lost more than `ENDS` samples: such
#: parts have columns that lack frames.
LOST_MANY_SHARE = 0.1


def cache_squares(parts: list[Ragged], uniform: Block) -> None:
    """Compute and cache the sums of squares about the mean of sorted float32 columns and of parts.

    Parameters
    ----------
    parts : list of Ragged
        Columns of `uniform` that lost samples at their ends. Parts without a cached sum are
        skipped.
    uniform : Block
        All columns; correct for those that are in no part.
    """
    usable = [part for part in parts if "sum" in part.cache]
    usable = [part for part in usable if _lost_many(part, uniform).mean() <= LOST_MANY_SHARE]
    if not usable:
        return
    lo, hi = np.full(uniform.pixels, uniform.lo), np.full(uniform.pixels, uniform.hi)
    origin = rounded_mean(uniform)
    for part in usable:
        whole = ~_lost_many(part, uniform)
        index = part.index[whole]
        lo[index], hi[index] = part.lo[whole], part.hi[whole]
        origin[index] = rounded_mean(part)[whole]
    squares = _squares(uniform, origin, lo, hi)
    for part in usable:
        part.cached("squares", partial(_of_part, part, uniform, squares, origin))
    uniform.cached("squares", partial(shift_to_mean, squares, origin, uniform))


def _lost_many(part: Ragged, uniform: Block) -> NDArray[np.bool_]:
    """Which columns of a part lost many samples, or have some that the uniform columns lost."""
    low, high = part.lo - uniform.lo, uniform.hi - part.hi
    many: NDArray[np.bool_] = (low > ENDS) | (high > ENDS) | (low < 0) | (high < 0)
    return many


def _squares(uniform: Block, origin: Floats, lo: Ranks, hi: Ranks) -> Floats:
    """The sums of ``(x - origin)^2`` over the ranks ``[lo, hi)`` of each column."""
    result = np.empty(uniform.pixels)
    for some in chunks(uniform.pixels, len(uniform.rows), SUM_SAMPLES):
        terms, _ = uniform.survivors(some)
        terms -= origin[some]
        np.multiply(terms, terms, out=terms)
        low, high = lo[some] - uniform.lo, uniform.hi - hi[some]
        for rank in range(int(low.max())):
            np.copyto(terms[rank], 0.0, where=low > rank)
        for rank in range(int(high.max())):
            np.copyto(terms[-1 - rank], 0.0, where=high > rank)
        result[some] = column_sums(terms)
    return result


def _of_part(part: Ragged, uniform: Block, squares: Floats, origin: Floats) -> Floats:
    """The sums of squares about the mean for a part."""
    result = shift_to_mean(squares[part.index], origin[part.index], part)
    many = np.flatnonzero(_lost_many(part, uniform))
    for some in chunks(len(many), len(part.values), SUM_SAMPLES):
        result[many[some]] = squares_about_mean(part.take(many[some]))
    return result
