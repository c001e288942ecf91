"""The noise that more and more frames reach, against that of one over the root of their number.

How many frames a pixel has may differ from pixel to pixel, as in a mosaic, so what is expected
does too: noise is measured in units of that, and told for a pixel in the middle of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import MAD_TO_STD
from gpustack.combines import AVERAGES
from gpustack.errors import RecipeError
from gpustack.kept_samples import Kept
from gpustack.normalize.statistics import median, noise
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
        From pixel to pixel, in the unit of a mean of the frames, of a pixel of which `expected`
        is expected.
    expected : list of float
        sigma / sqrt(n), of the noises and the weights of these frames where they are valid: the
        median over pixels.
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
    of_sum, total = _law(kept, recipe, frames, sigmas)
    with np.errstate(divide="ignore", invalid="ignore"):  # where no frame is valid or counts
        of_mean = of_sum / total
    there = of_mean[np.isfinite(of_mean)]
    if not len(there):
        return math.nan, math.nan
    data = stacked(kept, recipe, frames).data.astype(np.float64)
    expected = float(np.median(there))
    return expected * _in_units(data, of_sum if recipe.method == "sum" else of_mean), expected


def _law(
    kept: Kept, recipe: Recipe, frames: Sequence[int], sigmas: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The noise expected of a weighted sum of the valid samples of each pixel; their weights."""
    variance, total = np.zeros((2, *kept.values.shape[1:]))
    for f, sigma in zip(frames, sigmas, strict=True):
        if isinstance(recipe.weights, tuple):
            given: float | NDArray[np.float64] = recipe.weights[f]
        else:
            given = 1.0 if kept.weight is None else kept.weight[f]
        weight = np.where(kept.invalid[f], 0.0, given)
        variance += (weight * sigma) ** 2
        total += weight
    return np.sqrt(variance), total


def _in_units(data: NDArray[np.float64], law: NDArray[np.float64]) -> float:
    """The noise of an image as DER_SNR has it, in units of what is expected of each pixel.

    Each difference of neighbours is in units of its own: where pixels differ in noise, the median
    of all would be that of neither kind.
    """
    middle, left, right = np.s_[:, 2:-2], np.s_[:, :-4], np.s_[:, 4:]
    with np.errstate(divide="ignore", invalid="ignore"):  # where there is no value, or no noise
        off = 2 * data[middle] - data[left] - data[right]
        units = np.sqrt(4 * law[middle] ** 2 + law[left] ** 2 + law[right] ** 2)
        found = np.abs(off / units)
    found = found[np.isfinite(found)]
    return MAD_TO_STD * median(found) if len(found) else math.nan
