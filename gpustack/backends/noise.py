"""What noise a sample has by its level, in float64."""

import numpy as np

from gpustack.backends.columns import Floats
from gpustack.clips import NoiseClip, noise_numbers
from gpustack.combines import NoiseModel


def ccd_noise(of: NoiseClip | NoiseModel, level: Floats) -> Floats:
    """The standard deviation of what a CCD counts at this level; negative levels as 0."""
    rdnoise, gain, snoise = noise_numbers(of)
    signal = np.maximum(level, 0.0)
    with np.errstate(over="ignore"):
        read = np.square(np.float64(rdnoise) / gain)
        variance = read + signal / gain + (snoise * signal) ** 2
    noise: Floats = np.sqrt(variance)
    return noise


def normalised_noise(clip: NoiseClip, center: Floats, scale: Floats, zero: Floats) -> Floats:
    """The noise of a CCD, normalised with its frame, where the centre of the column is."""
    return np.abs(scale) * ccd_noise(clip, center / scale + zero)


def poisson_noise(center: Floats, scale: Floats | float, zero: Floats | float) -> Floats:
    """The root of the level of a normalised frame, in its own counts, where the centre is."""
    noise: Floats = np.sqrt(np.maximum(1.0, (center + zero * scale) * scale))
    return noise
