"""The frames that every library gets: a sky with noise and cosmic-ray hits, from a fixed seed."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData
from numpy.typing import NDArray

SKY, NOISE = 1000.0, 30.0  # adu: read noise is small beside such a sky
HITS = 0.002  # of all samples: a thick CCD in a long exposure
HIT_LEAST, HIT_MOST = 200.0, 20_000.0  # adu above the sky
SEED = 20_240_229


@dataclass(frozen=True, slots=True)
class Kind:
    """The kind of samples: their dtype, and the fraction of them that is NaN."""

    dtype: str = "float32"
    nan: float = 0.0

    def __str__(self) -> str:
        return f"{self.dtype}, {self.nan:.0%} NaN" if self.nan else self.dtype


class Data:
    """The frames of one benchmark in the forms that libraries accept.

    Parameters
    ----------
    cube : ndarray, shape (n, y, x), C-contiguous
        Made read-only.
    folder : path
        Where FITS files go.

    Attributes
    ----------
    ccds : list of CCDData
        Views of the cube.
    weights : ndarray of float64, shape (n,)
        All different.
    """

    def __init__(self, cube: NDArray[Any], folder: Path) -> None:
        self.cube = cube
        self.cube.flags.writeable = False
        self.folder = folder
        self.ccds = [CCDData(frame, unit="adu") for frame in cube]
        self.weights = frame_weights(len(cube))

    @cached_property
    def files(self) -> list[str]:
        """One FITS file a frame, just written and so read from the system's cache."""
        self.folder.mkdir(parents=True, exist_ok=True)
        header = fits.Header({"BUNIT": "adu", "EXPTIME": 60.0})
        paths = [str(self.folder / f"frame{i:03d}.fits") for i in range(len(self.cube))]
        for path, frame in zip(paths, self.cube, strict=True):
            fits.writeto(path, frame, header, overwrite=True)
        return paths

    @cached_property
    def variances(self) -> NDArray[Any]:
        """The variance of each sample, of the same shape as the cube."""
        return sample_variance(self.cube)

    def top(self, rows: int) -> Self:
        """The first rows of all frames, copied to frames of their own."""
        return type(self)(self.cube[:, :rows].copy(), self.folder / "top")


def frame_weights(frames: int) -> NDArray[np.float64]:
    """A weight for each frame."""
    return np.linspace(0.5, 1.5, frames)


def frame_scales(frames: int) -> NDArray[np.float32]:
    """A scale for each frame, near 1."""
    return np.linspace(0.99, 1.01, frames, dtype=np.float32)


def sample_variance(samples: NDArray[Any]) -> NDArray[Any]:
    """The variance of each sample as a pipeline would estimate it for a CCD."""
    return np.maximum(samples, 0) / samples.dtype.type(1.25) + samples.dtype.type(100)


def simulate(kind: Kind, frames: int, rows: int, width: int, folder: Path) -> Data:
    """The frames of a kind, from a fixed seed."""
    cube = np.empty((frames, rows, width), kind.dtype)
    for i, out in enumerate(cube):
        out[...] = simulated(kind, i, rows, width)
    return Data(cube, folder)


def simulated(kind: Kind, number: int, rows: int, width: int) -> NDArray[Any]:
    """Frame `number` of a kind, shape (rows, width)."""
    rng, pixels = np.random.default_rng([SEED, number]), rows * width
    real = np.float64 if kind.dtype == "float64" else np.float32
    values = rng.standard_normal(pixels, dtype=real)
    values *= NOISE
    values += SKY
    hit = rng.integers(0, pixels, rng.binomial(pixels, HITS))
    values[hit] += rng.uniform(HIT_LEAST, HIT_MOST, hit.size)
    if kind.nan:
        values[rng.integers(0, pixels, rng.binomial(pixels, kind.nan))] = np.nan
    whole = values if np.dtype(kind.dtype).kind == "f" else np.rint(values)
    return whole.astype(kind.dtype, copy=False).reshape(rows, width)
