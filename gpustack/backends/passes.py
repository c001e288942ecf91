"""Clips by bounds, repeated on the columns that still change; see `gpustack.backends.bounds`.

Columns with the same number of survivors are grouped as `Uniform`, whose statistics need no
index per sample. For sigma and MAD clips, a `Screen` decides about all float32 columns but a few.
"""

from collections.abc import Iterator

import numpy as np

from gpustack.backends import winsorized
from gpustack.backends.bounds import Bounds, bounds, within
from gpustack.backends.by_ends import can_clip_by_ends, clip_by_ends
from gpustack.backends.columns import Ranks, Uniform, chunks
from gpustack.backends.keep import Flags, least_kept
from gpustack.backends.ragged import Ragged
from gpustack.backends.screens import Screen, has_screen, screen
from gpustack.backends.statistics import sums
from gpustack.clips import BoundClip, WinsorizedClip

#: Bytes of columns that are copied at a time. For a moment there are two copies; nothing else is as
#: large.
PASS_BYTES = 8_000_000


def clip_by_bounds(
    columns: Ragged, clip: BoundClip, frames: int, first_screen: Screen | None = None
) -> None:
    """Apply `clip` in place.

    Parameters
    ----------
    columns : Ragged
    clip : BoundClip
    frames : int
        The most samples that a column can have.
    first_screen : Screen or None
        The screen of the first pass, if it is known and all columns share one interval.
    """
    parts = chunks(columns.pixels, columns.column_bytes, PASS_BYTES)
    actives: Iterator[Ranks] = (np.arange(some.start, some.stop) for some in parts)
    if first_screen is not None and can_clip_by_ends(clip, columns):
        total = sums(columns)  # before any column changes
        actives = (clip_by_ends(columns, some, clip, first_screen, total) for some in parts)
    for active in actives:
        _repeat(columns, active, clip, frames, first_screen)


def _repeat(
    columns: Ragged, active: Ranks, clip: BoundClip, frames: int, first_screen: Screen | None
) -> None:
    """Apply a clip to the `active` columns until it changes nothing more."""
    least = least_kept(clip.keep, columns.count)
    active = active[columns.count[active] > 0]
    passes = 0
    while len(active) and passes != clip.maxiters:
        going = []
        for which, some, rank in columns.grouped_by_count(active):
            known = first_screen.take(which) if first_screen is not None else None
            goes_on = _pass(some, clip, least[which], passes == 0, frames, known)
            columns.move(rank + some.lo, rank + some.hi, which)
            going.append(which[goes_on])
        active, first_screen = np.sort(np.concatenate(going)), None
        passes += 1


def _pass(
    columns: Ragged,
    clip: BoundClip,
    least: Ranks,
    first: bool,
    frames: int,
    known: Screen | None,
) -> Flags:
    """Move the intervals of all columns; return which columns may change once more.

    `known` is the screen of this pass, if it is known already.
    """
    lo, hi, unsure = _by_screen(columns, clip, first, known)
    unsure |= hi - lo < least
    ended = np.zeros(columns.pixels, dtype=bool)
    which = np.flatnonzero(unsure)
    if len(which):
        some = columns.take(which)
        lo[which], hi[which], ended[which] = _by_bounds(some, clip, least[which], first, frames)
    changed = (lo > columns.lo) | (hi < columns.hi)
    columns.move(lo, hi)
    goes_on: Flags = changed & ~ended & (hi > lo)
    return goes_on


def _by_screen(
    columns: Ragged, clip: BoundClip, first: bool, known: Screen | None
) -> tuple[Ranks, Ranks, Flags]:
    """Return the intervals that a pass leaves, and flags of columns that need exact bounds."""
    if isinstance(clip, WinsorizedClip):
        return columns.lo.copy(), columns.hi.copy(), winsorized.at_risk(clip, columns.uniform())
    same = columns.uniform()
    if isinstance(same, Uniform) and has_screen(clip, same.dtype):
        found = screen(clip, same, first) if known is None else known
        return found.intervals(columns)
    return columns.lo.copy(), columns.hi.copy(), np.ones(columns.pixels, dtype=bool)


def _by_bounds(
    columns: Ragged, clip: BoundClip, least: Ranks, first: bool, frames: int
) -> tuple[Ranks, Ranks, Flags]:
    """Return the intervals that a pass leaves, and flags of columns to which samples came back."""
    found = bounds(clip, columns.uniform(), first, frames)
    lo, hi = within(columns, found.lower, found.upper)
    short: Flags = hi - lo < least
    if short.any():
        _bring_back(columns, found, lo, hi, least)
    return lo, hi, short


def _bring_back(columns: Ragged, found: Bounds, lo: Ranks, hi: Ranks, least: Ranks) -> None:
    """Widen the intervals `lo`, `hi` in place until they contain `least` samples.

    Samples nearest to the centre come back first, equally near ones together. The intervals stay
    within those of the columns.
    """
    reached = np.full(columns.pixels, -np.inf)
    while True:
        below = np.where(lo > columns.lo, found.center - columns.at(lo - 1), np.inf)
        above = np.where(hi < columns.hi, columns.at(hi) - found.center, np.inf)
        nearest = np.minimum(below, above)
        back = ((hi - lo < least) | (nearest <= reached)) & (nearest < np.inf)
        if not back.any():
            return
        np.copyto(reached, nearest, where=back)
        lo -= back & (below == nearest)
        hi += back & (above == nearest)
