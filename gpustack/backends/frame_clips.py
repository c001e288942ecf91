"""Clips that judge each sample by the noise of its own frame or row.

Their survivors are not an interval of a sorted column, so these clips look at the samples in
frame order. `gpustack.backends.sorted_tile` passes them only the columns at risk, and removes the
samples that they reject from the sorted columns.
"""

from dataclasses import dataclass
from functools import singledispatch
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.bounds import around, center_of
from gpustack.backends.columns import Floats, Ranks
from gpustack.backends.keep import Flags, bring_back, least_kept
from gpustack.backends.noise import normalised_noise, poisson_noise
from gpustack.backends.ragged import Ragged
from gpustack.backends.statistics import mean
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

    @property
    def count(self) -> Ranks:
        """How many samples of each column survive."""
        count: Ranks = np.count_nonzero(self.inside, axis=0)
        return count

    def take(self, which: Ranks | slice) -> Self:
        """Some of the columns: views for a slice, else copies in C order."""

        def part(array: NDArray[Any]) -> NDArray[Any]:
            return array[:, which] if isinstance(which, slice) else array.take(which, axis=1)

        variance = None if self.variance is None else part(self.variance)
        values, inside, row = part(self.values), part(self.inside), self.row[which]
        return type(self)(values, inside, self.scale, self.zero, row, variance)

    def ordered(self) -> Ragged:
        """Return the survivors as sorted columns."""
        values = np.where(self.inside, self.values, np.inf)
        values.sort(axis=0)
        count = self.count
        zeros = np.zeros_like(count)
        return Ragged(np.arange(len(count)), values, count, zeros, count.copy())


def rejected_by(clip: FrameClip, columns: ByFrame) -> tuple[Flags, Flags]:
    """Run all passes of `clip`; return which samples are too low and too high, both (n, m).

    Changes `columns.inside` in place.
    """
    all_low, all_high = np.zeros_like(columns.inside), np.zeros_like(columns.inside)
    count = columns.count
    least = least_kept(clip.keep, count)
    active = np.flatnonzero(count)
    passes = 0
    while len(active) and passes != clip.maxiters:
        some = columns.take(active)
        low, high, short = _one_pass(clip, some, least[active], passes == 0)
        all_low[:, active] |= low
        all_high[:, active] |= high
        out = low | high
        columns.inside[:, active] &= ~out
        active = active[out.any(axis=0) & ~short & (some.count > np.count_nonzero(out, axis=0))]
        passes += 1
    return all_low, all_high


def _one_pass(
    clip: FrameClip, columns: ByFrame, least: Ranks, first: bool
) -> tuple[Flags, Flags, Flags]:
    """Return the samples that a pass rejects, low and high, and columns where some came back."""
    center, unit = measured(clip, columns, first)
    values = columns.values.astype(np.float64)
    bounds = around(clip, center, unit)
    low = columns.inside & (values < bounds.lower)
    high = columns.inside & (values > bounds.upper)
    return bring_back(low, high, values - center, unit, columns.count, least)


@singledispatch
def measured(clip: Any, columns: ByFrame, first: bool) -> tuple[Floats, Floats]:
    """The centre of each column, shape (m,), and the unit of distances, (n, m); in float64."""
    raise TypeError(f"expected a clip by frame, got {clip!r}")


@measured.register
def _(clip: SigmaClip, columns: ByFrame, first: bool) -> tuple[Floats, Floats]:
    ordered = columns.ordered()
    center = center_of(clip, ordered, first)
    unit = poisson_noise(center, columns.scale, columns.zero)
    about = center if clip.about == "center" else mean(ordered)
    terms = np.where(columns.inside, (columns.values - about) / unit, 0.0)
    np.multiply(terms, terms, out=terms)
    degrees = np.asarray(columns.count - clip.ddof, np.float64)
    spread = np.sqrt(exact_sums(terms) / np.where(degrees > 0, degrees, np.nan))
    return center, spread * unit


@measured.register
def _(clip: NoiseClip, columns: ByFrame, first: bool) -> tuple[Floats, Floats]:
    center = center_of(clip, columns.ordered(), first)
    unit = normalised_noise(clip, center, columns.scale, columns.zero)
    return center, unit


@measured.register
def _(clip: VarianceClip, columns: ByFrame, first: bool) -> tuple[Floats, Floats]:
    assert columns.variance is not None
    center = center_of(clip, columns.ordered(), first)
    unit = np.sqrt(columns.variance) * np.abs(columns.scale)
    return center, unit


@measured.register
def _(clip: RowSigmaClip, columns: ByFrame, first: bool) -> tuple[Floats, Floats]:
    center = center_of(clip, columns.ordered(), first)
    sigma = np.where(columns.count < 3, np.nan, clip.sigmas[columns.row])
    unit = sigma * poisson_noise(center, columns.scale, columns.zero)
    return center, unit
