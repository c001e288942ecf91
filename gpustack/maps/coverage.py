"""The map of coverage: how many frames have a valid sample at each pixel."""

from typing import Any

import numpy as np

from gpustack.maps.base import ClippedBand, MakeArray, Stack
from gpustack.reasons import Reason

_NOTHING = np.uint8(Reason.MASKED | Reason.NO_VALUE)


class CoverageMap:
    """At each pixel, the number of valid samples, rejected or not.

    These are the survivors and all rejected samples, including those that growing rejected.

    Parameters
    ----------
    source : Stack
    empty : callable
        Makes the map: an array, or a `Sink`.

    References
    ----------
    The footprint of `reproject.mosaicking.reproject_and_coadd`.
    """

    #: A count, a term and their sum, at most 4 bytes each; and two masks of a frame.
    pixel_bytes = 3 * 4 + 2

    def __init__(self, source: Stack, empty: MakeArray) -> None:
        whole = np.dtype(np.uint16 if source.n <= np.iinfo(np.uint16).max else np.uint32)
        self.value: Any = empty((source.rows, source.width), whole)
        self._one = whole.type(1)

    def add(self, part: ClippedBand) -> None:
        """Fill in the rows of a band."""
        total: Any = None
        for reasons in part.reasons:
            counted = ((reasons & _NOTHING) == 0) * self._one
            total = counted if total is None else total + counted
        self.value[part.band.start : part.band.stop] = total
