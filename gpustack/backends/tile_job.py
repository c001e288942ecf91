"""The work on one tile: load, sort, clip, look again by frame, combine, write the results."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Outputs, Samples
from gpustack.backends.block import Block
from gpustack.backends.columns import Floats, Rows, Uniform, chunks
from gpustack.backends.loading import (
    always_finite,
    decode,
    load,
    load_frame,
    model_row,
    normalize_row,
    reasons,
    view_if_decoded,
)
from gpustack.backends.network import are_few
from gpustack.backends.passes import PASS_BYTES
from gpustack.backends.reduce import NO_COLUMNS, WeightedSum, combine, uncertainty
from gpustack.backends.second_look import SecondLook
from gpustack.backends.sorted_tile import SortedTile, sort_tile
from gpustack.backends.squares_of_parts import cache_squares
from gpustack.backends.stacked_view import samples_as_one
from gpustack.backends.statistics import Columns
from gpustack.backends.sums_of_parts import cache_sums
from gpustack.backends.tiles import Counts, OptionalFlags, Tile, TilePixels
from gpustack.backends.unsorted import Unsorted
from gpustack.clips import Clip
from gpustack.combines import NoiseModel
from gpustack.recipe import Recipe


@dataclass(slots=True, eq=False)
class TileJob:
    """A band, the recipe to run on it, and where the results go.

    Parameters
    ----------
    band : sequence of Samples
    recipe : Recipe
    out : Outputs
    dtype : dtype
        The dtype in which samples are compared and sorted.
    found_invalid : Event
        Set once a sample is found to be invalid or out of range; shared by all bands of a stack.

    Attributes
    ----------
    whole : Samples or None
        All frames as one array, if their memory layout allows it and the recipe does not
        normalise them; see `samples_as_one`.
    views : list of ndarray or None
        For each frame, a flat view of its samples, or None if they need decoding; see
        `view_if_decoded`. Empty if the recipe normalises.
    """

    band: Sequence[Samples]
    recipe: Recipe
    out: Outputs
    dtype: np.dtype[Any]
    found_invalid: Event = field(default_factory=Event)
    whole: Samples | None = field(init=False)
    views: list[Floats | None] = field(init=False)

    def __post_init__(self) -> None:
        normalizes = self.recipe.normalizes
        self.whole = None if normalizes else samples_as_one(self.band)
        self.views = [] if normalizes else [view_if_decoded(one, self.dtype) for one in self.band]

    def run(self, where: TilePixels, buffer: Floats, tallies: NDArray[np.int64]) -> None:
        """Run the recipe on one tile.

        Parameters
        ----------
        where : TilePixels
        buffer : ndarray, shape (n + 1, pixels)
            Memory in which the samples of all frames are stored and sorted, and a scratch row.
        tallies : ndarray of int64, shape (2, n)
            The numbers of valid and rejected samples of each frame are added to these.
        """
        tile, columns = self._sorted(where, buffer)
        look = SecondLook(self.band, where, self.recipe, self.dtype)
        for clip in self._clips:
            columns.clip(clip, look)
        count = self._place_counts(where, tile, columns)
        if not self._changes_values:
            self._place_values(where, columns, count)
        kept, weightless = tile.in_range, None
        if self._looks_again(columns):
            kept, weightless = self._look_again(where, tile, columns, buffer, count)
        tallies += tile.valid, tile.valid - kept
        if self._changes_values:
            del columns  # frees their memory before other columns are made
            missing = np.broadcast_to(len(self.band) - count, where.pixels)
            combined = replace(
                tile, rows=buffer[:-1], stored=None, missing=missing, valid=kept, in_range=kept
            )
            self._place_values(where, sort_tile(combined, buffer, self.recipe, members=True), count)

        if weightless is not None and self.out.uncertainty is not None:
            place = self.out.uncertainty.reshape(-1)[where.flat]
            np.copyto(place, np.nan, where=weightless)

    def add(self, tallies: NDArray[np.int64]) -> None:
        """Add a worker's tallies to the outputs."""
        if self.out.valid is not None:
            self.out.valid += tallies[0]
        if self.out.rejected is not None:
            self.out.rejected += tallies[1]

    def _sorted(self, where: TilePixels, buffer: Floats) -> tuple[Tile, SortedTile]:
        """Load a tile and sort its columns.

        Until an invalid sample is found in the stack, NaN and inf are only looked for after
        sorting: they are at the ends of the columns, where a check costs little. A tile in which
        one is found is loaded again, and from then on samples are checked before sorting, frame
        by frame. They are always checked before if the network is pruned to some ranks, because
        it then does not sort the ends.
        """
        ranks, ends = self._ranks, frozenset({0, len(self.band) - 1})
        sorts_all = ranks is None or not are_few(len(self.band), buffer)
        while True:
            trust = sorts_all and not self.found_invalid.is_set()
            tile = load(
                self.band,
                where,
                self.recipe,
                buffer[:-1],
                views=self.views,
                whole=self._whole_now,
                trust=trust,
            )
            if tile.missing is not None:
                self.found_invalid.set()
                if tile.trusted:
                    continue
            looked_at = ranks | ends if ranks is not None and tile.trusted else ranks
            columns = sort_tile(tile, buffer, self.recipe, looked_at, self._may_look_again)
            if not tile.trusted or columns.looks_finite():
                return tile, columns
            self.found_invalid.set()
            del tile, columns  # frees their memory before they are made anew

    @property
    def _whole_now(self) -> Samples | None:
        """`whole`, or None once invalid samples were found, which are rejected frame by frame.

        Samples that are always finite, such as unscaled integers, stay in one array.
        """
        lasts = self.whole is not None and always_finite(self.whole)
        return self.whole if lasts or not self.found_invalid.is_set() else None

    @property
    def _changes_values(self) -> bool:
        """Whether the combined values differ from those that clips see."""
        return self.recipe.normalizes_late or isinstance(self.recipe.combine, NoiseModel)

    @property
    def _clips(self) -> tuple[Clip, ...]:
        """The clips that remain after those applied while loading."""
        if self.recipe.sees_normalized:
            return self.recipe.clips[len(self.recipe.raw_ranges) :]
        return self.recipe.clips

    @property
    def _ranks(self) -> frozenset[int] | None:
        """The only ranks that the recipe uses, if these are known beforehand; else None."""
        n, spread = len(self.band), self.recipe.spread
        if self.recipe.clips or self._changes_values or spread or self.out.reasons is not None:
            return None
        match self.recipe.method:
            case "median" | "lmedian":
                return frozenset({(n - 1) // 2, n // 2})
            case "lower_median":
                return frozenset({(n - 1) // 2})
            case "min":
                return frozenset({0})
            case "max":
                return frozenset({n - 1})
        return None

    def _place_counts(self, where: TilePixels, tile: Tile, columns: SortedTile) -> Counts:
        """Write count, low and high; return the count of survivors, shape (pixels,) or ()."""
        count = _of_each(columns, "count", where.pixels)
        _place(self.out.count, where, count)
        for array, before, side in (
            (self.out.low, tile.low, "low"),
            (self.out.high, tile.high, "high"),
        ):
            if array is not None:
                rejected = _of_each(columns, side, where.pixels)
                _place(array, where, rejected if before is None else rejected + before)
        return count

    @property
    def _must_look_again(self) -> bool:
        return (
            self._changes_values or self.recipe.weights is not None or self.out.reasons is not None
        )

    @property
    def _may_look_again(self) -> bool:
        return self._must_look_again or (self.out.rejected is not None and bool(self._clips))

    def _looks_again(self, columns: SortedTile) -> bool:
        """Whether it must be determined of which frames the surviving samples are."""
        uniform = columns.uniform
        touched = uniform.low > 0 or uniform.high > 0 or bool(columns.parts)
        return self._must_look_again or (self._may_look_again and touched)

    def _look_again(
        self, where: TilePixels, tile: Tile, columns: SortedTile, buffer: Floats, count: Counts
    ) -> tuple[Counts, OptionalFlags]:
        """Look at the samples again, frame by frame, now that the survivors are known.

        Writes reasons and the weighted value. If samples are normalised after the clips, or
        replaced by a noise model, the new values of the survivors are left in `buffer`, with +inf
        for all other samples.

        Returns how many samples of each frame survive and, for a recipe with weights, which
        columns have no survivor or survivors whose weights sum to 0.
        """
        kept, sums = np.empty(len(self.band), np.intp), WeightedSum(where.pixels, self.recipe)
        rows, everything = self._in_order(columns), self._all_survive(tile, columns)
        members = None if everything else columns.members(self.recipe)
        for f, (samples, weight) in enumerate(zip(self.band, self._weights(where), strict=True)):
            row = buffer[f] if rows is None else rows[f]
            flags = load_frame(samples, where, self.recipe, f, row) if rows is None else None
            outside = NO_COLUMNS if members is None else np.flatnonzero(~members.inside(row, f))
            kept[f] = where.pixels - len(outside)
            if flags is not None and self.out.reasons is not None:
                why = reasons(samples, where, self.recipe, row, flags, outside)
                _place(self.out.reasons[f], where, why)
            if self._changes_values:
                self._prepare_for_combining(samples, where, f, row)
                row[outside] = np.inf
            if weight is not None:
                sums.add(row, weight, outside)
        if self.recipe.weights is None:
            return kept, None
        weightless = (count == 0) | (sums.weights == 0)
        self._place_data(where, sums.value(), weightless)
        return kept, weightless

    def _in_order(self, columns: SortedTile) -> Rows | None:
        """The rows of all frames, if they are still in frame order and can be used again.

        None if frames without valid samples in this tile were left out of the rows.
        """
        uniform = columns.uniform
        lie_there = isinstance(uniform, Unsorted) and uniform.valid == len(self.band)
        used_up = self._changes_values or self.out.reasons is not None
        return uniform.rows if lie_there and not used_up else None

    @staticmethod
    def _all_survive(tile: Tile, columns: SortedTile) -> bool:
        """Whether every sample of every frame survives.

        Frames without valid samples in this tile were left out of the rows; they only show in
        `tile.missing`.
        """
        uniform = columns.uniform
        return tile.missing is None and not columns.parts and uniform.count == uniform.valid

    def _prepare_for_combining(
        self, samples: Samples, where: TilePixels, f: int, row: Floats
    ) -> None:
        """Turn a frame's samples from what clips see into what is combined, in place."""
        if isinstance(self.recipe.combine, NoiseModel):
            decode(samples, where, row)
            model_row(row, f, self.recipe)
        else:
            normalize_row(row, f, self.recipe)

    def _place_values(self, where: TilePixels, columns: SortedTile, count: Counts) -> None:
        """Combine without weights, and write data, mask and uncertainty."""
        empty = count == 0
        value, spread = self.recipe.weights is None, self.recipe.spread is not None
        wanted = [combine] * value + [uncertainty] * spread
        computes = [partial(one, recipe=self.recipe) for one in wanted]
        needed = self._cache_statistics(columns)
        made = _of_all(columns, where.pixels, computes, needed, copies=bool(self.recipe.clips))
        if value:
            self._place_data(where, made[0], empty)
        if spread:
            _place(self.out.uncertainty, where, made[-1], empty, np.nan)

    def _cache_statistics(self, columns: SortedTile) -> frozenset[str]:
        """Compute and cache sums and squares of the parts, if that needs no copies of columns.

        Returns the names of all statistics that combining needs of a part; an empty set if it
        needs others than these.
        """
        recipe, uniform = self.recipe, columns.uniform
        adds, squares = recipe.combine in ("mean", "sum"), recipe.spread == "std"
        if self.dtype != np.float32 or not adds or recipe.weights is not None:
            return frozenset()
        if isinstance(uniform, Block) or not squares:
            cache_sums(columns.parts, uniform)
        if isinstance(uniform, Block) and squares:  # for rows that lie apart, copies are faster
            cache_squares(columns.parts, uniform)
        return frozenset({"sum", "squares"} if squares else {"sum"})

    def _place_data(self, where: TilePixels, data: Floats, mask: NDArray[np.bool_]) -> None:
        _place(self.out.data, where, data, mask, 0.0 if self.recipe.combine == "sum" else np.nan)
        _place(self.out.mask, where, mask)

    def _weights(self, where: TilePixels) -> Iterator[float | NDArray[Any] | None]:
        """The weights of each frame in turn; None where there are none."""
        for f, samples in enumerate(self.band):
            if samples.weight is not None:
                yield samples.weight[where.rows, where.cols].reshape(-1)
            else:
                yield self.recipe.weights[f] if self.recipe.weights else None  # type: ignore[misc]


def _of_each(columns: SortedTile, what: str, pixels: int) -> Counts:
    """The number `what` of each column, shape (pixels,); shape () if all columns share it."""
    shared = np.array(getattr(columns.uniform, what), np.intp)
    if not columns.parts:
        return shared
    result = np.full(pixels, shared)
    for part in columns.parts:
        result[part.index] = getattr(part, what)
    return result


def _of_all(
    columns: SortedTile,
    pixels: int,
    computes: Sequence[Callable[[Columns], Floats]],
    needed: frozenset[str],
    copies: bool,
) -> list[Floats]:
    """What each of `computes` returns for every column; undefined where nothing survives.

    `needed` contains the names of all statistics that `computes` need of a part; a part that has
    them cached is used as it is. `copies` says whether there is memory for copies of columns,
    which make other statistics faster.
    """
    groups = [(group, at) for group, at in columns.groups() if np.any(group.count)]
    if len(groups) == 1 and isinstance(groups[0][0], Uniform):
        return [compute(groups[0][0]) for compute in computes]
    results: list[Floats] = [np.zeros(pixels) for _ in computes]
    for group, at in groups:
        ready = needed and not isinstance(group, Uniform) and needed <= group.cache.keys()
        for some, where in ((group, at),) if ready else _grouped(group, at, copies):
            for result, compute in zip(results, computes, strict=True):
                result[where] = compute(some)
    return results


def _grouped(group: Columns, at: Any, copies: bool) -> Iterator[tuple[Columns, Any]]:
    """Yield columns and their positions; many with the same number of survivors form a group."""
    if isinstance(group, Uniform) or group.stand_ins is not None:
        yield group, at
        return
    uniform = group.uniform()
    if isinstance(uniform, Uniform) or not copies:
        yield uniform, at
        return
    alive = np.flatnonzero(group.count)
    for some in chunks(len(alive), group.column_bytes, PASS_BYTES):
        for which, part, _ in group.grouped_by_count(alive[some]):
            yield part.uniform(), at[which]


def _place(
    array: NDArray[Any] | None,
    where: TilePixels,
    values: NDArray[Any],
    empty: NDArray[np.bool_] | None = None,
    blank: float = np.nan,
) -> None:
    """Write the values of a tile, or one value for all its pixels, to `array` if it is wanted.

    With `empty`, real values are written: `blank` where `empty` is set, and +0.0 for -0.0, which
    a sample may be.
    """
    if array is None:
        return
    if not array.flags.c_contiguous:
        raise ValueError("outputs: expected C-contiguous arrays, got strided ones")
    place = array.reshape(-1)[where.flat]
    if empty is None:
        np.copyto(place, values, casting="unsafe")
        return
    np.add(values, 0.0, out=place, casting="unsafe")
    if empty.any():
        np.copyto(place, blank, where=empty)
