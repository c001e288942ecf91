"""Running a recipe on a stack in bands, with the reasons of one band held at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from gpustack.backends.base import Backend, Outputs, Progress
from gpustack.backends.sink import Sink
from gpustack.errors import MemoryLimitError
from gpustack.maps import grow
from gpustack.maps.base import ClippedBand, Derived, Rows, Stack
from gpustack.maps.plan import Plan, plan_for
from gpustack.maps.row_noise import row_memory, with_row_noise
from gpustack.maps.window import Window
from gpustack.plan import Band
from gpustack.recipe import Recipe

#: What is held of a band in addition to samples, for error messages.
WHAT_IS_HELD = "the reasons why samples are out"


def execute(
    executor: Backend,
    source: Stack,
    recipe: Recipe,
    out: Outputs,
    maps: Sequence[Derived],
    memory: int,
    progress: Progress | None = None,
    span: Band | None = None,
) -> Recipe:
    """Run `recipe`, which may grow, on a stack or a part of it; fill `out` and all maps.

    Parameters
    ----------
    executor : Backend
    source : Stack
    recipe, out, progress
        As for `Backend.stream`.
    maps : sequence of Derived
    memory : int
        Bytes that samples, buffers and the reasons of a band may take, in addition to `out` and
        the maps. Where the frames are on a device, the reasons are too.
    span : Band or None
        The rows to compute; None means all. Where rejections grow, rows near the span are read
        too, but do not count in the tallies.

    Returns
    -------
    Recipe
        As it was run, with the noise of every row where clips need it.

    Raises
    ------
    MemoryLimitError
        Where not even one row of all frames fits, with the buffers for it.
    """
    if recipe.per_sample:  # the source knows where the weights come from
        recipe = replace(recipe, weights="sample")
    plan = _plan(source, recipe, out, maps)
    around = None if span is None else plan.near(span)
    recipe = with_row_noise(executor, source, recipe, memory, around)
    if recipe.grow is not None or maps:
        with source.on_device():
            _Run(executor, source, recipe, out, maps, memory, progress, plan, span).run()
    elif span is None:
        executor.stream(source, recipe, out, memory, progress)
    else:
        part = out.rows(span.start, span.stop)
        rows = Rows(source, span.start, span.stop)
        executor.stream(rows, recipe.rows(span.start, span.stop), part, memory, progress)
        out.place(span.start, part)
    return recipe


def least_memory(source: Stack, recipe: Recipe, out: Outputs, maps: Sequence[Derived]) -> int:
    """Return the bytes that reasons and maps take for a band of one row; 0 where none are held."""
    before = row_memory(source, recipe)
    if recipe.grow is None and not maps:
        return before
    return max(before, _plan(source, recipe, out, maps).least)


def halo(source: Stack, recipe: Recipe, span: Band) -> Band:
    """Return the rows that have to be read to compute those of a span."""
    return _plan(source, recipe, Outputs(), ()).near(span)


def _plan(source: Stack, recipe: Recipe, out: Outputs, maps: Sequence[Derived]) -> Plan:
    """Plan for one byte per sample for its reason, and where rejections grow one for its mask."""
    grows, width = recipe.grow is not None, source.width
    scratch = max([grow.PIXEL_BYTES * grows * width, *(_row_bytes(one, width) for one in maps)])
    row = width * source.n * (1 + grows) + scratch + out.row_bytes
    # Two bytes per sample, as reasons that are needed again are moved by a copy.
    beside = width * (2 * source.n + grow.PIXEL_BYTES) + out.row_bytes
    radius = recipe.grow.radius if recipe.grow else None
    return plan_for(source.rows, source.height, radius, row, beside, WHAT_IS_HELD)


def _row_bytes(one: Derived, width: int) -> int:
    """Return the bytes that a map takes for a row, including its buffer for a sink."""
    return one.pixel_bytes * width + (one.value.row_bytes if isinstance(one.value, Sink) else 0)


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """One run; the parameters are those of `execute`, and the plan.

    Where rejections grow, the clips run once on every row, ahead of the rest by as many rows as
    rejections can grow. The survivors are then combined by a recipe without clips, on samples
    whose masks contain all rejections.
    """

    executor: Backend
    source: Stack
    recipe: Recipe
    out: Outputs
    maps: Sequence[Derived]
    memory: int
    progress: Progress | None
    plan: Plan
    span: Band | None

    def run(self) -> None:
        """Run all bands."""
        plan = self.plan
        span = Band(0, self.source.rows) if self.span is None else self.span
        bands = plan.bands(self.memory, span)
        most = max(band.rows for band in bands)
        window, held = self._window(plan.window_rows(most)), plan.held(most)
        clipped, made = 0, Outputs()
        for band in bands:
            around = plan.around(band)
            window.drop_before(around.start)
            ahead = Band(max(clipped, around.start), around.stop)
            for piece in _pieces(ahead, span):
                made = self._clip(piece, window.hold(piece.start, piece.stop), held, span)
            clipped = max(clipped, ahead.stop)
            if self.recipe.grow is not None:
                near = window.hold(around.start, around.stop)
                made = self._grow(band, near, band.start - around.start, held)
            reasons = window.hold(band.start, band.stop)
            rows = Rows(self.source, band.start, band.stop)
            part = ClippedBand(band, reasons, rows, made)
            for one in self.maps:
                one.add(part)

    def _window(self, rows: int) -> Window:
        """Create the window of reasons, in the outputs where all reasons are wanted."""
        source, array = self.source, self.out.reasons
        if array is None:
            shape = (source.n, min(rows, source.rows), source.width)
            array = source.empty(shape, np.dtype(np.uint8))
        return Window(array, source.rows)

    def _clip(self, band: Band, reasons: Any, held: int, span: Band) -> Outputs:
        """Find the reasons of a band, and where nothing grows compute the outputs too.

        Outside the span, only the reasons are found.
        """
        source, recipe, out = self.source, self.recipe, self.out
        if recipe.grow is not None:
            source = source.unweighted()
            recipe = recipe.rejecting(recipe.clips[:-1])  # nothing is combined yet
            out = Outputs(low=out.low, high=out.high, valid=out.valid, rejected=out.rejected)
            if not span.start <= band.start < span.stop:
                out = Outputs()
        return self._stream(Rows(source, band.start, band.stop), recipe, out, held, reasons)

    def _grow(self, band: Band, near: Any, start: int, held: int) -> Outputs:
        """Reject neighbours in a band, which begins at row `start` of `near`, and combine it."""
        assert self.recipe.grow is not None
        grow.grow(near, start, start + band.rows, self.recipe.grow.radius)
        reasons = near[:, start : start + band.rows]
        if self.out.rejected is not None:
            self.out.rejected += grow.count_grown(reasons)
        rows = Rows(self.source, band.start, band.stop, reasons != 0)
        recipe = replace(self.recipe, clips=())
        out = replace(self.out, low=None, high=None, valid=None, rejected=None)
        return self._stream(rows, recipe, out, held)

    def _stream(
        self, rows: Rows, recipe: Recipe, out: Outputs, held: int, reasons: Any = None
    ) -> Outputs:
        """Run a recipe on some rows by the backend, in the memory that is left."""
        part = replace(out.rows(rows.start, rows.stop), reasons=reasons)
        combines = part.data is not None
        try:
            self.executor.stream(
                rows,
                recipe.rows(rows.start, rows.stop),
                part,
                self.memory - held,
                self._progress_of(rows) if combines else None,
            )
        except MemoryLimitError as err:
            told = f" (of {self.memory:,} bytes, {WHAT_IS_HELD} take {held:,})"
            raise err.beside(self.plan.least_beside(err.enough), told) from err
        out.place(rows.start, part)
        return part

    def _progress_of(self, rows: Rows) -> Progress | None:
        """Return a callback that turns progress on some rows into progress on all."""
        progress, total = self.progress, self.source.rows
        if progress is None:
            return None
        return lambda done, _: progress(rows.start + done, total)


def _pieces(band: Band, span: Band) -> list[Band]:
    """Cut a band where a span begins and ends."""
    cuts = [min(max(at, band.start), band.stop) for at in (span.start, span.stop)]
    ends = [band.start, *cuts, band.stop]
    return [Band(*both) for both in pairwise(ends) if both[0] < both[1]]
