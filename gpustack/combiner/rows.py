"""A frame seen through another dtype, or through some of its rows only."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.units import UnitBase

from gpustack.backends.base import Samples, working_dtype
from gpustack.combiner.callables import Masked
from gpustack.frames import Frame
from gpustack.frames.base import decode


@dataclass(frozen=True, slots=True)
class RowsFrame:
    """Rows ``[start, stop)`` of a frame, its samples cast to `cast` as they are read.

    Parameters
    ----------
    inner : Frame
        Where samples come from.
    cast : dtype
        What they become, as if put into an array of that dtype.
    start, stop : int
        Rows of `inner`, counted over all axes but the last; all rows where omitted, and
        the shape is that of `inner` then, else two-dimensional.
    """

    inner: Frame
    cast: np.dtype[Any]
    start: int = 0
    stop: int | None = None

    @property
    def name(self) -> str:
        """As `inner`."""
        return self.inner.name

    @property
    def unit(self) -> UnitBase | None:
        """As `inner`."""
        return self.inner.unit

    @property
    def header(self) -> fits.Header:
        """As `inner`."""
        return self.inner.header

    @property
    def wcs(self) -> Any:
        """As `inner`."""
        return self.inner.wcs

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, width), or that of `inner` where it is seen whole."""
        if self.stop is None:
            return self.inner.shape
        return (self.stop - self.start, self.inner.shape[-1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The working dtype."""
        return working_dtype(self.cast)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row as `inner` reads it, and as it is cast, and its mask."""
        return self.inner.row_bytes + self.shape[-1] * (self.cast.itemsize + 1)

    def read(self, start: int, stop: int, into: Any = None) -> Samples:
        """Rows ``[start, stop)`` of this frame."""
        return _cast(self.inner.read(self.start + start, self.start + stop, into), self.cast)

    def whole(self) -> Masked:
        """All rows, masked where invalid."""
        samples = self.read(0, prod(self.shape[:-1]))
        mask = np.zeros(samples.data.shape, bool) if samples.mask is None else samples.mask
        mask = mask | ~np.isfinite(samples.data)
        return np.ma.MaskedArray(samples.data.reshape(self.shape), mask.reshape(self.shape))


def _cast(samples: Samples, dtype: np.dtype[Any]) -> Samples:
    """Samples decoded and cast to `dtype`. Integers have no NaN: 0, and masked."""
    values, invalid = decode(samples, working_dtype(samples.data.dtype))
    if dtype.kind != "f":
        values[~np.isfinite(values)] = 0
    with np.errstate(over="ignore"):  # what overflows is infinite, and invalid for that
        return Samples(values.astype(dtype, copy=False), invalid, samples.weight)
