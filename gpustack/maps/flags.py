"""The map of flags: the mask bits of the samples that were combined."""

from typing import Any

import numpy as np

from gpustack.frames.bits import unsigned
from gpustack.maps.base import ClippedBand, MakeArray, Stack


class FlagMap:
    """At each pixel, the bits that any surviving sample has in the integer mask of its frame.

    Where no sample survives, the bits of all samples. A frame without such a mask adds no bits.

    Parameters
    ----------
    source : Stack
        At least one frame must have an integer mask. The map has the widest of their dtypes, and
        the first one where several are equally wide.
    empty : callable
        Makes the map: an array, or a `Sink`.

    References
    ----------
    LSST `afw`, ``statisticsStack``, whose mask is such a union.
    """

    #: The union, the bits of a frame as read and as widened, and those that are added, at most
    #: 8 bytes each; and two masks.
    pixel_bytes = 4 * 8 + 2

    def __init__(self, source: Stack, empty: MakeArray) -> None:
        flags = source.flags
        self._flagged = [f for f, dtype in enumerate(flags) if dtype is not None]
        widest = max((d for d in flags if d is not None), key=lambda dtype: dtype.itemsize)
        self.value: Any = empty((source.rows, source.width), widest)

    def add(self, part: ClippedBand) -> None:
        """Fill in the rows of a band."""
        bits = np.zeros(part.reasons.shape[1:], self.value.dtype)
        union = unsigned(bits)
        lost = np.ones(bits.shape, bool)
        for reasons in part.reasons:
            lost &= reasons != 0
        for f in self._flagged:
            read = unsigned(part.rows.flags_of(f))
            np.bitwise_or(union, read, out=union, where=(part.reasons[f] == 0) | lost)
        self.value[part.band.start : part.band.stop] = bits
