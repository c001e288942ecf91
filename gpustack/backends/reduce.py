"""Combining the survivors of a column: one value and its uncertainty."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import MAD_TO_STD, Floats, Ranks, middles
from gpustack.backends.ragged import Ragged
from gpustack.backends.sigma_median import mean_of_all
from gpustack.backends.statistics import Columns, mean, median, pivot, quick_mad, std, sums
from gpustack.combines import QUADRATURES
from gpustack.recipe import Recipe


def total(columns: Columns) -> Floats:
    """The sum of the survivors."""
    origin = pivot(columns)
    if origin is None:
        return sums(columns)
    return columns.total(origin) + origin * columns.count


def lower_median(columns: Columns) -> Floats:
    """The median; for an even count the lower of the two middle samples."""
    return middles(columns)[0]


def lmedian(columns: Columns) -> Floats:
    """The median; for two samples the lower one."""
    return np.where(columns.count == 2, lower_median(columns), median(columns))


def quadrature(columns: Columns) -> Floats:
    """The standard deviation of the mean, from survivors that are standard deviations."""
    return np.sqrt(columns.total(None, squared=True)) / columns.count


def lowest(columns: Columns) -> Floats:
    """The lowest survivor."""
    return columns.at(columns.lo)


def highest(columns: Columns) -> Floats:
    """The highest survivor."""
    return columns.at(columns.hi - 1)


_METHODS: dict[str, Callable[[Columns], Floats]] = {
    "mean": mean,
    "median": median,
    "lower_median": lower_median,
    "lmedian": lmedian,
    "sum": total,
    "quadrature": quadrature,
    "nmodel": quadrature,  # the samples have become what the model says
    "min": lowest,
    "max": highest,
}


def combine(columns: Columns, recipe: Recipe) -> Floats:
    """The unweighted value of each column; meaningless where nothing survives."""
    if isinstance(columns, Ragged) and columns.stand_ins is not None:
        return mean_of_all(columns, columns.stand_ins)
    return _METHODS[recipe.method](columns)


def uncertainty(columns: Columns, recipe: Recipe) -> Floats:
    """The uncertainty of the combined value, from the spread of the survivors."""
    spread = MAD_TO_STD * quick_mad(columns) if recipe.spread == "mad_std" else std(columns)
    root = np.sqrt(columns.count)
    return spread * root if recipe.combine == "sum" else spread / root


NO_COLUMNS: Ranks = np.empty(0, np.intp)


class WeightedSum:
    """Sums of weights and of weighted samples, added up frame by frame in float64.

    For a quadrature, the squares of the weighted samples are added up. There is no pivot: any
    sample may have the weight 0, and such a sample may have any value.
    """

    def __init__(self, pixels: int, recipe: Recipe) -> None:
        self.weights, self._sum, self._term = (np.zeros(pixels) for _ in range(3))
        self._squares, self._divides = recipe.method in QUADRATURES, recipe.method != "sum"

    def add(self, row: Floats, weight: float | NDArray[Any], outside: Ranks) -> None:
        """Add the samples of a frame, except those at `outside`, which may have any value.

        `row`, and a weight that is an array, have shape (pixels,); `outside` contains indices.
        Adding all samples and restoring a few sums takes half the time of sums by a mask.
        """
        if len(outside) == len(self._sum):  # true of nearly all frames of a mosaic
            return
        before = self._sum[outside], self.weights[outside]
        np.multiply(row, weight, out=self._term, dtype=np.float64)
        if self._squares:
            np.multiply(self._term, self._term, out=self._term)
        np.add(self._sum, self._term, out=self._sum)
        np.add(self.weights, weight, out=self.weights)
        self._sum[outside], self.weights[outside] = before

    def value(self) -> Floats:
        """The combined value; NaN where it would be divided by a weight of 0."""
        result = np.sqrt(self._sum) if self._squares else self._sum
        return result / self.weights if self._divides else result
