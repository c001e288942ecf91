"""The map of sigmas: how far the samples of a pixel scatter about its value."""

from typing import Any

import numpy as np

from gpustack.backends.base import Samples
from gpustack.frames.resident import library
from gpustack.maps.base import ClippedBand, MakeArray, Stack
from gpustack.maps.samples import normalised
from gpustack.recipe import Recipe


class SigmaMap:
    """At each pixel, the standard deviation of the survivors about their mean or median.

    ``sqrt(sum (x - value)^2 / (n - 1))`` of n normalised samples, with weights
    ``sqrt(sum w (x - value)^2 / sum w * n / (n - 1))``. It is computed in float64, about the
    value in the dtype of the result. 0 for one survivor; NaN where the result is masked.

    Parameters
    ----------
    source : Stack
    empty : callable
        Makes the map: an array, or a `Sink`.
    real : dtype
        The dtype of the map.
    recipe : Recipe
        Its scale, zero and weights are one number per frame, or weights come with the samples.

    References
    ----------
    IRAF imcombine ``sigmas``, which has 0 where nothing survives.
    """

    def __init__(
        self, source: Stack, empty: MakeArray, real: np.dtype[Any], recipe: Recipe
    ) -> None:
        self.value: Any = empty((source.rows, source.width), real)
        self._recipe = recipe
        # A frame as read, decoded (3 float64 and masks), and twelve float64 of sums and terms.
        read = max(source.row_bytes) + source.temporary_bytes
        self.pixel_bytes = read // max(source.width, 1) + 15 * 8 + 4

    def add(self, part: ClippedBand) -> None:
        """Fill in the rows of a band."""
        with np.errstate(all="ignore"):
            self.value[part.band.start : part.band.stop] = self._made(part)

    def _made(self, part: ClippedBand) -> Any:
        mask, data = part.out.mask, part.out.data
        assert data is not None
        lib, center = library(data), data.astype(np.float64)
        squares = weight_sum = count = lib.zeros(center.shape, np.float64)
        for f in range(part.rows.n):
            inside = part.reasons[f] == 0
            samples = part.rows.read(f, 0, part.rows.rows)
            x = normalised(samples, self._recipe, f, part.rows.dtype)
            deviation = lib.where(inside, x - center, 0.0)
            term = deviation * deviation
            count = count + inside
            weight = self._weight(samples, f)
            if weight is not None:
                counted = lib.where(inside, weight, 0.0)
                term, weight_sum = term * counted, weight_sum + counted
            squares = squares + term
        if self._recipe.weights is not None:
            squares = squares / weight_sum * count
        sigma = lib.where(count > 1, lib.sqrt(squares / (count - 1.0)), 0.0)
        return lib.where(mask, np.nan, sigma)

    def _weight(self, samples: Samples, f: int) -> Any:
        """Return one weight for the frame, one per sample, or None."""
        if samples.weight is not None:
            return samples.weight
        return None if self._recipe.weights is None else self._recipe.weights[f]
