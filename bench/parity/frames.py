"""The frames that are compared: small, with difficult columns, the same bits on every machine.

Random numbers are integers from a counter and a hash (SplitMix64), so that no sample depends on the
version of numpy or on the processor.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

SKY, NOISE = 1000.0, 30.0
#: Shares of the samples that are hit by a cosmic ray, or dark; large, so that even a small image
#: has columns with one, two and three outliers.
HITS, DARK = 0.06, 0.02
HIT_LEAST, HIT_MOST = 60.0, 3000.0
GAPS = 0.08
SHAPE, SHAPES = (10, 32, 36), {"six": (6, 24, 30)}
STEP = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Frames of one field.

    Parameters
    ----------
    cube : ndarray, shape (n, y, x)
    masks : ndarray of bool, same shape, or None
        True = invalid.
    exposures : tuple of float
        Seconds, one per frame.
    """

    cube: NDArray[Any]
    masks: NDArray[np.bool_] | None
    exposures: tuple[float, ...]

    @property
    def checksum(self) -> str:
        """The SHA-256 of samples, in little-endian order, and masks."""
        digest = hashlib.sha256(self.cube.astype(self.cube.dtype.newbyteorder("<")).tobytes())
        if self.masks is not None:
            digest.update(np.packbits(self.masks).tobytes())
        return digest.hexdigest()

    def write(self, folder: Path, factor: float = 1.0, name: str = "f_{:05d}.fit") -> list[Path]:
        """Write one FITS file a frame, numbered from 1; BPM in its header names its mask, if any.

        Samples of float32 are multiplied by `factor`; a power of two loses no bit.
        """
        paths = []
        for i, frame in enumerate(self.cube):
            path = folder / name.format(i + 1)
            header = fits.Header({"EXPTIME": self.exposures[i]})
            if self.masks is not None:
                mask = f"m_{i + 1:05d}.fits"
                fits.writeto(folder / mask, self.masks[i].astype(np.int16), overwrite=True)
                header["BPM"] = mask
            data = frame if factor == 1 else frame * frame.dtype.type(factor)
            fits.writeto(path, data, header, overwrite=True)
            paths.append(path)
        return paths


def hashed(seed: int, size: int) -> NDArray[np.uint64]:
    """`size` random 64-bit integers, by SplitMix64 (Steele, Lea and Flood, 2014)."""
    with np.errstate(over="ignore"):
        z = (np.arange(1, size + 1, dtype=np.uint64) + np.uint64(seed << 32)) * STEP
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniform(seed: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Uniform random numbers in [0, 1)."""
    return ((hashed(seed, int(np.prod(shape))) >> np.uint64(11)) * 2.0**-53).reshape(shape)


def noise(seed: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Nearly normal random numbers of variance 1: sums of twelve uniform ones, in integers."""
    parts = (hashed(seed, 12 * int(np.prod(shape))) >> np.uint64(40)).astype(np.int64)
    return (parts.reshape(12, *shape).sum(axis=0) - 6 * 2**24) * 2.0**-24


def _sky(seed: int, n: int, rows: int, width: int) -> NDArray[np.float64]:
    """A sky with a gradient, noise, cosmic rays and dark samples; all well above 0."""
    shape = (n, rows, width)
    y, x = np.mgrid[:rows, :width]
    cube = SKY + 2.0 * x + y + NOISE * noise(seed, shape)
    lot, size = uniform(seed + 1, shape), uniform(seed + 2, shape)
    cube += np.where(lot < HITS, HIT_LEAST + (HIT_MOST - HIT_LEAST) * size * size * size, 0.0)
    return cube - np.where(lot > 1 - DARK, 100.0 + 500.0 * size, 0.0)


def _masks(seed: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Masks with a share of invalid samples that grows from 0 at the left to 1 at the right."""
    share = np.linspace(0, 1.02, shape[2])
    return uniform(seed, shape) < share


def _mild() -> NDArray[np.float64]:
    """A sky with two high outliers in every column, and a third sample that may be one."""
    shape = (15, 16, 24)
    cube, size = SKY + NOISE * noise(400, shape), uniform(401, shape)
    place = np.argsort(np.argsort(uniform(402, shape), axis=0), axis=0)
    return cube + np.where(place < 2, 600 + 2000 * size, np.where(place == 2, 250 * size, 0.0))


@cache
def frames(name: str) -> Frames:
    """The frames of this name, one of `NAMES`."""
    cube = _mild() if name == "mild" else _sky(100, *SHAPES.get(name, SHAPE))
    n = len(cube)
    number = np.arange(n)[:, None, None]
    if name == "levels":
        cube = cube * (1 + 0.04 * number * (-1) ** number) + 7.0 * number
    if name == "gaps":
        cube[uniform(300, cube.shape) < GAPS] = 0
    whole = name in ("whole", "mild")
    samples = np.rint(cube).astype(np.uint16) if whole else cube.astype(np.float32)
    samples.flags.writeable = False
    masks = _masks(200, samples.shape) if name == "masked" else None
    return Frames(samples, masks, tuple(30.0 + 2.0 * i for i in range(n)))


#: 10 frames of float32; the same as uint16, with many ties; 6 frames; 10 of different levels;
#: 10 of which samples are masked; 10 of which samples are 0; 15 of uint16 with few outliers.
NAMES = ("even", "whole", "six", "levels", "masked", "gaps", "mild")
