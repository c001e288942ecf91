"""Running a recipe band by band on a few threads.

Each thread reads a band into a buffer that is reused, runs the recipe on it and takes the next
band. A frame is read by one thread at a time and in the order of bands, because a gzip file can
only be read forwards. Meanwhile other threads read other frames or compute.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Any

import numpy as np

from gpustack.backends.base import Outputs, Progress, Samples, Source
from gpustack.backends.cache_lines import empty_rows, spare_bytes
from gpustack.errors import MemoryLimitError
from gpustack.plan import Band, plan_bands
from gpustack.recipe import Recipe

#: Bytes of a frame that are read at once, if memory allows. Opening a file takes as long as copying
#: a tenth of this; more bytes would no longer be in cache when they are used.
FRAME_BYTES = 1 << 19

#: Function that runs a recipe on a band: samples of all frames, recipe, outputs of the same rows.
Run = Callable[[Sequence[Samples], Recipe, Outputs], None]
Buffers = list[Any]


@dataclass(frozen=True, slots=True, eq=False)
class BandPlan:
    """How a stack is cut into bands, of which `workers` are in memory at once."""

    bands: list[Band]
    workers: int


def run_in_turn(
    run: Run,
    source: Source,
    recipe: Recipe,
    out: Outputs,
    plan: BandPlan,
    progress: Progress | None,
) -> None:
    """Run `recipe` on all bands of `source`.

    Parameters
    ----------
    run : callable
        Called by several threads at once; by the calling thread if there is a single band.
    source, recipe, out, progress
        As for `Backend.stream`.
    plan : BandPlan

    Raises
    ------
    Exception
        The error of a thread; one of them if several threads failed. All threads have ended by
        then.
    """
    most = max(band.rows for band in plan.bands)
    turns = _Turns(source, deque(plan.bands), most, [Lock() for _ in range(source.n)])

    def work() -> int:
        try:
            turn = turns.next()
            if turn is None:
                return 0
            band, samples, buffers = turn
            part = out.rows(band.start, band.stop)
            run(samples, recipe.rows(band.start, band.stop), part)
            out.place(band.start, part)
        except BaseException:
            turns.stop()
            raise
        turns.free.append(buffers)
        return band.rows

    if len(plan.bands) == 1:  # starting a thread takes longer than a small band
        done = work()
        if progress is not None:
            progress(done, source.rows)
        return
    with ThreadPoolExecutor(plan.workers) as pool:
        # No reference to a failed future is kept: the traceback of its error holds buffers.
        running: deque[Future[int]] = deque()
        done = 0
        try:
            running.extend(pool.submit(work) for _ in plan.bands)
            while running:
                done += running.popleft().result()
                if progress is not None:
                    progress(done, source.rows)
        finally:
            # After an error or an interrupt, no further band is started and no frame read.
            turns.stop()
            running.clear()


@dataclass(frozen=True, slots=True, eq=False)
class _Turns:
    """The bands that are left to run, and free buffers of `most` rows."""

    source: Source
    bands: deque[Band]
    most: int
    locks: list[Lock]
    free: list[Buffers] = field(default_factory=list)
    stopped: Event = field(default_factory=Event)

    def stop(self) -> None:
        """Start no more bands, and abandon those that are being read."""
        self.stopped.set()

    def next(self) -> tuple[Band, list[Samples], Buffers] | None:
        """Read the next band; return it, its samples and their buffers, or None if none is left."""
        with ExitStack() as held:
            # The next frame is locked before the last is unlocked. So no thread overtakes another,
            # and each frame is read in the order of bands.
            held.enter_context(self.locks[0])
            if not self.bands or self.stopped.is_set():
                return None
            band = self.bands.popleft()
            buffers = self.free.pop() if self.free else self._fresh()
            samples = []
            for f, buffer in enumerate(buffers):
                if self.stopped.is_set():
                    return None
                samples.append(self.source.read(f, band.start, band.stop, buffer))
                before = held.pop_all()
                if f + 1 < len(buffers):
                    held.enter_context(self.locks[f + 1])
                before.close()
            return band, samples, buffers

    def _fresh(self) -> Buffers:
        sizes = [self.most * size for size in self.source.row_bytes]
        if len(set(sizes)) == 1 and sizes[0]:  # frames of equal size lie in one array
            return list(empty_rows(len(sizes), sizes[0], np.uint8))
        return [np.empty(size, np.uint8) if size else None for size in sizes]


def row_bytes(source: Source, out: Outputs) -> int:
    """Bytes that one row of all frames takes when read, with its outputs until they are placed."""
    return sum(source.row_bytes) + source.n * source.temporary_bytes + out.row_bytes


def held_bytes(source: Source) -> int:
    """Further bytes that reading a band takes, regardless of its number of rows."""
    return source.held_bytes + spare_bytes(source.n)


def cut_bands(
    source: Source, out: Outputs, memory: int, work: int, threads: int, pixels: int
) -> BandPlan:
    """Cut a stack into bands of whole tiles, so that each thread can hold one in memory.

    If there is not enough memory for all threads, fewer of them work.

    Parameters
    ----------
    source : Source
    out : Outputs
    memory : int
        The limit in bytes, for the bands and for `work`.
    work : int
        Bytes of the buffers for computing; the least possible if `memory` is too small for more.
    threads : int
    pixels : int
        Pixels of a tile.

    Raises
    ------
    MemoryLimitError
        If not even one row fits.
    """
    row, rows, held = row_bytes(source, out), source.rows, held_bytes(source)
    if row and row + held + work > memory:
        raise MemoryLimitError(
            f"memory limit: expected room for at least one row of all frames, {row:,} bytes, "
            f"and for buffers, {work + held:,} bytes, got {memory:,} bytes",
            enough=row + held + work,
        )
    workers = min(threads, (memory - work) // (row + held)) if row else threads
    most = _enough_rows(source, pixels)
    if row:
        fit = ((memory - work) // workers - held) // row
        tile = _tile_rows(source, pixels)
        most = min(most, fit // tile * tile or fit)
    # Bands get equal sizes, so that no thread waits for the others at the end.
    turns = -(-rows // (most * workers))
    most = -(-rows // (turns * workers))
    return BandPlan(plan_bands(rows, 1, most), workers)


def _tile_rows(source: Source, pixels: int) -> int:
    """How many whole rows a tile of `pixels` has; 1 if it is a part of a row."""
    return max(pixels // max(source.width, 1), 1)


def _enough_rows(source: Source, pixels: int) -> int:
    """Rows of a band that is large enough: whole tiles, with `FRAME_BYTES` of a frame or more.

    If reading holds more bytes anyway, for a block to resample, a band has as many of each frame.
    """
    tile = _tile_rows(source, pixels)
    frame = max(dtype.itemsize for dtype in source.stored) * source.width
    enough = max(FRAME_BYTES, source.held_bytes)
    return tile * max(1, -(-enough // max(tile * frame, 1)))
