"""Which frame's samples survive: a second look at unsorted samples, by value and frame."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import Columns, Floats, Ragged, bisect
from gpustack.clips import ExtremaClip
from gpustack.recipe import Recipe


def survives(columns: Columns, samples: Floats, recipe: Recipe) -> Iterator[NDArray[np.bool_]]:
    """Frame by frame, which samples are inside the interval of their column.

    Parameters
    ----------
    columns : Uniform or Ragged
        The sorted columns and their intervals.
    samples : ndarray, shape (n, pixels)
        The same columns unsorted, in the order of the frames; +inf where invalid.
    recipe : Recipe
        Its rank clips may cut between equal samples; then the earlier frame is the lower.

    Yields
    ------
    ndarray of bool, shape (pixels,)
    """
    some = np.asarray(columns.count > 0)
    lowest = np.where(some, columns.at(columns.lo), np.inf)  # type: ignore[arg-type]
    highest = np.where(some, columns.at(columns.hi - 1), -np.inf)  # type: ignore[arg-type]
    if any(isinstance(clip, ExtremaClip) for clip in recipe.clips):
        yield from _survives_by_rank(columns, samples, lowest, highest)
    else:
        for row in samples:
            yield (row >= lowest) & (row <= highest)


def _survives_by_rank(
    columns: Columns, samples: Floats, lowest: Floats, highest: Floats
) -> Iterator[NDArray[np.bool_]]:
    """As `survives`; samples equal to an end of the interval are told apart by their rank."""
    ends = [(value, _first_rank(columns, value)) for value in (lowest, highest)]
    for row in samples:
        inside = (row > lowest) & (row < highest)
        for value, rank in ends:
            equal = row == value
            inside |= equal & (rank >= columns.lo) & (rank < columns.hi)
            np.add(rank, equal, out=rank)
        yield inside


def _first_rank(columns: Columns, value: Floats) -> NDArray[np.intp]:
    """The rank of the first sample that is not below `value`."""
    if isinstance(columns, Ragged):
        start = np.zeros(columns.pixels, np.intp)
        return bisect(start, columns.hi, lambda rank: columns.at(rank) < value)
    first = np.zeros(columns.pixels, np.intp)
    for row in columns.rows[: columns.hi]:
        first += row < value
    return first
