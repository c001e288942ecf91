"""Rows of a result that are handed on as they are made, where no array of all of them is held."""

import math
from abc import ABC, abstractmethod
from threading import Lock
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray


class Sink(ABC):
    """Stands in the place of an array of `gpustack.backends.base.Outputs`, or of a map.

    Rows are counted over all axes but the last, and each is given once, in any order, by several
    threads.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype = shape, dtype
        self._rows = shape[-2]
        self._turn = Lock()
        #: What all rows add up to, where that is asked for.
        self.total = 0

    @property
    def size(self) -> int:
        """How many values."""
        return math.prod(self.shape)

    @property
    def row_bytes(self) -> int:
        """Bytes that a row takes until it is handed on: as it is made, and as it is written."""
        return 2 * self.shape[-1] * self.dtype.itemsize

    def take_shape(self, *shape: int) -> Self:
        """Itself, from now on of another shape that has the same last axis."""
        self.shape = shape
        return self

    def buffer(self, start: int, stop: int) -> NDArray[Any]:
        """A fresh array to make rows ``[start, stop)`` in."""
        return np.empty((stop - start, self.shape[-1]), self.dtype)

    def __setitem__(self, key: Any, rows: Any) -> None:
        """Hand on rows of a plane, the first one where none is given: ``[plane, start:stop]``."""
        plane, where = key if isinstance(key, tuple) else (0, key)
        if getattr(where, "start", None) is None:
            raise TypeError(f"expected rows of a run, got {key!r}: a result in a file is read-only")
        self.write(plane * self._rows + where.start, rows)

    def add(self, number: int) -> None:
        """Add to the total."""
        with self._turn:
            self.total += number

    @abstractmethod
    def write(self, start: int, rows: NDArray[Any]) -> None:
        """Hand on rows from `start` on."""

    @abstractmethod
    def get(self) -> NDArray[Any]:
        """All that was handed on, when the run is over: an array of `shape` and `dtype`."""


class Sum(Sink):
    """Adds up what it is given; no row of it is kept."""

    def write(self, start: int, rows: NDArray[Any]) -> None:
        """Add rows up."""
        self.add(int(rows.sum(dtype=np.int64)))

    def get(self) -> NoReturn:
        """There is no array."""
        raise TypeError("expected an array that was kept, got one that was added up")
