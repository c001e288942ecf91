"""One pixel of a frame, as a frame; of the frame only the row that it lies in is read."""

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from astropy import units
from astropy.io import fits
from numpy.typing import NDArray

from gpustack.backends.base import Samples
from gpustack.checks import plain, whole
from gpustack.errors import FrameError, InputError
from gpustack.frames import Frame
from gpustack.frames.base import read_whole
from gpustack.frames.resident import ResidentFrame


@dataclass(frozen=True, eq=False)
class PixelFrame:
    """A frame of shape (1, 1), as it lies in the frame that it is of. See `Frame`."""

    name: str
    samples: Samples
    dtype: np.dtype[Any]
    unit: units.UnitBase | None
    header: fits.Header = field(default_factory=fits.Header)
    wcs: Any = None
    shape: tuple[int, ...] = (1, 1)
    #: Nothing is read any more.
    row_bytes: int = 0

    @property
    def stored(self) -> np.dtype[Any]:
        """Of the sample, not decoded."""
        return self.samples.data.dtype

    @property
    def masked(self) -> bool:
        """Whether the frame has a mask."""
        return self.samples.mask is not None

    def read(self, start: int, stop: int, into: Any = None) -> Samples:
        """The one row; `into` is not needed."""
        return self.samples

    @property
    def has_variance(self) -> bool:
        """Whether the variance of the sample was read."""
        return self.samples.variance is not None

    @property
    def has_flags(self) -> bool:
        """The bits of masks are not kept."""
        return False

    def read_variance(self, start: int, stop: int) -> NDArray[np.float64]:
        """The variance of the sample."""
        if self.samples.variance is None:
            raise FrameError(self.name, "expected a variance, got none")
        return self.samples.variance

    def read_flags(self, start: int, stop: int) -> NDArray[Any]:
        """There are none."""
        raise FrameError(self.name, "expected the bits of a mask, got none")

    def whole(self) -> np.ma.MaskedArray[Any, Any]:
        """The sample, decoded."""
        return read_whole(self)


def check_pixel(frames: list[Frame], x: Any, y: Any) -> tuple[int, int]:
    """A pixel of frames that agree, counted from 0.

    Raises
    ------
    InputError
        Where it is not inside of them, or they are no images of two axes.
    FrameError
        Where they are cupy arrays.
    """
    first = frames[0]
    if len(first.shape) != 2:
        raise InputError(
            f"explain: expected images of two axes, got shape {first.shape} in {first.name}"
        )
    if isinstance(first, ResidentFrame):
        raise FrameError(
            first.name, "explain: expected a file or numpy array, got a cupy array; .get() copies"
        )
    rows, width = first.shape
    column, row = (whole(name, value, None) for name, value in (("x", plain(x)), ("y", plain(y))))
    if not (0 <= column < width and 0 <= row < rows):
        raise InputError(
            f"pixel: expected one of an image of {width} x {rows}, x first, got x={column}, "
            f"y={row} counted from 0, which is {column + 1}, {row + 1} counted from 1"
        )
    return column, row


def cut_out(frame: Frame, x: int, y: int, variance: bool) -> PixelFrame:
    """Pixel x, y of a frame, counted from 0, and with `variance` that too.

    Raises
    ------
    FrameError
        Where the file can no longer be read, or has no variance.
    """
    samples = frame.read(y, y + 1)
    if variance:
        samples = replace(samples, variance=frame.read_variance(y, y + 1))
    held = {part.name: getattr(samples, part.name) for part in fields(samples)}
    # Copies, so that the rest of the row need not be held.
    arrays: dict[str, Any] = {
        name: value[:, x : x + 1].copy()
        for name, value in held.items()
        if isinstance(value, np.ndarray)
    }
    return PixelFrame(frame.name, replace(samples, **arrays), frame.dtype, frame.unit)
