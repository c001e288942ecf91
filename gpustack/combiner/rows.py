"""A frame seen through another dtype, or through some of its rows only."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.units import UnitBase
from numpy.typing import NDArray

from gpustack.backends.base import Samples, working_dtype
from gpustack.combiner.callables import Masked
from gpustack.frames import Frame
from gpustack.frames.base import decode, read_whole
from gpustack.frames.coordinates import Coordinates


@dataclass(frozen=True, slots=True, eq=False)
class RowsFrame:
    """Rows ``[start, stop)`` of a frame, its samples cast to `cast` as they are read.

    Parameters
    ----------
    inner : Frame
        The frame that samples are read from.
    cast : dtype
        Samples become what an array of this dtype would contain.
    start, stop : int
        Rows of `inner`, counted over all axes but the last; the frame is then
        two-dimensional. If omitted, it has all rows, in the shape of `inner`.
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
    def coordinates(self) -> Coordinates:
        """As `inner`."""
        return self.inner.coordinates

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, width), or that of `inner` where it is seen whole."""
        if self.stop is None:
            return self.inner.shape
        return (self.stop - self.start, self.inner.shape[-1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype in which samples are compared."""
        return working_dtype(self.cast)

    @property
    def stored(self) -> np.dtype[Any]:
        """The dtype that samples are cast to."""
        return self.cast

    @property
    def masked(self) -> bool:
        """True: values that `cast` cannot hold are masked."""
        return True

    @property
    def has_variance(self) -> bool:
        """As `inner`."""
        return self.inner.has_variance

    @property
    def flags_dtype(self) -> np.dtype[Any] | None:
        """As `inner`."""
        return self.inner.flags_dtype

    @property
    def row_bytes(self) -> int:
        """Bytes of one row: as `inner` reads it, as it is cast, and of its mask."""
        return self.inner.row_bytes + self.shape[-1] * (self.cast.itemsize + 1)

    @property
    def held_bytes(self) -> int:
        """As `inner`."""
        return self.inner.held_bytes

    def read(self, start: int, stop: int, into: Any = None) -> Samples:
        """Rows ``[start, stop)`` of this frame."""
        return _cast(self.inner.read(self.start + start, self.start + stop, into), self.cast)

    def read_variance(self, start: int, stop: int) -> NDArray[np.float64]:
        """The variance of rows ``[start, stop)`` of this frame, as `inner` has it."""
        return self.inner.read_variance(self.start + start, self.start + stop)

    def read_flags(self, start: int, stop: int) -> NDArray[Any]:
        """The flags of rows ``[start, stop)`` of this frame."""
        return self.inner.read_flags(self.start + start, self.start + stop)

    def whole(self) -> Masked:
        """All rows, masked where invalid."""
        return read_whole(self)


def _cast(samples: Samples, dtype: np.dtype[Any]) -> Samples:
    """Decode samples and cast them to `dtype`; those that it cannot hold become invalid."""
    values, invalid = decode(samples, working_dtype(samples.data.dtype))
    return Samples(cast(values, dtype), invalid | ~castable(values, dtype))


def cast(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return `values` in another dtype, without a copy where they have it; 0 if not `castable`.

    As in numpy, a value too large for a float becomes infinite, and integers wrap around.
    """
    if dtype.kind == "f" or values.dtype.kind != "f":
        with np.errstate(over="ignore"):
            return values.astype(dtype, copy=False)
    return np.where(castable(values, dtype), values, 0).astype(_wide(dtype)).astype(dtype)


def castable(values: NDArray[Any], dtype: np.dtype[Any]) -> Any:
    """Return where `values` are numbers that an integer dtype can hold, if only wrapped around.

    A single True if `dtype` is one of floats, or `values` are integers: then all can be cast.
    """
    if dtype.kind == "f" or values.dtype.kind != "f":
        return np.True_
    limits = np.iinfo(_wide(dtype))
    return (values >= float(limits.min)) & (values < float(limits.max))


def _wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.uint64 if dtype == np.uint64 else np.int64)
