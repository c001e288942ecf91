"""Sigma clips by standard deviation, computed from the ends of sorted columns.

A pass rejects a sample or two of a hundred, at the ends of a sorted column. So the squared
deviations of the inner samples from a middle sample are added up once, and those of the samples
at the ends are kept apart. The sum of squares of the survivors of any pass is the sum of such
terms. Nothing is subtracted from it, so it is as accurate as its terms. The mean of the survivors
is never further from a middle sample than their spread, so shifting the sum to the mean or centre
leaves half of it or more. As for any `Screen`, the error of the bounds is known, and exact bounds
decide about samples that are too near to them.
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

#: The most samples that may be rejected at each end; exact bounds decide about a column that loses
#: more. Columns of real frames lose fewer, and a larger number takes longer.
ENDS = 8

#: With fewer frames than this, squaring all survivors is as fast. Measured, ns a sample of a clip
#: by median and standard deviation to convergence, two threads, without and with this module: 25
#: frames of float32 4.0 and 3.9, 50: 4.3 and 4.0, 100: 5.3 and 4.5, 300: 10.3 and 6.0, 600: 14.0
#: and 8.3.
MANY = 40


def can_clip_by_ends(clip: Clip, columns: Ragged) -> TypeGuard[SigmaClip]:
    """Whether a clip of columns that share one interval can be computed from their ends."""
    by_std = isinstance(clip, SigmaClip) and clip.spread == "std" and not clip.poisson
    n = len(columns.values)
    many = n >= MANY and bool(columns.count[0] == n)
    return by_std and many and columns.dtype == np.float32


def clip_by_ends(
    columns: Ragged, some: slice, clip: SigmaClip, first_screen: Screen, total: Floats
) -> Ranks:
    """Clip, in place, those of some columns that their ends decide about; return the others.

    Parameters
    ----------
    columns : Ragged
        Columns all of whose samples survive so far.
    some : slice
        The columns to clip.
    clip : SigmaClip
    first_screen : Screen
        The screen of all columns in the first pass.
    total : ndarray, shape (pixels,)
        The sums of all columns.

    Returns
    -------
    ndarray of int
        The columns of `some` that have not been clipped.
    """
    ends = EndTables.of(columns.values[:, some], total[some])
    n, m = ends.frames, some.stop - some.start
    lo, hi, unsure = np.zeros(m, np.intp), np.full(m, n), np.zeros(m, dtype=bool)
    least = int(least_kept(clip.keep, np.array(n)))
    active, passes = np.arange(m), 0
    while len(active) and passes != clip.maxiters:
        if passes == 0:
            bounds = first_screen.take(active + some.start)
        else:
            bounds = ends.screen(clip, active, lo, hi)
        below, above, doubt = ends.beyond(bounds, active)
        low, high = np.maximum(lo[active], below), np.minimum(hi[active], n - above)
        doubt |= high - low < least
        moved = ((low > lo[active]) | (high < hi[active])) & ~doubt
        unsure[active], lo[active], hi[active] = doubt, low, high
        active, passes = ends.varying(active[moved], lo, hi), passes + 1
    sure = np.flatnonzero(~unsure)
    columns.move(lo[sure], hi[sure], sure + some.start)
    left: Ranks = np.flatnonzero(unsure) + some.start
    return left


@dataclass(frozen=True, slots=True, eq=False)
class EndTables:
    """Tables for sums over sorted columns that lost up to `ENDS` samples at each end.

    Parameters
    ----------
    values : ndarray of float32, shape (frames, m)
        The sorted columns.
    origin : ndarray of float32, shape (m,)
        A middle sample of each column.
    largest : ndarray, shape (m,)
        The largest ``|x|``.
    total : ndarray, shape (m,)
        The sum of all samples.
    inside : ndarray, shape (m,)
        The sum of ``(x - origin)^2`` over the samples that are not at the ends.
    squares : pair of ndarray, shape (ENDS + 1, m)
        For each end, row j is the sum of ``(x - origin)^2`` over its samples that are left when
        the outermost j are rejected.
    outer_sums : pair of ndarray, shape (ENDS + 1, m)
        For each end, row j is the sum of the outermost j samples.
    """

    values: Floats
    origin: Floats
    largest: Floats
    total: Floats
    inside: Floats
    squares: tuple[Floats, Floats]
    outer_sums: tuple[Floats, Floats]

    @classmethod
    def of(cls, values: Floats, total: Floats) -> Self:
        """Return the tables for columns all of whose samples survive so far."""
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
            (_outer_sums(low), _outer_sums(high)),
        )

    @property
    def frames(self) -> int:
        """How many samples each column has."""
        return len(self.values)

    def varying(self, active: Ranks, lo: Ranks, hi: Ranks) -> Ranks:
        """The `active` columns whose survivors are not all equal; the others lose no sample."""
        lowest, highest = self.values[lo[active], active], self.values[hi[active] - 1, active]
        varying: Ranks = active[lowest != highest]
        return varying

    def beyond(self, bounds: Screen, active: Ranks) -> tuple[Ranks, Ranks, Flags]:
        """Count samples of the `active` columns below and above bounds; flag uncertain columns."""
        (lower, upper), (lowest, highest) = bounds.inner, bounds.outer
        rows = ENDS + 1  # one more than may be rejected, to see whether it has to be
        low, high = self.values[:rows], self.values[: -rows - 1 : -1]
        if len(active) < self.values.shape[1]:
            low, high = (end.take(active, axis=1, mode="clip") for end in (low, high))
        below, unsure = count_beyond(np.less, low, lower, lowest)
        above, also = count_beyond(np.greater, high, upper, highest)
        unsure |= also
        unsure |= (below > ENDS) | (above > ENDS)
        return below.astype(np.intp), above.astype(np.intp), unsure

    def screen(self, clip: SigmaClip, active: Ranks, lo: Ranks, hi: Ranks) -> Screen:
        """Return the screen of a pass over the `active` columns; `lo`, `hi` are those of all.

        Sums in float64, here and in exact bounds, are wrong by less than `slip`, so that a mean or
        centre is wrong by less than ``slip / n``. Each of these few sums is wrong by at most
        n 2^-53 times n times the largest sample.
        """
        lost = lo[active], self.frames - hi[active]
        n = (self.frames - lost[0] - lost[1]).astype(np.float64)
        squares, total = self.inside[active], self.total[active]
        for end, left in enumerate(lost):
            squares += _look_up(self.squares[end], left, active)
            total -= _look_up(self.outer_sums[end], left, active)
        mean, origin = total / n, self.origin[active].astype(np.float64)
        center = self._median(active, lo, hi) if clip.center == "median" else mean
        off = (center if clip.about == "center" else mean) - origin
        apart = total - n * origin
        slip = self.largest[active] * (self.frames**2 * 2.0**-49)
        # First the error of the squares inside, in float32, and of squares that underflow to 0.
        # Then the errors of the two products below: for each factor, its error times the other
        # factor, and the product of both errors.
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
        """The median of the survivors of the `active` columns, in float64."""
        middle = lo[active] + hi[active]
        lower, upper = (
            self.values[rank, active].astype(np.float64)
            for rank in ((middle - 1) >> 1, middle >> 1)
        )
        median: Floats = (lower + upper) * 0.5
        return median


def _squares_left(end: Floats, origin: Floats) -> Floats:
    """`EndTables.squares` for one end, the rows of which start with the outermost."""
    result = np.zeros((len(end) + 1, end.shape[1]))
    for j in reversed(range(len(end))):
        np.subtract(end[j], origin, out=result[j], dtype=np.float64)
        np.multiply(result[j], result[j], out=result[j])
        np.add(result[j], result[j + 1], out=result[j])
    return result


def _outer_sums(end: Floats) -> Floats:
    """`EndTables.outer_sums` for one end, the rows of which start with the outermost."""
    result = np.zeros((len(end) + 1, end.shape[1]))
    for j, row in enumerate(end):
        np.add(result[j], row, out=result[j + 1])
    return result


def _look_up(table: Floats, row: Ranks, column: Ranks) -> Floats:
    """The same as ``table[row, column]``, but faster."""
    found: Floats = table.reshape(-1).take(row * table.shape[1] + column)
    return found
