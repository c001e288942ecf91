"""The sorted columns of a tile: the many that share an interval, and the few that do not."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from gpustack.backends import line_fit
from gpustack.backends.block import uniform
from gpustack.backends.by_ends import can_clip_by_ends
from gpustack.backends.clips import RankAll, clip_ragged, clip_uniform, touched
from gpustack.backends.columns import Floats, Ranks, Rows, Uniform, chunks
from gpustack.backends.few_ranks import find_ranks
from gpustack.backends.frame_clips import FrameClip, clip_by_frame
from gpustack.backends.frame_screens import at_risk
from gpustack.backends.incomplete import Incomplete, may_stay_incomplete
from gpustack.backends.loading import all_finite
from gpustack.backends.members import Members
from gpustack.backends.network import are_few, sort_columns
from gpustack.backends.ragged import Ragged
from gpustack.backends.screens import has_screen, screen
from gpustack.backends.second_look import SecondLook
from gpustack.backends.statistics import Columns, sums
from gpustack.backends.stored import Stored
from gpustack.backends.tiles import Tile
from gpustack.backends.unsorted import Unsorted, adds_up, needs_order, squares_add_up
from gpustack.clips import (
    AvgSigmaClip,
    Clip,
    ColumnClip,
    ExtremaClip,
    Grow,
    LinearFitClip,
    RowSigmaClip,
)
from gpustack.recipe import Recipe

#: If more than this share of the columns would have to be copied to be sorted, sorting all of
#: them is faster.
MOST_INEXACT = 0.25


@dataclass(slots=True, eq=False)
class SortedTile:
    """Sorted columns after the clips so far.

    Parameters
    ----------
    uniform : Uniform
        All columns of the tile; correct where `in_parts` is False, meaningless elsewhere.
        Computing a few columns in vain is cheaper than copying the others.
    in_parts : ndarray of bool, shape (pixels,)
        The columns that are in one of `parts` instead.
    frames : int
        Number of frames in the stack; some may have no valid sample in this tile.
    parts : list of Ragged
        The columns with invalid samples, those from which a clip may have rejected a sample by
        value, and, in a tile that is not sorted, those whose sums need an order.
    """

    uniform: Uniform
    in_parts: NDArray[np.bool_]
    frames: int
    parts: list[Ragged] = field(default_factory=list)

    def looks_finite(self) -> bool:
        """Whether no NaN or inf was sorted; it would be at an end of its column."""
        return all(all_finite(self.uniform.at(rank)) for rank in (0, self.uniform.hi - 1))

    def move_out(self, which: NDArray[np.bool_], valid: NDArray[np.intp] | None = None) -> Ragged:
        """Copy the columns `which` to a new part; with `valid`, its intervals are [0, valid)."""
        index = np.flatnonzero(which)
        rows, m = self.uniform.rows, len(index)
        values = self.uniform.take(index)
        if isinstance(self.uniform, Incomplete):
            valid = self.uniform.count
        count = np.full(m, len(rows)) if valid is None else valid[index]
        lo = np.full(m, self.uniform.lo) if valid is None else np.zeros(m, np.intp)
        hi = np.full(m, self.uniform.hi) if valid is None else count.copy()
        part = Ragged(index, values, count, lo, hi)
        self.in_parts |= which
        if m:
            self.parts.append(part)
        return part

    def clip(self, clip: Clip, look: SecondLook) -> None:
        """Apply one clip to all columns."""
        unmeasured = isinstance(clip, AvgSigmaClip) and not isinstance(clip, RowSigmaClip)
        if isinstance(clip, Grow) or unmeasured:
            raise TypeError(
                f"expected a clip that decides column by column, got {clip}; `gpustack.maps` "
                "applies Grow, and turns AvgSigmaClip into RowSigmaClip"
            )
        rank_all = look.rank_all
        if isinstance(clip, RowSigmaClip) and not look.recipe.sees_normalized:
            clip = replace(clip, sigmas=clip.sigmas[look.row()])
        elif look.recipe.by_frame(clip):
            self._clip_by_frame(clip, look)  # type: ignore[arg-type]
            return
        for part in self.parts:
            clip_ragged(part, clip, rank_all, self.frames)
        if isinstance(clip, ExtremaClip):
            clip_uniform(self.uniform, clip, self.frames)
        elif self.uniform.hi > self.uniform.lo and not self.in_parts.all():
            self._clip_touched(clip, rank_all)

    def _clip_touched(self, clip: ColumnClip, rank_all: RankAll) -> None:
        """Move uniform columns that may lose a sample to `clip` to a new part, and clip that."""
        uniform = self.uniform
        first = screen(clip, uniform) if has_screen(clip, uniform.dtype) else None
        found = touched(uniform, clip, self.frames, first) & ~self.in_parts
        shared = np.equal(uniform.count, uniform.hi - uniform.lo)  # not where samples are missing
        for which in (found & shared, found & ~shared):
            part = self.move_out(which)
            if not part.pixels:
                continue
            if can_clip_by_ends(clip, part):
                part.cache["sum"] = sums(uniform).take(part.index, mode="clip")
            clip_ragged(part, clip, rank_all, self.frames, first and first.take(part.index))

    def _clip_by_frame(self, clip: FrameClip | LinearFitClip, look: SecondLook) -> None:
        """Apply a clip that judges samples one by one, to the columns that may lose any."""
        if self.uniform.hi > self.uniform.lo and not self.in_parts.all():
            if isinstance(clip, LinearFitClip):
                risk = line_fit.at_risk(clip, self.uniform)
            else:
                risk = at_risk(clip, self.uniform, look.recipe, look.least_noise, look.row)
            self.move_out(risk & ~self.in_parts)
        for part in self.parts:
            if isinstance(clip, LinearFitClip):
                _clip_by_rank(clip, part, look)
                continue
            columns = look.by_frame(part)
            for some in chunks(part.pixels, self.frames):
                clip_by_frame(clip, part, np.arange(some.start, some.stop), columns.take(some))

    def groups(self) -> Iterator[tuple[Columns, slice | NDArray[np.intp]]]:
        """Yield columns and their positions in the tile; later groups overwrite earlier ones."""
        if not self.in_parts.all():
            yield self.uniform, slice(None)
        for part in self.parts:
            yield part, part.index

    def members(self, recipe: Recipe) -> "TileMembers":
        """Return a test of which samples survive, to be called frame by frame."""
        return TileMembers(
            Members(self.uniform, recipe),
            [(part.index, Members(part, recipe)) for part in self.parts],
        )


def _clip_by_rank(clip: LinearFitClip, part: Ragged, look: SecondLook) -> None:
    """Apply a clip that rejects samples by rank.

    Nearly always the rejected ranks are at the ends of a column, and an interval is left. For the
    other columns, the rejected ranks are converted to flags by frame.
    """
    for some in chunks(part.pixels, look.n):
        columns = part.take(some)
        low, high = line_fit.rejected_ranks(clip, columns)
        lo, hi, whole = line_fit.left_between(low, high, columns)
        part.move(np.where(whole, lo, columns.lo), np.where(whole, hi, columns.hi), some)
        torn = np.flatnonzero(~whole)
        if len(torn):
            which = torn + some.start
            values = look.by_frame(part.take(which)).values
            ranks = low[:, torn], high[:, torn]
            part.remove(values, *line_fit.in_frames(*ranks, values), which)


@dataclass(frozen=True, slots=True, eq=False)
class TileMembers:
    """`Members` of all columns of a tile."""

    uniform: Members
    parts: list[tuple[Ranks, Members]]

    def inside(self, row: Floats, f: int) -> NDArray[np.bool_]:
        """Which samples of frame `f` survive; see `Members.inside`."""
        result = self.uniform.inside(row, f)
        for index, members in self.parts:
            result[index] = members.inside(row.take(index), f)
        return result


def sort_tile(
    tile: Tile,
    buffer: Floats,
    recipe: Recipe,
    ranks: frozenset[int] | None = None,
    members: bool = False,
) -> SortedTile:
    """Sort the columns of a tile.

    Parameters
    ----------
    tile : Tile
    buffer : ndarray, shape (n + 1, pixels)
        Contains the samples of the tile, except those that are views of frames, and a scratch row.
    recipe : Recipe
    ranks : frozenset of int or None
        The only ranks that will be used if all samples are valid; None is all.
    members : bool
        Whether the survivors of each frame may be asked for.
    """
    rows, stored = _rows_here(tile, recipe), tile.stored
    valid = None if tile.missing is None else len(tile.valid) - tile.missing.astype(np.intp)
    invalid = None if valid is None else valid < len(rows)
    result = None
    if not needs_order(recipe, buffer.dtype, members):
        columns: Unsorted
        if valid is not None and may_stay_incomplete(recipe):
            columns, not_used = Incomplete(rows, valid), valid == 0
        else:
            columns, not_used = Unsorted(rows, adds_up(recipe), stored), invalid
        result = _leave_unsorted(columns, recipe, not_used, len(tile.valid))
        stored = stored if stored is not None and stored.has_order else None  # else decoded by now
    if result is None:
        rows = _sorted_rows(rows, stored, buffer, ranks if invalid is None else None)
        in_parts = np.zeros(buffer.shape[1], dtype=bool)
        result = SortedTile(uniform(rows, 0, len(rows)), in_parts, len(tile.valid))
    if invalid is not None and not isinstance(result.uniform, Incomplete):
        result.move_out(invalid, valid)
    return result


def _sorted_rows(
    rows: Rows, stored: Stored | None, buffer: Floats, ranks: frozenset[int] | None
) -> Rows:
    if stored is not None:
        if stored.has_order:
            return stored.sort(ranks)
        if ranks is not None and not are_few(len(rows), buffer):
            find_ranks(stored.decode, stored.rows, ranks)
            return stored.rows
        stored.fill()
    return sort_columns(rows, buffer, ranks)


def _leave_unsorted(
    columns: Unsorted,
    recipe: Recipe,
    not_used: NDArray[np.bool_] | None,
    frames: int,
) -> SortedTile | None:
    """Return the columns of a tile unsorted, or None if too many of them need sorting.

    Columns `not_used`, shape (pixels,), are moved out elsewhere, or have no valid sample.
    """
    result = SortedTile(columns, np.zeros(columns.pixels, dtype=bool), frames)
    if adds_up(recipe) or squares_add_up(recipe):
        inexact = columns.inexact()
        if squares_add_up(recipe):
            inexact |= columns.inexact_squares()
        if not_used is not None:
            inexact &= ~not_used
        if np.count_nonzero(inexact) > MOST_INEXACT * columns.pixels:
            return None
        result.move_out(inexact)
    return result


def _rows_here(tile: Tile, recipe: Recipe) -> Rows:
    """The rows to sort: those of frames with a valid sample, so that columns stay uniform.

    All frames if a clip ranks masked samples too; one frame if nothing is valid.
    """
    ranked = any(isinstance(clip, ExtremaClip) and clip.among == "all" for clip in recipe.clips)
    if ranked or tile.in_range.all():
        return tile.rows
    frames = np.flatnonzero(tile.in_range)
    return [tile.rows[f] for f in (frames if len(frames) else range(1))]
