"""Sorting many columns at once: Batcher's network for few frames, numpy's sort for many."""

from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Up to so many frames the network is faster than ``ndarray.sort(axis=0)``, by itemsize:
#: its cost grows as n log^2 n, and a vector register holds half as many float64.
#: Measured by bench/sorting.py.
NETWORK_FRAMES = {4: 64, 8: 32}

Comparator = tuple[int, int, bool, bool]


def _exchanges(n: int) -> Iterable[tuple[int, int]]:
    """Batcher's merge exchange: the pairs (i, j), i < j, that sort n values.

    References
    ----------
    Knuth, The Art of Computer Programming 3, 5.2.2, algorithm M.
    """
    p = 1
    while p < n:
        k = p
        while k >= 1:
            for j in range(k % p, n - k, 2 * k):
                for i in range(j, j + min(k, n - j - k)):
                    if i // (2 * p) == (i + k) // (2 * p):
                        yield i, i + k
            k //= 2
        p *= 2


@cache
def network(n: int, ranks: frozenset[int]) -> tuple[Comparator, ...]:
    """The part of the network of `n` that `ranks` depend on.

    Each comparator is ``(i, j, keep_min, keep_max)``: the smaller value goes to i if
    keep_min, the larger to j if keep_max; a side that no wanted rank depends on is
    not computed.
    """
    needed = set(ranks)
    kept = []
    for i, j in reversed(list(_exchanges(n))):
        sides = (i in needed, j in needed)
        if any(sides):
            kept.append((i, j, *sides))
            needed |= {i, j}
    return tuple(reversed(kept))


def sort_columns(
    buffer: NDArray[Any], ranks: frozenset[int] | None = None
) -> list[NDArray[np.floating]]:
    """Sort ``buffer[:-1]`` along axis 0, in place.

    Parameters
    ----------
    buffer : ndarray, shape (n + 1, pixels), C-contiguous, no NaN
        The last row is scratch.
    ranks : frozenset of int or None
        The ranks that will be looked at; the others hold anything. None: all.

    Returns
    -------
    list of ndarray, shape (pixels,)
        Row k holds the k-th smallest sample of every column. Rows are swapped, not
        copied, so they lie in the buffer in no order.
    """
    n = len(buffer) - 1
    if n > NETWORK_FRAMES[buffer.itemsize]:
        buffer[:n].sort(axis=0)
        return list(buffer[:n])
    rows, spare = list(buffer[:n]), buffer[n]
    for i, j, keep_min, keep_max in network(n, frozenset(range(n)) if ranks is None else ranks):
        a, b = rows[i], rows[j]
        if keep_min and keep_max:
            np.minimum(a, b, out=spare)
            np.maximum(a, b, out=b)
            rows[i], spare = spare, a
        elif keep_min:
            np.minimum(a, b, out=a)
        else:
            np.maximum(a, b, out=b)
    return rows
