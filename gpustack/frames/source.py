"""The source that a backend reads: rows of frames that agree, flattened to two dimensions."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Samples
from gpustack.frames.base import Frame
from gpustack.frames.resident import ResidentFrame, on_device_of
from gpustack.frames.variance import READ_BYTES, inverse_variance


@dataclass(frozen=True, eq=False)
class FrameSource:
    """The frames of a stack; see `gpustack.backends.base.Source`.

    Parameters
    ----------
    frames : sequence of Frame
        Frames of one shape.
    dtype : dtype
        The dtype in which samples are compared and sorted.
    weights : array, shape (n, rows, width), or None
        One weight per sample.
    variance : bool
        Whether `read` returns a variance with every sample.
    scales : sequence of float or None
        The scale of each frame, where weights are the inverse variances of the scaled samples.
    """

    frames: Sequence[Frame]
    dtype: np.dtype[Any]
    weights: Any = None
    variance: bool = False
    scales: Sequence[float] | None = None

    @property
    def n(self) -> int:
        """The number of frames."""
        return len(self.frames)

    @property
    def rows(self) -> int:
        """The number of rows of a frame: all axes but the last."""
        return math.prod(self.frames[0].shape[:-1])

    @property
    def height(self) -> int:
        """The rows of a plane: the length of the last axis but one."""
        shape = self.frames[0].shape
        return shape[-2] if len(shape) > 1 else 1

    @property
    def width(self) -> int:
        """The samples of a row: the length of the last axis."""
        return self.frames[0].shape[-1]

    @property
    def row_bytes(self) -> list[int]:
        """Bytes of buffer that reading one row of each frame takes."""
        return [frame.row_bytes for frame in self.frames]

    @property
    def temporary_bytes(self) -> int:
        """Bytes of variances and weights that reading one row of any frame takes in addition."""
        by_variance = self.scales is not None
        if not (self.variance or by_variance):
            return 0
        # Weights are made in the memory of the variances, unless both are wanted.
        return self.width * (READ_BYTES + 8 * (self.variance and by_variance))

    @property
    def held_bytes(self) -> int:
        """Bytes that reading any frame holds in addition, however few the rows."""
        return max(frame.held_bytes for frame in self.frames)

    @property
    def stored(self) -> list[np.dtype[Any]]:
        """The dtype of each frame's samples as they are read."""
        return [frame.stored for frame in self.frames]

    @property
    def masked(self) -> list[bool]:
        """Whether each frame comes with a mask."""
        return [frame.masked for frame in self.frames]

    @property
    def resident(self) -> bool:
        """Whether the frames are on a CUDA device, where the result belongs too."""
        return isinstance(self.frames[0], ResidentFrame)

    def empty(self, shape: Sequence[int], dtype: Any) -> Any:
        """Return an uninitialised array where the frames are: on the host or on a device."""
        first = self.frames[0]
        if isinstance(first, ResidentFrame):
            return first.empty(shape, dtype)
        return np.empty(shape, dtype)

    def on_device(self) -> AbstractContextManager[Any]:
        """Return a context in which the device of the frames is current, if they are on one."""
        first = self.frames[0]
        return on_device_of(first.data) if isinstance(first, ResidentFrame) else nullcontext()

    def unweighted(self) -> Self:
        """Return the same source without a weight for every sample."""
        return replace(self, weights=None, scales=None)

    @property
    def weighted(self) -> bool:
        """Whether each sample comes with a weight."""
        return self.weights is not None or self.scales is not None

    @property
    def most_row_bytes(self) -> int:
        """Bytes of one row of all frames, as read or as copied to a device, whichever is more."""
        beside = 8 * self.weighted + 8 * self.variance
        return sum(
            max(read + self.temporary_bytes, self.width * (dtype.itemsize + mask + beside))
            for read, dtype, mask in zip(self.row_bytes, self.stored, self.masked, strict=True)
        )

    def read(self, f: int, start: int, stop: int, into: Any = None) -> Samples:
        """Return rows ``[start, stop)`` of frame `f`."""
        samples = self.frames[f].read(start, stop, into)
        if not (self.variance or self.weighted):
            return samples
        variance = self.read_variance(f, start, stop) if self.variance else None
        weight = None if self.weights is None else self.weights[f, start:stop]
        if self.scales is not None:
            used = self.read_variance(f, start, stop) if variance is None else variance.copy()
            weight = inverse_variance(used, self.scales[f])
        return replace(samples, variance=variance, weight=weight)

    def read_variance(self, f: int, start: int, stop: int) -> NDArray[np.float64]:
        """Return the variance of rows ``[start, stop)`` of a frame; see `Frame.read_variance`."""
        return self.frames[f].read_variance(start, stop)

    @property
    def flags(self) -> list[np.dtype[Any] | None]:
        """The dtype of each frame's bits; None for a frame without an integer mask."""
        return [frame.flags_dtype for frame in self.frames]

    def read_flags(self, f: int, start: int, stop: int) -> NDArray[Any]:
        """Return the bits of rows ``[start, stop)`` of frame `f`; see `Frame.read_flags`."""
        return self.frames[f].read_flags(start, stop)
