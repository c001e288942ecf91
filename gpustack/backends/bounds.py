"""The bounds of one pass of a clip, computed from the survivors of the passes before."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import MAD_TO_STD, Floats, Ranks
from gpustack.backends.noise import ccd_noise, poisson_noise
from gpustack.backends.ragged import Ragged
from gpustack.backends.statistics import Columns, mad, mean, median, std
from gpustack.backends.winsorized import winsorized_std
from gpustack.clips import (
    AvgSigmaClip,
    MADClip,
    NoiseClip,
    PercentileClip,
    PercentileRankClip,
    RowSigmaClip,
    SigmaClip,
    SigmaMedianClip,
    VarianceClip,
    WinsorizedClip,
)

Bound = Floats | float


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """The lowest and highest values that survive, and the centre that distances are measured from.

    Each is one number per column or per sample, in float64. A bound of NaN rejects nothing.
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
    """Return the bounds of a pass of `clip`.

    `first` says whether it is the first pass; `frames` is the number of frames of the stack.
    """
    raise TypeError(f"expected a clip with bounds, got {clip!r}")


@bounds.register
def _(clip: SigmaClip, columns: Columns, first: bool, frames: int) -> Bounds:
    center = center_of(clip, columns, first)
    if clip.spread == "mad_std":
        return around(clip, center, MAD_TO_STD * mad(columns))
    about = center if clip.about == "center" else None
    return around(clip, center, std(columns, clip.ddof, about))


@bounds.register
def _(clip: SigmaMedianClip, columns: Columns, first: bool, frames: int) -> Bounds:
    # For a column in which nothing has been replaced yet.
    return around(clip, _median(columns), std(columns, ddof=1))


@bounds.register
def _(clip: NoiseClip, columns: Columns, first: bool, frames: int) -> Bounds:
    center = center_of(clip, columns, first)
    return around(clip, center, ccd_noise(clip, center))


@bounds.register
def _(clip: RowSigmaClip, columns: Columns, first: bool, frames: int) -> Bounds:
    """For samples without scale and zero; `clip.sigmas` has one number per pixel of the tile."""
    center = center_of(clip, columns, first)
    sigma = np.where(columns.count < 3, np.nan, clip.sigmas[columns.index])
    return around(clip, center, sigma * poisson_noise(center, 1.0, 0.0))


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
    # A sample on a bound is rejected: the bounds become the nearest values that survive.
    return Bounds(center, np.nextafter(found.lower, np.inf), np.nextafter(found.upper, -np.inf))


def center_of(
    clip: SigmaClip | NoiseClip | VarianceClip | AvgSigmaClip, columns: Columns, first: bool
) -> Floats:
    """The centre that distances are measured from, in float64.

    A trimmed mean is trimmed in the first pass only; that of a `NoiseClip` in every pass.
    """
    if clip.center == "median":
        return _median(columns)
    trims = clip.center == "trimmed_mean" and (first or isinstance(clip, NoiseClip))
    return mean(columns.inner() if trims else columns)


def _median(columns: Columns) -> Floats:
    """The median in float64, in which everything that follows from it is computed."""
    return median(columns).astype(np.float64, copy=False)


def within(columns: Ragged, lower: Bound, upper: Bound) -> tuple[Ranks, Ranks]:
    """Return the intervals of ranks within the bounds."""
    below = _count(np.less, columns.values, lower)
    above = _count(np.greater, columns.values[::-1], upper)
    return without_ends(columns, below, above)


def without_ends(columns: Ragged, below: Ranks, above: Ranks) -> tuple[Ranks, Ranks]:
    """Return the intervals without the `below` lowest and the `above` highest of all ranks."""
    lo = np.minimum(np.maximum(columns.lo, below), columns.hi)
    return lo, np.maximum(np.minimum(columns.hi, len(columns.values) - above), lo)


def _count(is_beyond: np.ufunc, rows: Floats, bound: Bound) -> Ranks:
    """How many samples of each column are beyond a bound."""
    count = np.zeros(rows.shape[1], np.min_scalar_type(len(rows)))
    for _, beyond in rows_beyond(is_beyond, rows, bound):
        count += beyond.view(np.uint8)
    return count


def rows_beyond(
    is_beyond: np.ufunc, rows: Floats, bound: Bound
) -> Iterator[tuple[Floats, NDArray[np.bool_]]]:
    """Yield the rows with samples beyond a bound, and flags of these samples.

    Rows are sorted so that rows with samples beyond the bound come first, nearly always few.
    """
    for row in rows:
        beyond = is_beyond(row, bound)
        if not np.count_nonzero(beyond):
            return
        yield row, beyond
