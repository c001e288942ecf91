"""The map of flags: the bits of the masks of what was combined."""

from typing import Any

import numpy as np

from gpustack.frames.bits import unsigned
from gpustack.maps.base import Part, Stack


class FlagMap:
    """At each pixel, the bits that any surviving sample has in the integer mask of its frame.

    Where none survives, the bits of all samples. A frame without such a mask has none.

    Parameters
    ----------
    source : Stack
        Of frames of which one has bits at least. The map is of the widest integer type among
        them, of the first of those that are as wide.

    References
    ----------
    LSST `afw`, ``statisticsStack``, whose mask is such a union.
    """

    #: The union, the bits of a frame as they are and as wide, those that count, what survives.
    pixel_bytes = 4 * 8 + 2

    def __init__(self, source: Stack) -> None:
        flags = source.flags
        self._flagged = [f for f, dtype in enumerate(flags) if dtype is not None]
        widest = max((d for d in flags if d is not None), key=lambda dtype: dtype.itemsize)
        self.value: Any = source.empty((source.rows, source.width), widest)

    def add(self, part: Part) -> None:
        """Fill in the rows of a band."""
        rows = self.value[part.band.start : part.band.stop]
        union = unsigned(np.zeros_like(rows))
        lost = np.ones(rows.shape, bool)
        for reasons in part.reasons:
            lost &= reasons != 0
        for f in self._flagged:
            bits = unsigned(part.rows.read_flags(f))
            np.bitwise_or(union, bits, out=union, where=(part.reasons[f] == 0) | lost)
        rows[...] = union.view(rows.dtype)
