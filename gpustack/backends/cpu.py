"""The CPU backend: numpy ufuncs over tiles that stay in cache, on a few threads."""

import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from threading import Event, Lock
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from gpustack.backends.base import Outputs, Progress, Samples, Source
from gpustack.backends.columns import CHUNK_SAMPLES, SUM_SAMPLES, Floats
from gpustack.backends.in_turn import Cut, cut_bands, held_bytes, row_bytes, run_in_turn
from gpustack.backends.lines import lines_bytes, rows_in, spare_bytes
from gpustack.backends.tile_job import TileJob
from gpustack.backends.tiles import Where, cut
from gpustack.backends.unsorted import needs_order
from gpustack.recipe import Recipe

#: Samples of one tile, in bytes. Every ufunc hands the GIL over, and waiting for it takes
#: longer than a short ufunc: with tiles half as large, two threads gain a quarter where
#: they gain a half with these; larger ones gain little more and take more memory.
TILE_BYTES = 13_000_000
TILE_PIXELS = (8192, 131_072)

#: No memory limit makes tiles smaller: below, calls of numpy take all the time.
LEAST_PIXELS = 32

#: What clips take for each of the samples that they copy and work on at a time: two copies,
#: one in float64, flags.
CHUNK_BYTES = 2 * 8 + 8 + 2

#: What sums take for each of those samples where there are no clips: one in float64, flags.
SUM_BYTES = 8 + 4

#: What clips by frame take beside: for each of those samples, copies in float64, sorted and
#: ranked; for each sample of a tile, all of which may be at risk, one in the order of the
#: frames, its variance, and flags.
FRAME_CHUNK_BYTES, FRAME_BYTES = 6 * 8, 2 * 8 + 4

#: More threads than this spend their time waiting for the GIL.
MAX_THREADS = 4

#: Threads share a limit where each has tiles of this part of the full size: with smaller ones they
#: wait for the GIL, and one alone is faster. Two have less where they only add up, in few calls.
SHARED, SHARED_BY_SUMS = 1 / 2, 1 / 4

#: Bytes of the array that glibc is shown; see `_keep_freed_memory`.
GIVEN_BACK = (32 << 20) - (1 << 16)

Size = tuple[int, int, np.dtype[Any]]


def _keep_freed_memory() -> None:
    """Have memory that is freed used again, not given back to the system and taken afresh.

    glibc gives arrays back that are larger than a threshold, which is that of the largest it has
    given back so far, of up to 32 MiB: here of one that nobody has touched. A mean of 25 frames
    of 2048 x 2048, from files, fills 30,000 fresh pages then, not 125,000, in 0.60 s, not 0.77.
    """
    with suppress(MemoryError):  # less than it is left, and may be enough
        np.empty(GIVEN_BACK, np.uint8)


_keep_freed_memory()  # once in a process


def available_cores() -> int:
    """The processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class CpuBackend:
    """Runs recipes with numpy; see `gpustack.backends.base.Backend`.

    Parameters
    ----------
    threads : int or None
        None: as many as this process may use cores, at most `MAX_THREADS`. `stream` takes
        fewer where its limit on memory would make their tiles small.
    tile_pixels : int or None
        Pixels that one thread works on at a time; None: by the number of frames. No
        result depends on it.
    memory : int or None
        Bytes that the buffers of all threads may take; makes tiles smaller.
    """

    name = "cpu"

    def __init__(
        self,
        threads: int | None = None,
        tile_pixels: int | None = None,
        memory: int | None = None,
    ) -> None:
        self.threads = threads or min(available_cores(), MAX_THREADS)
        self._tile_pixels = tile_pixels
        self._memory = memory
        self._spaces: list[Space] = []
        self._lock = Lock()

    def tile_pixels(
        self, n: int, dtype: DTypeLike, by_frame: bool = False, clips: bool = True
    ) -> int:
        """Pixels in a tile of `n` frames; whether there are `clips`, and such by frame."""
        least, most = TILE_PIXELS
        fit = min(max(TILE_BYTES // (n * np.dtype(dtype).itemsize), least), most)
        if self._memory is not None:
            room = self._memory // self.threads - spare_bytes(n + 1)
            within = _pixels_within(room, n, dtype, by_frame, clips)
            fit = max(LEAST_PIXELS, min(fit, within))
        return self._tile_pixels or fit

    def work_bytes(
        self, n: int, dtype: DTypeLike, by_frame: bool = False, clips: bool = True
    ) -> int:
        """Bytes of buffers that threads hold for `n` frames of a working `dtype`."""
        pixels = self.tile_pixels(n, dtype, by_frame, clips)
        chunk, each = _chunk(by_frame, clips)
        copied = min(pixels * n, chunk) * each
        buffer = pixels * _pixel_bytes(n, dtype, by_frame) + spare_bytes(n + 1)
        return self.threads * (buffer + copied)

    def stream(
        self,
        source: Source,
        recipe: Recipe,
        out: Outputs,
        memory: int,
        progress: Progress | None = None,
    ) -> None:
        """Run `recipe` on a stack, one band after the other; see `Backend`."""
        worker, pixels, bands = self._planned(source, recipe, out, memory)
        n, dtype, found_invalid = source.n, source.dtype, Event()

        def run(band: Sequence[Samples], here: Recipe, rows: Outputs) -> None:
            tiles = deque(cut(band[0].data.shape[0], source.width, pixels))
            job = TileJob(band, here, rows, dtype, found_invalid)
            worker.work(job, tiles, (n, pixels, dtype))

        run_in_turn(run, source, recipe, out, bands, progress)

    def _planned(
        self, source: Source, recipe: Recipe, out: Outputs, memory: int
    ) -> tuple["CpuBackend", int, Cut]:
        """A backend whose threads share `memory` bytes, the pixels of its tiles, and its bands.

        Raises
        ------
        MemoryLimitError
            Where not even one row fits.
        """
        n, dtype = source.n, source.dtype
        kind = recipe.clips_by_frame, bool(recipe.clips)
        row = row_bytes(source, out)
        # So that a band is about one tile where both are small.
        computed = source.width * _pixel_bytes(n, dtype, recipe.clips_by_frame)
        share = memory * computed // (computed + row)
        room = max(min(share, memory - row - held_bytes(source)), 0)
        least = SHARED_BY_SUMS if _only_adds_up(source, recipe, out) else SHARED
        worker = self._sharing(room, n, dtype, *kind, least)
        while True:
            work = worker.work_bytes(n, dtype, *kind)
            pixels = min(worker.tile_pixels(n, dtype, *kind), source.rows * source.width)
            bands = cut_bands(source, out, memory, work, worker.threads, pixels)
            if bands.workers == worker.threads or self._tile_pixels:
                return worker, pixels, bands
            # Fewer can hold a band: to these all of the room, where tiles may get larger.
            worker = type(self)(bands.workers, self._tile_pixels, room)

    def _sharing(
        self,
        room: int,
        n: int,
        dtype: DTypeLike,
        by_frame: bool,
        clips: bool,
        least: float = SHARED,
    ) -> "CpuBackend":
        """A backend of as many threads as have tiles of a part of the full size.

        Parameters
        ----------
        room : int
            Bytes that the buffers of all threads may take.
        n, dtype, by_frame, clips
            As for `tile_pixels`.
        least : float
            The part where there are two; where there are more, `SHARED`.
        """
        full = type(self)(1, self._tile_pixels).tile_pixels(n, dtype, by_frame, clips)
        for threads in range(self.threads, 0, -1):
            worker = type(self)(threads, self._tile_pixels, room)
            part = least if threads == 2 else SHARED
            if worker.tile_pixels(n, dtype, by_frame, clips) >= part * full:
                break
        return worker

    def work(self, job: TileJob, tiles: deque[Where], size: Size) -> None:
        """Run tiles until none is left, in a buffer of this size; on the thread that calls."""
        space = self._take_space(size)
        tallies = np.zeros((2, len(job.band)), np.int64)
        with np.errstate(all="ignore"):
            while tiles:
                try:
                    where = tiles.popleft()
                except IndexError:  # another worker took the last one
                    break
                job.run(where, space.view(len(job.band), where.pixels), tallies)
        with self._lock:
            job.add(tallies)
            self._spaces.append(space)

    def _take_space(self, size: Size) -> "Space":
        """Buffers from an earlier band where they fit: fresh memory is expensive."""
        with self._lock:
            space = self._spaces.pop() if self._spaces else None
        return space if space is not None and space.size == size else Space(size)


def _only_adds_up(source: Source, recipe: Recipe, out: Outputs) -> bool:
    """Whether all that is done to a tile is to add up the samples of all frames as one."""
    each = recipe.normalizes or recipe.weights is not None or out.reasons is not None
    if recipe.clips or each or any(source.masked):
        return False
    return not needs_order(recipe, source.dtype)


def _chunk(by_frame: bool, clips: bool) -> tuple[int, int]:
    """How many samples clips, or else sums, work on at a time, and what each of them takes."""
    if not clips:
        return SUM_SAMPLES, SUM_BYTES
    return CHUNK_SAMPLES, CHUNK_BYTES + by_frame * FRAME_CHUNK_BYTES


def _pixel_bytes(n: int, dtype: DTypeLike, by_frame: bool) -> int:
    """Bytes that a thread needs for one pixel.

    The buffer and, where every column has an interval of its own, a copy of it, with room
    to sort an eighth of it, or before that integers as they are sorted; and sixteen float64 of
    statistics and counts.
    """
    buffers = 17 * (n + 1) * np.dtype(dtype).itemsize // 8 + 16 * 8
    return buffers + by_frame * n * FRAME_BYTES


def _pixels_within(room: int, n: int, dtype: DTypeLike, by_frame: bool, clips: bool) -> int:
    """Pixels of a tile that one thread can work on within `room` bytes."""
    pixel = _pixel_bytes(n, dtype, by_frame)
    chunk, each = _chunk(by_frame, clips)
    if room > (pixel // n + each) * chunk:
        return (room - chunk * each) // pixel
    return room // (pixel + n * each)


class Space:
    """The buffer of one worker."""

    def __init__(self, size: Size) -> None:
        self.size = size
        n, pixels, dtype = size
        self._buffer = np.empty(lines_bytes(n + 1, pixels, dtype), np.uint8)

    def view(self, n: int, pixels: int) -> Floats:
        """The buffer as (n + 1, pixels); see `gpustack.backends.lines`."""
        return rows_in(self._buffer, n + 1, pixels, self.size[2])
