"""Residuals: how far samples lie from the mean of their pixel's survivors, in units of noise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import MAD_TO_STD
from gpustack.kept_samples import CutSamples
from gpustack.recipe import Recipe
from gpustack.show.stacked import normalised, stacked, survivors_mean

#: Edges of the bins, in units of the noise; samples beyond them count in the outermost bins.
FAR, STEP = 10.0, 0.25
EDGES = np.arange(-FAR, FAR + STEP / 2, STEP)

#: The noise of a frame is measured in groups of pixels of about the same level: the fewest pixels
#: of a group, unless it is the only one, and the most groups.
AT_ONE_LEVEL, LEVELS = 2000, 32


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """A histogram of normalised residuals.

    Parameters
    ----------
    kept, rejected : ndarray of int64, shape (bins,)
        How many samples survived, and were rejected.
    """

    kept: NDArray[np.int64]
    rejected: NDArray[np.int64]

    @property
    def normal(self) -> NDArray[np.float64]:
        """How many samples would fall into each bin if their noise were normal."""
        middle = (EDGES[:-1] + EDGES[1:]) / 2
        total = float(self.kept.sum() + self.rejected.sum())
        curve: NDArray[np.float64] = np.exp(-(middle**2) / 2) * (total * STEP / np.sqrt(2 * np.pi))
        return curve

    def beyond(self, sigmas: float) -> tuple[float, float]:
        """The shares of all samples that lie beyond `sigmas` and survived, or were rejected."""
        out = (EDGES[1:] <= -sigmas) | (EDGES[:-1] >= sigmas)
        total = max(int(self.kept.sum() + self.rejected.sum()), 1)
        return float(self.kept[out].sum()) / total, float(self.rejected[out].sum()) / total


def residuals(kept: CutSamples, recipe: Recipe) -> Residuals | None:
    """Return the residuals of all samples of a cut, rejected ones too; None if there is no noise.

    ``z = (x - m) / s``: m is the mean of the survivors of the pixel, s 1.4826 times the median of
    ``|x - m|`` of the same frame over pixels of about the same m. This allows for frames with more
    noise, and for the photon noise of bright pixels. The residuals then show whether the noise is
    normal beyond its middle half.

    The mean of few survivors lies near each of them, and a single survivor is its own mean. So
    pixels with fewer than two survivors are left out, and the residuals of all others are rescaled
    as if m were the mean of many samples.
    """
    out = stacked(kept, survivors_mean(recipe))
    count = out.count.ravel()
    middle = np.where(count < 2, np.nan, out.data.ravel().astype(np.float64))
    few = 1 / np.maximum(count, 2)
    levels = _levels(middle)
    made = Residuals(*np.zeros((2, len(EDGES) - 1), np.int64))
    for f, of_frame in enumerate(out.rejected):
        rejected = of_frame.ravel()
        # A survivor is part of m, a rejected sample is not.
        widened = np.sqrt(np.where(rejected, 1 + few, 1 - few))
        off = (normalised(kept, recipe, f).ravel() - middle) / widened
        for columns in levels:
            _count(made, off[columns], rejected[columns])
    return made if made.kept.any() else None


def _levels(middle: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """The pixels that have a value, in groups of about the same value."""
    order = np.argsort(middle)[: np.count_nonzero(np.isfinite(middle))]
    return np.array_split(order, int(np.clip(len(order) // AT_ONE_LEVEL, 1, LEVELS)))


def _count(made: Residuals, off: NDArray[np.float64], rejected: NDArray[np.bool_]) -> None:
    usable = np.isfinite(off)
    off, rejected = off[usable], rejected[usable]
    spread = MAD_TO_STD * float(np.median(np.abs(off))) if len(off) else 0.0
    if spread > 0:
        inside = np.clip(off / spread, -FAR + STEP / 2, FAR - STEP / 2)
        made.kept[:] += np.histogram(inside[~rejected], EDGES)[0]
        made.rejected[:] += np.histogram(inside[rejected], EDGES)[0]
