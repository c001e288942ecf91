"""Outputs that pass rows on as they are computed, so that no array of all rows is held."""

import math
from abc import ABC, abstractmethod
from threading import Lock
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray


class Sink(ABC):
    """A substitute for an array of `gpustack.backends.base.Outputs`, or for a map.

    Rows are counted over all axes but the last. Each row is written once; rows come in any order
    and from several threads.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype = shape, dtype
        self._rows = shape[-2]
        self._turn = Lock()
        #: The sum of all numbers passed to `add`, such as that of all rows.
        self.total = 0

    @property
    def size(self) -> int:
        """How many values."""
        return math.prod(self.shape)

    @property
    def row_bytes(self) -> int:
        """Bytes that a row takes until it is passed on: once as computed, once as written."""
        return 2 * self.shape[-1] * self.dtype.itemsize

    def take_shape(self, *shape: int) -> Self:
        """Change the shape to one that has the same last axis, and return the sink itself."""
        self.shape = shape
        return self

    def buffer(self, start: int, stop: int) -> NDArray[Any]:
        """Return a new array in which to compute rows ``[start, stop)``."""
        return np.empty((stop - start, self.shape[-1]), self.dtype)

    def __setitem__(self, key: Any, rows: Any) -> None:
        """Pass on rows of a plane, ``[plane, start:stop]``, or of the first, ``[start:stop]``."""
        plane, where = key if isinstance(key, tuple) else (0, key)
        if getattr(where, "start", None) is None:
            raise TypeError(
                f"a result in a file is read-only: expected rows [start:stop] of a run, got {key!r}"
            )
        self.write(plane * self._rows + where.start, rows)

    def add(self, number: int) -> None:
        """Add to the total."""
        with self._turn:
            self.total += number

    @abstractmethod
    def write(self, start: int, rows: NDArray[Any]) -> None:
        """Pass on rows, the first of which is row `start`."""

    @abstractmethod
    def get(self) -> NDArray[Any]:
        """After the run, return all rows passed on, as an array of `shape` and `dtype`."""


class Sum(Sink):
    """A sink that adds up the rows it gets and keeps none of them."""

    def write(self, start: int, rows: NDArray[Any]) -> None:
        """Add the sum of rows to the total."""
        self.add(int(rows.sum(dtype=np.int64)))

    def get(self) -> NoReturn:
        """Raise TypeError: there is no array."""
        raise TypeError("expected an output whose rows are kept, got one that only adds them up")
