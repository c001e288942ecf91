"""Clips that judge each sample by the noise of its own frame, or of its row.

What survives of a column is no interval of its sorted samples then. So they look at the
samples in the order of the frames; `gpustack.backends.sorted_tile` sees to it that only
columns at risk are, and takes what they reject out of the sorted columns.
"""

from dataclasses import dataclass
from functools import singledispatch
from typing import Any, Self

import numpy as np

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
    """Columns in the order of the frames.

    Parameters
    ----------
    values : ndarray, shape (n, m)
        Anything where `inside` is False.
    inside : ndarray of bool, shape (n, m)
        Which samples survive.
    scale, zero : ndarray of float64, shape (n, 1)
        What the values were normalised with, 1 and 0 where they were not.
    row : ndarray of int, shape (m,)
        Which row of the recipe each column is of.
    variance : ndarray of float64, shape (n, m), or None
        Of the values as they were before.
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
        """Some of the columns."""
        variance = None if self.variance is None else self.variance[:, which]
        values, inside, row = self.values[:, which], self.inside[:, which], self.row[which]
        return type(self)(values, inside, self.scale, self.zero, row, variance)

    def ordered(self) -> Ragged:
        """The survivors, sorted."""
        values = np.where(self.inside, self.values, np.inf)
        values.sort(axis=0)
        count = self.count
        zeros = np.zeros_like(count)
        return Ragged(np.arange(len(count)), values, count, zeros, count.copy())


def rejected_by(clip: FrameClip, columns: ByFrame) -> tuple[Flags, Flags]:
    """Which samples of columns are too low and too high, pass by pass: both (n, m).

    `inside` of the columns is changed in place.
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
    """What a pass rejects, low and high, and in which columns some of it came back."""
    center, unit = measured(clip, columns, first)
    values = columns.values.astype(np.float64)
    bounds = around(clip, center, unit)
    low = columns.inside & (values < bounds.lower)
    high = columns.inside & (values > bounds.upper)
    return bring_back(low, high, values - center, unit, columns.count, least)


@singledispatch
def measured(clip: Any, columns: ByFrame, first: bool) -> tuple[Floats, Floats]:
    """What distances of samples are measured from, shape (m,), and in, (n, m); in float64."""
    raise TypeError(f"no units by frame for {clip!r}")


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
