"""What ways to align do to noise and stars: ``python -m bench.aligned --json PATH``.

Exposures are simulated, with random shifts of up to 4 pixels. Frames of noise show how well the
uncertainties of the result predict the noise of a sum over a star's aperture. Frames of stars show
how much wider stars become, and how clips and medians change their flux. Nothing is timed.
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.optimize import curve_fit
from scipy.special import erf

from bench import machine
from bench.markdown import markdown
from gpustack import stack
from gpustack.errors import GpustackWarning

FRAMES, SIZE = 16, 360
#: Fields of noise to average over: the sums in one field give their scatter to 2%.
SEEDS = 10
#: Pixels between the centres of apertures of noise, which do not overlap.
BESIDE = 9
SIGMA, SKY = 10.0, 1000.0
#: Least and largest standard deviation of stars, in pixels: constant, and changed by seeing.
STEADY, SEEING = (1.15, 1.15), (1.0, 1.8)
#: Flux of a star, pixels between stars, and the radius in which their light is added up.
FLUX, APART, RADIUS = 20_000.0, 30, 7.5
#: Radius of an aperture for a star, in which noise is added up.
APERTURE = 4.0

#: Ways to align, as written after ``--align``.
ALIGNS = (
    "offsets",
    "wcs",
    "wcs:order=bicubic",
    "wcs:method=adaptive",
)
#: Ways to combine the stars.
WAYS: dict[str, dict[str, Any]] = {
    "mean": {},
    "clipped": {"clips": "sigma:low=4,high=4,spread=mad_std"},
    "median": {"combine": "median"},
}


def dithers(seed: int) -> NDArray[np.float64]:
    """Random offsets of the frames, (y, x), up to 4 pixels; the first is 0."""
    found = np.random.default_rng(seed).uniform(-4, 4, (FRAMES, 2))
    found[0] = 0
    return found


def frame(image: NDArray[Any], dither: NDArray[np.float64]) -> CCDData:
    """An exposure with celestial coordinates and the standard deviation of its samples."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval, wcs.wcs.cdelt = (150.0, 2.0), (-1e-4, 1e-4)
    wcs.wcs.crpix = SIZE / 2 + dither[::-1]
    spread = StdDevUncertainty(np.full(image.shape, SIGMA))
    return CCDData(image.astype(np.float32), unit="adu", wcs=wcs, uncertainty=spread)


def combined(frames: Sequence[CCDData], align: str, **how: Any) -> Any:
    """The result on the pixels of the first frame."""
    extent = ",extent=reference" if align == "offsets" else ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GpustackWarning)
        return stack(frames, align=align + (extent and f":{extent[1:]}"), **how)


def apertures(image: NDArray[Any], radius: float, apart: int) -> NDArray[np.float64]:
    """Sums within `radius` around positions `apart` pixels apart, away from the edges."""
    y, x = np.mgrid[-8:9, -8:9]
    inside = y * y + x * x <= radius**2
    middles = range(APART, SIZE - APART + 1, apart)
    return np.array(
        [image[j - 8 : j + 9, i - 8 : i + 9][inside].sum() for j in middles for i in middles]
    )


def judge_noise(align: str) -> dict[str, float]:
    """The noise of sums in apertures as uncertainties predict it, over its true value.

    And the noise of a pixel, over that without resampling. Both are means over `SEEDS` fields.
    """
    found = [_noise_of(align, seed) for seed in range(SEEDS)]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def _noise_of(align: str, seed: int) -> dict[str, float]:
    rng, found = np.random.default_rng([seed, 1]), {}
    frames = [frame(rng.normal(SKY, SIGMA, (SIZE, SIZE)), dither) for dither in dithers(seed)]
    for kind in ("std", "propagated"):
        result = combined(frames, align, uncertainty=kind)
        said = np.sqrt(apertures(result.uncertainty.astype(float) ** 2, APERTURE, BESIDE))
        true = np.std(apertures(result.data.astype(float), APERTURE, BESIDE))
        found[f"{kind} / true noise"] = float(np.mean(said) / true)
    smooth = np.std(result.data.astype(float)[APART:-APART, APART:-APART])
    return found | {"noise of a pixel": float(smooth * np.sqrt(FRAMES) / SIGMA)}


def stars(dither: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """An image of round stars `APART` pixels apart, without noise."""
    middles = np.arange(APART, SIZE - APART + 1, APART)
    edges = np.arange(SIZE + 1) - 0.5

    def along(shift: float) -> NDArray[np.float64]:
        steps = erf((edges[:, None] - middles - shift) / (sigma * np.sqrt(2)))
        return np.diff(steps, axis=0).sum(axis=1) / 2  # type: ignore[no-any-return]

    return SKY + FLUX * np.outer(along(dither[0]), along(dither[1]))


def judge_stars(align: str) -> dict[str, float]:
    """Width and peak of stars in constant seeing, and flux by all ways to combine, over the truth.

    The flux is measured in constant and in changing seeing.
    """
    found = {}
    for seeing, (least, most) in {"flux": STEADY, "in seeing": SEEING}.items():
        sigmas = np.random.default_rng(2).uniform(least, most, FRAMES)
        rng = np.random.default_rng(3)
        frames = [
            frame(stars(dither, sigma) + rng.normal(0, SIGMA, (SIZE, SIZE)), dither)
            for dither, sigma in zip(dithers(1), sigmas, strict=True)
        ]
        for way, how in WAYS.items():
            image = combined(frames, align, **how).data.astype(float) - SKY
            if (seeing, way) == ("flux", "mean"):
                found |= profile(image, least)
            found[f"{seeing}, {way}"] = float(np.mean(apertures(image, RADIUS, APART)) / FLUX)
    return found


def profile(image: NDArray[np.float64], sigma: float) -> dict[str, float]:
    """Standard deviation and peak of the mean star of a result, over the true ones."""
    middles = range(APART, SIZE - APART + 1, APART)
    star = np.mean([image[j - 8 : j + 9, i - 8 : i + 9] for j in middles for i in middles], axis=0)
    y, x = np.mgrid[-8:9, -8:9]

    def gauss(_: Any, height: float, width: float) -> NDArray[np.float64]:
        return height * np.exp(-(x * x + y * y) / (2 * width * width)).ravel()

    true = stars(np.zeros(2), sigma) - SKY
    best = [
        curve_fit(gauss, 0, one.ravel(), (one.max(), sigma))[0]
        for one in (star, true[APART - 8 : APART + 9, APART - 8 : APART + 9])
    ]
    height, width = np.array(best[0]) / best[1]
    return {"width": float(width), "peak": float(height)}


def aligned_table(results: dict[str, Any], part: str) -> str:
    """A table with a row for each way to align."""
    rows = results[part]
    heads, digits = list(next(iter(rows.values()))), 2 if part == "noise" else 3
    body = [
        (f"`{align}`", *(f"{row[head]:.{digits}f}" for head in heads))
        for align, row in rows.items()
    ]
    return markdown(("`--align`", *heads), body)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser("bench.aligned", description=__doc__.partition("\n")[0])
    machine.add_json(parser)
    options = parser.parse_args(arguments)
    noise = {align: judge_noise(align) for align in ALIGNS}
    light = {align: judge_stars(align) for align in ALIGNS}
    settings = {"frames": FRAMES, "size": SIZE}
    results = machine.record("aligned", settings, machine.load(), noise=noise, stars=light)
    machine.write(options.json, results)
    print("\n\n".join(aligned_table(results, part) for part in ("noise", "stars")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
