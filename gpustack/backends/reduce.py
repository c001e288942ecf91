"""What becomes of the survivors of a column: one value and its uncertainty."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import Columns, Floats, mad_std, mean, median, pivot, std, total
from gpustack.recipe import Recipe


def combine(columns: Columns, recipe: Recipe) -> Floats:
    """The unweighted value of each column; meaningless where nothing survives."""
    match recipe.combine:
        case "mean":
            return mean(columns)
        case "median":
            return median(columns)
        case "sum":
            origin = pivot(columns)
            return origin * columns.count + total(columns, origin)
        case "min":
            return columns.at(columns.lo)  # type: ignore[arg-type]
        case "max":
            return columns.at(columns.hi - 1)  # type: ignore[arg-type]


def uncertainty(columns: Columns, recipe: Recipe) -> Floats:
    """The uncertainty of the combined value, from the spread of the survivors."""
    spread = mad_std(columns) if recipe.spread == "mad_std" else std(columns)
    root = np.sqrt(columns.count)
    return spread * root if recipe.combine == "sum" else spread / root


def weighted(
    samples: Floats,
    weights: Iterable[float | NDArray[Any]],
    survivors: Iterable[NDArray[np.bool_]],
    combine: str,
) -> tuple[Floats, Floats]:
    """The weighted mean or sum over frames, and the sum of the survivors' weights.

    Not about a pivot: no sample is known to have a weight, and one without may be of
    any size.

    Parameters
    ----------
    samples : ndarray, shape (n, pixels)
        In the order of the frames; may be anything where not a survivor.
    weights : iterable of float or ndarray of shape (pixels,)
    survivors : iterable of ndarray of bool, shape (pixels,)
    combine : {"mean", "sum"}
    """
    weight_sum, result = (np.zeros(samples.shape[1]) for _ in range(2))
    term = np.empty(samples.shape[1])
    for row, weight, inside in zip(samples, weights, survivors, strict=True):
        np.multiply(row, weight, out=term, dtype=np.float64)
        np.add(result, term, out=result, where=inside)
        np.add(weight_sum, weight, out=weight_sum, where=inside)
    return (result / weight_sum if combine == "mean" else result), weight_sum
