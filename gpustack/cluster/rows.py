"""Rows of a result: how a worker collects them, and where the client puts them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Outputs
from gpustack.backends.sink import Sink, Sum
from gpustack.maps import Derived, RejectionMap
from gpustack.plan import Band

_TALLIES = ("valid", "rejected")


class RowSink(Sink):
    """Collects one span of rows, of an image or of each plane of a cube, in an array of that size.

    Parameters
    ----------
    shape, dtype
        As for `Sink`: of the whole image or cube.
    span : Band
        The rows that it collects.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], span: Band) -> None:
        super().__init__(shape, dtype)
        self._span = span
        self._array = np.empty((*shape[:-2], span.rows, shape[-1]), dtype)

    def buffer(self, start: int, stop: int) -> NDArray[Any]:
        """Rows ``[start, stop)`` of the array itself, so that they are in place before `write`."""
        return self._array[start - self._span.start : stop - self._span.start]

    def write(self, start: int, rows: NDArray[Any]) -> None:
        """Take rows from `start` on, which counts the rows of all planes."""
        plane, first = divmod(start, self._rows)
        planes = self._array.reshape(-1, self._span.rows, self.shape[-1])
        at = first - self._span.start
        planes[plane, at : at + len(rows)] = rows

    def get(self) -> NDArray[Any]:
        """The collected rows, shape ``(..., span.rows, width)``."""
        return self._array


@dataclass(frozen=True, slots=True, eq=False)
class TaskRows:
    """What a task returns: its rows of the result, and its tallies.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        Rows of the arrays of `Outputs`, by name.
    maps : sequence of ndarray
        Rows of the maps, in their order. A map of bools for every frame is packed, eight in a byte.
    tallies : mapping of str to ndarray
        Valid and rejected samples of each frame, and the number of survivors, where wanted.
    """

    arrays: Mapping[str, NDArray[Any]]
    maps: Sequence[NDArray[Any]]
    tallies: Mapping[str, NDArray[np.int64]]

    @classmethod
    def of(cls, out: Outputs, maps: Sequence[Derived]) -> "TaskRows":
        """Gather the rows and tallies of outputs and maps that consist of `RowSink`."""
        arrays = {name: sink.get() for name, sink in _arrays(out).items()}
        cubes = [one.value.get() for one in maps]
        packed = [np.packbits(cube, axis=-1) if cube.ndim == 3 else cube for cube in cubes]
        tallies = {name: getattr(out, name) for name in _TALLIES}
        count: Any = out.count
        if isinstance(count, Sum):
            tallies["survivors"] = np.array(count.total)
        return cls(arrays, packed, {name: t for name, t in tallies.items() if t is not None})

    def place(self, band: Band, out: Outputs, maps: Sequence[Derived]) -> None:
        """Put the rows into the arrays or sinks of the result, and add to its tallies."""
        for name, target in _arrays(out).items():
            target[band.start : band.stop] = self.arrays[name]
        for one, rows in zip(maps, self.maps, strict=True):
            if rows.ndim == 2:
                one.value[band.start : band.stop] = rows
                continue
            width = one.value.shape[-1]
            for f, packed in enumerate(rows):
                marks = np.unpackbits(packed, axis=-1, count=width).view(bool)
                one.value[f, band.start : band.stop] = marks
        count: Any = out.count
        for name, tally in self.tallies.items():
            if name == "survivors" and isinstance(count, Sum):
                count.add(int(tally))
            elif (total := getattr(out, name, None)) is not None:
                total += tally


def row_bytes(out: Outputs, maps: Sequence[Derived]) -> int:
    """Bytes of one row of the result as a task returns it."""
    size: int = sum(array.dtype.itemsize * array.shape[-1] for array in _arrays(out).values())
    for one in maps:
        shape = one.value.shape
        if isinstance(one, RejectionMap):
            size += shape[0] * -(-shape[-1] // 8)
        else:
            size += shape[-1] * one.value.dtype.itemsize
    return size


def _arrays(out: Outputs) -> dict[str, Any]:
    named = {field.name: getattr(out, field.name) for field in fields(out)}
    kept = {k: v for k, v in named.items() if v is not None and k not in _TALLIES}
    return {name: array for name, array in kept.items() if not isinstance(array, Sum)}
