"""What is done to one tile: load, sort, clip, look again by frame, combine, place."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Outputs, Samples
from gpustack.backends.columns import Floats, Ragged, Ranks
from gpustack.backends.members import survives
from gpustack.backends.reduce import combine, uncertainty, weighted
from gpustack.backends.sorted_tile import SortedTile, sort_tile, take_columns
from gpustack.backends.tiles import Counts, Tile, Where, gather, load, normalize_row
from gpustack.clips import Clip, ExtremaClip
from gpustack.recipe import Recipe


@dataclass(frozen=True, slots=True)
class TileJob:
    """A band, the recipe to run on it, and where the results go."""

    band: Sequence[Samples]
    recipe: Recipe
    out: Outputs
    dtype: np.dtype[Any]

    def run(
        self, where: Where, samples: Floats, buffer: Floats, tallies: NDArray[np.int64]
    ) -> None:
        """Run the recipe on one tile.

        Parameters
        ----------
        where : Where
        samples : ndarray, shape (n, pixels)
            Buffer for the samples in the order of the frames.
        buffer : ndarray, shape (n + 1, pixels)
            Buffer for the sorted samples.
        tallies : ndarray of int64, shape (2, n)
            Added to: each frame's valid and rejected samples.
        """
        tile = load(self.band, where, self.recipe, samples)
        columns = sort_tile(tile, buffer, self.recipe, self._ranks)
        for clip in self._clips:
            columns.clip(clip, partial(self._rank_all, where, tile))
        count = self._place_counts(where, tile, columns)
        kept = self._look_again(where, tile, columns)
        tallies += tile.came, tile.came - kept
        if self._late_normalize:
            late = replace(tile, valid=count, came=kept, finite=kept)
            columns = sort_tile(late, buffer, self.recipe)
        self._place_values(where, tile, columns, count)

    def add(self, tallies: NDArray[np.int64]) -> None:
        """Add a worker's tallies to the outputs."""
        if self.out.valid is not None:
            self.out.valid += tallies[0]
        if self.out.rejected is not None:
            self.out.rejected += tallies[1]

    @property
    def _late_normalize(self) -> bool:
        return self.recipe.normalizes and self.recipe.clip_on == "raw"

    @property
    def _clips(self) -> tuple[Clip, ...]:
        """The clips that are left after those applied on loading."""
        if self.recipe.normalizes and not self._late_normalize:
            return self.recipe.clips[len(self.recipe.raw_ranges) :]
        return self.recipe.clips

    @property
    def _ranks(self) -> frozenset[int] | None:
        """The only ranks that the recipe looks at, where that is known beforehand."""
        n, spread = len(self.band), self.recipe.spread
        if self.recipe.clips or self._late_normalize or spread or self.out.marks is not None:
            return None
        match self.recipe.combine:
            case "median":
                return frozenset({(n - 1) // 2, n // 2})
            case "min":
                return frozenset({0})
            case "max":
                return frozenset({n - 1})
        return None

    def _rank_all(
        self, where: Where, tile: Tile, columns: Ragged, clip: ExtremaClip
    ) -> tuple[Ranks, Ranks]:
        """The interval of valid ranks that an extrema clip among all frames leaves."""
        n = len(self.band)
        low, high = np.full(columns.pixels, clip.nlow), np.full(columns.pixels, n - clip.nhigh)
        short = np.flatnonzero(columns.valid < n)
        if len(short):
            index = columns.index[short]
            everything = gather(self.band, where, self.recipe, index, self.dtype)
            order = np.argsort(everything, axis=0, kind="stable")
            valid = np.isfinite(take_columns(tile.values, index))
            valid = np.take_along_axis(valid, order, axis=0)
            low[short] = valid[: clip.nlow].sum(axis=0)
            high[short] = valid[: n - clip.nhigh].sum(axis=0)
        return low, high

    def _place_counts(self, where: Where, tile: Tile, columns: SortedTile) -> Counts:
        """Write count, low and high; return the count of survivors, shape (pixels,)."""
        count, low, high = (np.zeros(where.pixels, np.intp) for _ in range(3))
        for group, at in columns.groups():
            count[at] = group.count
            low[at] = group.lo
            high[at] = group.valid - group.hi
        low += tile.low
        high += tile.high
        for array, values in ((self.out.count, count), (self.out.low, low), (self.out.high, high)):
            _place(array, where, values)
        return count

    def _look_again(self, where: Where, tile: Tile, columns: SortedTile) -> Counts:
        """See which frames' samples survive; return how many of each frame do.

        Where weights or a late normalisation follow, the samples that do not survive
        become +inf in ``tile.values``, and the others are normalised.
        """
        follows = self._late_normalize or self.recipe.weights is not None
        if not (follows or self.out.marks is not None):
            whole = columns.uniform.lo == 0 and columns.uniform.count == columns.uniform.valid
            if self.out.rejected is None or not self._clips:
                return tile.finite
            if whole:
                return tile.finite - self._rejected_in_parts(tile, columns)
        kept = np.empty_like(tile.finite)
        for f, inside in enumerate(columns.survivors(tile.values, self.recipe)):
            kept[f] = np.count_nonzero(inside)
            if self.out.marks is not None:
                _place(self.out.marks[f], where, ~inside)
            if self._late_normalize:
                normalize_row(tile.values[f], f, self.recipe)
            if follows:
                np.copyto(tile.values[f], np.inf, where=~inside)
        return kept

    def _rejected_in_parts(self, tile: Tile, columns: SortedTile) -> Counts:
        """How many samples of each frame were rejected, where only `parts` lost any."""
        rejected = np.zeros_like(tile.finite)
        for part in columns.parts:
            samples = take_columns(tile.values, part.index)
            for f, inside in enumerate(survives(part, samples, self.recipe)):
                finite = np.count_nonzero(np.isfinite(samples[f]))
                rejected[f] += finite - np.count_nonzero(inside)
        return rejected

    def _place_values(self, where: Where, tile: Tile, columns: SortedTile, count: Counts) -> None:
        """Combine, and write data, uncertainty and mask."""
        empty = count == 0
        data: Floats = np.zeros(where.pixels)
        spread = np.full(where.pixels, np.nan)
        for group, at in columns.groups():
            if not np.any(group.count):
                continue
            data[at] = combine(group, self.recipe)
            if self.recipe.spread is not None:
                spread[at] = uncertainty(group, self.recipe)
        mask = empty
        if self.recipe.weights is not None:
            data, weight_sum = self._weighted(where, tile)
            mask = empty | (weight_sum == 0)
        np.copyto(data, 0.0 if self.recipe.combine == "sum" else np.nan, where=mask)
        np.copyto(spread, np.nan, where=empty)
        _place(self.out.data, where, data)
        _place(self.out.uncertainty, where, spread)
        _place(self.out.mask, where, mask)

    def _weighted(self, where: Where, tile: Tile) -> tuple[Floats, Floats]:
        """The weighted mean or sum of the samples that are finite by now."""
        survivors = (np.isfinite(row) for row in tile.values)
        return weighted(tile.values, self._weights(where), survivors, self.recipe.combine)

    def _weights(self, where: Where) -> Iterator[float | NDArray[Any]]:
        for f, samples in enumerate(self.band):
            if samples.weight is not None:
                yield samples.weight[where.rows, where.cols].reshape(-1)
            else:
                yield self.recipe.weights[f]  # type: ignore[index,misc]


def _place(array: NDArray[Any] | None, where: Where, values: NDArray[Any]) -> None:
    """Write the values of a tile to where they belong in an output, if it is wanted."""
    if array is None:
        return
    if not array.flags.c_contiguous:
        raise ValueError("outputs: expected C-contiguous arrays, got strided ones")
    np.copyto(array.reshape(-1)[where.flat], values, casting="unsafe")
