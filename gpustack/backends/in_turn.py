"""Bands one after the other: read one into buffers that are used again, run it, go on."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpustack.backends.base import Outputs, Progress, Samples, Source
from gpustack.errors import MemoryLimitError
from gpustack.plan import Band, plan_bands
from gpustack.recipe import Recipe

#: Bytes that are read at once where the limit allows more, unless these are fewer pixels of each
#: frame: pages of fresh memory cost more than the arithmetic on them, and buffers are used again.
_AT_ONCE, _LEAST_PIXELS = 128 << 20, 1 << 16

Run = Callable[[Sequence[Samples], Recipe, Outputs, np.dtype[Any]], None]


def run_in_turn(
    run: Run,
    source: Source,
    recipe: Recipe,
    out: Outputs,
    memory: int,
    work: int,
    progress: Progress | None,
) -> None:
    """Run `recipe` on all bands of `source`, of which one is held at a time.

    Parameters
    ----------
    run : callable
        Runs a recipe on a band: the samples of all frames, the recipe, outputs of the same rows,
        and the dtype in which samples are compared.
    memory : int
        The limit in bytes, for a band and for `work`.
    work : int
        Bytes of buffers that `run` holds.

    Raises
    ------
    MemoryLimitError
        Where not even one row fits.
    """
    bands = _cut(source, memory, work)
    most = max(band.rows for band in bands)
    buffers = [np.empty(most * size, np.uint8) if size else None for size in source.row_bytes]
    for band in bands:
        rows = out.rows(band.start, band.stop)
        here = recipe.rows(band.start, band.stop)
        run(_read(source, band, buffers), here, rows, source.dtype)
        if progress is not None:
            progress(band.stop, source.rows)


def read_bytes(source: Source) -> int:
    """Bytes that one row of all frames takes, read."""
    return sum(source.row_bytes) + source.n * source.fresh_bytes


def _cut(source: Source, memory: int, work: int) -> list[Band]:
    """Bands that fit. Frames that lie in memory need no room; they are cut to show progress."""
    row = read_bytes(source)
    if row and row + work > memory:
        raise MemoryLimitError(
            f"memory limit: expected room for at least one row of all frames, {row:,} "
            f"bytes, and {work:,} bytes of buffers; got {memory:,} bytes"
        )
    step = row or source.n * source.width * source.dtype.itemsize
    room = max(memory - work, step)
    if row:
        room = min(room, max(_AT_ONCE, row * -(-_LEAST_PIXELS // source.width)))
    return plan_bands(source.rows, step, room)


def _read(source: Source, band: Band, buffers: list[Any]) -> list[Samples]:
    return [source.read(f, band.start, band.stop, buffer) for f, buffer in enumerate(buffers)]
