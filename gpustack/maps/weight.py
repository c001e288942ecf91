"""The map of weights: the sum of the weights of the samples that survive at a pixel."""

from typing import Any

import numpy as np

from gpustack.frames.resident import library
from gpustack.frames.variance import READ_BYTES, inverse_variance
from gpustack.maps.base import ClippedBand, MakeArray, Stack
from gpustack.maps.sums import ExactSum
from gpustack.recipe import Recipe


class WeightMap:
    """At each pixel, the sum of the weights of the survivors, in float64.

    Without weights each is 1, and the sum is the number of survivors. Where weights are inverse
    variances, the sum is the inverse variance of the weighted mean. 0 where nothing survives.

    Parameters
    ----------
    source : Stack
    empty : callable
        Makes the map: an array, or a `Sink`.
    recipe : Recipe
        Its scale and weights are one number per frame, or weights come with the samples.

    References
    ----------
    SWarp ``WEIGHTOUT_NAME``; the WHT extension of DrizzlePac.
    """

    def __init__(self, source: Stack, empty: MakeArray, recipe: Recipe) -> None:
        self.value: Any = empty((source.rows, source.width), np.dtype(np.float64))
        self._recipe = recipe
        # A frame as read, and seven float64 of sums and terms.
        read = max(source.row_bytes) + source.temporary_bytes if source.weighted else 0
        self.pixel_bytes = read // max(source.width, 1) + READ_BYTES + 7 * 8 + 2

    def add(self, part: ClippedBand) -> None:
        """Fill in the rows of a band."""
        lib = library(part.reasons)
        total = ExactSum(lib.zeros(part.reasons.shape[1:], np.float64))
        for f in range(part.rows.n):
            total.add(lib.where(part.reasons[f] == 0, self._weight(part, f), 0.0))
        self.value[part.band.start : part.band.stop] = total.value()

    def _weight(self, part: ClippedBand, f: int) -> Any:
        """Return one weight for the frame, or one per sample."""
        match self._recipe.weights:
            case None:
                return 1.0
            case "variance":
                scale = 1.0 if self._recipe.scale is None else self._recipe.scale[f]
                return inverse_variance(part.rows.variance_of(f), scale)
            case "sample":
                return part.rows.read(f, 0, part.rows.rows).weight
            case numbers:
                return np.float64(numbers[f])
