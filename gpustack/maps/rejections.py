"""The cube of rejections: which samples of which frame were rejected, one bit per sample."""

import math
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.sink import Sink
from gpustack.frames.resident import library, on_device_of, on_host
from gpustack.maps.base import ClippedBand, Stack
from gpustack.reasons import Reason

REJECTED = np.uint8(Reason.RANGE | Reason.CLIP | Reason.GROW)


@dataclass(frozen=True, slots=True, eq=False)
class RejectionCube:
    """Which samples were rejected by a range, a clip, or as neighbours; masked ones were not.

    It takes one bit per sample: a byte holds eight samples of the last axis, the first one in the
    highest bit. It is indexed as an array of bool, by frame first, as in ``cube[3]``. numpy
    converts it to such an array: ``np.asarray(cube)`` is eight times as large.

    Parameters
    ----------
    packed : array of uint8, shape (n, rows, ceil(width / 8))
        All axes of a frame but the last are flattened to one.
    shape : tuple of int
        (n, *shape of a frame).
    """

    packed: Any = field(repr=False)
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        """Index as an array of bool; a number or slice first unpacks only the frames it selects."""
        with on_device_of(self.packed):
            return self._indexed(key)

    def _indexed(self, key: Any) -> Any:
        first, *rest = key if isinstance(key, tuple) and key else (key,)
        plain = all(isinstance(one, int | slice | EllipsisType | None) for one in rest)
        if plain and isinstance(first, int | np.integer) and not isinstance(first, bool):
            return self._frame(range(len(self))[first])[tuple(rest)]
        if isinstance(first, slice):
            wanted = range(len(self))[first]
            cube = library(self.packed).empty((len(wanted), *self._plane), bool)
            for at, i in enumerate(wanted):
                cube[at] = self._frame(i)
            return cube[(slice(None), *rest)]
        return self._indexed(slice(None))[key]

    def __setitem__(self, key: tuple[int, slice], rows: Any) -> None:
        """Set rows of a frame, counted over all its axes but the last, as in a `Sink`."""
        self.packed[key] = packed(rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError(
                "RejectionCube: expected copy=None or True, as bits have to be unpacked, got "
                "copy=False"
            )
        return np.asarray(self.get()[:], dtype)

    def _frame(self, i: int) -> Any:
        packed = self.packed[i]
        bits = library(packed).unpackbits(packed.reshape(-1))
        return bits.reshape(len(packed), -1)[:, : self.shape[-1]].astype(bool).reshape(self._plane)

    def reshape(self, *shape: int) -> Self:
        """Return the same cube for another shape of frames that has the same last axis."""
        return type(self)(self.packed, shape)

    def get(self) -> Self:
        """Return the same cube on the host."""
        return type(self)(on_host(self.packed), self.shape)

    @property
    def _plane(self) -> tuple[int, ...]:
        return self.shape[1:]


class RejectionMap:
    """The map that fills a `RejectionCube`, or passes the rows of all frames to a `Sink`.

    Parameters
    ----------
    source : Stack
    sink : Sink or None
        A sink of bool, shape (n, rows, width).
    """

    #: The rejections of a frame as numbers, as bool, padded to whole bytes, and packed.
    pixel_bytes = 4

    def __init__(self, source: Stack, sink: Sink | None = None) -> None:
        self.value: RejectionCube | Sink
        if sink is not None:
            self.value = sink
            return
        shape = (source.n, source.rows, math.ceil(source.width / 8))
        packed = source.empty(shape, np.dtype(np.uint8))
        self.value = RejectionCube(packed, (source.n, source.rows, source.width))

    def add(self, part: ClippedBand) -> None:
        """Fill in the rows of a band."""
        for f, reasons in enumerate(part.reasons):
            self.value[f, part.band.start : part.band.stop] = (reasons & REJECTED) != 0


def packed(marks: Any) -> Any:
    """Pack an array of bool, shape (rows, width), with eight samples of a row in a byte."""
    rows, width = marks.shape
    lib = library(marks)
    if width % 8:
        # `cupy.packbits` has no axis, so each row is padded to whole bytes.
        whole = lib.zeros((rows, math.ceil(width / 8) * 8), bool)
        whole[:, :width] = marks
        marks = whole
    return lib.packbits(marks.reshape(-1)).reshape(rows, -1)
