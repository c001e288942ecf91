"""The clips, as moves of the interval of ranks that survives."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gpustack.backends import esd, winsor
from gpustack.backends.bounds import Bound, Bounds, bounds, screened, within
from gpustack.backends.columns import Ranks, Uniform, chunks
from gpustack.backends.keep import least_kept
from gpustack.backends.ragged import Ragged
from gpustack.backends.replace import replace_outliers
from gpustack.backends.unsorted import Unsorted
from gpustack.clips import (
    BoundClip,
    ColumnClip,
    ESDClip,
    ExtremaClip,
    MADClip,
    RangeClip,
    SigmaClip,
    SigmaMedianClip,
    WinsorizedClip,
)

#: For some columns: how many of the nlow lowest and the nhigh highest of all frames,
#: masked ones too, are valid.
RankAll = Callable[[Ragged, ExtremaClip], tuple[Ranks, Ranks]]


def touched(columns: Uniform, clip: ColumnClip, frames: int) -> NDArray[np.bool_]:
    """Which columns `clip` would reject anything from, or may where exact bounds have to tell."""
    if isinstance(clip, RangeClip):
        return _outside(columns, *_limits(clip))
    if isinstance(clip, ESDClip):
        return esd.at_risk(clip, columns, int(least_kept(clip.keep, np.array(columns.count))))
    if isinstance(clip, WinsorizedClip):
        return winsor.at_risk(clip, columns)
    if isinstance(columns, Unsorted) and isinstance(clip, SigmaClip):
        return columns.at_risk(clip)
    if columns.dtype == np.float32 and _by_mad(clip):
        found = screened(columns, clip)  # type: ignore[arg-type]
        varies: NDArray[np.bool_] = columns.at(columns.lo) != columns.at(columns.hi - 1)
        return _outside(columns, found.lower, found.upper) & varies
    found = bounds(clip, columns, True, frames)
    return _outside(columns, found.lower, found.upper)


def _by_mad(clip: object) -> bool:
    return isinstance(clip, MADClip) or (isinstance(clip, SigmaClip) and clip.spread == "mad_std")


def _outside(columns: Uniform, lower: Bound, upper: Bound) -> NDArray[np.bool_]:
    return (columns.at(columns.lo) < lower) | (columns.at(columns.hi - 1) > upper)


def _limits(clip: RangeClip) -> tuple[np.float64, np.float64]:
    """The bounds of a range clip, as numpy scalars: a Python float is compared in float32."""
    low = -np.inf if clip.low is None else clip.low
    return np.float64(low), np.float64(np.inf if clip.high is None else clip.high)


def _least(clip: BoundClip | ESDClip, columns: Uniform | Ragged) -> Ranks:
    """How many samples of each column must survive."""
    count: Ranks = np.broadcast_to(columns.count, columns.pixels)
    return least_kept(clip.keep, count)


def clip_ragged(columns: Ragged, clip: ColumnClip, rank_all: RankAll, frames: int) -> None:
    """Apply `clip` to columns with an interval each, in place."""
    match clip:
        case RangeClip():
            columns.move(*within(columns, *_limits(clip)))
        case ESDClip():
            low, high = esd.outliers(clip, columns, _least(clip, columns), frames)
            columns.move(columns.lo + low, columns.hi - high)
        case SigmaMedianClip():
            replace_outliers(columns, clip)
        case ExtremaClip(among="all"):
            low, high = rank_all(columns, clip)
            lo = np.minimum(np.maximum(columns.lo, low), columns.hi)
            columns.move(lo, np.maximum(np.minimum(columns.hi, high), lo))
        case ExtremaClip():
            nlow, nhigh = _extremes(clip, columns.count, frames)
            lo = np.minimum(columns.lo + nlow, columns.hi)
            columns.move(lo, np.maximum(columns.hi - nhigh, lo))
        case _:
            for some in chunks(columns.pixels, len(columns.values)):
                part = columns.take(some)
                _clip_by_bounds(part, clip, frames)  # type: ignore[arg-type]
                columns.move(part.lo, part.hi, some)


def _extremes(clip: ExtremaClip, count: Ranks | int, frames: int) -> tuple[Ranks, Ranks]:
    """How many samples an extrema clip takes from the ends of columns of `count` samples."""
    ends = np.array([clip.nlow, clip.nhigh])
    if clip.among == "share":
        ends = np.floor(np.multiply.outer(ends, count) / frames + 0.001).astype(np.intp)
    return ends[0], ends[1]


def _clip_by_bounds(columns: Ragged, clip: BoundClip, frames: int) -> None:
    """Repeat on the columns that still change; the others have converged."""
    least = _least(clip, columns)
    active = np.flatnonzero(columns.count > 0)
    passes = 0
    while len(active) and passes != clip.maxiters:
        some = columns.take(active) if len(active) < columns.pixels else columns
        if isinstance(clip, WinsorizedClip):
            risk = winsor.at_risk(clip, some)
            some, active = some.take(np.flatnonzero(risk)), active[risk]
            if not len(active):
                break
        found = bounds(clip, some.alike(), passes == 0, frames)
        lo, hi = within(some, found.lower, found.upper)
        short = hi - lo < least[active]
        if short.any():
            _bring_back(some, found, lo, hi, least[active])
        changed = (lo > some.lo) | (hi < some.hi)
        columns.move(lo, hi, active)
        active = active[changed & ~short & (hi > lo)]
        passes += 1


def _bring_back(columns: Ragged, found: Bounds, lo: Ranks, hi: Ranks, least: Ranks) -> None:
    """Widen the intervals `lo`, `hi` in place until `least` samples are in.

    The nearest to the centre come first, equally near ones together. No further than the
    intervals of the columns.
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


def clip_uniform(columns: Uniform, clip: ExtremaClip, frames: int) -> None:
    """Apply a rank clip to columns that share an interval and have all frames, in place."""
    if clip.among == "all":
        columns.lo = min(max(columns.lo, clip.nlow), columns.hi)
        columns.hi = max(min(columns.hi, len(columns.rows) - clip.nhigh), columns.lo)
    else:
        nlow, nhigh = _extremes(clip, columns.count, frames)
        columns.lo = min(columns.lo + int(nlow), columns.hi)
        columns.hi = max(columns.hi - int(nhigh), columns.lo)
