"""Clips that judge each sample by the noise of its own frame, or by its own rank.

What survives of a column is no interval of its sorted samples then. So they look at the
samples in the order of the frames; `gpustack.backends.sorted_tile` sees to it that only
columns at risk are, and takes what they reject out of the sorted columns.
"""

from dataclasses import dataclass
from functools import singledispatch
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.bounds import center_of
from gpustack.backends.columns import Floats, Ranks
from gpustack.backends.noise import normalised_noise, poisson_noise
from gpustack.backends.ragged import Ragged
from gpustack.backends.statistics import mean
from gpustack.clips import LinearFitClip, NoiseClip, SigmaClip, VarianceClip

FrameClip = SigmaClip | NoiseClip | VarianceClip | LinearFitClip

#: A line through samples fits to rounding where their mean distance is this share of their range.
EXACT_FIT = 2.0**-40


@dataclass(slots=True)
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
    variance : ndarray of float64, shape (n, m), or None
        Of the values as they were before.
    """

    values: Floats
    inside: NDArray[np.bool_]
    scale: Floats
    zero: Floats
    variance: Floats | None = None

    @property
    def count(self) -> Ranks:
        """How many samples of each column survive."""
        count: Ranks = np.count_nonzero(self.inside, axis=0)
        return count

    def take(self, which: Ranks | slice) -> Self:
        """Some of the columns."""
        variance = None if self.variance is None else self.variance[:, which]
        return type(self)(
            self.values[:, which], self.inside[:, which], self.scale, self.zero, variance
        )

    def ordered(self) -> Ragged:
        """The survivors, sorted."""
        values = np.where(self.inside, self.values, np.inf)
        values.sort(axis=0)
        count = self.count
        zeros = np.zeros_like(count)
        return Ragged(np.arange(len(count)), values, count, zeros, count.copy())


@dataclass(frozen=True, slots=True)
class Rejected:
    """Which samples a clip rejects as too low and as too high, both of shape (n, m)."""

    low: NDArray[np.bool_]
    high: NDArray[np.bool_]

    def either(self) -> NDArray[np.bool_]:
        """Which samples it rejects."""
        return self.low | self.high


def rejected_by(clip: FrameClip, columns: ByFrame) -> Rejected:
    """What `clip` rejects from columns, pass by pass; `inside` is changed in place."""
    found = Rejected(np.zeros_like(columns.inside), np.zeros_like(columns.inside))
    count = columns.count
    least = np.minimum(clip.keep, count) if clip.keep >= 0 else np.maximum(count + clip.keep, 0)
    active = np.flatnonzero(count)
    passes = 0
    while len(active) and passes != clip.maxiters:
        some = columns.take(active)
        low, high, short = _one_pass(clip, some, least[active], passes == 0)
        found.low[:, active] |= low
        found.high[:, active] |= high
        out = low | high
        columns.inside[:, active] &= ~out
        active = active[out.any(axis=0) & ~short & (some.count > np.count_nonzero(out, axis=0))]
        passes += 1
    return found


def _one_pass(
    clip: FrameClip, columns: ByFrame, least: Ranks, first: bool
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """What a pass rejects, low and high, and in which columns some of it came back."""
    values, center, unit = measured(clip, columns, first)
    no = np.zeros_like(columns.inside)
    low = no if clip.low is None else columns.inside & (values < center - clip.low * unit)
    high = no if clip.high is None else columns.inside & (values > center + clip.high * unit)
    out = low | high
    kept = columns.count - np.count_nonzero(out, axis=0)
    short = kept < least
    if short.any():
        off = np.where(out, np.abs(values - center) / unit, np.inf)[:, short]
        last = (least - kept)[np.newaxis, short] - 1
        reach = np.take_along_axis(np.sort(off, axis=0), last, axis=0)
        back = np.zeros_like(out)
        back[:, short] = off <= reach
        low, high = low & ~back, high & ~back
    return low, high, short


@singledispatch
def measured(clip: Any, columns: ByFrame, first: bool) -> tuple[Floats, Floats | float, Floats]:
    """The samples, what their distances are measured from and in, in float64.

    Shapes (n, m); (m,) or one number; (m,) or (n, m).
    """
    raise TypeError(f"no units by frame for {clip!r}")


@measured.register
def _(clip: SigmaClip, columns: ByFrame, first: bool) -> tuple[Floats, Floats | float, Floats]:
    ordered = columns.ordered()
    center = center_of(clip, ordered, first)
    unit = poisson_noise(center, columns.scale, columns.zero)
    about = center if clip.about == "center" else mean(ordered)
    terms = np.where(columns.inside, (columns.values - about) / unit, 0.0)
    np.multiply(terms, terms, out=terms)
    degrees = np.asarray(columns.count - clip.ddof, np.float64)
    spread = np.sqrt(exact_sums(terms) / np.where(degrees > 0, degrees, np.nan))
    return columns.values.astype(np.float64), center, spread * unit


@measured.register
def _(clip: NoiseClip, columns: ByFrame, first: bool) -> tuple[Floats, Floats | float, Floats]:
    center = center_of(clip, columns.ordered(), first=True)
    unit = normalised_noise(clip, center, columns.scale, columns.zero)
    return columns.values.astype(np.float64), center, unit


@measured.register
def _(clip: VarianceClip, columns: ByFrame, first: bool) -> tuple[Floats, Floats | float, Floats]:
    assert columns.variance is not None
    center = center_of(clip, columns.ordered(), first)
    unit = np.sqrt(columns.variance) * np.abs(columns.scale)
    return columns.values.astype(np.float64), center, unit


@measured.register
def _(clip: LinearFitClip, columns: ByFrame, first: bool) -> tuple[Floats, Floats | float, Floats]:
    line = Line.through(columns.ordered())
    order = np.argsort(np.where(columns.inside, columns.values, np.inf), axis=0, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(len(order))[:, np.newaxis], axis=0)
    return line.off(rank, columns.values), 0.0, line.spread


@dataclass(frozen=True, slots=True)
class Line:
    """The least-squares lines through sorted columns, each about its lowest survivor.

    Parameters
    ----------
    origin, slope, level : ndarray of float64, shape (m,)
        The line is ``origin + (slope * rank + level)``.
    spread : ndarray of float64, shape (m,)
        The mean distance of the survivors; NaN for fewer than three, and where they are on it.
    """

    origin: Floats
    slope: Floats
    level: Floats
    spread: Floats

    @classmethod
    def through(cls, columns: Ragged) -> Self:
        """The lines through survivors that begin at rank 0."""
        n = np.maximum(columns.count, 1)
        rank = np.arange(len(columns.values))[:, np.newaxis]
        missing, middle = rank >= columns.count, (n - 1) * 0.5
        origin = columns.at(columns.lo).astype(np.float64)
        above = np.where(missing, 0.0, columns.values - origin)
        squares = n * (n.astype(np.float64) ** 2 - 1) / 12
        slope = exact_sums((rank - middle) * above) / np.where(squares > 0, squares, np.nan)
        level = exact_sums(above) / n - slope * middle
        found = cls(origin, slope, level, np.empty_like(slope))
        off = np.where(missing, 0.0, np.abs(found.off(rank, columns.values)))
        spread = exact_sums(off) / n
        fits = spread <= EXACT_FIT * (columns.at(columns.hi - 1) - origin)
        np.copyto(found.spread, np.where((n < 3) | fits, np.nan, spread))
        return found

    def off(self, rank: Ranks, values: Floats) -> Floats:
        """How far samples are above the line at their ranks, both of shape (n, m)."""
        distance: Floats = (values - self.origin) - (self.slope * rank + self.level)
        return distance


def exact_sums(terms: Floats) -> Floats:
    """The sum of each column, right to the last bit but in the rarest cases.

    So it does not depend on the order of the terms. Of the rounding error of each addition
    the exact value is known; they are added up too.

    References
    ----------
    Knuth, The Art of Computer Programming 2, 4.2.2, theorem B.
    """
    total, rest = np.zeros((2, terms.shape[1]))
    for term in terms:
        added = total + term
        part = added - total
        rest += (total - (added - part)) + (term - part)
        total = added
    return total + rest
