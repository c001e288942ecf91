"""Simulated exposures of one star field, with the truth known sample by sample.

Charges are in electrons, images are (y, x), the grid is that of the first exposure.
Exposures are dithered by whole pixels, so that bringing them onto the grid moves
samples and never mixes them: what is known about their noise stays true.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.random import Generator
from numpy.typing import NDArray

OBJECT = "simulated field"  # in all headers; with the seed it tells the demo's files from others
EXPTIME = 120.0  # s
SKY = 400.0  # electrons a pixel: a dark site, broad band, a 1 m telescope
READ_NOISE = 6.0  # electrons, a usual CCD
SATURATION = 65535.0  # electrons, the end of 16 bits
ROUNDING = 1.0 / 12.0  # variance of rounding to whole electrons

FWHM = 3.2  # pixels: well sampled, ordinary seeing
MOFFAT_BETA = 3.0
STAR_DENSITY = 2e-3  # stars a pixel, about 2000 in 1024 x 1024
FAINTEST, BRIGHTEST = 200.0, 3e5  # electrons; the brightest peaks at a third of SATURATION
COUNT_SLOPE = 1.0  # N(> flux) ~ flux**-COUNT_SLOPE, a field off the Galactic plane
STAR_EDGE = 0.02  # electrons: a star ends where its profile is fainter than this

COSMIC_DENSITY = 2e-4  # hits a pixel and exposure, a thick CCD in a long exposure
HOT_DENSITY = 1e-4  # pixels
TRAIL_PEAK = 25.0  # sky sigmas: a bright satellite
TRAIL_WIDTH = 1.6  # pixels, Gaussian sigma: seeing and a little defocus

SKY_NOISE = float(np.sqrt(SKY + READ_NOISE**2 + ROUNDING))  # electrons, one sample

#: What was added to a sample beyond sky and stars. A charge above `INJECTED` sigmas of
#: the sample's own noise counts as injected. A FAINT sample has less: it is neither clean,
#: nor does a clip have to find it.
CLEAN, COSMIC, TRAIL, HOT, FAINT, OUTSIDE = range(6)
INJECTED = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """The truth that all exposures share.

    Parameters
    ----------
    size : int
        Pixels on a side of an exposure.
    offsets : ndarray of int, shape (n, 2)
        Dither (dy, dx): pixel (y, x) of exposure i sees (y + dy, x + dx) of the grid.
    stars : ndarray, shape (m, 3)
        x, y on the grid (0 = centre of the first pixel) and flux in electrons.
    scene : ndarray of float64, shape (size + 2 reach, size + 2 reach)
        Electrons of all stars, on the grid widened by `reach` on each side.
    hot : ndarray of float64, shape (size, size)
        Extra electrons of hot pixels, which stay with the detector.
    seed : int
        The seed of all random numbers.
    """

    size: int
    offsets: NDArray[np.int64]
    stars: NDArray[np.float64]
    scene: NDArray[np.float64]
    hot: NDArray[np.float64]
    seed: int

    @property
    def reach(self) -> int:
        """The widest dither in pixels."""
        return (len(self.scene) - self.size) // 2

    @property
    def crossed(self) -> tuple[int, int]:
        """The exposures that a satellite crosses."""
        return len(self.offsets) // 3, 2 * len(self.offsets) // 3

    def expected(self, index: int) -> NDArray[np.float64]:
        """Electrons of sky and stars expected in exposure `index`."""
        top, left = self.offsets[index] + self.reach
        window = self.scene[top : top + self.size, left : left + self.size]
        return SKY + window

    def wcs(self, index: int) -> WCS:
        """The TAN projection of exposure `index`."""
        dy, dx = self.offsets[index]
        angle, step = np.deg2rad(7.0), 0.4 / 3600.0
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval = [132.85, 11.81]
        wcs.wcs.crpix = [(self.size + 1) / 2 - dx, (self.size + 1) / 2 - dy]
        wcs.wcs.cd = step * np.array(
            [[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        )
        wcs.wcs.radesys = "ICRS"
        return wcs

    def on_grid(self, image: NDArray[Any], index: int, fill: float) -> NDArray[Any]:
        """An image of exposure `index` moved onto the grid, `fill` where it does not reach."""
        dy, dx = (int(step) for step in self.offsets[index])
        moved = np.full_like(image, fill)
        stop_y, stop_x = self.size - abs(dy), self.size - abs(dx)
        to_y, to_x = max(dy, 0), max(dx, 0)
        from_y, from_x = max(-dy, 0), max(-dx, 0)
        moved[to_y : to_y + stop_y, to_x : to_x + stop_x] = image[
            from_y : from_y + stop_y, from_x : from_x + stop_x
        ]
        return moved


@dataclass(frozen=True, slots=True, eq=False)
class Exposure:
    """One simulated exposure, as the camera writes it, and what was added to it.

    Parameters
    ----------
    data : ndarray of uint16, shape (size, size)
        Electrons.
    header : fits.Header
        WCS, unit, exposure time.
    kinds : ndarray of uint8, shape (size, size)
        `CLEAN`, `COSMIC`, `TRAIL`, `HOT` or `FAINT`.
    """

    data: NDArray[np.uint16]
    header: fits.Header
    kinds: NDArray[np.uint8]


def make_field(frames: int, size: int, seed: int) -> Field:
    """Draw dithers, stars and hot pixels.

    Parameters
    ----------
    frames : int
        How many exposures there will be.
    size : int
        Pixels on a side.
    seed : int
        The same seed gives the same field, byte for byte.
    """
    rng = np.random.default_rng([seed, 0])
    # Wide enough that no two exposures share a dither: a hot pixel then never falls
    # twice on one pixel of the sky.
    reach = max(4, size // 64, int(np.ceil(np.sqrt(frames) / 2)))
    offsets = _dithers(rng, frames, reach)
    stars = _stars(rng, size, reach)
    hot = np.zeros((size, size))
    chosen = rng.choice(size * size, max(4, round(HOT_DENSITY * size * size)), replace=False)
    hot.flat[chosen] = rng.lognormal(np.log(3000.0), 0.8, len(chosen))
    return Field(size, offsets, stars, _scene(stars, size, reach), hot, seed)


def _dithers(rng: Generator, frames: int, reach: int) -> NDArray[np.int64]:
    side = np.arange(-reach, reach + 1)
    steps = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    others = rng.permutation(steps[np.any(steps != 0, axis=1)])[: frames - 1]
    return np.concatenate([np.zeros((1, 2), dtype=others.dtype), others])


def _stars(rng: Generator, size: int, reach: int) -> NDArray[np.float64]:
    count = max(10, round(STAR_DENSITY * (size + 2 * reach) ** 2))
    x, y = rng.uniform(-reach - 0.5, size + reach - 0.5, (2, count))
    rank = rng.uniform((FAINTEST / BRIGHTEST) ** COUNT_SLOPE, 1.0, count)
    flux = FAINTEST * rank ** (-1.0 / COUNT_SLOPE)
    # However small the field, it has one bright star, and not at its edge.
    x[0], y[0], flux[0] = 0.52 * size, 0.47 * size, BRIGHTEST / 10.0
    return np.stack([x, y, flux], axis=1)


def _scene(stars: NDArray[np.float64], size: int, reach: int) -> NDArray[np.float64]:
    """Moffat profiles, sampled at pixel centres and normalised to their flux."""
    side = size + 2 * reach
    scene = np.zeros((side, side))
    alpha = FWHM / (2.0 * np.sqrt(2.0 ** (1.0 / MOFFAT_BETA) - 1.0))
    unit_peak = (MOFFAT_BETA - 1.0) / (np.pi * alpha**2)
    for x, y, flux in stars:
        peak = flux * unit_peak
        radius = alpha * np.sqrt((peak / STAR_EDGE) ** (1.0 / MOFFAT_BETA) - 1.0)
        rows = _span(y + reach, radius, side)
        columns = _span(x + reach, radius, side)
        squared = (rows[:, None] - y - reach) ** 2 + (columns - x - reach) ** 2
        profile = peak * (1.0 + squared / alpha**2) ** -MOFFAT_BETA
        scene[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += profile
    return scene


def _span(center: float, radius: float, side: int) -> NDArray[np.int64]:
    start, stop = max(int(center - radius), 0), min(int(center + radius) + 2, side)
    return np.arange(start, stop)


def exposures(field: Field) -> Iterator[Exposure]:
    """Yield every exposure of `field`.

    Photons and hits are drawn as Poisson numbers, the read-out adds Gaussian noise and
    rounds; two of the exposures are crossed by a satellite.
    """
    for index in range(len(field.offsets)):
        rng = np.random.default_rng([field.seed, 1 + index])
        expected = field.expected(index)
        crossed = index in field.crossed
        added = {
            HOT: field.hot,
            TRAIL: _trail(rng, field.size) if crossed else np.zeros_like(expected),
            COSMIC: _cosmic_rays(rng, field.size),
        }
        charge = sum(added.values(), np.zeros_like(expected))
        counts = rng.poisson(expected + charge) + rng.normal(0.0, READ_NOISE, expected.shape)
        data = np.clip(np.rint(counts), 0.0, SATURATION).astype(np.uint16)
        yield Exposure(data, _header(field, index), _kinds(expected, added, charge))


def _kinds(
    expected: NDArray[np.float64],
    added: dict[int, NDArray[np.float64]],
    charge: NDArray[np.float64],
) -> NDArray[np.uint8]:
    kinds = np.where(charge > 0.0, FAINT, CLEAN).astype(np.uint8)
    threshold = INJECTED * np.sqrt(expected + READ_NOISE**2 + ROUNDING)
    for kind, part in added.items():
        kinds[part > threshold] = kind
    return kinds


def _trail(rng: Generator, size: int) -> NDArray[np.float64]:
    """A straight line through the middle half, cut off where it falls below rounding."""
    angle = rng.uniform(0.0, np.pi)
    x, y = rng.uniform(0.25 * size, 0.75 * size, 2)
    rows, columns = np.ogrid[:size, :size]
    distance = (columns - x) * np.sin(angle) - (rows - y) * np.cos(angle)
    profile = TRAIL_PEAK * SKY_NOISE * np.exp(-0.5 * (distance / TRAIL_WIDTH) ** 2)
    return np.where(profile > 0.5, profile, 0.0)


def _cosmic_rays(rng: Generator, size: int) -> NDArray[np.float64]:
    """Points and short straight tracks of a few to some twenty pixels."""
    charge = np.zeros((size, size))
    for _ in range(max(2, rng.poisson(COSMIC_DENSITY * size * size))):
        angle, length = rng.uniform(0.0, 2.0 * np.pi), rng.exponential(4.0)
        steps = np.arange(0.0, length + 0.5, 0.5)
        x = np.rint(rng.uniform(0, size) + steps * np.cos(angle)).astype(int)
        y = np.rint(rng.uniform(0, size) + steps * np.sin(angle)).astype(int)
        inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
        charge[y[inside], x[inside]] += rng.lognormal(np.log(1500.0), 1.0)
    return charge


def _header(field: Field, index: int) -> fits.Header:
    header = field.wcs(index).to_header()
    header["OBJECT"] = (OBJECT, "stars whose truth is known")
    header["BUNIT"] = ("electron", "unit of the samples")
    header["EXPTIME"] = (EXPTIME, "[s] exposure time")
    header["RDNOISE"] = (READ_NOISE, "[electron] read noise")
    header["SEED"] = (field.seed, "of the random numbers")
    return header
