"""How far samples lie from the mean of the survivors of their pixel, in units of their noise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import MAD_TO_STD
from gpustack.kept_samples import Kept
from gpustack.recipe import Recipe
from gpustack.show.stacked import normalised, stacked, survivors_mean

#: Edges of the bins; what lies beyond counts in the outermost.
FAR, STEP = 10.0, 0.25
EDGES = np.arange(-FAR, FAR + STEP / 2, STEP)

#: Pixels of about one level that the noise of a frame is measured in, and levels at most.
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
        """How many of so many samples would fall into each bin, were their noise normal."""
        middle = (EDGES[:-1] + EDGES[1:]) / 2
        total = float(self.kept.sum() + self.rejected.sum())
        curve: NDArray[np.float64] = np.exp(-(middle**2) / 2) * (total * STEP / np.sqrt(2 * np.pi))
        return curve

    def beyond(self, sigmas: float) -> tuple[float, float]:
        """Which share of all samples survived, and was rejected, further out than so many."""
        out = (EDGES[1:] <= -sigmas) | (EDGES[:-1] >= sigmas)
        total = max(int(self.kept.sum() + self.rejected.sum()), 1)
        return float(self.kept[out].sum()) / total, float(self.rejected[out].sum()) / total


def residuals(kept: Kept, recipe: Recipe) -> Residuals | None:
    """The residuals of all samples of a cut, rejected ones too; None where they have no noise.

    ``z = (x - m) / s``: m is the mean of the survivors of the pixel, s 1.4826 times the median of
    ``|x - m|`` of the same frame over pixels of about the same m. So a frame with more noise, and
    the photon noise of bright pixels, are allowed for; what is left says whether noise is normal
    beyond its middle half.

    The mean of few survivors is near each of them, and is each where there is one: pixels with
    fewer than two are left out, and z is for each pixel as if m were the mean of many.
    """
    out = stacked(kept, survivors_mean(recipe))
    count = out.count.ravel()
    middle = np.where(count < 2, np.nan, out.data.ravel().astype(np.float64))
    few = 1 / np.maximum(count, 2)
    levels = _levels(middle)
    made = Residuals(*np.zeros((2, len(EDGES) - 1), np.int64))
    for f in range(len(kept.values)):
        gone = out.rejected[f].ravel()
        # Of a survivor m holds a part, of a rejected sample none.
        widened = np.sqrt(np.where(gone, 1 + few, 1 - few))
        off = (normalised(kept, recipe, f).ravel() - middle) / widened
        for columns in levels:
            _count(made, off[columns], gone[columns])
    return made if made.kept.any() else None


def _levels(middle: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """The pixels that have a value, by about the same value."""
    order = np.argsort(middle)[: np.count_nonzero(np.isfinite(middle))]
    return np.array_split(order, int(np.clip(len(order) // AT_ONE_LEVEL, 1, LEVELS)))


def _count(made: Residuals, off: NDArray[np.float64], gone: NDArray[np.bool_]) -> None:
    usable = np.isfinite(off)
    off, gone = off[usable], gone[usable]
    spread = MAD_TO_STD * float(np.median(np.abs(off))) if len(off) else 0.0
    if spread > 0:
        inside = np.clip(off / spread, -FAR + STEP / 2, FAR - STEP / 2)
        made.kept[:] += np.histogram(inside[~gone], EDGES)[0]
        made.rejected[:] += np.histogram(inside[gone], EDGES)[0]
