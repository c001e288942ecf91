"""The noise that more and more frames reach, against that of one over the root of their number."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpustack.combines import AVERAGES
from gpustack.errors import RecipeError
from gpustack.look import Kept
from gpustack.normalize.statistics import noise
from gpustack.recipe import Recipe
from gpustack.show.stacked import normalised, of_frames, stacked


@dataclass(frozen=True, slots=True)
class Reached:
    """The noise of stacks of the first frames.

    Parameters
    ----------
    counts : list of int
        How many frames.
    noise : list of float
        From pixel to pixel, in the unit of a mean of the frames.
    expected : list of float
        sigma / sqrt(n), of the noises and the weights of these frames.
    """

    counts: list[int]
    noise: list[float]
    expected: list[float]

    @property
    def ratio(self) -> float:
        """Of all frames, reached over expected."""
        return self.noise[-1] / self.expected[-1]


def frame_noise(kept: Kept, recipe: Recipe) -> NDArray[np.float64]:
    """The noise of each frame once it is normalised; NaN where it cannot be told."""
    found = []
    for f in range(len(kept.values)):
        values = normalised(kept, recipe, f)
        found.append(noise(values, np.isnan(values)))
    return np.array(found)


def reached(kept: Kept, recipe: Recipe, sigmas: NDArray[np.float64]) -> Reached | None:
    """Stack the first 1, 2, 4, ... frames, and all.

    None where the recipe has no such law (``"max"``, for one), or there is no noise.

    Parameters
    ----------
    kept : Kept
        Rows of neighbours.
    recipe : Recipe
    sigmas : ndarray
        What `frame_noise` gives.
    """
    if recipe.method not in (*AVERAGES, "sum"):
        return None
    usable = np.flatnonzero(sigmas > 0).tolist()
    with np.errstate(over="ignore"):
        points = [
            (k, *_point(kept, recipe, usable[:k], sigmas[usable[:k]])) for k in _counts(len(usable))
        ]
    good = [point for point in points if all(0 < number < math.inf for number in point)]
    if len(good) < 2 or good[-1][0] != len(usable):
        return None
    counts, found, expected = (list(column) for column in zip(*good, strict=True))
    return Reached(counts, found, expected)


def _counts(n: int) -> list[int]:
    powers = [2**k for k in range(n.bit_length()) if 2**k < n]
    return [*powers, n]


def _point(
    kept: Kept, recipe: Recipe, frames: Sequence[int], sigmas: NDArray[np.float64]
) -> tuple[float, float]:
    """The noise that is reached and that is expected; NaN where so few frames are too few."""
    try:
        of_frames(recipe, frames).check_frames(len(frames))
    except RecipeError:
        return math.nan, math.nan
    weights = _weights(kept, recipe, frames)
    total = float(weights.sum())
    if not total > 0:
        return math.nan, math.nan
    data = stacked(kept, recipe, frames).data.astype(np.float64)
    found = noise(data, np.isnan(data)) / (total if recipe.method == "sum" else 1.0)
    return found, float(np.sqrt(np.sum((weights * sigmas) ** 2))) / total


def _weights(kept: Kept, recipe: Recipe, frames: Sequence[int]) -> NDArray[np.float64]:
    """The weight of each frame; of its valid samples the mean, where each has one."""
    if isinstance(recipe.weights, tuple):
        return np.array([recipe.weights[f] for f in frames], np.float64)
    if kept.weight is None:
        return np.ones(len(frames))
    return np.array([kept.weight[f].mean(where=~kept.invalid[f]) for f in frames])
