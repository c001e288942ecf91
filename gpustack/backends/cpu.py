"""The CPU backend: numpy ufuncs over tiles that stay in cache, on a few threads."""

import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from gpustack.backends.base import Outputs, Progress, Samples, Source, working_dtype
from gpustack.backends.columns import CHUNK_SAMPLES, Floats
from gpustack.backends.in_turn import cut_bands, row_bytes, run_in_turn
from gpustack.backends.tile_job import TileJob
from gpustack.backends.tiles import Where, cut
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

Size = tuple[int, int, np.dtype[Any]]


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
        None: as many as this process may use cores, at most `MAX_THREADS`.
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
            chunk = _chunk_bytes(by_frame, clips)
            within = _pixels_within(self._memory // self.threads, n, dtype, by_frame, chunk)
            fit = max(LEAST_PIXELS, min(fit, within))
        return self._tile_pixels or fit

    def work_bytes(
        self, n: int, dtype: DTypeLike, by_frame: bool = False, clips: bool = True
    ) -> int:
        """Bytes of buffers that `run` holds for `n` frames of a working `dtype`."""
        pixels = self.tile_pixels(n, dtype, by_frame, clips)
        copied = min(pixels * n, CHUNK_SAMPLES) * _chunk_bytes(by_frame, clips)
        return self.threads * (pixels * _pixel_bytes(n, dtype, by_frame) + copied)

    def run(
        self,
        band: Sequence[Samples],
        recipe: Recipe,
        out: Outputs,
        dtype: np.dtype[Any] | None = None,
    ) -> None:
        """Run `recipe` on the samples of all frames and fill `out`.

        Parameters
        ----------
        band : sequence of Samples
            One a frame, in order, all of shape (rows, width).
        recipe, out
            As for `Backend.stream`, `out` of the same rows.
        dtype : dtype or None
            In which samples are compared and sorted, float32 or float64; None is the
            widest that `working_dtype` gives for any frame.
        """
        rows, width = band[0].data.shape
        if dtype is None:
            dtype = np.result_type(*(working_dtype(samples.data.dtype) for samples in band))
        kind = recipe.clips_by_frame, bool(recipe.clips)
        pixels = min(self.tile_pixels(len(band), dtype, *kind), rows * width)
        tiles = deque(cut(rows, width, pixels))
        job = TileJob(band, recipe, out, dtype)
        workers = min(self.threads, len(tiles))
        size = (len(band), pixels, dtype)
        if workers <= 1:  # a thread takes as long to start as a small image
            self.work(job, tiles, size)
            return
        with ThreadPoolExecutor(workers) as pool:
            running = [pool.submit(self.work, job, tiles, size) for _ in range(workers)]
            try:
                for future in running:
                    future.result()
            finally:
                # After an error or an interrupt the other workers stop at their next tile.
                tiles.clear()

    def stream(
        self,
        source: Source,
        recipe: Recipe,
        out: Outputs,
        memory: int,
        progress: Progress | None = None,
    ) -> None:
        """Run `recipe` on a stack, one band after the other; see `Backend`."""
        room = max(min(memory // 2, memory - row_bytes(source, out) - source.held_bytes), 0)
        worker = type(self)(self.threads, self._tile_pixels, room)
        n, dtype = source.n, source.dtype
        kind = recipe.clips_by_frame, bool(recipe.clips)
        work = worker.work_bytes(n, dtype, *kind)
        pixels = min(worker.tile_pixels(n, dtype, *kind), source.rows * source.width)
        found_invalid = Event()

        def run(band: Sequence[Samples], here: Recipe, rows: Outputs) -> None:
            tiles = deque(cut(band[0].data.shape[0], source.width, pixels))
            job = TileJob(band, here, rows, dtype, found_invalid)
            worker.work(job, tiles, (n, pixels, dtype))

        bands = cut_bands(source, out, memory, work, self.threads, pixels)
        run_in_turn(run, source, recipe, out, bands, progress)

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


def _chunk_bytes(by_frame: bool, clips: bool) -> int:
    """Bytes that a thread needs for a sample that clips and sums work on."""
    return (CHUNK_BYTES if clips else SUM_BYTES) + by_frame * FRAME_CHUNK_BYTES


def _pixel_bytes(n: int, dtype: DTypeLike, by_frame: bool) -> int:
    """Bytes that a thread needs for one pixel.

    The buffer and, where every column has an interval of its own, a copy of it, with room
    to sort an eighth of it; and sixteen float64 of statistics and counts.
    """
    buffers = 17 * (n + 1) * np.dtype(dtype).itemsize // 8 + 16 * 8
    return buffers + by_frame * n * FRAME_BYTES


def _pixels_within(room: int, n: int, dtype: DTypeLike, by_frame: bool, chunk: int) -> int:
    """Pixels of a tile that one thread can work on within `room` bytes, `chunk` for a sample."""
    pixel = _pixel_bytes(n, dtype, by_frame)
    if room > (pixel // n + chunk) * CHUNK_SAMPLES:
        return (room - CHUNK_SAMPLES * chunk) // pixel
    return room // (pixel + n * chunk)


class Space:
    """The buffer of one worker."""

    def __init__(self, size: Size) -> None:
        self.size = size
        n, pixels, dtype = size
        self._buffer = np.empty((n + 1) * pixels, dtype)

    def view(self, n: int, pixels: int) -> Floats:
        """The buffer as (n + 1, pixels), contiguous."""
        return self._buffer[: (n + 1) * pixels].reshape(n + 1, pixels)
