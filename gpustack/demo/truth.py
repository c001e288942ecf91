"""The truth about every sample of the stacked frames, and what is measured against it.

Only pixels that all frames cover are used, so that each has the same number of samples.
Charges are in electrons.
"""

from dataclasses import dataclass

import numpy as np
from astropy.stats import mad_std
from numpy.typing import NDArray

from gpustack.demo import simulate
from gpustack.demo.simulate import CLEAN, COSMIC, FAINT, HOT, TRAIL, Field

STAR_FREE = 0.02  # of the sky: starlight that changes the noise by less than 1 %
STAR_FLUX = 5000.0  # electrons: signal to noise of 30 in one frame
STAR_BOX = 6  # pixels to each side of a star: two FWHM


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The truth about every sample of a stack, in the area that all frames cover.

    Parameters
    ----------
    signal, sigma : ndarray of float64, shape (y, x)
        Expected electrons of sky and stars, and the noise of one sample.
    kinds : ndarray of uint8, shape (n, y, x)
        What was added to each sample: see `gpustack.demo.simulate`.
    stars : ndarray, shape (m, 3)
        x, y and flux of the bright stars whose box lies inside.
    """

    signal: NDArray[np.float64]
    sigma: NDArray[np.float64]
    kinds: NDArray[np.uint8]
    stars: NDArray[np.float64]

    @property
    def injected(self) -> NDArray[np.bool_]:
        """Samples that a clip should reject."""
        return (self.kinds >= COSMIC) & (self.kinds <= HOT)

    @property
    def clear(self) -> NDArray[np.bool_]:
        """Pixels, shape (y, x), without a faint charge, which a clip may find or miss."""
        return ~np.asarray(np.any(self.kinds == FAINT, axis=0), dtype=np.bool_)

    @property
    def background(self) -> NDArray[np.bool_]:
        """Clear pixels, shape (y, x), without starlight."""
        return self.clear & (self.signal - simulate.SKY < STAR_FREE * simulate.SKY)

    @property
    def mean_sigma(self) -> NDArray[np.float64]:
        """Noise, shape (y, x), of the mean of all samples that are not injected."""
        left = np.maximum(len(self.kinds) - self.injected.sum(axis=0), 1)
        return np.asarray(self.sigma / np.sqrt(left))


def shared_area(field: Field) -> tuple[slice, slice]:
    """Rows and columns that every dithered exposure covers."""
    inside = slice(field.reach, field.size - field.reach)
    return inside, inside


def make_truth(field: Field, kinds: NDArray[np.uint8]) -> Truth:
    """The truth in the shared area.

    Parameters
    ----------
    field : Field
    kinds : ndarray of uint8, shape (n, size, size)
        On the grid.
    """
    area = shared_area(field)
    signal = field.expected(0)[area]
    sigma = np.sqrt(signal + simulate.READ_NOISE**2 + simulate.ROUNDING)
    stars = field.stars - [field.reach, field.reach, 0.0]
    edge = len(signal) - 1 - STAR_BOX
    inside = np.all((stars[:, :2] >= STAR_BOX) & (stars[:, :2] <= edge), axis=1)
    return Truth(signal, sigma, kinds[:, *area], stars[inside & (stars[:, 2] > STAR_FLUX)])


def noise_of(image: NDArray[np.floating], truth: Truth) -> tuple[float, float]:
    """Robust and root-mean-square noise of the background, in electrons.

    The first is what the noise would be without the few wild pixels (1.4826 MAD), the
    second counts them in. NaN where the image has a NaN.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        One frame or a stack, in the shared area.
    truth : Truth
    """
    rest = (image - truth.signal)[truth.background]
    return float(mad_std(rest)), float(np.sqrt(np.mean(rest**2)))


def tally(truth: Truth, marks: NDArray[np.bool_]) -> dict[str, tuple[int, int]]:
    """Return, by kind of sample, how many there are and how many of them were rejected.

    Parameters
    ----------
    truth : Truth
    marks : ndarray of bool, shape (n, y, x)
        True = rejected, in the shared area.
    """
    names = {"cosmic rays": COSMIC, "satellite trails": TRAIL, "hot pixels": HOT, "clean": CLEAN}
    chosen = {name: truth.kinds == kind for name, kind in names.items()}
    return {
        name: (int(where.sum()), int(np.count_nonzero(marks & where)))
        for name, where in chosen.items()
    }
