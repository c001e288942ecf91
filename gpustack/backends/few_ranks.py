"""A few ranks of the columns of many frames, which is all that a median looks at.

``ndarray.sort(axis=0)`` copies each column out, sorts it and copies it back, one sample after
the other. Here columns are turned into rows as they are decoded, by one call for some thousand
of them, sorted as rows, and what is wanted of them is copied back. Medians of 100 and 300 frames
of float32: 2.8 and 3.7 ns a sample by ``sort(axis=0)``, 2.0 and 2.7 so.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import SUM_SAMPLES, Rows, chunks

#: Copies the samples of some columns, shape (n, columns), to an array of that shape.
Reader = Callable[[slice, NDArray[Any]], None]


def find_ranks(read: Reader, out: NDArray[Any], ranks: Iterable[int]) -> None:
    """Sort columns and keep some ranks.

    Parameters
    ----------
    read : callable
        Called with each slice of columns once, in order, before anything is written there.
    out : ndarray, shape (n, pixels)
        Row k gets the k-th smallest sample of each column, for k of `ranks`; NaN is largest.
    ranks : iterable of int
    """
    n, pixels = out.shape
    step = max(SUM_SAMPLES // n, 1)
    columns = np.empty((min(step, pixels), n), out.dtype)
    for some in chunks(pixels, n, SUM_SAMPLES):
        part = columns[: some.stop - some.start]
        read(some, part.T)
        part.sort(axis=1)
        for rank in ranks:
            np.copyto(out[rank, some], part[:, rank])


def reader(rows: Rows) -> Reader:
    """Reads rows that lie in one array or apart."""

    def read(some: slice, out: NDArray[Any]) -> None:
        if isinstance(rows, np.ndarray):
            np.copyto(out, rows[:, some])
            return
        for row, place in zip(rows, out, strict=True):
            np.copyto(place, row[some])

    return read
