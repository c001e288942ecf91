"""The uncertainty that follows from the variances of the frames, not from the samples.

Of n survivors with variances v, each times the square of its frame's scale, and weights w:

========================  ==================================
mean                      ``sqrt(sum v) / n``
weighted mean             ``sqrt(sum w^2 v) / sum w``
sum, weighted sum         ``sqrt(sum v)``, ``sqrt(sum w^2 v)``
medians                   ``sqrt(pi / 2 * sum v) / n``
========================  ==================================

The variance of a median is pi / 2 times that of the mean, for many samples of normal noise. The
median of one or two samples is their mean, and has the uncertainty of the mean. The lower median
of two samples is not their mean, and has the factor.

A variance that is NaN or negative makes the uncertainty NaN, unless its sample is out or has a
weight of 0; an infinite variance makes it infinite. Where the result is masked, it is NaN.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.combines import MEDIANS
from gpustack.frames.variance import READ_BYTES, inverse_variance
from gpustack.maps.base import ClippedBand, MakeArray, Stack
from gpustack.recipe import Recipe


class PropagatedMap:
    """At each pixel, the uncertainty that follows from the variances of the survivors.

    Parameters
    ----------
    source : Stack
        All its frames must have variances.
    empty : callable
        Makes the map: an array, or a `Sink`.
    real : dtype
        The dtype of the map; it is computed in float64.
    recipe : Recipe
        Its scale and weights are one number per frame, or weights come with the samples.

    References
    ----------
    DRAGONS `NDStacker`: mean, wtmean, median.
    """

    def __init__(
        self, source: Stack, empty: MakeArray, real: np.dtype[Any], recipe: Recipe
    ) -> None:
        self.value: Any = empty((source.rows, source.width), real)
        self._recipe = recipe
        # The samples and variance of a frame as read, and eight float64 of sums and terms.
        read = max(source.row_bytes) + source.temporary_bytes if source.weighted else 0
        self.pixel_bytes = read // max(source.width, 1) + READ_BYTES + 8 * 8 + 4

    def add(self, part: ClippedBand) -> None:
        """Fill in the rows of a band."""
        with np.errstate(all="ignore"):
            self.value[part.band.start : part.band.stop] = self._made(part)

    def _made(self, part: ClippedBand) -> NDArray[np.float64]:
        assert part.out.mask is not None
        total, weight_sum = np.zeros(part.out.mask.shape), np.zeros(part.out.mask.shape)
        for f, reasons in enumerate(part.reasons):
            variance = self._scaled(part, f)
            weight = self._weight(part, f, variance)
            inside = reasons == 0
            np.add(weight_sum, weight, out=weight_sum, where=inside)
            inside &= np.greater(weight, 0)
            # Twice by the weight: the square of an inverse variance may overflow.
            np.multiply(variance, weight, out=variance)
            np.multiply(variance, weight, out=variance)
            np.add(total, variance, out=total, where=inside)
        np.copyto(total, np.nan, where=part.out.mask)
        return self._of(total, weight_sum)

    def _of(
        self, total: NDArray[np.float64], weight_sum: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the uncertainty from the sums of variances and of weights."""
        method = self._recipe.method
        if method in MEDIANS:
            means = 2 if method == "median" else 1
            np.multiply(total, math.pi / 2, out=total, where=weight_sum > means)
        np.sqrt(total, out=total)
        if method != "sum":
            np.divide(total, weight_sum, out=total)
        return total

    def _scaled(self, part: ClippedBand, f: int) -> NDArray[np.float64]:
        """Return the variances of the normalised samples of frame `f`; negative ones as NaN."""
        variance = part.rows.variance_of(f)
        np.copyto(variance, np.nan, where=variance < 0)
        if self._recipe.scale is not None:
            np.multiply(variance, self._recipe.scale[f] * self._recipe.scale[f], out=variance)
        return variance

    def _weight(self, part: ClippedBand, f: int, variance: NDArray[np.float64]) -> Any:
        """Return one weight for the frame, or one per sample."""
        match self._recipe.weights:
            case None:
                return 1.0
            case "variance":
                return inverse_variance(variance.copy(), 1.0)
            case "sample":
                return part.rows.read(f, 0, part.rows.rows).weight
            case numbers:
                return numbers[f]
