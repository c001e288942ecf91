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


def uncertainty(columns: Columns, value: Floats, recipe: Recipe) -> Floats:
    """The uncertainty of `value` from the spread of the survivors."""
    root = np.sqrt(columns.count)
    if recipe.spread == "std":
        known = value if recipe.combine == "mean" and recipe.weights is None else None
        spread = std(columns, mean(columns) if known is None else known)
    else:
        known = value if recipe.combine == "median" else None
        spread = mad_std(columns, median(columns) if known is None else known)
    return spread * root if recipe.combine == "sum" else spread / root


def weighted(
    samples: Floats,
    weights: Iterable[float | NDArray[Any]],
    survivors: Iterable[NDArray[np.bool_]],
    origin: Floats,
    combine: str,
) -> tuple[Floats, Floats]:
    """The weighted mean or sum over frames, and the sum of the survivors' weights.

    Parameters
    ----------
    samples : ndarray, shape (n, pixels)
        In the order of the frames; may be anything where not a survivor.
    weights : iterable of float or ndarray of shape (pixels,)
    survivors : iterable of ndarray of bool, shape (pixels,)
    origin : ndarray, shape (pixels,)
        What sums are taken about.
    combine : {"mean", "sum"}
    """
    weight_sum, result = np.zeros(len(origin)), np.zeros(len(origin))
    term = np.empty(len(origin))
    for row, weight, inside in zip(samples, weights, survivors, strict=True):
        np.subtract(row, origin, out=term)
        np.multiply(term, weight, out=term)
        np.add(result, term, out=result, where=inside)
        np.add(weight_sum, weight, out=weight_sum, where=inside)
    if combine == "mean":
        return origin + result / weight_sum, weight_sum
    return origin * weight_sum + result, weight_sum
