"""The map of reasons: why samples of a column are out."""

from typing import Any

import numpy as np

from gpustack.maps.base import ClippedBand, MakeArray, Stack


class ReasonMap:
    """At each pixel, the reasons of the samples of all frames, as the bits of one uint8.

    Parameters
    ----------
    source : Stack
    empty : callable
        Makes the map: an array, or a `Sink`.
    """

    pixel_bytes = 2

    def __init__(self, source: Stack, empty: MakeArray) -> None:
        self.value: Any = empty((source.rows, source.width), np.dtype(np.uint8))

    def add(self, part: ClippedBand) -> None:
        """Fill in the rows of a band."""
        union = part.reasons[0].copy()
        for reasons in part.reasons[1:]:
            union |= reasons
        self.value[part.band.start : part.band.stop] = union
