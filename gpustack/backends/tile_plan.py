"""How large tiles are, and how many threads share a limit on memory: arithmetic alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpustack.backends.base import Outputs, Source
from gpustack.backends.cache_lines import spare_bytes
from gpustack.backends.columns import CHUNK_SAMPLES, SUM_SAMPLES
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

#: Threads share a limit where each has tiles of this part of the full size: with smaller ones they
#: wait for the GIL, and one alone is faster. Two have less where they only add up, in few calls.
SHARED, SHARED_BY_SUMS = 1 / 2, 1 / 4


@dataclass(frozen=True, slots=True)
class Load:
    """What there is to work on at a pixel.

    Parameters
    ----------
    n : int
        How many frames.
    dtype : dtype
        In which samples are compared and sorted.
    clips, by_frame : bool
        Whether there are clips, and such as judge each sample by its frame.
    """

    n: int
    dtype: np.dtype[Any]
    clips: bool = True
    by_frame: bool = False

    @classmethod
    def of(cls, n: int, dtype: np.dtype[Any], recipe: Recipe) -> "Load":
        """That of a recipe."""
        return cls(n, dtype, bool(recipe.clips), recipe.clips_by_frame)

    @property
    def pixel_bytes(self) -> int:
        """Bytes that a thread needs for one pixel.

        The buffer and, where every column has an interval of its own, a copy of it, with room
        to sort an eighth of it, or before that integers as they are sorted; and sixteen float64 of
        statistics and counts.
        """
        buffers = 17 * (self.n + 1) * self.dtype.itemsize // 8 + 16 * 8
        return buffers + self.by_frame * self.n * FRAME_BYTES

    @property
    def full_tile(self) -> int:
        """Pixels of a tile that stays in cache."""
        least, most = TILE_PIXELS
        return min(max(TILE_BYTES // (self.n * self.dtype.itemsize), least), most)

    def thread_bytes(self, pixels: int) -> int:
        """Bytes that a thread holds for a tile."""
        chunk, each = self._chunk
        copied = min(pixels * self.n, chunk) * each
        return pixels * self.pixel_bytes + spare_bytes(self.n + 1) + copied

    def tile_within(self, room: int) -> int:
        """Pixels of a tile for which a thread holds at most `room` bytes."""
        pixel, (chunk, each) = self.pixel_bytes, self._chunk
        room -= spare_bytes(self.n + 1)
        if room > (pixel // self.n + each) * chunk:
            return (room - chunk * each) // pixel
        return room // (pixel + self.n * each)

    @property
    def _chunk(self) -> tuple[int, int]:
        """How many samples clips, or else sums, work on at a time, and what each of them takes."""
        if not self.clips:
            return SUM_SAMPLES, SUM_BYTES
        return CHUNK_SAMPLES, CHUNK_BYTES + self.by_frame * FRAME_CHUNK_BYTES


@dataclass(frozen=True, slots=True)
class Crew:
    """Threads, each with a tile of its own.

    Parameters
    ----------
    load : Load
    threads : int
    pixels : int
        Of a tile.
    """

    load: Load
    threads: int
    pixels: int

    @classmethod
    def within(cls, load: Load, threads: int, room: int, pixels: int | None = None) -> "Crew":
        """With tiles of up to the full size for which there is room; or of so many `pixels`."""
        fit = min(load.full_tile, load.tile_within(room // threads))
        return cls(load, threads, pixels or max(LEAST_PIXELS, fit))

    @property
    def nbytes(self) -> int:
        """Bytes that all threads hold."""
        return self.threads * self.load.thread_bytes(self.pixels)


def share_out(
    load: Load, threads: int, room: int, least: float = SHARED, pixels: int | None = None
) -> Crew:
    """A crew of as many threads as have tiles of a part of the full size.

    Parameters
    ----------
    load : Load
    threads : int
        The most.
    room : int
        Bytes that they may hold.
    least : float
        The part where there are two; where there are more, `SHARED`.
    pixels : int or None
        Of tiles that are given.
    """
    full = pixels or load.full_tile
    for count in range(threads, 0, -1):
        crew = Crew.within(load, count, room, pixels)
        if crew.pixels >= (least if count == 2 else SHARED) * full:
            break
    return crew


def only_adds_up(source: Source, recipe: Recipe, out: Outputs) -> bool:
    """Whether all that is done to a tile is to add up the samples of all frames as one."""
    each = recipe.normalizes or recipe.weights is not None or out.reasons is not None
    if recipe.clips or each or any(source.masked):
        return False
    return not needs_order(recipe, source.dtype)
