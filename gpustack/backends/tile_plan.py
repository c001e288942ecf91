"""The size of tiles and the number of threads under a memory limit; pure arithmetic."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpustack.backends.base import Outputs, Source
from gpustack.backends.cache_lines import spare_bytes
from gpustack.backends.columns import CHUNK_SAMPLES, SUM_SAMPLES
from gpustack.backends.unsorted import needs_order
from gpustack.clips import ESDClip, WinsorizedClip
from gpustack.recipe import Recipe

#: Bytes of the samples of one tile. Every ufunc releases the GIL, and waiting to get it back
#: takes longer than a short ufunc. With tiles of this size two threads gain a half over one
#: thread, with tiles half as large a quarter. Larger tiles gain little more and take more memory.
TILE_BYTES = 13_000_000
#: The least and the most pixels of a full tile.
TILE_PIXELS = (8192, 131_072)

#: No memory limit makes tiles smaller than this: the overhead of numpy calls would take all the
#: time.
LEAST_PIXELS = 32

#: Bytes that clips take for each sample of the chunk on which they work at a time: two copies,
#: one value in float64, flags.
CHUNK_BYTES = 2 * 8 + 8 + 2

#: Bytes that winsorized clips and ESD tests take in addition: for each sample of a chunk, one more
#: value in float64; for each pixel of a tile, statistics of rounds and steps.
TEST_CHUNK_BYTES, TEST_BYTES = 8, 16 * 8

#: Bytes that sums take for each sample of their chunk if there are no clips: one value in
#: float64, and where samples are missing one in float32, and flags.
SUM_BYTES = 8 + 4 + 1

#: Bytes that clips by frame take in addition. For each sample of a chunk: copies in float64,
#: sorted and ranked. For each sample of a tile, all of which may be at risk: the sample in frame
#: order, its variance, and flags.
FRAME_CHUNK_BYTES, FRAME_BYTES = 6 * 8, 2 * 8 + 4

#: Several threads share a memory limit if each gets tiles of at least this fraction of the full
#: size. With smaller tiles they wait for the GIL, and one thread alone is faster. Two threads that
#: only add samples up, in few numpy calls, may have the smaller fraction.
SHARED, SHARED_BY_SUMS = 1 / 2, 1 / 4


@dataclass(frozen=True, slots=True)
class TileCost:
    """What determines the memory that a thread needs for a pixel.

    Parameters
    ----------
    n : int
        How many frames.
    dtype : dtype
        The dtype in which samples are compared and sorted.
    clips, by_frame : bool
        Whether there are clips, and whether one of them judges each sample by its frame.
    tests : bool
        Whether one of the clips is a winsorized clip or an ESD test.
    """

    n: int
    dtype: np.dtype[Any]
    clips: bool = True
    by_frame: bool = False
    tests: bool = False

    @classmethod
    def of(cls, n: int, dtype: np.dtype[Any], recipe: Recipe) -> "TileCost":
        """Return the cost of a recipe on a stack of `n` frames."""
        tests = any(isinstance(clip, WinsorizedClip | ESDClip) for clip in recipe.clips)
        return cls(n, dtype, bool(recipe.clips), recipe.clips_by_frame, tests)

    @property
    def pixel_bytes(self) -> int:
        """Bytes that a thread needs for one pixel.

        The sum of: the buffer; a copy of it, for the case that every column has an interval of
        its own, or before that for integers that are sorted as stored; an eighth of it, as room
        to sort; and sixteen float64 numbers of statistics and counts.
        """
        buffers = 17 * (self.n + 1) * self.dtype.itemsize // 8 + 16 * 8
        return buffers + self.by_frame * self.n * FRAME_BYTES + self.tests * TEST_BYTES

    @property
    def full_tile(self) -> int:
        """Pixels of a tile of the full size, which stays in cache."""
        least, most = TILE_PIXELS
        return min(max(TILE_BYTES // (self.n * self.dtype.itemsize), least), most)

    def thread_bytes(self, pixels: int) -> int:
        """Bytes that a thread holds for a tile."""
        chunk, each = self._chunk
        copied = min(pixels * self.n, chunk) * each
        return pixels * self.pixel_bytes + spare_bytes(self.n + 1) + copied

    def tile_within(self, room: int) -> int:
        """Pixels of the largest tile for which a thread holds at most `room` bytes."""
        pixel, (chunk, each) = self.pixel_bytes, self._chunk
        room -= spare_bytes(self.n + 1)
        if room > (pixel // self.n + each) * chunk:
            return (room - chunk * each) // pixel
        return room // (pixel + self.n * each)

    @property
    def _chunk(self) -> tuple[int, int]:
        """Samples that clips (without clips: sums) work on at a time, and bytes for each sample."""
        if not self.clips:
            return SUM_SAMPLES, SUM_BYTES
        each = CHUNK_BYTES + self.by_frame * FRAME_CHUNK_BYTES + self.tests * TEST_CHUNK_BYTES
        return CHUNK_SAMPLES, each


@dataclass(frozen=True, slots=True)
class ThreadPlan:
    """Threads, each with a tile of its own.

    Parameters
    ----------
    cost : TileCost
    threads : int
    pixels : int
        Pixels of each tile.
    """

    cost: TileCost
    threads: int
    pixels: int

    @classmethod
    def within(
        cls, cost: TileCost, threads: int, room: int, pixels: int | None = None
    ) -> "ThreadPlan":
        """Return a plan with the largest tiles that fit in `room` bytes, or with tiles of `pixels`.

        Without `pixels`, tiles have at most the full size and at least `LEAST_PIXELS` pixels.
        """
        fit = min(cost.full_tile, cost.tile_within(room // threads))
        return cls(cost, threads, pixels or max(LEAST_PIXELS, fit))

    @property
    def nbytes(self) -> int:
        """Bytes that all threads hold together."""
        return self.threads * self.cost.thread_bytes(self.pixels)


def plan_threads(
    cost: TileCost, threads: int, room: int, least: float = SHARED, pixels: int | None = None
) -> ThreadPlan:
    """Return a plan of as many threads as can have large enough tiles, but at least one.

    Parameters
    ----------
    cost : TileCost
    threads : int
        The largest number of threads.
    room : int
        Bytes that all threads together may hold.
    least : float
        The fraction of the full tile size that each of two threads must have; for three or more
        threads it is `SHARED`.
    pixels : int or None
        Pixels of a tile, if their number is given.
    """
    full = pixels or cost.full_tile
    for count in range(threads, 0, -1):
        plan = ThreadPlan.within(cost, count, room, pixels)
        if plan.pixels >= (least if count == 2 else SHARED) * full:
            break
    return plan


def only_adds_up(source: Source, recipe: Recipe, out: Outputs) -> bool:
    """Whether the recipe only adds up the samples of a tile, of all frames in one call."""
    each = recipe.normalizes or recipe.weights is not None or out.reasons is not None
    if recipe.clips or each or any(source.masked):
        return False
    return not needs_order(recipe, source.dtype)
