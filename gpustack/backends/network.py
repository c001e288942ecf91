"""Sorting many columns at once: Batcher's network for few frames, numpy's sort for many."""

from collections.abc import Iterable
from functools import cache

import numpy as np

from gpustack.backends.columns import Floats, Rows

#: Up to so many frames the network is faster than ``ndarray.sort(axis=0)``, by itemsize:
#: its cost grows as n log^2 n, and a vector register holds half as many float64.
#: Measured by bench/sorting.py.
NETWORK_FRAMES = {2: 64, 4: 40, 8: 24}

#: In rows of no more than so many pixels, up to so many frames: the network is hundreds of calls,
#: after each of which a thread waits for the GIL, and the sort is one.
SHORT_ROWS, SHORT_NETWORK_FRAMES = 20_000, {2: 30, 4: 20, 8: 16}

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


def sort_columns(rows: Rows, buffer: Floats, ranks: frozenset[int] | None = None) -> Rows:
    """Sort the columns of `rows`.

    Parameters
    ----------
    rows : list of n ndarray, shape (pixels,), or one of shape (n, pixels); real, no NaN
        Rows of `buffer`, in order, or arrays that are not writeable and stay as they are.
    buffer : ndarray of the same dtype, shape (more than n, pixels), each row contiguous
        All of it is used up. Many frames are sorted faster in that of
        `gpustack.backends.lines`.
    ranks : frozenset of int or None
        The ranks that will be looked at; the others hold anything. None: all.

    Returns
    -------
    list of ndarray, shape (pixels,), or ndarray, shape (n, pixels)
        Row k holds the k-th smallest sample of every column. Of few frames rows are swapped,
        not copied, so they lie in the buffer in no order.
    """
    limits = NETWORK_FRAMES if buffer.shape[1] > SHORT_ROWS else SHORT_NETWORK_FRAMES
    if len(rows) > limits[buffer.itemsize]:
        return _sort_whole(rows, buffer)
    taken = {_address(row) for row in rows}
    free = [row for row in buffer if _address(row) not in taken]
    return _sort_by_network(list(rows), free, ranks)


def _sort_by_network(
    rows: list[Floats], free: list[Floats], ranks: frozenset[int] | None
) -> list[Floats]:
    n = len(rows)
    for i, j, keep_min, keep_max in network(n, frozenset(range(n)) if ranks is None else ranks):
        a, b = rows[i], rows[j]
        in_place = a.flags.writeable and not keep_max
        if keep_min:
            rows[i] = np.minimum(a, b, out=a if in_place else free.pop())
        if keep_max:
            rows[j] = np.maximum(a, b, out=b if b.flags.writeable else free.pop())
        if keep_max and a.flags.writeable:
            free.append(a)
    return rows


def _sort_whole(rows: Rows, buffer: Floats) -> Floats:
    block = buffer[: len(rows)]
    if isinstance(rows, np.ndarray):
        if _address(rows) != _address(block):
            np.copyto(block, rows)
    elif not _begins_with(buffer, rows):
        for row, place in zip(rows, block, strict=True):
            if _address(row) != _address(place):
                np.copyto(place, row)
    block.sort(axis=0)
    return block


def _begins_with(buffer: Floats, rows: list[Floats]) -> bool:
    """Whether rows are the first of the buffer: all are of it, and the ends are where they belong.

    They come in order. To ask each for its address took 3 % of a clip of 100 frames.
    """
    ends = ((rows[0], buffer[0]), (rows[-1], buffer[len(rows) - 1]))
    return all(row.flags.writeable for row in rows) and all(
        _address(row) == _address(place) for row, place in ends
    )


def _address(row: Floats) -> int:
    address: int = row.__array_interface__["data"][0]
    return address
