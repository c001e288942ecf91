"""What an explanation holds: a table of samples, the steps of the clips, the result."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import Table

from gpustack.clips import Clip
from gpustack.explanation.text import describe
from gpustack.recipe import Recipe


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
        pass, where the spread is undefined; None where the clip has no bounds.
    """

    low: tuple[int, ...]
    high: tuple[int, ...]
    kept: tuple[int, ...] = ()
    center: float | None = None
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What a clip did: its passes, more than one where it repeats; none had it no samples."""

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
        A row a frame: name; raw, the sample in the frame (NaN where blank); scale, zero,
        weight; value, the normalised sample (NaN where invalid); fate: ``"used"``,
        ``"low"`` or ``"high"`` where a clip rejected it, or why it is invalid, ``"masked"``,
        ``"blank"``, ``"not finite"`` or ``"not finite when normalised"``; step and pass: which
        clip rejected it in which of its passes, counted from 1, else 0.
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
