"""The noise of every row, by which `gpustack.clips.AvgSigmaClip` judges samples.

It is measured before the run, so that backends get one number per row and decide column by column;
see docs/decisions/0011-noise-of-rows.md.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Backend, Outputs, Samples
from gpustack.backends.cpu import available_cores
from gpustack.backends.frame_screens import normalisation
from gpustack.clips import AvgSigmaClip, Clip, ExtremaClip, RowSigmaClip
from gpustack.errors import MemoryLimitError
from gpustack.frames.resident import library, on_host
from gpustack.maps.base import Rows, Stack
from gpustack.maps.plan import Plan, plan_for
from gpustack.maps.samples import normalised
from gpustack.plan import Band
from gpustack.recipe import Recipe

#: What is held of a band in addition to samples, for error messages.
WHAT_IS_HELD = "sums for the noise of rows"

#: Threads that add up squares on the host, each for one frame at a time.
THREADS = 2

#: Bytes per pixel, in addition to reasons: the centre, levels, counts and temporaries of reasons;
#: and for each thread, temporaries of the samples of one frame.
PIXEL_BYTES = 8 + 8 + 8 + 8 + THREADS * 6 * 8

#: Pixels whose squares are added up at a time. With fewer, threads wait for the GIL: a quarter of
#: this takes a fifth longer. With more, temporaries are no longer in cache.
BLOCK_PIXELS = 131_072

#: Columns with fewer samples than this say nothing about the noise.
LEAST_COUNT = 3


def with_row_noise(
    executor: Backend, source: Stack, recipe: Recipe, memory: int, span: Band | None = None
) -> Recipe:
    """Return the recipe as backends see it, with the noise of every row where clips need it.

    Parameters
    ----------
    executor : Backend
        Runs the clips that precede such a clip.
    source : Stack
        Read twice for each such clip, and a third time where a sample is out before the clip, or
        may be because of scale and zero.
    recipe : Recipe
    memory : int
        Bytes that samples and buffers may take.
    span : Band or None
        The rows whose noise is needed; None means all.

    Raises
    ------
    MemoryLimitError
        Where not even one row of all frames fits.
    """
    for k, clip in enumerate(recipe.clips):
        if _needs_row_noise(clip):
            with source.on_device():
                sigmas = _RowNoise(executor, source, recipe, k, memory, span).sigmas()
            clips = (*recipe.clips[:k], clip.measured(sigmas), *recipe.clips[k + 1 :])
            recipe = replace(recipe, clips=clips)
    return recipe


def row_memory(source: Stack, recipe: Recipe) -> int:
    """Return the bytes that `with_row_noise` takes for one row beside samples; 0 if none."""
    return _plan(source).least if any(map(_needs_row_noise, recipe.clips)) else 0


def _needs_row_noise(clip: Clip) -> TypeGuard[AvgSigmaClip]:
    """Whether the noise of rows is yet to be measured for a clip."""
    return isinstance(clip, AvgSigmaClip) and not isinstance(clip, RowSigmaClip)


def _plan(source: Stack) -> Plan:
    """Plan for two bytes per sample, a reason and a temporary; and each thread reads a row."""
    read = max(source.row_bytes) + source.temporary_bytes
    row = source.width * (2 * source.n + PIXEL_BYTES) + THREADS * read
    return plan_for(source.rows, source.height, None, row, 0, WHAT_IS_HELD)


@dataclass(frozen=True, slots=True, eq=False)
class _RowNoise:
    """The measurement of the noise of rows for clip `k` of a recipe."""

    executor: Backend
    source: Stack
    recipe: Recipe
    k: int
    memory: int
    span: Band | None

    def sigmas(self) -> NDArray[np.float64]:
        """Return the factor s of every row; NaN if no column has enough samples, or none differ."""
        source, plan = self.source, _plan(self.source)
        squares, counts = np.zeros((2, source.rows))
        if source.n >= LEAST_COUNT:
            for band in plan.bands(self.memory, self.span):
                here = slice(band.start, band.stop)
                squares[here], counts[here] = self._band_sums(band, plan)
        usable = (counts > 0) & (squares > 0)
        found: NDArray[np.float64] = np.full(source.rows, np.nan)
        with np.errstate(all="ignore"):
            np.copyto(found, np.sqrt(squares / (counts - 1)), where=usable)
        return found

    def _band_sums(self, band: Band, plan: Plan) -> Sequence[NDArray[np.float64]]:
        held = plan.held(band.rows)
        try:
            return self._sums(band, self.memory - held)
        except MemoryLimitError as err:
            told = f" (of {self.memory:,} bytes, {WHAT_IS_HELD} take {held:,})"
            raise err.beside(plan.least_beside(err.enough), told) from err

    def _sums(self, band: Band, memory: int) -> Sequence[NDArray[np.float64]]:
        """Return the sum of squares, in units of the noise, and their number, for every row."""
        rows = Rows(self.source.unweighted(), band.start, band.stop)
        # Samples that scale and zero make infinite are out, though clips see raw samples.
        reasons = self._reasons(rows, memory) if self.recipe.normalizes_late else None
        before = self.recipe.clips[: self.k] if reasons is None else ()
        centers_recipe = self._centers(before).rows(band.start, band.stop)
        center, is_full = self._center(rows, reasons, centers_recipe, memory)
        if reasons is None and not is_full:
            reasons = self._reasons(rows, memory)
        with np.errstate(all="ignore"):
            return self._add_up(rows, reasons, center, centers_recipe, memory)

    def _center(
        self, rows: Rows, reasons: Any, centers_recipe: Recipe, memory: int
    ) -> tuple[Any, bool]:
        """Return the centre of every column, and whether no sample of any column is out."""
        source, shape = self.source, (rows.rows, rows.width)
        center, count = (source.empty(shape, np.dtype(kind)) for kind in (np.float64, np.int32))
        left = rows if reasons is None else replace(rows, masks=reasons != 0)
        self.executor.stream(left, centers_recipe, Outputs(data=center, count=count), memory)
        extremes = 2 * (self._clip.center == "trimmed_mean")
        return center, int(on_host(count.min())) >= source.n - extremes

    @property
    def _clip(self) -> AvgSigmaClip:
        clip = self.recipe.clips[self.k]
        assert isinstance(clip, AvgSigmaClip)
        return clip

    def _centers(self, before: tuple[Clip, ...]) -> Recipe:
        """Return a recipe for the centre of every column after some clips, as this clip sees it."""
        recipe, center = self.recipe, self._clip.center
        raw = recipe.clip_on == "raw"
        trim = (ExtremaClip(1, 1),) if center == "trimmed_mean" else ()
        return replace(
            recipe.rejecting(before + trim),
            combine="median" if center == "median" else "mean",
            scale=None if raw else recipe.scale,
            zero=None if raw else recipe.zero,
            dtype="float64",
        )

    def _reasons(self, rows: Rows, memory: int) -> Any:
        """Return why each sample is out, uint8 of shape (n, rows, width).

        In columns with fewer than `LEAST_COUNT` samples all are out.
        """
        reasons = self.source.empty((rows.n, rows.rows, rows.width), np.dtype(np.uint8))
        before = self.recipe.rejecting(self.recipe.clips[: self.k]).rows(rows.start, rows.stop)
        self.executor.stream(rows, before, Outputs(reasons=reasons), memory)
        reasons |= (reasons == 0).sum(axis=0) < LEAST_COUNT
        return reasons

    def _add_up(
        self, rows: Rows, reasons: Any, center: Any, centers_recipe: Recipe, memory: int
    ) -> Sequence[NDArray[np.float64]]:
        """Return the sums of squares and their numbers, whatever the order of the frames.

        Each frame is read once and has a sum of its own for each row. These sums are sorted
        before they are added up, so that the order of the frames changes no bit.
        """
        frame = _Squares(rows, reasons, center, centers_recipe)
        if library(center) is np:
            with ThreadPoolExecutor(self._threads(memory)) as pool:
                sums = np.array(list(pool.map(frame.sums, range(rows.n))))
        else:
            sums = np.array([frame.sums(f) for f in range(rows.n)])
        of_rows = np.ascontiguousarray(sums.T)  # so that numpy adds up one row as it does many
        of_rows.sort(axis=1)
        return [of_rows.sum(axis=1), frame.counts()]

    def _threads(self, memory: int) -> int:
        """Return how many threads read: at most as many as the backend has, or as memory allows."""
        most = getattr(self.executor, "threads", available_cores())
        return min(most, THREADS) if THREADS * self.source.held_bytes <= memory else 1


@dataclass(frozen=True, slots=True, eq=False)
class _Squares:
    """Squared deviations of the samples of some rows, in units of the noise, frame by frame.

    Parameters
    ----------
    rows : Rows
    reasons : array of uint8, shape (n, rows, width), or None
        0 for the samples that count; None where all do.
    center : array of float64, shape (rows, width)
    centers_recipe : Recipe
        The recipe that normalises the samples.

    Attributes
    ----------
    level : array of float64, shape (rows, width), or None
        The level, at least 1, that variances are proportional to; None if each frame has its own.
    """

    rows: Rows
    reasons: Any
    center: Any
    centers_recipe: Recipe
    level: Any = field(init=False)

    def __post_init__(self) -> None:
        shared = None if self.centers_recipe.normalizes else _at_least_1(self.center)
        object.__setattr__(self, "level", shared)

    def sums(self, f: int) -> NDArray[np.float64]:
        """Return the sum of every row of frame `f`, shape (rows,)."""
        samples = self.rows.read(f, 0, self.rows.rows)
        with np.errstate(all="ignore"):  # holds for this thread only
            parts = [on_host(self._block(f, samples, here)) for here in self._blocks()]
        return np.concatenate(parts)

    def counts(self) -> NDArray[np.float64]:
        """Return how many samples of all frames count, for every row."""
        n, height, width = self.rows.n, self.rows.rows, self.rows.width
        if self.reasons is None:
            return np.full(height, float(n * width))
        return np.asarray(on_host((self.reasons == 0).sum(axis=(0, 2))), np.float64)

    def _blocks(self) -> list[slice]:
        """Return slices of rows whose squares stay in cache; on a device, one slice of all rows.

        Each slice takes several calls, which are expensive on a device.
        """
        height, width = self.rows.rows, self.rows.width
        step = max(BLOCK_PIXELS // width, 1) if library(self.center) is np else height
        return [slice(start, min(start + step, height)) for start in range(0, height, step)]

    def _block(self, f: int, samples: Samples, here: slice) -> Any:
        part = replace(samples, data=samples.data[here], mask=None, weight=None)
        terms = normalised(part, self.centers_recipe, f, self.rows.dtype)
        terms -= self.center[here]
        terms *= terms
        terms /= self._own_level(f, here) if self.level is None else self.level[here]
        if self.reasons is not None:
            terms = library(terms).where(self.reasons[f, here] == 0, terms, 0.0)
        return terms.sum(axis=1)

    def _own_level(self, f: int, here: slice) -> Any:
        """Return the level of a frame that is scaled or shifted."""
        scale, zero = normalisation(self.centers_recipe)
        s, z = float(scale[f]), float(zero[f])
        return _at_least_1((self.center[here] + z * s) * s)


def _at_least_1(level: Any) -> Any:
    return library(level).maximum(level, 1.0)
