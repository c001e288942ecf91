"""Frames moved by whole pixels, onto a grid that may be larger or smaller than they are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from gpustack.align.base import OUTSIDE, GridFrame
from gpustack.align.moved_wcs import moved_header
from gpustack.backends.base import Samples
from gpustack.frames.base import read_whole

#: Rows and columns of a frame, and where they lie in the rows of the grid that are read.
Meeting = tuple[slice, slice, tuple[slice, slice]]


@dataclass(eq=False)
class PlacedFrame(GridFrame):
    """A frame moved by whole pixels: its samples unchanged, and invalid ones around them.

    See `Frame` for what the attributes mean.

    Parameters
    ----------
    offset : tuple of int
        (y, x) of the frame's first pixel on the grid; may lie outside of the grid.
    """

    offset: tuple[int, int]

    @property
    def stored(self) -> np.dtype[Any]:
        """The dtype in which the inner frame is stored."""
        return self.inner.stored

    @property
    def masked(self) -> bool:
        """Whether the inner frame is masked, or does not cover the grid."""
        return self.inner.masked or not self._covers

    @property
    def row_bytes(self) -> int:
        """Bytes of reading the inner frame, and of samples and mask on the grid if copied there."""
        laid = 0 if self._covers else self.shape[1] * (self.stored.itemsize + 1)
        return laid + self.inner.row_bytes

    @cached_property
    def header(self) -> fits.Header:
        """The header of the inner frame, with its coordinates moved."""
        return self._with_exposure(moved_header(self.inner.header, self.offset))

    @cached_property
    def _covers(self) -> bool:
        """Whether the frame covers the whole grid."""
        return all(
            start <= 0 and start + length >= wanted
            for start, length, wanted in zip(self.offset, self.inner.shape, self.shape, strict=True)
        )

    @cached_property
    def _unknown(self) -> float:
        """NaN; the inner frame raises FrameError if it has no variances that fit its samples."""
        self.inner.read_variance(0, 0)
        return np.nan

    @property
    def held_bytes(self) -> int:
        """Bytes that reading the inner frame holds."""
        return self.inner.held_bytes

    def read(self, start: int, stop: int, into: Any = None) -> Samples:
        """Rows ``[start, stop)`` of the grid; only rows of the frame that lie in them are read."""
        shape, meeting = (stop - start, self.shape[1]), self._meet(start, stop)
        if meeting is None:
            nothing = np.broadcast_to(np.zeros((), self.stored), shape)
            return Samples(nothing, np.broadcast_to(np.True_, shape))
        rows, there, here = meeting
        if (rows.stop - rows.start, there.stop - there.start) == shape:
            samples = self.inner.read(rows.start, rows.stop, into)
            mask = None if samples.mask is None else samples.mask[:, there]
            return replace(samples, data=samples.data[:, there], mask=mask)
        size = math.prod(shape) * self.stored.itemsize
        data: NDArray[Any] = np.ndarray(
            shape, self.stored, np.empty(size, np.uint8) if into is None else into
        )
        rest = None if into is None else memoryview(into)[size:]
        samples = self.inner.read(rows.start, rows.stop, rest)
        mask = np.zeros(shape, bool)  # fresh zeros need not be written
        _lay(data, here, samples.data[:, there], 0)
        _lay(mask, here, None if samples.mask is None else samples.mask[:, there], True)
        return replace(samples, data=data, mask=mask)

    def read_variance(self, start: int, stop: int) -> NDArray[np.float64]:
        """The variance of rows ``[start, stop)``, NaN outside of the frame."""
        meeting, shape = self._meet(start, stop), (stop - start, self.shape[1])
        if meeting is None:
            return np.full(shape, self._unknown)
        rows, there, here = meeting
        read = self.inner.read_variance(rows.start, rows.stop)[:, there]
        return read if read.shape == shape else _laid(shape, here, read, np.nan)

    def read_flags(self, start: int, stop: int) -> NDArray[Any]:
        """The bits of rows ``[start, stop)``, 0 outside of the frame."""
        meeting, shape = self._meet(start, stop), (stop - start, self.shape[1])
        if meeting is None:
            return np.zeros(shape, self._bits_dtype)
        rows, there, here = meeting
        read = self.inner.read_flags(rows.start, rows.stop)[:, there]
        return read if read.shape == shape else _laid(shape, here, read, 0)

    def lacks(self, y: int, x: int) -> str:
        """That a pixel of the grid is outside of the frame; empty where it is inside."""
        meeting = self._meet(y, y + 1)
        inside = meeting is not None and meeting[2][1].start <= x < meeting[2][1].stop
        return "" if inside else OUTSIDE

    def whole(self) -> np.ma.MaskedArray[Any, Any]:
        """All samples of the grid, decoded."""
        return read_whole(self)

    def _meet(self, start: int, stop: int) -> Meeting | None:
        """Where rows ``[start, stop)`` of the grid overlap the frame; None where they do not."""
        (down, right), (height, width) = self.offset, self.inner.shape
        rows = _clipped(start - down, stop - down, height)
        columns = _clipped(-right, self.shape[1] - right, width)
        if rows.stop == rows.start or columns.stop == columns.start:
            return None
        here = (
            slice(rows.start + down - start, rows.stop + down - start),
            slice(columns.start + right, columns.stop + right),
        )
        return rows, columns, here


def overlaps(offset: tuple[int, int], shape: Sequence[int], grid: Sequence[int]) -> bool:
    """Whether a frame of `shape` whose first pixel is at `offset` has pixels on the grid."""
    return all(
        start < room and start + length > 0
        for start, length, room in zip(offset, shape, grid, strict=True)
    )


def _clipped(start: int, stop: int, length: int) -> slice:
    """The part of ``[start, stop)`` that lies in ``[0, length)``."""
    first = min(max(start, 0), length)
    return slice(first, max(min(stop, length), first))


def _laid(
    shape: tuple[int, int], here: tuple[slice, slice], inside: NDArray[Any], outside: Any
) -> NDArray[Any]:
    """A new array of `shape` with `inside` at `here`, and `outside` around it."""
    array = np.empty(shape, inside.dtype)
    _lay(array, here, inside, outside)
    return array


def _lay(array: NDArray[Any], here: tuple[slice, slice], inside: Any, outside: Any) -> None:
    """Write `inside` to an array at `here` unless it is None, and `outside` around it.

    Each sample is written once.
    """
    rows, columns = here
    array[: rows.start] = outside
    array[rows.stop :] = outside
    array[rows, : columns.start] = outside
    array[rows, columns.stop :] = outside
    if inside is not None:
        array[here] = inside
