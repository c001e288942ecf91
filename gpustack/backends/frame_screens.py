"""Screens for clips by frame: which columns may lose a sample, without looking at single frames.

The screens are fast and conservative: a sample within the narrowest bounds of any frame is within
the bounds of its own frame.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.bounds import around, center_of
from gpustack.backends.columns import Floats, Ranks, Uniform
from gpustack.backends.frame_clips import FrameClip
from gpustack.backends.noise import ccd_noise, poisson_noise
from gpustack.backends.statistics import std
from gpustack.clips import NoiseClip, RowSigmaClip, SigmaClip, VarianceClip
from gpustack.recipe import Recipe

#: Function that returns the least standard deviation of any sample of each column, from the
#: variances of the frames.
LeastNoise = Callable[[], Floats]
#: Function that returns the row of each column, an index of `RowSigmaClip.sigmas`.
RowOfEach = Callable[[], Ranks]

#: Bounds are narrower by this share of the unit, as a margin for rounding.
SLACK = 2.0**-40


def at_risk(
    clip: FrameClip, columns: Uniform, recipe: Recipe, least_noise: LeastNoise, row: RowOfEach
) -> NDArray[np.bool_]:
    """The columns from which `clip` may reject something."""
    if normalisation(recipe)[0].min() <= 0:
        return np.ones(columns.pixels, dtype=bool)
    center = center_of(clip, columns, first=True)
    if isinstance(clip, VarianceClip):
        unit = least_noise()
    elif isinstance(clip, RowSigmaClip):
        unit = clip.sigmas[row()] * _roots_of_level(center, recipe)[0]
    else:
        unit = _least_unit(clip, columns, center, recipe)
    found = around(clip, center, unit * (1 - SLACK))
    lowest, highest = columns.at(columns.lo), columns.at(columns.hi - 1)
    result: NDArray[np.bool_] = (lowest < found.lower) | (highest > found.upper)
    return result


def normalisation(recipe: Recipe) -> tuple[Floats, Floats]:
    """Scale and zero of every frame as clips see them, shape (n,); (1,) if there are none."""
    if not recipe.sees_normalized:
        return np.ones(1), np.zeros(1)
    scale: Any = recipe.scale or [1.0] * len(recipe.zero)  # type: ignore[arg-type]
    zero: Any = recipe.zero or [0.0] * len(scale)
    return np.array(scale, np.float64), np.array(zero, np.float64)


def _least_unit(
    clip: SigmaClip | NoiseClip, columns: Uniform, center: Floats, recipe: Recipe
) -> Floats:
    """A lower limit of the units of all samples of each column."""
    scale, zero = normalisation(recipe)
    least: Floats
    if isinstance(clip, NoiseClip):
        # The frame of the largest scale has the lowest level, unless the centre is below 0.
        least = np.where(center < 0, -np.inf, center / scale.max() + zero.min())
        least = ccd_noise(clip, least) * scale.min()
        return least
    spread = std(columns, clip.ddof, center if clip.about == "center" else None)
    lowest, highest = _roots_of_level(center, recipe)
    # Squares may overflow that do not in units of the noise; 0 is a lower limit of any unit.
    least = np.where(spread == np.inf, 0.0, spread) * (lowest / highest)
    return least


def _roots_of_level(center: Floats, recipe: Recipe) -> tuple[Floats, Floats]:
    """Lower and upper limits of the root of the level of all frames at the centre."""
    scale, zero = normalisation(recipe)
    shift = zero * scale
    least = poisson_noise(center + shift.min(), scale.min(), 0.0)
    return least, poisson_noise(center + shift.max(), scale.max(), 0.0)
