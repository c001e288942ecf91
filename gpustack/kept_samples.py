"""A selection of samples of all frames, kept while a run reads them, for pictures and HTML pages.

Pictures and pages need no second read of the frames. The number of samples is limited, however many
frames there are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Samples, Source, working_dtype
from gpustack.frames.base import decode
from gpustack.frames.resident import on_host
from gpustack.frames.source import FrameSource
from gpustack.recipe import Recipe

#: The most samples that are kept; they take at most 1 / `MEMORY_DIVISOR` of the memory limit.
MOST_SAMPLES, MEMORY_DIVISOR = 1 << 24, 8

#: The most pixels on a side of the overview, and of the picture of the middle.
OVERVIEW, MIDDLE = 400, 160

#: The most rows in which the noise is measured, and the most pixels of each row.
STRIPS, STRIP_WIDTH = 64, 2048

#: The fewest pixels of a row that a measure of noise needs.
LEAST_WIDTH = 5


class RunTiming(Protocol):
    """How long the stages of a run took, and on what device: `gpustack.provenance.Watch`."""

    reads: list[float] | None
    seconds: dict[str, float]
    backend: str
    device: str


@dataclass(frozen=True, slots=True)
class Cut:
    """Which pixels of a plane are kept: every `step`-th, or rows of adjacent pixels.

    Parameters
    ----------
    rows, columns : range
    """

    rows: range
    columns: range

    @property
    def step(self) -> int:
        """Pixels from one kept column to the next."""
        return self.columns.step

    @property
    def is_contiguous(self) -> bool:
        """Whether pixels are adjacent along both axes, so that rejections can grow over them."""
        return self.rows.step == self.columns.step == 1


@dataclass(eq=False)
class CutSamples:
    """The kept samples of one cut through all frames.

    Parameters
    ----------
    cut : Cut
    values : ndarray of float, shape (n, rows, columns)
        Decoded, not normalised.
    invalid : ndarray of bool, shape (n, rows, columns)
        Also True where nothing has been read yet.
    weight, variance : ndarray of float64, shape (n, rows, columns), or None
        Those of each sample, where samples have them.
    """

    cut: Cut
    values: NDArray[Any]
    invalid: NDArray[np.bool_]
    weight: NDArray[np.float64] | None = None
    variance: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, cut: Cut, source: Source) -> Self:
        """Allocate arrays for the samples of a source."""
        shape = (source.n, len(cut.rows), len(cut.columns))
        return cls(
            cut,
            np.full(shape, np.nan, source.dtype),
            np.ones(shape, bool),
            np.zeros(shape) if source.weighted else None,
            np.full(shape, np.nan) if source.variance else None,
        )

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        held = (self.values, self.invalid, self.weight, self.variance)
        return sum(array.nbytes for array in held if array is not None)

    def add(self, f: int, start: int, samples: Samples) -> None:
        """Keep the samples that the cut has of rows of frame `f` from `start` on.

        Rows may be added more than once.
        """
        rows, stop = self.cut.rows, start + len(samples.data)
        first, last = (
            min(max(-(-(edge - rows.start) // rows.step), 0), len(rows)) for edge in (start, stop)
        )
        if first == last:
            return
        inner = rows[first:last]
        columns = slice(self.cut.columns.start, self.cut.columns.stop, self.cut.step)
        where = slice(inner.start - start, inner[-1] - start + 1, rows.step), columns

        def part(array: Any) -> Any:
            return None if array is None else on_host(array[where])

        data = Samples(
            part(samples.data),
            part(samples.mask),
            bscale=samples.bscale,
            bzero=samples.bzero,
            blank=samples.blank,
        )
        values, invalid = decode(data, working_dtype(data.data.dtype))
        self.values[f, first:last], self.invalid[f, first:last] = values, invalid
        for kept, given in ((self.weight, samples.weight), (self.variance, samples.variance)):
            if kept is not None and given is not None:
                kept[f, first:last] = part(given)

    def band(self) -> list[Samples]:
        """The samples of all frames, in the form that a backend reads."""
        return [
            Samples(
                self.values[f],
                self.invalid[f],
                None if self.weight is None else self.weight[f],
                variance=None if self.variance is None else self.variance[f],
            )
            for f in range(len(self.values))
        ]


@dataclass(eq=False)
class Look:
    """The kept samples of a stack, in three cuts.

    Parameters
    ----------
    overview : CutSamples
        Every `step`-th pixel of the whole plane; the first plane of frames with more than two axes.
    middle : CutSamples
        All pixels of a square in the middle of the plane.
    strips : CutSamples
        Rows of adjacent pixels, spread over the plane.
    shape : tuple of int
        The shape of the plane, (y, x).
    recipe : Recipe
        That of the stack; after the run with the noise of every row, where clips need it.
    watch : RunTiming
    origins : list of str
        What the numbers of the recipe were taken from, in words.
    """

    overview: CutSamples
    middle: CutSamples
    strips: CutSamples
    shape: tuple[int, int]
    recipe: Recipe
    watch: RunTiming
    origins: list[str] = field(default_factory=list)

    @classmethod
    def at(
        cls,
        source: FrameSource,
        recipe: Recipe,
        limit: float,
        watch: RunTiming,
        origins: Sequence[str] = (),
    ) -> Self:
        """Prepare a look at a source of which nothing has been read yet.

        Parameters
        ----------
        source : FrameSource
        limit : float
            The memory limit of the run, in bytes.
        recipe, watch, origins
            As of the class.
        """
        sample = source.dtype.itemsize + 1 + 8 * source.weighted + 8 * source.variance
        most = int(min(MOST_SAMPLES, limit / MEMORY_DIVISOR / sample)) // source.n
        shape = (source.height, source.width)
        overview, middle, strips = (
            CutSamples.of(cut(*shape, most // share), source)
            for cut, share in ((_overview, 2), (_middle, 4), (_strips, 4))
        )
        return cls(overview, middle, strips, shape, recipe, watch, list(origins))

    @property
    def parts(self) -> tuple[CutSamples, CutSamples, CutSamples]:
        """The three cuts."""
        return self.overview, self.middle, self.strips

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays of the three cuts."""
        return sum(kept.nbytes for kept in self.parts)

    def add(self, f: int, start: int, samples: Samples) -> None:
        """Keep samples of rows of frame `f` from `start` on; threads may call it at once."""
        for kept in self.parts:
            kept.add(f, start, samples)


def _overview(height: int, width: int, most: int) -> Cut:
    """The cut through the whole plane with at most `most` pixels."""
    finest = -(-max(height, width) // OVERVIEW)
    step = max(finest, math.isqrt(height * width // max(most, 1)), 1)
    while True:
        rows, columns = (range(min(step, n) // 2, n, step) for n in (height, width))
        if len(rows) * len(columns) <= max(most, 1):
            return Cut(rows, columns)
        step += 1


def _middle(height: int, width: int, most: int) -> Cut:
    side = max(min(MIDDLE, math.isqrt(most)), LEAST_WIDTH)
    starts = [max(0, (length - side) // 2) for length in (height, width)]
    ends = [min(start + side, n) for start, n in zip(starts, (height, width), strict=True)]
    return Cut(*(range(start, end) for start, end in zip(starts, ends, strict=True)))


def _strips(height: int, width: int, most: int) -> Cut:
    across = min(width, STRIP_WIDTH, max(most, LEAST_WIDTH))
    count = min(height, STRIPS, max(most // across, 1))
    step, left = height // count, (width - across) // 2
    return Cut(range(step // 2, step // 2 + step * count, step), range(left, left + across))
