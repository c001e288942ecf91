"""The clips, as moves of the interval of ranks that survives."""

from collections.abc import Callable
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import (
    Columns,
    Floats,
    Ragged,
    Ranks,
    Uniform,
    bisect,
    mad_std,
    mean,
    median,
    quick_mad_std,
    std,
)
from gpustack.backends.unsorted import Unsorted
from gpustack.clips import Clip, ExtremaClip, RangeClip, SigmaClip

Bound = Floats | float
#: For some columns: how many of the nlow lowest and the nhigh highest of all frames,
#: masked ones too, are valid.
RankAll = Callable[[Ragged, ExtremaClip], tuple[Ranks, Ranks]]


@singledispatch
def bounds(clip: Any, columns: Columns) -> tuple[Bound, Bound]:
    """The lowest and highest values that `clip` would let pass, given the survivors.

    NaN lets everything pass.
    """
    raise TypeError(f"no bounds for {clip!r}")


@bounds.register
def _(clip: RangeClip, columns: Columns) -> tuple[Bound, Bound]:
    low = -np.inf if clip.low is None else clip.low
    high = np.inf if clip.high is None else clip.high
    # As numpy scalars: against a Python float, numpy would compare in float32.
    return np.float64(low), np.float64(high)


@bounds.register
def _(clip: SigmaClip, columns: Columns) -> tuple[Bound, Bound]:
    spread = mad_std(columns) if clip.spread == "mad_std" else std(columns, clip.ddof)
    center = center_of(clip, columns)
    lower = -np.inf if clip.low is None else center - clip.low * spread
    upper = np.inf if clip.high is None else center + clip.high * spread
    return lower, upper


def center_of(clip: SigmaClip, columns: Columns) -> Floats:
    """What the deviations of a sigma clip are taken from."""
    return median(columns) if clip.center == "median" else mean(columns)


def touched(columns: Uniform, clip: RangeClip | SigmaClip) -> NDArray[np.bool_]:
    """Which columns `clip` would reject anything from, or may where exact bounds have to tell."""
    if isinstance(clip, SigmaClip):
        if isinstance(columns, Unsorted):
            return columns.at_risk(clip)
        if clip.spread == "mad_std" and columns.dtype == np.float32:
            return _at_risk(columns, clip)
    return _outside(columns, *bounds(clip, columns))


def _outside(columns: Uniform, lower: Bound, upper: Bound) -> NDArray[np.bool_]:
    return (columns.at(columns.lo) < lower) | (columns.at(columns.hi - 1) > upper)


def _at_risk(columns: Uniform, clip: SigmaClip) -> NDArray[np.bool_]:
    """Which columns a clip by the MAD may touch, by a MAD of float32.

    It takes half the time of float64 and may be 2^-24 of itself too large; the centre is
    rounded as a float64.
    """
    center, spread = center_of(clip, columns), quick_mad_std(columns) * (1 - 2.0**-22)
    slack = np.abs(center) * 2.0**-50
    lower = -np.inf if clip.low is None else center - clip.low * spread + slack
    upper = np.inf if clip.high is None else center + clip.high * spread - slack
    varies: NDArray[np.bool_] = columns.at(columns.lo) != columns.at(columns.hi - 1)
    return _outside(columns, lower, upper) & varies


def narrow(columns: Ragged, lower: Bound, upper: Bound) -> NDArray[np.bool_]:
    """Move the intervals to the samples within the bounds; say where that changed one."""
    some = columns.count > 0
    low = some & (columns.at(columns.lo) < lower)
    high = some & (columns.at(columns.hi - 1) > upper)
    lo, hi = columns.lo.copy(), columns.hi.copy()
    # Only where an end is out of bounds: bisecting all columns takes twice the time.
    lo[low] = _first_within(columns, low, lower, np.less)
    hi[high] = _first_within(columns, high, upper, np.less_equal)
    columns.move(lo, np.maximum(lo, hi))
    return low | high


def _first_within(
    columns: Ragged, which: NDArray[np.bool_], bound: Bound, passes: np.ufunc
) -> Ranks:
    """The first surviving rank of some columns whose sample no longer `passes` the bound."""
    some = columns.take(which)
    limit = np.broadcast_to(bound, which.shape)[which]
    return bisect(some.lo, some.hi, lambda rank: passes(some.at(rank), limit))


def clip_ragged(columns: Ragged, clip: Clip, rank_all: RankAll) -> None:
    """Apply `clip` to columns with an interval each, in place."""
    match clip:
        case RangeClip():
            narrow(columns, *bounds(clip, columns))
        case SigmaClip():
            _clip_sigma(columns, clip)
        case ExtremaClip(among="valid"):
            lo = np.minimum(columns.lo + clip.nlow, columns.hi)
            columns.move(lo, np.maximum(columns.hi - clip.nhigh, lo))
        case ExtremaClip():
            low, high = rank_all(columns, clip)
            lo = np.minimum(np.maximum(columns.lo, low), columns.hi)
            columns.move(lo, np.maximum(np.minimum(columns.hi, high), lo))


def _clip_sigma(columns: Ragged, clip: SigmaClip) -> None:
    """Repeat on the columns that still change; the others have converged."""
    active = np.arange(columns.pixels)
    some = columns
    passes = 0
    while len(active) and passes != clip.maxiters:
        changed = narrow(some, *bounds(clip, some))
        if some is not columns:
            columns.move(some.lo, some.hi, active)
        changed &= some.count > 0
        active, some = active[changed], some.take(changed)
        passes += 1


def clip_uniform(columns: Uniform, clip: ExtremaClip) -> None:
    """Apply a rank clip to columns that share an interval and have all frames, in place."""
    if clip.among == "valid":
        columns.lo = min(columns.lo + clip.nlow, columns.hi)
        columns.hi = max(columns.hi - clip.nhigh, columns.lo)
    else:
        columns.lo = min(max(columns.lo, clip.nlow), columns.hi)
        columns.hi = max(min(columns.hi, len(columns.rows) - clip.nhigh), columns.lo)
