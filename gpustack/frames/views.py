"""Rows of arrays in memory, of any axes and strides, as views where possible."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


def flattens(array: NDArray[Any]) -> bool:
    """Whether flattening the array to two dimensions gives a view."""
    steps = [(n, s) for n, s in zip(array.shape[:-1], array.strides[:-1], strict=True) if n > 1]
    return all(outer == n * inner for (_, outer), (n, inner) in pairwise(steps))


def take_rows(array: NDArray[Any], start: int, stop: int) -> NDArray[Any]:
    """Return rows ``[start, stop)`` of an array flattened to two dimensions, if possible a view."""
    if flattens(array):
        return array.reshape(-1, array.shape[-1])[start:stop]
    return array[np.unravel_index(np.arange(start, stop), array.shape[:-1])]
