"""The noise of every row, which `gpustack.clips.AvgSigmaClip` judges samples by."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Backend, Outputs, Samples
from gpustack.backends.risk import normalisation
from gpustack.clips import AvgSigmaClip, ExtremaClip, RowSigmaClip
from gpustack.errors import MemoryLimitError
from gpustack.frames.resident import library, on_host
from gpustack.maps.base import Rows, Stack
from gpustack.maps.plan import Plan, plan_for
from gpustack.maps.samples import normalised
from gpustack.maps.sums import ExactSum
from gpustack.plan import Band
from gpustack.recipe import Recipe

#: Bytes that it takes for a pixel, beside reasons and what they become: the centre, the sums, and
#: what is made of the samples of one frame, in float64.
PIXEL_BYTES = 13 * 8

#: Pixels of which the squares are added up at a time: what is made of them stays in cache. Of whole
#: bands, the sums took half as long again.
BLOCK_PIXELS = 32_768

#: Columns of fewer samples say nothing of the noise.
LEAST_COUNT = 3


def measured(
    executor: Backend, source: Stack, recipe: Recipe, memory: int, span: Band | None = None
) -> Recipe:
    """The recipe as backends see it, with the noise of every row where clips need it.

    Parameters
    ----------
    executor : Backend
        Runs what stands before such a clip.
    source : Stack
        Read three times for each of them.
    recipe : Recipe
    memory : int
        Bytes that samples and buffers may take.
    span : Band or None
        The rows of which it is needed; None is all.

    Raises
    ------
    MemoryLimitError
        Where not even one row of all frames fits.
    """
    for k, clip in enumerate(recipe.clips):
        if _is_open(clip):
            with source.here():
                sigmas = _RowNoise(executor, source, recipe, k, memory, span).sigmas()
            clips = (*recipe.clips[:k], clip.measured(sigmas), *recipe.clips[k + 1 :])  # type: ignore[union-attr]
            recipe = replace(recipe, clips=clips)
    return recipe


def row_memory(source: Stack, recipe: Recipe) -> int:
    """Bytes that `measured` takes of one row, beside samples; 0 where there is nothing to do."""
    return _plan(source).least if any(map(_is_open, recipe.clips)) else 0


def _is_open(clip: Any) -> bool:
    return isinstance(clip, AvgSigmaClip) and not isinstance(clip, RowSigmaClip)


def _plan(source: Stack) -> Plan:
    """A byte a sample for its reason, one for the mask that it becomes; and a row to read."""
    read = max(source.row_bytes) + source.fresh_bytes
    row = source.width * (2 * source.n + PIXEL_BYTES) + read
    return plan_for(source.rows, source.height, None, row, 0)


@dataclass(frozen=True, slots=True, eq=False)
class _RowNoise:
    """What is needed to find the noise by which clip `k` judges."""

    executor: Backend
    source: Stack
    recipe: Recipe
    k: int
    memory: int
    span: Band | None

    def sigmas(self) -> NDArray[np.float64]:
        """The s of every row; NaN where no column has enough samples, or all are alike."""
        source, plan = self.source, _plan(self.source)
        squares, counts = np.zeros((2, source.rows))
        if source.n >= LEAST_COUNT:
            for band in plan.bands(self.memory, self.span):
                here = slice(band.start, band.stop)
                squares[here], counts[here] = self._measured(band, plan)
        some = (counts > 0) & (squares > 0)
        found: NDArray[np.float64] = np.full(source.rows, np.nan)
        with np.errstate(all="ignore"):
            np.copyto(found, np.sqrt(squares / (counts - 1)), where=some)
        return found

    def _measured(self, band: Band, plan: Plan) -> Sequence[NDArray[np.float64]]:
        held = plan.held(band.rows)
        try:
            return self._sums(band, self.memory - held)
        except MemoryLimitError as err:
            told = f" (of {self.memory:,} bytes, {held:,} are to measure the noise of a row)"
            raise err.beside(plan.least_beside(err.enough), told) from err

    def _sums(self, band: Band, memory: int) -> Sequence[NDArray[np.float64]]:
        """Of every row of a band, the sum of squares in units of the noise, and of how many."""
        source, shape = self.source, (band.rows, self.source.width)
        reasons = source.empty((source.n, *shape), np.dtype(np.uint8))
        rows = Rows(source.unweighted(), band.start, band.stop)
        before = self.recipe.rejecting(self.recipe.clips[: self.k]).rows(band.start, band.stop)
        self.executor.stream(rows, before, Outputs(reasons=reasons), memory)
        rows = replace(rows, masks=reasons != 0)
        center, seen = source.empty(shape, np.dtype(np.float64)), self._centers()
        self.executor.stream(rows, seen, Outputs(data=center), memory)
        with np.errstate(all="ignore"):
            return self._add_up(rows, reasons, center, seen)

    def _centers(self) -> Recipe:
        """What gives the centre of every column, with what the clip sees normalised."""
        clip: Any = self.recipe.clips[self.k]
        raw = self.recipe.clip_on == "raw"
        return Recipe(
            clips=(ExtremaClip(1, 1),) if clip.center == "trimmed_mean" else (),
            combine="median" if clip.center == "median" else "mean",
            scale=None if raw else self.recipe.scale,
            zero=None if raw else self.recipe.zero,
            dtype="float64",
            outputs=(),
        )

    def _add_up(
        self, rows: Rows, reasons: Any, center: Any, seen: Recipe
    ) -> Sequence[NDArray[np.float64]]:
        """`_Block.sums` of all rows. Each frame is read once; their order changes no bit."""
        cuts = _blocks(rows, library(center))
        blocks = [_Block(here, center[here], reasons[:, here], seen) for here in cuts]
        for f in range(rows.n):
            samples = rows.read(f, 0, rows.rows)
            for block in blocks:
                block.add(f, samples, rows.dtype)
        sums = zip(*(block.sums() for block in blocks), strict=True)
        return [np.concatenate([on_host(part) for part in parts]) for parts in sums]


def _blocks(rows: Rows, lib: Any) -> list[slice]:
    """Cut rows into blocks; on a device, where calls are dear and caches small, all are one."""
    step = max(BLOCK_PIXELS // rows.width, 1) if lib is np else rows.rows
    return [slice(start, min(start + step, rows.rows)) for start in range(0, rows.rows, step)]


class _Block:
    """Sums of some rows of a band: of squares in units of the noise, and of how many.

    Parameters
    ----------
    here : slice
        Which rows.
    center : array of float64, shape (rows, width)
    reasons : array of uint8, shape (n, rows, width)
    seen : Recipe
        Which normalises the samples.
    """

    def __init__(self, here: slice, center: Any, reasons: Any, seen: Recipe) -> None:
        self._here, self._center, self._reasons, self._seen = here, center, reasons, seen
        self._lib = library(center)
        self._squares, self._level = ExactSum(center * 0.0), self._lib.maximum(center, 1.0)
        self._scale, self._zero = normalisation(seen)

    def add(self, f: int, samples: Samples, dtype: np.dtype[Any]) -> None:
        """Add the squares of frame `f`, of which these are the samples of the whole band.

        `dtype` is that in which they are compared.
        """
        if self._seen.normalizes:
            s, z = float(self._scale[f]), float(self._zero[f])
            self._level = self._lib.maximum((self._center + z * s) * s, 1.0)
        here = replace(samples, data=samples.data[self._here], mask=None, weight=None)
        terms = normalised(here, self._seen, f, dtype)
        terms -= self._center
        terms *= terms
        terms /= self._level
        self._squares.add(self._lib.where(self._reasons[f] == 0, terms, 0.0))

    def sums(self) -> tuple[Any, Any]:
        """Of every row, over the columns of enough samples: two arrays of shape (rows,)."""
        count = (self._reasons == 0).sum(axis=0)
        enough = count >= LEAST_COUNT
        total = self._lib.where(enough, self._squares.value(), 0.0).sum(axis=1)
        return total, self._lib.where(enough, count, 0).sum(axis=1)
