"""The map of flags: the bits of the masks of what was combined."""

from typing import Any

import numpy as np

from gpustack.frames.bits import unsigned
from gpustack.maps.base import Empty, Part, Stack


class FlagMap:
    """At each pixel, the bits that any surviving sample has in the integer mask of its frame.

    Where none survives, the bits of all samples. A frame without such a mask has none.

    Parameters
    ----------
    source : Stack
        Of frames of which one has bits at least. The map is of the widest integer type among
        them, of the first of those that are as wide.
    empty : callable
        Makes the map: an array, or a `Sink`.

    References
    ----------
    LSST `afw`, ``statisticsStack``, whose mask is such a union.
    """

    #: The union, the bits of a frame as they are and as wide, those that count, what survives.
    pixel_bytes = 4 * 8 + 2

    def __init__(self, source: Stack, empty: Empty) -> None:
        flags = source.flags
        self._flagged = [f for f, dtype in enumerate(flags) if dtype is not None]
        widest = max((d for d in flags if d is not None), key=lambda dtype: dtype.itemsize)
        self.value: Any = empty((source.rows, source.width), widest)

    def add(self, part: Part) -> None:
        """Fill in the rows of a band."""
        bits = np.zeros(part.reasons.shape[1:], self.value.dtype)
        union = unsigned(bits)
        lost = np.ones(bits.shape, bool)
        for reasons in part.reasons:
            lost &= reasons != 0
        for f in self._flagged:
            read = unsigned(part.rows.read_flags(f))
            np.bitwise_or(union, read, out=union, where=(part.reasons[f] == 0) | lost)
        self.value[part.band.start : part.band.stop] = bits
