"""The parts of an explanation: a table of samples, the steps of the clips, the result."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.table import Table

from gpustack.clips import Clip
from gpustack.explanation.text import describe
from gpustack.recipe import Recipe


class Bounds(NamedTuple):
    """The bounds that a sample is compared with.

    Parameters
    ----------
    center : float
        What its distance is measured from: the centre of the column, or the line at its rank.
    lower, upper : float
        As in `Pass`.
    """

    center: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass of a clip over the survivors of what came before.

    Parameters
    ----------
    low, high : tuple of int
        The frames, counted from 0, whose samples the pass rejected below and above.
    kept : tuple of int
        The frames whose samples are out of bounds but survive because of `keep` of the clip.
    center : float or None
        What distances are measured from; None where the clip has no common centre.
    lower, upper : float or None
        The lowest and highest values that pass. Infinite where the side has no limit; NaN, with
        which every value passes, where the spread is undefined; None where the clip has no bounds,
        or each sample has its own.
    bounds : tuple of (Bounds or None)
        The own bounds of each sample, one per frame, None for a sample that was out before; empty
        where all samples have the same bounds. Those about a line may be off by rounding.
    grown : tuple of int
        The frames whose samples the pass rejected as neighbours of rejected samples.
    near : tuple of tuple of (int, int)
        For each frame in `grown`, the pixels (x, y), counted from 0, of these rejected samples. The
        nearest come first; equally near ones are sorted by row.
    """

    low: tuple[int, ...] = ()
    high: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()
    center: float | None = None
    lower: float | None = None
    upper: float | None = None
    bounds: tuple[Bounds | None, ...] = ()
    grown: tuple[int, ...] = ()
    near: tuple[tuple[tuple[int, int], ...], ...] = ()

    def bounds_of(self, f: int) -> Bounds | None:
        """The bounds that the sample of frame `f` was compared with; None where it has none."""
        if self.bounds:
            return self.bounds[f]
        if self.lower is None or self.upper is None:
            return None
        return Bounds(np.nan if self.center is None else self.center, self.lower, self.upper)


@dataclass(frozen=True, slots=True)
class Step:
    """What a clip did: its passes, several if it repeats, none if no sample was left."""

    clip: Clip
    passes: tuple[Pass, ...]

    @property
    def low(self) -> tuple[int, ...]:
        """The frames whose samples the clip rejected below, in all passes."""
        return tuple(f for pass_ in self.passes for f in pass_.low)

    @property
    def high(self) -> tuple[int, ...]:
        """The frames whose samples the clip rejected above, in all passes."""
        return tuple(f for pass_ in self.passes for f in pass_.high)

    @property
    def grown(self) -> tuple[int, ...]:
        """The frames whose samples the clip rejected as neighbours of rejected samples."""
        return tuple(f for pass_ in self.passes for f in pass_.grown)


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """The explanation of a pixel; prints as a table of its samples, the steps and the result.

    Parameters
    ----------
    x, y : int
        The pixel ``data[y, x]``, counted from 0.
    recipe : Recipe
        What was done, with all numbers filled in.
    samples : astropy.table.Table
        One row per frame. The columns are name; raw, the sample in the frame (NaN where it is blank
        or the frame has none); scale, zero and weight; value, the normalised sample (NaN where
        invalid); with a `NoiseModel` also noise, which is combined instead (NaN where invalid);
        fate; step and pass, the clip that rejected the sample and in which pass, counted from 1,
        else 0. The fate is ``"used"``, ``"low"`` or ``"high"`` if a clip rejected the sample,
        ``"grown"`` if `Grow` did, or why the sample is invalid: ``"masked"``, ``"blank"``,
        ``"not finite"`` or ``"not finite when normalised"``, for an aligned frame also
        ``"outside of the frame"`` or ``"left out"``.
    steps : tuple of Step
        What each clip of the recipe did, in order.
    data, uncertainty : float of the dtype of the result, in `unit`
        As in `StackResult` at this pixel; the uncertainty is None where there is none.
    mask : bool
        Whether no sample survived, or the weights of the survivors sum to 0.
    count, low, high : int
        How many samples survived, and were rejected below and above.
    unit : astropy unit or None
    """

    x: int
    y: int
    recipe: Recipe
    samples: Table
    steps: tuple[Step, ...]
    data: np.floating[Any]
    uncertainty: np.floating[Any] | None
    mask: bool
    count: int
    low: int
    high: int
    unit: u.UnitBase | None = None

    def __str__(self) -> str:
        return describe(self)
