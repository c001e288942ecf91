"""What the clips by bounds let pass, given the survivors."""

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import MAD_TO_STD, Floats, Ranks, chunks
from gpustack.backends.noise import ccd_noise
from gpustack.backends.ragged import Ragged
from gpustack.backends.statistics import Columns, mad, mean, median, quick_mad, std
from gpustack.backends.winsor import winsorized_std
from gpustack.clips import (
    AvgSigmaClip,
    MADClip,
    NoiseClip,
    PercentileClip,
    PercentileRankClip,
    SigmaClip,
    SigmaMedianClip,
    VarianceClip,
    WinsorizedClip,
)

Bound = Floats | float


@dataclass(frozen=True, slots=True)
class Bounds:
    """The lowest and highest values that pass, and what distances are measured from.

    Each one number a column, or one a sample, in float64. NaN lets everything pass.
    """

    center: Floats
    lower: Bound
    upper: Bound


def around(clip: Any, center: Floats, unit: Floats) -> Bounds:
    """Bounds at `low` and `high` units from the centre."""
    lower = -np.inf if clip.low is None else center - clip.low * unit
    upper = np.inf if clip.high is None else center + clip.high * unit
    return Bounds(center, lower, upper)


@singledispatch
def bounds(clip: Any, columns: Columns, first: bool, frames: int) -> Bounds:
    """The bounds of a pass of `clip`, whether it is the first, for a stack of `frames`."""
    raise TypeError(f"no bounds for {clip!r}")


@bounds.register
def _(clip: SigmaClip, columns: Columns, first: bool, frames: int) -> Bounds:
    center = center_of(clip, columns, first)
    if clip.spread == "mad_std":
        return around(clip, center, MAD_TO_STD * mad(columns))
    about = center if clip.about == "center" else None
    return around(clip, center, std(columns, clip.ddof, about))


@bounds.register
def _(clip: SigmaMedianClip, columns: Columns, first: bool, frames: int) -> Bounds:
    # Of a column in which nothing has been replaced yet.
    return around(clip, _median(columns), std(columns, ddof=1))


@bounds.register
def _(clip: NoiseClip, columns: Columns, first: bool, frames: int) -> Bounds:
    center = center_of(clip, columns, first=True)
    return around(clip, center, ccd_noise(clip, center))


@bounds.register
def _(clip: MADClip, columns: Columns, first: bool, frames: int) -> Bounds:
    return around(clip, _median(columns), mad(columns))


@bounds.register
def _(clip: WinsorizedClip, columns: Columns, first: bool, frames: int) -> Bounds:
    center = _median(columns)
    return around(clip, center, winsorized_std(columns, center, frames))


@bounds.register
def _(clip: PercentileClip, columns: Columns, first: bool, frames: int) -> Bounds:
    center = _median(columns)
    return around(clip, center, np.abs(center))


@bounds.register
def _(clip: PercentileRankClip, columns: Columns, first: bool, frames: int) -> Bounds:
    steps, center = clip.steps(frames), _median(columns)
    lo, hi = columns.lo, columns.hi
    rank: Any
    if steps < 0:
        rank = np.maximum(((lo + hi - 1) >> 1) + steps, lo)
    else:
        rank = np.minimum(((lo + hi) >> 1) + steps, hi - 1)
    sample = columns.at(rank)
    unit = np.abs(sample - center)
    found = around(clip, center, np.where(unit > 0, unit, np.nan))
    # A sample on a bound is rejected: the bounds are the nearest values that pass.
    return Bounds(center, np.nextafter(found.lower, np.inf), np.nextafter(found.upper, -np.inf))


def center_of(
    clip: SigmaClip | NoiseClip | VarianceClip | AvgSigmaClip, columns: Columns, first: bool
) -> Floats:
    """What distances are measured from, in float64."""
    if clip.center == "median":
        return _median(columns)
    return mean(columns.inner() if clip.center == "trimmed_mean" and first else columns)


def _median(columns: Columns) -> Floats:
    """The median in float64, as what is computed from it has to be."""
    return median(columns).astype(np.float64, copy=False)


def screened(columns: Columns, clip: SigmaClip | MADClip) -> Bounds:
    """Bounds no wider than those of a clip by the MAD, by a MAD of float32.

    It takes half the time of float64 and may be 2^-24 of itself too large; the centre is
    rounded as a float64. What lies within is safe.
    """
    if isinstance(clip, SigmaClip):
        center, factor = center_of(clip, columns, first=True), MAD_TO_STD
    else:
        center, factor = _median(columns), 1.0
    found = around(clip, center, quick_mad(columns) * (factor * (1 - 2.0**-22)))
    slack = np.abs(center) * 2.0**-50
    return Bounds(center, found.lower + slack, found.upper - slack)


def within(columns: Ragged, lower: Bound, upper: Bound) -> tuple[Ranks, Ranks]:
    """The intervals that bounds leave.

    The samples below a bound are counted, rank by rank: with nearly always a few columns of
    many ranks, bisecting takes four times as long.
    """
    below, upto = np.empty((2, columns.pixels), np.intp)
    least = np.broadcast_to(_least_value(lower, columns.dtype), columns.pixels)
    most = np.broadcast_to(-_least_value(np.negative(upper), columns.dtype), columns.pixels)
    for some in chunks(columns.pixels, len(columns.values)):
        values = columns.values[:, some]
        below[some] = _count(values < least[some])
        upto[some] = _count(values <= most[some])
    lo = np.minimum(np.maximum(columns.lo, below), columns.hi)
    return lo, np.maximum(np.minimum(columns.hi, upto), lo)


def _least_value(bound: Bound, dtype: np.dtype[np.floating]) -> Floats:
    """The least sample that is not below `bound`; samples are compared in their own dtype."""
    bound = np.where(np.isnan(bound), -np.inf, bound)
    least: Floats = bound.astype(dtype)
    return np.where(least < bound, np.nextafter(least, dtype.type(np.inf)), least)


def _count(flags: NDArray[np.bool_]) -> NDArray[np.integer]:
    """How many flags of each column are set."""
    dtype = np.min_scalar_type(len(flags))
    counts: NDArray[np.integer] = np.add.reduce(flags.view(np.uint8), axis=0, dtype=dtype)
    return counts
