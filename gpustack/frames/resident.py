"""Frames that are cupy arrays, which stay on their device."""

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
        Any real dtype and strides.
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
        """The shape of the array."""
        shape: tuple[int, ...] = self.data.shape
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return working_dtype(np.dtype(self.data.dtype))

    @property
    def stored(self) -> np.dtype[Any]:
        """The dtype of the array."""
        dtype: np.dtype[Any] = np.dtype(self.data.dtype)
        return dtype

    @property
    def masked(self) -> bool:
        """Always False: only values that are not finite are invalid."""
        return False

    @property
    def has_variance(self) -> bool:
        """Always False."""
        return False

    @property
    def flags_dtype(self) -> None:
        """Always None."""

    @property
    def row_bytes(self) -> int:
        """Always 0: nothing is read."""
        return 0

    @property
    def held_bytes(self) -> int:
        """Always 0."""
        return 0

    def read(self, start: int, stop: int, into: Any = None) -> Samples:
        """Return rows ``[start, stop)`` as a cupy array."""
        return Samples(self._rows[start:stop])

    def read_variance(self, start: int, stop: int) -> Any:
        """Raise FrameError: there is no variance."""
        raise FrameError(
            self.name, "variance: expected CCDData or FITS files, which have one, got a cupy array"
        )

    def read_flags(self, start: int, stop: int) -> Any:
        """Raise FrameError: there are no flags."""
        raise FrameError(
            self.name, "flags: expected CCDData or FITS files, which have them, got a cupy array"
        )

    def whole(self) -> NoReturn:
        """Raise FrameError: this would copy the frame to the host."""
        raise FrameError(
            self.name,
            "a cupy array stays on its device: expected scale, zero and weights as numbers, got "
            "a statistic or a function, which would need it on the host",
        )

    def empty(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Any:
        """Return an uninitialised cupy array on the same device."""
        with self.data.device:
            return cupy().empty(tuple(shape), dtype)


def reshaped(array: Any, *shape: int) -> Any:
    """Return an array, of the host or of a device, in another shape.

    It is a view unless the strides rule that out. Then it is a copy on the device of the array,
    which CuPy alone would make on the current device.
    """
    with on_device_of(array):
        return array.reshape(shape)


def on_device_of(array: Any) -> AbstractContextManager[Any]:
    """Return a context in which the device of an array is current; numpy arrays need none."""
    return array.device if is_array(array) else nullcontext()


def library(array: Any) -> Any:
    """Return the module that an array belongs to: numpy or cupy."""
    return cupy() if is_array(array) else np


def on_host(array: Any) -> Any:
    """Copy a device array to the host and wait for it; return any other value as it is."""
    return array.get() if is_array(array) else array


def open_resident(name: str, data: Any, unit: units.UnitBase | None) -> ResidentFrame:
    """Open a cupy array as a frame.

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
