"""The clip that replaces outliers by medians; see `gpustack.clips.SigmaMedianClip`."""

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.bounds import Bounds, around, within
from gpustack.backends.columns import Floats, Ranks, chunks, middles
from gpustack.backends.ragged import Ragged
from gpustack.backends.stand_ins import StandIns
from gpustack.backends.statistics import Columns, midpoint, pivot
from gpustack.clips import SigmaMedianClip


def replace_outliers(columns: Ragged, clip: SigmaMedianClip) -> None:
    """Apply `clip` to columns with an interval each, in place, and set their `stand_ins`."""
    stand_ins = StandIns.none(np.zeros(columns.pixels))
    for some in chunks(columns.pixels, len(columns.values)):
        part = columns.take(some)
        replacing, passes = Replacing(part), 0
        active = np.flatnonzero(part.count > 1)
        while len(active) and passes != clip.maxiters:
            _, changed = replacing.step(clip, active)
            active = active[changed]
            passes += 1
        columns.move(part.lo, part.hi, some)
        stand_ins.put(some, replacing.stand_ins)
    columns.stand_ins = stand_ins


def mean_of_all(columns: Columns, stand_ins: StandIns) -> Floats:
    """The mean of the survivors and the stand-ins, in float64."""
    origin = pivot(columns)
    total = columns.total(origin) + stand_ins.total_about(0.0 if origin is None else origin)
    mean: Floats = total / (columns.count + stand_ins.count)
    return mean if origin is None else mean + origin


class Replacing:
    """Columns in which samples are replaced, pass by pass.

    Parameters
    ----------
    columns : Ragged
        Their intervals are moved.

    Attributes
    ----------
    stand_ins : StandIns
        The medians that have replaced samples so far.
    """

    def __init__(self, columns: Ragged) -> None:
        self._columns = columns
        self._stay = [middle.astype(np.float64) for middle in middles(columns)]
        #: The two middle values of survivors and stand-ins; for an odd count the same one twice.
        self._middle = [middle.copy() for middle in self._stay]
        self.stand_ins = StandIns.none(midpoint(*self._stay))

    def step(self, clip: SigmaMedianClip, active: Ranks) -> tuple[Bounds, NDArray[np.bool_]]:
        """Run a pass over some of the columns; return its bounds, and which columns it changed.

        The centre of the bounds replaces the samples that the pass rejects.
        """
        columns = self._columns
        some = columns.take(active) if len(active) < columns.pixels else columns
        stand_ins = self.stand_ins.take(active)
        center = midpoint(*(middle[active] for middle in self._middle))
        found = around(clip, center, _std(some.uniform(), stand_ins))
        # A bound of NaN stays NaN, as both comparisons are False.
        least, most = (middle[active] for middle in self._stay)
        lower = np.where(found.lower > least, least, found.lower)
        upper = np.where(found.upper < most, most, found.upper)
        lo, hi = within(some, lower, upper)
        low, high = lo - some.lo, some.hi - hi
        # As many copies of the median replace the samples rejected on a side, so that it becomes
        # the middle value on that side.
        for middle, rejected in zip(self._middle, (low, high), strict=True):
            middle[active[rejected > 0]] = center[rejected > 0]
        stand_ins.add(low + high, center)
        self.stand_ins.put(active, stand_ins)
        columns.move(lo, hi, active)
        return Bounds(center, lower, upper), low + high > 0


def _std(columns: Columns, stand_ins: StandIns) -> Floats:
    """The standard deviation (ddof 1) of survivors and stand-ins; NaN for a single value."""
    mean = mean_of_all(columns, stand_ins)
    squares = columns.total(mean, squared=True) + stand_ins.squares_about(mean)
    degrees = np.asarray(columns.count + stand_ins.count - 1, np.float64)
    spread: Floats = np.sqrt(np.maximum(squares, 0.0) / np.where(degrees > 0, degrees, np.nan))
    return spread
