"""Clips that judge each sample by the noise of its own frame or row.

Their survivors are not an interval of a sorted column, so these clips look at the samples in
frame order, and remove those that they reject from the sorted columns.
`gpustack.backends.sorted_tile` passes them only the columns at risk.
"""

from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.bounds import around, center_of
from gpustack.backends.columns import Floats, Ranks
from gpustack.backends.keep import Flags, bring_back, least_kept
from gpustack.backends.noise import normalised_noise, poisson_noise
from gpustack.backends.ragged import Ragged
from gpustack.backends.statistics import Columns, mean
from gpustack.backends.totals import exact_sums
from gpustack.clips import NoiseClip, RowSigmaClip, SigmaClip, VarianceClip

FrameClip = SigmaClip | NoiseClip | VarianceClip | RowSigmaClip


@dataclass(slots=True, eq=False)
class ByFrame:
    """Columns with their samples in frame order.

    Parameters
    ----------
    values : ndarray, shape (n, m)
        The samples; undefined where `inside` is False.
    inside : ndarray of bool, shape (n, m)
        Which samples survive.
    scale, zero : ndarray of float64, shape (n, 1) or (1, 1)
        Scale and zero with which the values were normalised; 1 and 0 if they were not.
    row : ndarray of int, shape (m,)
        Row of each column, an index of `RowSigmaClip.sigmas`.
    variance : ndarray of float64, shape (n, m), or None
        The variance of the samples before they were normalised.
    """

    values: Floats
    inside: Flags
    scale: Floats
    zero: Floats
    row: Ranks
    variance: Floats | None = None

    def take(self, which: Ranks | slice) -> Self:
        """Some of the columns: views for a slice, else copies in C order."""

        def part(array: NDArray[Any]) -> NDArray[Any]:
            return array[:, which] if isinstance(which, slice) else array.take(which, axis=1)

        variance = None if self.variance is None else part(self.variance)
        values, inside, row = part(self.values), part(self.inside), self.row[which]
        return type(self)(values, inside, self.scale, self.zero, row, variance)


def clip_by_frame(clip: FrameClip, part: Ragged, which: Ranks, columns: ByFrame) -> None:
    """Run all passes of `clip` on some columns of `part`, in place.

    Parameters
    ----------
    clip : FrameClip
    part : Ragged
        Sorted columns.
    which : ndarray of int, shape (m,)
        The columns to clip, in ascending order.
    columns : ByFrame
        These columns in frame order. Samples that are not sorted are +inf. Changed in place.
    """
    count = part.count[which]
    least, active, passes = least_kept(clip.keep, count), np.flatnonzero(count), 0
    while len(active) and passes != clip.maxiters:
        if len(active) < len(which):
            which, least, columns = which[active], least[active], columns.take(active)
        ordered = replace(part, rejected=None).take(which)
        low, high, short = _one_pass(clip, columns, ordered, least, passes == 0)
        part.remove(columns.values, low, high, which)
        out = low | high
        np.copyto(columns.values, np.inf, where=out)
        columns.inside[out] = False
        active = np.flatnonzero(out.any(axis=0) & ~short & (part.count[which] > 0))
        passes += 1


def _one_pass(
    clip: FrameClip, columns: ByFrame, ordered: Ragged, least: Ranks, first: bool
) -> tuple[Flags, Flags, Flags]:
    """Return the samples that a pass rejects, low and high, and columns where some came back."""
    center, unit = measured(clip, columns, ordered, first)
    values = columns.values.astype(np.float64)
    found = around(clip, center, unit)
    low = columns.inside & (values < found.lower)
    high = columns.inside & (values > found.upper)

    def off(some: Flags) -> Floats:
        distance: Floats = values[:, some] - center[some]
        return distance

    return bring_back(low, high, off, unit, ordered.count, least)


@singledispatch
def measured(clip: Any, columns: ByFrame, ordered: Columns, first: bool) -> tuple[Floats, Floats]:
    """The centre of each column, shape (m,), and the unit of distances, (n, m); in float64.

    `ordered` are the same columns, sorted.
    """
    raise TypeError(f"expected a clip by frame, got {clip!r}")


@measured.register
def _(clip: SigmaClip, columns: ByFrame, ordered: Columns, first: bool) -> tuple[Floats, Floats]:
    center = center_of(clip, ordered, first)
    unit = poisson_noise(center, columns.scale, columns.zero)
    about = center if clip.about == "center" else mean(ordered)
    terms = np.where(columns.inside, (columns.values - about) / unit, 0.0)
    np.multiply(terms, terms, out=terms)
    degrees = np.asarray(ordered.count - clip.ddof, np.float64)
    spread = np.sqrt(exact_sums(terms) / np.where(degrees > 0, degrees, np.nan))
    return center, spread * unit


@measured.register
def _(clip: NoiseClip, columns: ByFrame, ordered: Columns, first: bool) -> tuple[Floats, Floats]:
    center = center_of(clip, ordered, first)
    unit = normalised_noise(clip, center, columns.scale, columns.zero)
    return center, unit


@measured.register
def _(clip: VarianceClip, columns: ByFrame, ordered: Columns, first: bool) -> tuple[Floats, Floats]:
    assert columns.variance is not None
    center = center_of(clip, ordered, first)
    unit = np.sqrt(columns.variance) * np.abs(columns.scale)
    return center, unit


@measured.register
def _(clip: RowSigmaClip, columns: ByFrame, ordered: Columns, first: bool) -> tuple[Floats, Floats]:
    center = center_of(clip, ordered, first)
    sigma = np.where(ordered.count < 3, np.nan, clip.sigmas[columns.row])
    unit = sigma * poisson_noise(center, columns.scale, columns.zero)
    return center, unit
