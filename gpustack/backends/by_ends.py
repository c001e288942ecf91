"""Passes of a sigma clip by standard deviation, told from the ends of columns.

A pass takes a sample or two of a hundred, at the ends of sorted columns. So what is further
inside is squared and added up once, about a sample of the middle, and the ends apart: the squares
of the survivors of any pass are sums of these. Nothing is taken off them, so they are as right as
their terms; the mean of survivors is never further from a sample of the middle than the spread is
wide, so to shift them to the mean or centre leaves half or more of them. As for any `Screen` it is
known how far bounds may be off, and what lies too near to them is for exact bounds to decide.
"""

from dataclasses import dataclass
from typing import Self, TypeGuard

import numpy as np

from gpustack.backends.block import Block
from gpustack.backends.columns import Floats, Ranks
from gpustack.backends.keep import Flags, least_kept
from gpustack.backends.ragged import Ragged
from gpustack.backends.screens import (
    SMALLEST,
    Screen,
    count_beyond,
    screen_around,
    sum_error,
)
from gpustack.clips import Clip, SigmaClip

#: So many samples of each end may go; a column that loses more is for exact bounds. Columns of real
#: frames lose fewer, and more take longer.
ENDS = 8

#: Of fewer frames the squares of all survivors are as fast. Measured, ns a sample of a clip by
#: median and standard deviation to convergence, two threads, without and with this: 25 frames of
#: float32 4.0 and 3.9, 50: 4.3 and 4.0, 100: 5.3 and 4.5, 300: 10.3 and 6.0, 600: 14.0 and 8.3.
MANY = 40


def tells_by_ends(clip: Clip, columns: Ragged) -> TypeGuard[SigmaClip]:
    """Whether a clip of columns with one interval in common is told from their ends."""
    by_std = isinstance(clip, SigmaClip) and clip.spread == "std" and not clip.poisson
    n = len(columns.values)
    many = n >= MANY and bool(columns.count[0] == n)
    return by_std and many and columns.dtype == np.float32


def clip_by_ends(
    columns: Ragged, some: slice, clip: SigmaClip, told: Screen, total: Floats
) -> Ranks:
    """Apply a clip to those of some columns that can be told, in place; gives the others.

    Parameters
    ----------
    columns : Ragged
        All of whose samples survive so far.
    some : slice
        Of them.
    clip : SigmaClip
    told : Screen
        Of all columns in the first pass.
    total : ndarray, shape (pixels,)
        The sums of all columns.

    Returns
    -------
    ndarray of int
        The columns of `some` that have not been clipped.
    """
    ends = Ends.of(columns.values[:, some], total[some])
    n, m = ends.frames, some.stop - some.start
    lo, hi, unsure = np.zeros(m, np.intp), np.full(m, n), np.zeros(m, dtype=bool)
    least = int(least_kept(clip.keep, np.array(n)))
    active, passes = np.arange(m), 0
    while len(active) and passes != clip.maxiters:
        first = passes == 0
        bounds = told.take(active + some.start) if first else ends.screen(clip, active, lo, hi)
        below, above, doubt = ends.beyond(bounds, active)
        low, high = np.maximum(lo[active], below), np.minimum(hi[active], n - above)
        doubt |= high - low < least
        moved = ((low > lo[active]) | (high < hi[active])) & ~doubt
        unsure[active], lo[active], hi[active] = doubt, low, high
        active, passes = ends.that_vary(active[moved], lo, hi), passes + 1
    sure = np.flatnonzero(~unsure)
    columns.move(lo[sure], hi[sure], sure + some.start)
    left: Ranks = np.flatnonzero(unsure) + some.start
    return left


@dataclass(frozen=True, slots=True, eq=False)
class Ends:
    """What is known of some columns.

    Parameters
    ----------
    values : ndarray of float32, shape (frames, m)
        Sorted.
    origin : ndarray of float32, shape (m,)
        A sample of the middle of each column.
    largest : ndarray, shape (m,)
        The largest ``|x|``.
    total : ndarray, shape (m,)
        The sum of all samples.
    inside : ndarray, shape (m,)
        The sum of the squares about the origin of what is not at the ends.
    squares : pair of ndarray, shape (ENDS + 1, m)
        For each end, row j is the sum of the squares of its samples that are left when j are
        gone.
    gone : pair of ndarray, shape (ENDS + 1, m)
        The sums of those j.
    """

    values: Floats
    origin: Floats
    largest: Floats
    total: Floats
    inside: Floats
    squares: tuple[Floats, Floats]
    gone: tuple[Floats, Floats]

    @classmethod
    def of(cls, values: Floats, total: Floats) -> Self:
        """Of columns all of whose samples survive so far."""
        n = len(values)
        origin = values[(n - 1) >> 1]
        inside = Block(values, ENDS, n - ENDS).sum_of_squares(origin).astype(np.float64)
        low, high = values[:ENDS], values[: n - ENDS - 1 : -1]
        return cls(
            values,
            origin,
            np.abs(values[[0, -1]]).max(axis=0).astype(np.float64),
            total,
            inside,
            (_squares_left(low, origin), _squares_left(high, origin)),
            (_sums_gone(low), _sums_gone(high)),
        )

    @property
    def frames(self) -> int:
        """How many samples each column has."""
        return len(self.values)

    def that_vary(self, active: Ranks, lo: Ranks, hi: Ranks) -> Ranks:
        """The `active` columns whose survivors are not all equal: of the others nothing goes."""
        lowest, highest = self.values[lo[active], active], self.values[hi[active] - 1, active]
        varying: Ranks = active[lowest != highest]
        return varying

    def beyond(self, bounds: Screen, active: Ranks) -> tuple[Ranks, Ranks, Flags]:
        """How many samples of the `active` columns are below and above; where it is not sure."""
        (lower, upper), (lowest, highest) = bounds.inner, bounds.outer
        rows = ENDS + 1  # one more than may go, to see whether it has to
        low, high = self.values[:rows], self.values[: -rows - 1 : -1]
        if len(active) < self.values.shape[1]:
            low, high = (end.take(active, axis=1, mode="clip") for end in (low, high))
        below, unsure = count_beyond(np.less, low, lower, lowest)
        above, also = count_beyond(np.greater, high, upper, highest)
        unsure |= also
        unsure |= (below > ENDS) | (above > ENDS)
        return below.astype(np.intp), above.astype(np.intp), unsure

    def screen(self, clip: SigmaClip, active: Ranks, lo: Ranks, hi: Ranks) -> Screen:
        """The bounds of a pass over the `active` columns, `lo` and `hi` being those of all.

        Sums of float64, here and where bounds are exact, are off by less than `slip`, and so a
        mean or centre by less than the n-th part of it: at most n 2^-53 times n of the largest
        sample for each sum, of which there are a few.
        """
        lost = lo[active], self.frames - hi[active]
        n = (self.frames - lost[0] - lost[1]).astype(np.float64)
        squares, total = self.inside[active], self.total[active]
        for end, left in enumerate(lost):
            squares += _look_up(self.squares[end], left, active)
            total -= _look_up(self.gone[end], left, active)
        mean, origin = total / n, self.origin[active].astype(np.float64)
        center = self._median(active, lo, hi) if clip.center == "median" else mean
        off = (center if clip.about == "center" else mean) - origin
        apart = total - n * origin
        slip = self.largest[active] * (self.frames**2 * 2.0**-49)
        # Of the squares of the inside, in float32, and those that became 0; then, of each factor
        # of the two products below, what it is off by times the other, and times that of the other.
        wrong = squares * sum_error(self.frames) + 4 * self.frames * SMALLEST
        wrong += 4 * slip * (np.abs(apart) / n + np.abs(off) + slip / n)
        squares += off * (n * off - 2 * apart)
        degrees = np.where(n > clip.ddof, n - clip.ddof, np.nan)
        least, most = (
            np.sqrt(np.maximum(some, 0) / degrees).astype(np.float32)
            for some in (squares - wrong, squares + wrong)
        )
        return screen_around(clip, center, least, most, slip / n)

    def _median(self, active: Ranks, lo: Ranks, hi: Ranks) -> Floats:
        """Of the survivors of the `active` columns, in float64."""
        middle = lo[active] + hi[active]
        lower, upper = (
            self.values[rank, active].astype(np.float64)
            for rank in ((middle - 1) >> 1, middle >> 1)
        )
        median: Floats = (lower + upper) * 0.5
        return median


def _squares_left(end: Floats, origin: Floats) -> Floats:
    """Of an end, outermost row first."""
    result = np.zeros((len(end) + 1, end.shape[1]))
    for j in reversed(range(len(end))):
        np.subtract(end[j], origin, out=result[j], dtype=np.float64)
        np.multiply(result[j], result[j], out=result[j])
        np.add(result[j], result[j + 1], out=result[j])
    return result


def _sums_gone(end: Floats) -> Floats:
    """Of an end, outermost row first."""
    result = np.zeros((len(end) + 1, end.shape[1]))
    for j, row in enumerate(end):
        np.add(result[j], row, out=result[j + 1])
    return result


def _look_up(table: Floats, row: Ranks, column: Ranks) -> Floats:
    """``table[row, column]``, which takes longer."""
    found: Floats = table.reshape(-1).take(row * table.shape[1] + column)
    return found
