"""The noise of a sample as a function of its level, in float64."""

import numpy as np

from gpustack.backends.columns import Floats
from gpustack.clips import NoiseClip, noise_numbers
from gpustack.combines import NoiseModel


def ccd_noise(of: NoiseClip | NoiseModel, level: Floats) -> Floats:
    """The standard deviation of the counts of a CCD at this level; negative levels count as 0."""
    rdnoise, gain, snoise = noise_numbers(of)
    signal = np.maximum(level, 0.0)
    with np.errstate(over="ignore"):
        read = np.square(np.float64(rdnoise) / gain)
        variance = read + signal / gain + (snoise * signal) ** 2
    noise: Floats = np.sqrt(variance)
    return noise


def normalised_noise(clip: NoiseClip, center: Floats, scale: Floats, zero: Floats) -> Floats:
    """The noise of a CCD at the centre of a column, in normalised units of a frame."""
    return np.abs(scale) * ccd_noise(clip, center / scale + zero)


def poisson_noise(center: Floats, scale: Floats | float, zero: Floats | float) -> Floats:
    """The Poisson noise at the centre of a column, in normalised units of a frame; 1 or more."""
    noise: Floats = np.sqrt(np.maximum(1.0, (center + zero * scale) * scale))
    return noise
