"""The noise of stacks of more and more frames, against the expected sigma / sqrt(n).

The number of frames may differ from pixel to pixel, as in a mosaic, and so does the expected
noise. Noise is therefore measured in units of what is expected of each pixel, and stated for the
median pixel.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import MAD_TO_STD
from gpustack.combines import AVERAGES
from gpustack.errors import RecipeError
from gpustack.kept_samples import CutSamples
from gpustack.normalize.statistics import median, noise
from gpustack.recipe import Recipe
from gpustack.show.stacked import normalised, of_frames, stacked


@dataclass(frozen=True, slots=True)
class NoiseCurve:
    """The noise of stacks of the first frames.

    Parameters
    ----------
    counts : list of int
        The number of frames of each stack.
    noise : list of float
        The noise from pixel to pixel, in the unit of a mean of the frames, for a pixel whose
        expected noise is `expected`.
    expected : list of float
        sigma / sqrt(n), from the noise and the weights of the frames that are valid at a pixel;
        the median over pixels.
    """

    counts: list[int]
    noise: list[float]
    expected: list[float]

    @property
    def ratio(self) -> float:
        """Reached over expected noise, for the stack of all frames."""
        return self.noise[-1] / self.expected[-1]


def frame_noise(kept: CutSamples, recipe: Recipe) -> NDArray[np.float64]:
    """Return the noise of each frame once it is normalised; NaN where it cannot be measured."""
    found = []
    for f in range(len(kept.values)):
        values = normalised(kept, recipe, f)
        found.append(noise(values, np.isnan(values)))
    return np.array(found)


def measure_noise_curve(
    kept: CutSamples, recipe: Recipe, sigmas: NDArray[np.float64]
) -> NoiseCurve | None:
    """Measure the noise of stacks of the first 1, 2, 4, ... frames, and of all frames.

    None if no such law holds for the recipe (such as ``"max"``), or if there is too little to
    measure: no noise, or too few frames.

    Parameters
    ----------
    kept : CutSamples
        Rows of neighbouring pixels.
    recipe : Recipe
    sigmas : ndarray
        What `frame_noise` returned.
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
    counts, measured, expected = (list(column) for column in zip(*good, strict=True))
    return NoiseCurve(counts, measured, expected)


def _counts(n: int) -> list[int]:
    powers = [2**k for k in range(n.bit_length()) if 2**k < n]
    return [*powers, n]


def _point(
    kept: CutSamples, recipe: Recipe, frames: Sequence[int], sigmas: NDArray[np.float64]
) -> tuple[float, float]:
    """Return reached and expected noise; NaN where there are too few frames for the recipe."""
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
    kept: CutSamples, recipe: Recipe, frames: Sequence[int], sigmas: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the expected noise of the weighted sum of each pixel, and the sum of its weights."""
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
    """Return the DER_SNR noise of an image, in units of the noise `law` expected of each pixel.

    Each difference of neighbours is divided by the noise expected of itself. Otherwise, where
    pixels differ in noise, the median of all differences would fit neither kind.
    """
    middle, left, right = np.s_[:, 2:-2], np.s_[:, :-4], np.s_[:, 4:]
    with np.errstate(divide="ignore", invalid="ignore"):  # where there is no value, or no noise
        off = 2 * data[middle] - data[left] - data[right]
        units = np.sqrt(4 * law[middle] ** 2 + law[left] ** 2 + law[right] ** 2)
        found = np.abs(off / units)
    found = found[np.isfinite(found)]
    return MAD_TO_STD * median(found) if len(found) else math.nan
