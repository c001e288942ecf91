"""What becomes of the survivors of a column: one value and its uncertainty."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import MAD_TO_STD, Floats, middles
from gpustack.backends.statistics import Columns, mean, median, pivot, quick_mad, std
from gpustack.recipe import Recipe


def combine(columns: Columns, recipe: Recipe) -> Floats:
    """The unweighted value of each column; meaningless where nothing survives."""
    match recipe.combine:
        case "mean":
            return mean(columns)
        case "median":
            return median(columns)
        case "lower_median":
            return middles(columns)[0]
        case "lmedian":
            return np.where(columns.count == 2, middles(columns)[0], median(columns))
        case "sum":
            origin = pivot(columns)
            result = columns.total(origin)
            return result if origin is None else result + origin * columns.count
        case "quadrature":
            return np.sqrt(columns.total(None, squared=True)) / columns.count
        case "min":
            return columns.at(columns.lo)  # type: ignore[arg-type]
        case "max":
            return columns.at(columns.hi - 1)  # type: ignore[arg-type]


def uncertainty(columns: Columns, recipe: Recipe) -> Floats:
    """The uncertainty of the combined value, from the spread of the survivors."""
    spread = MAD_TO_STD * quick_mad(columns) if recipe.spread == "mad_std" else std(columns)
    root = np.sqrt(columns.count)
    return spread * root if recipe.combine == "sum" else spread / root


class WeightedSum:
    """Sums of weights and of weighted samples, added up frame by frame in float64.

    Of a quadrature, of the squares of these. Not about a pivot: no sample is known to have a
    weight, and one without may be of any size.
    """

    def __init__(self, pixels: int, recipe: Recipe) -> None:
        self.weights, self._sum, self._term = (np.zeros(pixels) for _ in range(3))
        self._combine = recipe.combine

    def add(self, row: Floats, weight: float | NDArray[Any], inside: NDArray[np.bool_]) -> None:
        """Add the samples of a frame that are `inside`; the others may be anything."""
        np.multiply(row, weight, out=self._term, dtype=np.float64)
        if self._combine == "quadrature":
            np.multiply(self._term, self._term, out=self._term)
        np.add(self._sum, self._term, out=self._sum, where=inside)
        np.add(self.weights, weight, out=self.weights, where=inside)

    def value(self) -> Floats:
        """What they come to; NaN where it is divided by no weight."""
        if self._combine == "sum":
            return self._sum
        root = np.sqrt(self._sum) if self._combine == "quadrature" else self._sum
        return root / self.weights
