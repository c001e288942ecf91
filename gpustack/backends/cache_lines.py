"""Rows that lie an odd number of cache lines apart, so that their columns are sorted fast.

numpy sorts along axis 0 by copying each column out and back. Where rows are a multiple of
4096 bytes apart, as those of images are that are a power of two wide, all samples of a column
compete for the same few lines of the cache: 100 rows of 16,384 float32 took 10.0 ns a sample,
and 2.9 with one more line a row; see bench/sorting.py.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

#: Bytes of a cache line; a few processors have longer ones, of which these are halves.
LINE = 64


def lines_bytes(rows: int, pixels: int, dtype: DTypeLike) -> int:
    """Bytes of so many rows, with what is left free between them and before the first."""
    return rows * _stride(pixels, dtype) + LINE


def spare_bytes(rows: int) -> int:
    """What `lines_bytes` is at most above the bytes of the samples."""
    return (2 * rows + 1) * LINE


def rows_in(memory: NDArray[np.uint8], rows: int, pixels: int, dtype: DTypeLike) -> NDArray[Any]:
    """An array in memory that is there, not filled; its first row begins with a line of the cache.

    Parameters
    ----------
    memory : ndarray of uint8, shape (`lines_bytes` or more,)
    rows, pixels : int
    dtype : dtype
        Of which a line holds a whole number.

    Returns
    -------
    ndarray, shape (rows, pixels)
        Each row is contiguous.

    Raises
    ------
    ValueError
        Where `memory` is too small.
    """
    item = np.dtype(dtype)
    strides = _stride(pixels, item), item.itemsize
    return np.ndarray((rows, pixels), item, memory, -memory.ctypes.data % LINE, strides)


def empty_rows(rows: int, pixels: int, dtype: DTypeLike) -> NDArray[Any]:
    """Such an array in memory of its own, not filled."""
    return rows_in(np.empty(lines_bytes(rows, pixels, dtype), np.uint8), rows, pixels, dtype)


def _stride(pixels: int, dtype: DTypeLike) -> int:
    """Bytes from the beginning of a row to that of the next."""
    return (-(-pixels * np.dtype(dtype).itemsize // LINE) | 1) * LINE
