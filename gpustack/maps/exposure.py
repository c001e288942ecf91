"""The map of exposure: how long the frames that survive at a pixel were exposed, together."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpustack.maps.base import ClippedBand, MakeArray, Stack


class ExposureMap:
    """At each pixel, the sum of the exposures of the frames whose samples survive.

    Parameters
    ----------
    source : Stack
    empty : callable
        Makes the map: an array, or a `Sink`.
    real : dtype
        The dtype of the map; exposures are added up in float64.
    exposures : sequence of float
        The exposure of each frame.

    References
    ----------
    IRAF imcombine ``expmasks``, which leaves out frames whose weight is 0.
    """

    #: A sum, a term and the new sum in float64; and the mask of survivors.
    pixel_bytes = 3 * 8 + 1

    def __init__(
        self, source: Stack, empty: MakeArray, real: np.dtype[Any], exposures: Sequence[float]
    ) -> None:
        self.value: Any = empty((source.rows, source.width), real)
        self._exposures = exposures
        # From the shortest up, so that the order of the frames does not change a bit of the sum.
        self._order = sorted(range(source.n), key=lambda f: exposures[f])

    def add(self, part: ClippedBand) -> None:
        """Fill in the rows of a band."""
        total: Any = None
        with np.errstate(over="ignore"):  # a header may say 1e308 s, which is inf in float32
            for f in self._order:
                exposed = (part.reasons[f] == 0) * np.float64(self._exposures[f])
                total = exposed if total is None else total + exposed
            self.value[part.band.start : part.band.stop] = total
