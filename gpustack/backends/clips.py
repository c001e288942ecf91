"""Clips of sorted columns: each moves the ends of the intervals of surviving ranks."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gpustack.backends import esd, winsorized
from gpustack.backends.bounds import Bound, bounds, within
from gpustack.backends.columns import Ranks, Uniform
from gpustack.backends.keep import least_kept
from gpustack.backends.passes import clip_by_bounds
from gpustack.backends.ragged import Ragged
from gpustack.backends.screens import Screen
from gpustack.backends.sigma_median import replace_outliers
from gpustack.clips import (
    ColumnClip,
    ESDClip,
    ExtremaClip,
    RangeClip,
    SigmaMedianClip,
    WinsorizedClip,
)

#: Function that returns, for some columns, the interval of sorted ranks that an extrema clip among
#: all frames leaves; see `SecondLook.rank_all`.
RankAll = Callable[[Ragged, ExtremaClip], tuple[Ranks, Ranks]]


def touched(
    columns: Uniform, clip: ColumnClip, frames: int, first_screen: Screen | None
) -> NDArray[np.bool_]:
    """Which columns lose a sample to `clip`, or may lose one if only exact bounds can decide.

    `first_screen` is the screen of the clip, if it has one.
    """
    if isinstance(clip, RangeClip):
        return _outside(columns, *_limits(clip))
    if isinstance(clip, ESDClip):
        return esd.at_risk(clip, columns, int(least_kept(clip.keep, np.array(columns.count))))
    if isinstance(clip, WinsorizedClip):
        return winsorized.at_risk(clip, columns)
    if first_screen is not None:
        lower, upper = first_screen.inner
        varies: NDArray[np.bool_] = columns.at(columns.lo) != columns.at(columns.hi - 1)
        return _outside(columns, lower, upper) & varies
    found = bounds(clip, columns, True, frames)
    return _outside(columns, found.lower, found.upper)


def _outside(columns: Uniform, lower: Bound, upper: Bound) -> NDArray[np.bool_]:
    return (columns.at(columns.lo) < lower) | (columns.at(columns.hi - 1) > upper)


def _limits(clip: RangeClip) -> tuple[np.float64, np.float64]:
    """The bounds of a range clip as numpy scalars: a Python float would be rounded to float32."""
    low = -np.inf if clip.low is None else clip.low
    return np.float64(low), np.float64(np.inf if clip.high is None else clip.high)


def clip_ragged(
    columns: Ragged,
    clip: ColumnClip,
    rank_all: RankAll,
    frames: int,
    first_screen: Screen | None = None,
) -> None:
    """Apply `clip` to columns with an interval each, in place.

    `first_screen` is the screen of its first pass, if it is known and all columns share one
    interval.
    """
    match clip:
        case RangeClip():
            columns.move(*within(columns, *_limits(clip)))
        case ESDClip():
            least = least_kept(clip.keep, columns.count)
            low, high = esd.outliers(clip, columns, least, frames)
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
            clip_by_bounds(columns, clip, frames, first_screen)  # type: ignore[arg-type]


def _extremes(clip: ExtremaClip, count: Ranks | int, frames: int) -> tuple[Ranks, Ranks]:
    """How many samples an extrema clip rejects at the ends of columns of `count` samples."""
    ends = np.array([clip.nlow, clip.nhigh])
    if clip.among == "share":
        ends = np.floor(np.multiply.outer(ends, count) / frames + 0.001).astype(np.intp)
    return ends[0], ends[1]


def clip_uniform(columns: Uniform, clip: ExtremaClip, frames: int) -> None:
    """Apply a rank clip to columns that share an interval and have all frames, in place."""
    if clip.among == "all":
        columns.lo = min(max(columns.lo, clip.nlow), columns.hi)
        columns.hi = max(min(columns.hi, len(columns.rows) - clip.nhigh), columns.lo)
    else:
        nlow, nhigh = _extremes(clip, columns.count, frames)
        columns.lo = min(columns.lo + int(nlow), columns.hi)
        columns.hi = max(columns.hi - int(nhigh), columns.lo)
