"""Frames that are cupy arrays: they stay on their device."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from astropy import units
from astropy.io import fits

from gpustack.backends.base import Samples, working_dtype
from gpustack.backends.cuda.device import cupy, is_array
from gpustack.errors import FrameError
from gpustack.frames.coordinates import Coordinates


@dataclass(eq=False)
class ResidentFrame:
    """A frame in the memory of a CUDA device. See `Frame` for what the attributes mean.

    Parameters
    ----------
    data : cupy.ndarray
        Of any real dtype and strides.
    """

    name: str
    data: Any
    unit: units.UnitBase | None
    header: fits.Header
    coordinates: Coordinates = field(default_factory=Coordinates)

    def __post_init__(self) -> None:
        self._rows = reshaped(self.data, -1, self.shape[-1])

    @property
    def shape(self) -> tuple[int, ...]:
        """In numpy order."""
        shape: tuple[int, ...] = self.data.shape
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return working_dtype(np.dtype(self.data.dtype))

    @property
    def stored(self) -> np.dtype[Any]:
        """That of the array."""
        dtype: np.dtype[Any] = np.dtype(self.data.dtype)
        return dtype

    @property
    def masked(self) -> bool:
        """Never; NaN is invalid."""
        return False

    @property
    def has_variance(self) -> bool:
        """Never."""
        return False

    @property
    def flags_dtype(self) -> None:
        """There are none."""

    @property
    def row_bytes(self) -> int:
        """Nothing is read."""
        return 0

    @property
    def held_bytes(self) -> int:
        """None."""
        return 0

    def read(self, start: int, stop: int, into: Any = None) -> Samples:
        """Rows ``[start, stop)`` as a cupy array."""
        return Samples(self._rows[start:stop])

    def read_variance(self, start: int, stop: int) -> Any:
        """FrameError: there is none."""
        raise FrameError(
            self.name, "variance: expected CCDData or FITS files, which have one, got a cupy array"
        )

    def read_flags(self, start: int, stop: int) -> Any:
        """FrameError: there are none."""
        raise FrameError(
            self.name, "flags: expected CCDData or FITS files, which have them, got a cupy array"
        )

    def whole(self) -> NoReturn:
        """FrameError: it would copy the frame to the host."""
        raise FrameError(
            self.name,
            "a cupy array stays on its device: expected scale, zero and weights as numbers, got "
            "a statistic or a function, which would need it on the host",
        )

    def empty(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Any:
        """A cupy array on the same device, not filled."""
        with self.data.device:
            return cupy().empty(tuple(shape), dtype)


def reshaped(array: Any, *shape: int) -> Any:
    """An array, of the host or of a device, in another shape.

    A view, but for axes that lie in another order; then a copy, which CuPy would make on the
    current device.
    """
    with here(array):
        return array.reshape(shape)


def here(array: Any) -> AbstractContextManager[Any]:
    """Within it, the device of an array is the current one; of one of the host nothing changes."""
    return array.device if is_array(array) else nullcontext()


def library(array: Any) -> Any:
    """The module that an array is of: numpy or cupy."""
    return cupy() if is_array(array) else np


def on_host(array: Any) -> Any:
    """An array of a device as one of the host, for which it is waited; others as they are."""
    return array.get() if is_array(array) else array


def open_resident(name: str, data: Any, unit: units.UnitBase | None) -> ResidentFrame:
    """The frame of a cupy array.

    Raises
    ------
    FrameError
        Where it has no samples, or its dtype is not real.
    """
    from gpustack.backends.cuda.launch import c_type  # slow to load, and few have a device

    if data.dtype.kind == "b":
        data = data.view(np.uint8)
    if c_type(np.dtype(data.dtype)) is None and data.dtype != np.float16:
        raise FrameError(name, f"expected samples that are real numbers, got dtype {data.dtype}")
    if data.ndim == 0 or data.size == 0:
        raise FrameError(name, f"expected at least one row of samples, got shape {data.shape}")
    return ResidentFrame(name, data, unit, fits.Header())
