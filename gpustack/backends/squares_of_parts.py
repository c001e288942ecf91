"""Standard deviations of columns with frayed ends: all rows are squared, but for what is gone.

Columns from which a clip took a sample or two were copied out, to be squared and added up. But the
rows that nearly all columns still have are squared anyway, for those that lost nothing. So a row
at an end is squared as the others are, and counts as 0 where it does not survive: squares are added
up from the lowest sample to the highest all the same, to the last bit. Of frames whose rows lie
apart, as of few, each row of a part is a call of its own, and copies are faster.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.block import Block
from gpustack.backends.columns import SUM_SAMPLES, Floats, Ranks, chunks
from gpustack.backends.ragged import Ragged
from gpustack.backends.statistics import put_right, rounded_mean, squares_about_mean
from gpustack.backends.totals import column_sums

#: Columns that lost more samples at one end are squared apart.
ENDS = 8

#: Parts of which a larger share lost more have columns that lack frames: these stay as they are.
MOST_WORN = 0.1


def square_up(parts: list[Ragged], uniform: Block) -> None:
    """Have the squares about the mean known of sorted columns of float32, and of parts of them.

    Parameters
    ----------
    parts : list of Ragged
        Columns of `uniform` that lost samples at their ends; those whose sums are known.
    uniform : Block
        All columns; right where they are in no part.
    """
    frayed = [part for part in parts if "sum" in part.known]
    frayed = [part for part in frayed if _worn(part, uniform).mean() <= MOST_WORN]
    if not frayed:
        return
    lo, hi = np.full(uniform.pixels, uniform.lo), np.full(uniform.pixels, uniform.hi)
    origin = rounded_mean(uniform)
    for part in frayed:
        whole = ~_worn(part, uniform)
        index = part.index[whole]
        lo[index], hi[index] = part.lo[whole], part.hi[whole]
        origin[index] = rounded_mean(part)[whole]
    squares = _squares(uniform, origin, lo, hi)
    for part in frayed:
        part.once("squares", partial(_of_part, part, uniform, squares, origin))
    uniform.once("squares", partial(put_right, squares, origin, uniform))


def _worn(part: Ragged, uniform: Block) -> NDArray[np.bool_]:
    """Which columns of a part lost many samples, or hold some that the other columns lost."""
    low, high = part.lo - uniform.lo, uniform.hi - part.hi
    worn: NDArray[np.bool_] = (low > ENDS) | (high > ENDS) | (low < 0) | (high < 0)
    return worn


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
    """The squares about the mean of a part."""
    result = put_right(squares[part.index], origin[part.index], part)
    worn = np.flatnonzero(_worn(part, uniform))
    for some in chunks(len(worn), len(part.values), SUM_SAMPLES):
        result[worn[some]] = squares_about_mean(part.take(worn[some]))
    return result
