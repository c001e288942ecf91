"""What an explanation holds: a table of samples, the steps of the clips, the result."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.table import Table

from gpustack.clips import Clip
from gpustack.explanation.text import describe
from gpustack.recipe import Recipe


class Bounds(NamedTuple):
    """What a sample is held against.

    Parameters
    ----------
    center : float
        What its distance is measured from: the centre of the column, or the line at its rank.
    lower, upper : float
        As of `Pass`.
    """

    center: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass of a clip over the samples that were left.

    Parameters
    ----------
    low, high : tuple of int
        The frames, counted from 0, whose samples it rejected below and above.
    kept : tuple of int
        Those whose samples are out of bounds and were left in for the `keep` of the clip.
    center : float or None
        What distances are measured from; None where the clip has no such thing.
    lower, upper : float or None
        The lowest and highest value that pass, infinite where all do; NaN, which lets all
        pass, where the spread is undefined; None where the clip has no bounds, or each
        sample its own.
    bounds : tuple of Bounds or None
        Those that each sample has of its own, one a frame, None for a sample that was out
        before; empty where all have the same. Of a line they may be off by rounding.
    grown : tuple of int
        The frames whose samples it rejected as neighbours of rejected ones.
    near : tuple of tuple of (int, int)
        For each of these, the pixels x, y, counted from 0, of those neighbours: the nearest
        first, of equally near ones by row.
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
        """What the sample of frame `f` was held against; None where there is no such thing."""
        if self.bounds:
            return self.bounds[f]
        if self.lower is None or self.upper is None:
            return None
        return Bounds(np.nan if self.center is None else self.center, self.lower, self.upper)


@dataclass(frozen=True, slots=True)
class Step:
    """What a clip did: its passes, several where it repeats, none where no sample was left."""

    clip: Clip
    passes: tuple[Pass, ...]

    @property
    def low(self) -> tuple[int, ...]:
        """The frames whose samples it rejected below, in all passes."""
        return tuple(f for made in self.passes for f in made.low)

    @property
    def high(self) -> tuple[int, ...]:
        """The frames whose samples it rejected above."""
        return tuple(f for made in self.passes for f in made.high)

    @property
    def grown(self) -> tuple[int, ...]:
        """The frames whose samples it rejected as neighbours."""
        return tuple(f for made in self.passes for f in made.grown)


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Why a pixel is as it is; prints as a table of its samples, the steps and the result.

    Parameters
    ----------
    x, y : int
        The pixel, counted from 0: that of ``data[y, x]``.
    recipe : Recipe
        What was done, with all numbers filled in.
    samples : astropy.table.Table
        A row a frame: name; raw, the sample in the frame (NaN where blank, or where there is
        none); scale, zero, weight; value, the normalised sample (NaN where invalid); with a
        `NoiseModel`, noise, which is combined instead (NaN too); fate: ``"used"``, ``"low"`` or
        ``"high"`` where a clip rejected it, ``"grown"`` where `Grow` did, or why it is invalid,
        ``"masked"``, ``"blank"``, ``"not finite"`` or ``"not finite when normalised"``, of an
        aligned frame also ``"outside of the frame"`` or ``"left out"``; step and pass: which clip
        rejected it in which of its passes, counted from 1, else 0.
    steps : tuple of Step
        What each clip of the recipe did, in order.
    data, uncertainty : float of the dtype of the result, in `unit`
        As `StackResult` has them at this pixel; uncertainty is None where there is none.
    mask : bool
    count, low, high : int
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
