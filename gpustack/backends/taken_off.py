"""Sums of survivors, made of the sums of whole columns by taking off what does not survive.

Most columns that a clip touches lose a sample or two of all. To copy the others out and add them
up takes as long as all of the clip's passes; these few are taken off in no time, where that is
exact. Elsewhere survivors are added up anew, so that the sums are the same.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import Floats, Ranks, Uniform
from gpustack.backends.exact import may_round, smallest
from gpustack.backends.ragged import Ragged
from gpustack.backends.statistics import sums


def take_off(parts: list[Ragged], uniform: Uniform) -> None:
    """Have the sums of `parts` known, which are columns of `uniform` that lost some samples."""
    for part in parts:
        moved = part.out is None and part.stand_ins is None
        if moved and np.any(part.valid == len(part.values)):
            part.once("sum", partial(_sums, part, uniform))


def _sums(part: Ragged, uniform: Uniform) -> Floats:
    result = sums(uniform).take(part.index, mode="clip")
    result -= _gone(part, uniform.lo, uniform.hi)
    anew = np.flatnonzero(_is_inexact(part, uniform))
    if len(anew):
        result[anew] = part.take(anew).total(None)
    return result


def _gone(part: Ragged, lo: int, hi: int) -> Floats:
    """The sums of what is in the interval ``[lo, hi)`` of ranks and does not survive."""
    result = np.zeros(part.pixels)

    def add(rank: int, which: Ranks) -> None:
        result[which] += part.values[rank].take(which)

    for rank in range(lo, int(part.lo.max())):
        add(rank, np.flatnonzero(part.lo > rank))
    for rank in range(int(part.hi.min()), hi):
        add(rank, np.flatnonzero(part.hi <= rank))
    return result


def _is_inexact(part: Ragged, uniform: Uniform) -> NDArray[np.bool_]:
    """The columns of a part whose sum float64 might round; those that lack samples among them."""
    values = part.values[uniform.lo : uniform.hi]
    lowest, highest = values[0], values[-1]
    least = np.where(lowest > 0, lowest, -highest)
    mixed = np.flatnonzero(~(least > 0))
    if len(mixed):
        least[mixed] = smallest(values.take(mixed, axis=1, mode="clip"))
    inexact = may_round(len(values), lowest, highest, least)
    inexact |= (part.lo < uniform.lo) | (part.hi > uniform.hi) | (part.valid < len(part.values))
    return inexact
