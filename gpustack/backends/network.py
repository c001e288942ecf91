"""Sorting many columns at once: Batcher's network for few frames, numpy's sort for many."""

from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from gpustack.backends.columns import Floats, Rows
from gpustack.backends.few_ranks import find_ranks, reader

#: The most frames, by itemsize, for which the network is faster than ``ndarray.sort(axis=0)``: its
#: cost grows as n log^2 n, and a vector register holds half as many float64 as float32. Measured
#: by bench/sorting.py. For 16 bits the network is compared with the sort of float32, see
#: `gpustack.backends.stored`.
NETWORK_FRAMES = {2: 128, 4: 40, 8: 24}

#: The same limits for rows of at most `SHORT_ROWS` pixels. They are lower because the network is
#: hundreds of calls, after each of which a thread waits for the GIL, and the sort is one.
SHORT_ROWS, SHORT_NETWORK_FRAMES = 20_000, {2: 30, 4: 20, 8: 16}

#: Bytes of the samples that the network sorts at a time. Those of two threads fit into the cache
#: that the threads share. With 25 frames of float32, sorting takes two threads 1.28 ns a sample in
#: rows of 131,072 pixels, and 1.06 ns in halves of these. A median, for which both halves are
#: sorted in the same memory, takes 1.03 and 0.68 ns.
PIECE_BYTES = 6_600_000

Comparator = tuple[int, int, bool, bool]
#: A ufunc, the places of its two operands, and that of its result.
Step = tuple[np.ufunc, int, int, int]


class Plan(NamedTuple):
    """The calls that sort n rows, and the place where each rank is found afterwards.

    Places number the n rows in order, and after them the free rows.
    """

    steps: tuple[Step, ...]
    found: tuple[int, ...]


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
    """Return the part of the network for `n` values that `ranks` depend on.

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


@lru_cache(maxsize=64)  # the pattern of `stays` varies from tile to tile if frames have masks
def plan(stays: tuple[bool, ...], ranks: frozenset[int]) -> Plan:
    """Return the network as a sequence of numpy calls.

    Parameters
    ----------
    stays : tuple of n bool
        Which rows must not be overwritten.
    ranks : frozenset of int
        The ranks that will be used.

    Returns
    -------
    Plan
        The last call that reads a row may overwrite it. A comparator makes two calls, so only the
        first result needs another row. In addition to the n rows, one free row and one more for
        each row that stays are therefore enough. The row that was freed last is used first, as it
        is in cache.
    """
    n = len(stays)
    found, free, places = list(range(n)), list[int](), n
    steps: list[Step] = []
    for i, j, keep_min, keep_max in network(n, ranks):
        a, b = found[i], found[j]
        done = [place for place in (a, b) if place >= n or not stays[place]]
        wanted = [(np.minimum, i)] * keep_min + [(np.maximum, j)] * keep_max
        for k, (ufunc, rank) in enumerate(wanted, 1):
            usable = done if k == len(wanted) and done else free
            if not usable:
                usable, places = [places], places + 1
            found[rank] = usable.pop()
            steps.append((ufunc, a, b, found[rank]))
        free += done
    return Plan(tuple(steps), tuple(found))


def are_few(n: int, buffer: Floats) -> bool:
    """Whether `n` rows like those of `buffer` are sorted by the network."""
    limits = NETWORK_FRAMES if buffer.shape[1] > SHORT_ROWS else SHORT_NETWORK_FRAMES
    return n <= limits[buffer.itemsize]


def sort_columns(rows: Rows, buffer: Floats, ranks: frozenset[int] | None = None) -> Rows:
    """Sort the columns of `rows`.

    Parameters
    ----------
    rows : list of n ndarray, shape (pixels,), or one of shape (n, pixels); real, no NaN
        Rows of `buffer`, in order, or read-only arrays, which stay as they are.
    buffer : ndarray of the same dtype, shape (more than n, pixels), each row contiguous
        All of it is overwritten. Many frames are sorted faster in an array made by
        `gpustack.backends.cache_lines`.
    ranks : frozenset of int or None
        The ranks that will be used; rows of other ranks are undefined. None is all.

    Returns
    -------
    list of ndarray, shape (pixels,), or ndarray, shape (n, pixels)
        Row k holds the k-th smallest sample of every column. With few frames, rows are swapped
        and not copied, so they lie in the buffer in any order.
    """
    if not are_few(len(rows), buffer):
        if ranks is None:
            return _sort_whole(rows, buffer)
        find_ranks(reader(rows), buffer[: len(rows)], ranks)
        return buffer[: len(rows)]
    taken = {_address(row) for row in rows}
    free = [row for row in buffer if _address(row) not in taken]
    return _sort_by_network(list(rows), free, ranks)


def _sort_by_network(
    rows: list[Floats], free: list[Floats], ranks: frozenset[int] | None
) -> list[Floats]:
    stays = tuple(not row.flags.writeable for row in rows)
    steps, found = plan(stays, frozenset(range(len(rows))) if ranks is None else ranks)
    whole = rows + free
    in_one_place = ranks is not None and all(stays) and len(steps) > 0
    for part in _pieces(rows):
        # All pieces are sorted in the columns of the first one, which comes last and stays there.
        scratch = slice(part.stop - part.start) if in_one_place else part
        places = [row[part] for row in rows] + [row[scratch] for row in free]
        for ufunc, a, b, out in steps:
            ufunc(places[a], places[b], out=places[out])
        if in_one_place and part.start > 0:
            for rank in ranks or ():
                np.copyto(whole[found[rank]][part], places[found[rank]])
    return [whole[place] for place in found]


def _pieces(rows: list[Floats]) -> Iterator[slice]:
    """Yield slices of columns to sort at a time, the last one first; the first is the longest."""
    pixels, column = len(rows[0]), len(rows) * rows[0].itemsize
    count = max(1, -(-pixels * column // PIECE_BYTES))
    step = max(1, -(-pixels // count))
    for start in reversed(range(0, pixels, step)):
        yield slice(start, min(start + step, pixels))


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
    """Whether `rows` are the first rows of `buffer`.

    Writeable rows are rows of the buffer, in order, so it is enough to compare the addresses of
    the first and the last. Comparing all addresses took 3 % of a clip of 100 frames.
    """
    ends = ((rows[0], buffer[0]), (rows[-1], buffer[len(rows) - 1]))
    return all(row.flags.writeable for row in rows) and all(
        _address(row) == _address(place) for row, place in ends
    )


def _address(row: Floats) -> int:
    address: int = row.__array_interface__["data"][0]
    return address
