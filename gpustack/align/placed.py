"""Frames that are laid into a larger grid, or cut by a smaller one, by whole pixels."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.align.base import GridFrame
from gpustack.backends.base import Samples
from gpustack.frames.base import read_whole


@dataclass(eq=False)
class PlacedFrame(GridFrame):
    """A frame moved by whole pixels: its samples as they are, and invalid ones around them.

    What the attributes mean says `Frame`.

    Parameters
    ----------
    offset : tuple of int
        (y, x): where in the grid the first pixel of the frame is; may be outside of it.
    """

    offset: tuple[int, int]

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the frame: float32 or float64."""
        return self.inner.dtype

    @property
    def stored(self) -> np.dtype[Any]:
        """As the frame has them."""
        return self.inner.stored

    @property
    def masked(self) -> bool:
        """Always: what is outside of the frame is masked."""
        return True

    @property
    def has_variance(self) -> bool:
        """Whether the frame has."""
        return self.inner.has_variance

    @property
    def has_flags(self) -> bool:
        """Whether the frame has."""
        return self.inner.has_flags

    @property
    def row_bytes(self) -> int:
        """Of samples and mask on the grid, and of reading the frame."""
        return self.shape[1] * (self.stored.itemsize + 1) + self.inner.row_bytes

    @property
    def held_bytes(self) -> int:
        """As of the frame."""
        return self.inner.held_bytes

    def read(self, start: int, stop: int, into: Any = None) -> Samples:
        """Rows ``[start, stop)`` of the grid; the frame is read only where they meet it."""
        shape = (stop - start, self.shape[1])
        size = shape[0] * shape[1] * self.stored.itemsize
        buffer = np.empty(size, np.uint8) if into is None else into
        data: NDArray[Any] = np.ndarray(shape, self.stored, buffer)
        data.fill(0)
        mask = np.ones(shape, bool)
        rows, there, here = self._meet(start, stop)
        if rows.stop <= rows.start or there.stop <= there.start:
            return Samples(data, mask)
        samples = self.inner.read(
            rows.start, rows.stop, None if into is None else memoryview(into)[size:]
        )
        data[here] = samples.data[:, there]
        mask[here] = False if samples.mask is None else samples.mask[:, there]
        return replace(samples, data=data, mask=mask)

    def read_variance(self, start: int, stop: int) -> NDArray[np.float64]:
        """The variance of rows ``[start, stop)``, NaN outside of the frame."""
        variance = np.full((stop - start, self.shape[1]), np.nan)
        rows, there, here = self._meet(start, stop)
        # A row is read in any case, so that a frame without variances says so at the first one.
        read = self.inner.read_variance(*_some(rows, self.inner.shape[0]))
        if rows.stop > rows.start:
            variance[here] = read[:, there]
        return variance

    def read_flags(self, start: int, stop: int) -> NDArray[Any]:
        """The bits of rows ``[start, stop)``, 0 outside of the frame."""
        rows, there, here = self._meet(start, stop)
        read = self.inner.read_flags(*_some(rows, self.inner.shape[0]))
        bits = np.zeros((stop - start, self.shape[1]), read.dtype)
        if rows.stop > rows.start:
            bits[here] = read[:, there]
        return bits

    def whole(self) -> np.ma.MaskedArray[Any, Any]:
        """All samples of the grid, decoded."""
        return read_whole(self)

    def _meet(self, start: int, stop: int) -> tuple[slice, slice, tuple[slice, slice]]:
        """Where rows of the grid meet the frame: its rows, its columns, and both in the rows.

        Empty slices where they do not.
        """
        (down, right), (height, width) = self.offset, self.inner.shape
        rows = _clipped(start - down, stop - down, height)
        columns = _clipped(-right, self.shape[1] - right, width)
        here = (
            slice(rows.start + down - start, rows.stop + down - start),
            slice(columns.start + right, columns.stop + right),
        )
        return rows, columns, here


def _clipped(start: int, stop: int, length: int) -> slice:
    """What of ``[start, stop)`` lies in ``[0, length)``."""
    first = min(max(start, 0), length)
    return slice(first, max(min(stop, length), first))


def _some(rows: slice, height: int) -> tuple[int, int]:
    """The rows, or one where there are none."""
    if rows.stop > rows.start:
        return rows.start, rows.stop
    first = min(rows.start, height - 1)
    return first, first + 1
