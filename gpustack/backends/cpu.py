"""The CPU backend: numpy ufuncs over tiles that stay in cache, on a few threads."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Event, Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.band_threads import BandPlan, cut_bands, held_bytes, row_bytes, run_in_turn
from gpustack.backends.base import Outputs, Progress, Samples, Source
from gpustack.backends.cache_lines import lines_bytes, rows_in
from gpustack.backends.tile_job import TileJob
from gpustack.backends.tile_plan import (
    SHARED,
    SHARED_BY_SUMS,
    ThreadPlan,
    TileCost,
    only_adds_up,
    plan_threads,
)
from gpustack.backends.tiles import cut_tiles
from gpustack.recipe import Recipe

#: More threads than this spend their time waiting for the GIL.
MAX_THREADS = 4

#: A stack of no more samples than this runs on one thread: starting others takes as long as its
#: median.
ONE_THREAD_SAMPLES = 1 << 17

#: Bytes of the array that makes glibc keep memory; see `_keep_freed_memory`.
LARGEST_THRESHOLD = (32 << 20) - (1 << 16)


def _keep_freed_memory() -> None:
    """Make glibc reuse freed memory instead of returning it to the system.

    glibc returns freed arrays that are larger than a threshold. The threshold rises to the size of
    the largest array returned so far, up to 32 MiB. This function allocates and frees such an
    array without touching it. For a mean of 25 frames of 2048 x 2048 from files, the number of
    fresh pages falls from 125,000 to 30,000 and the time from 0.77 s to 0.60 s.
    """
    with suppress(MemoryError):  # less memory than that is left, which may be enough for a run
        np.empty(LARGEST_THRESHOLD, np.uint8)


_keep_freed_memory()  # once in a process


def available_cores() -> int:
    """How many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class CpuBackend:
    """Runs recipes with numpy; see `gpustack.backends.base.Backend`.

    Parameters
    ----------
    threads : int or None
        Number of threads; None is one for each core that this process may use, at most
        `MAX_THREADS`. `stream` uses fewer threads if its memory limit would make their tiles too
        small, and one for a stack of at most `ONE_THREAD_SAMPLES` samples, unless `tile_pixels` is
        given.
    tile_pixels : int or None
        Pixels that one thread works on at a time; None chooses it by the number of frames.
        Results do not depend on it.
    """

    name = "cpu"

    def __init__(self, threads: int | None = None, tile_pixels: int | None = None) -> None:
        self.threads = threads or min(available_cores(), MAX_THREADS)
        self.tile_pixels = tile_pixels

    def stream(
        self,
        source: Source,
        recipe: Recipe,
        out: Outputs,
        memory: int,
        progress: Progress | None = None,
    ) -> None:
        """Run `recipe` on a stack, one band after the other; see `Backend`."""
        thread_plan, band_plan = self._planned(source, recipe, out, memory)
        pixels = min(thread_plan.pixels, source.rows * source.width)
        pool, found_invalid = BufferPool(source.n, pixels, source.dtype), Event()

        def run(band: Sequence[Samples], band_recipe: Recipe, rows: Outputs) -> None:
            work(TileJob(band, band_recipe, rows, source.dtype, found_invalid), pool)

        run_in_turn(run, source, recipe, out, band_plan, progress)

    def _planned(
        self, source: Source, recipe: Recipe, out: Outputs, memory: int
    ) -> tuple[ThreadPlan, BandPlan]:
        """Choose threads and tiles that share `memory` bytes, and cut the stack into bands.

        Raises
        ------
        MemoryLimitError
            If not even one row fits.
        """
        cost, row = TileCost.of(source.n, source.dtype, recipe), row_bytes(source, out)
        # The room for tiles is chosen so that a band is about one tile if both are small.
        computed = source.width * cost.pixel_bytes
        share = memory * computed // (computed + row)
        room = max(min(share, memory - row - held_bytes(source)), 0)
        least = SHARED_BY_SUMS if only_adds_up(source, recipe, out) else SHARED
        few = source.n * source.rows * source.width <= ONE_THREAD_SAMPLES and not self.tile_pixels
        threads = 1 if few else self.threads
        thread_plan = plan_threads(cost, threads, room, least, self.tile_pixels)
        while True:
            pixels = min(thread_plan.pixels, source.rows * source.width)
            band_plan = cut_bands(
                source, out, memory, thread_plan.nbytes, thread_plan.threads, pixels
            )
            if band_plan.workers == thread_plan.threads or self.tile_pixels:
                return thread_plan, band_plan
            # Fewer threads can hold a band: these get all of the room, for larger tiles.
            thread_plan = ThreadPlan.within(cost, band_plan.workers, room)


def work(job: TileJob, pool: "BufferPool") -> None:
    """Run all tiles of a band on the calling thread."""
    n, width = len(job.band), job.band[0].data.shape[1]
    tallies = np.zeros((2, n), np.int64)
    with np.errstate(all="ignore"), pool.lend() as memory:
        for where in cut_tiles(job.band[0].data.shape[0], width, pool.pixels):
            job.run(where, rows_in(memory, n + 1, where.pixels, job.dtype), tallies)
    with pool.lock:
        job.add(tallies)


class BufferPool:
    """A pool of buffers for tiles, which threads reuse because fresh memory is expensive.

    Parameters
    ----------
    n, pixels : int
        Number of frames, and of pixels of the largest tile.
    dtype : dtype
    """

    def __init__(self, n: int, pixels: int, dtype: np.dtype[Any]) -> None:
        self.pixels, self.lock = pixels, Lock()
        self._size = lines_bytes(n + 1, pixels, dtype)
        self._free: list[NDArray[np.uint8]] = []

    @contextmanager
    def lend(self) -> Iterator[NDArray[np.uint8]]:
        """Lend memory for the samples of a tile and a scratch row; see `cache_lines`."""
        with self.lock:
            memory = self._free.pop() if self._free else None
        memory = np.empty(self._size, np.uint8) if memory is None else memory
        yield memory
        with self.lock:
            self._free.append(memory)
