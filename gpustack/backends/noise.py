"""What noise a normalised sample has by its level, in float64."""

import numpy as np

from gpustack.backends.columns import Floats
from gpustack.clips import NoiseClip


def poisson_noise(center: Floats, scale: Floats | float, zero: Floats | float) -> Floats:
    """The root of the level of a normalised frame, in its own counts, where the centre is."""
    noise: Floats = np.sqrt(np.maximum(1.0, (center + zero * scale) * scale))
    return noise


def ccd_noise(
    clip: NoiseClip, center: Floats, scale: Floats | float, zero: Floats | float
) -> Floats:
    """The noise of a normalised sample where the centre is."""
    level = np.maximum(0.0, center / scale + zero)
    variance = (clip.rdnoise / clip.gain) ** 2 + level / clip.gain + (clip.snoise * level) ** 2
    noise: Floats = np.abs(scale) * np.sqrt(variance)
    return noise
