"""The numbers of each frame that the page lists."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.kept_samples import CutSamples
from gpustack.recipe import Recipe
from gpustack.show.stacked import Stacked, normalised, stacked, survivors_mean


def frame_table(
    per_frame: Mapping[str, Any], kept: CutSamples, recipe: Recipe, noise: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Return the numbers of each frame by name: scale, zero, weight, shares, noise, and others.

    ``"low"`` and ``"high"`` are shares of the valid samples that were kept in a cut. The numbers
    of the result, ``"rejected"`` among them, are of all samples. Others come from an alignment.
    """
    columns = {
        name: np.asarray(per_frame[name], np.float64)
        for name in ("scale", "zero", "weight", "valid", "rejected")
        if name in per_frame
    }
    low, high = _sides(kept, recipe)
    columns |= {"noise": noise, "low": low, "high": high}
    return columns | {
        name: np.ma.filled(np.ma.asarray(numbers, np.float64), np.nan)  # of an alignment
        for name, numbers in per_frame.items()
        if name not in ("name", "left_out", *columns)
    }


def _sides(kept: CutSamples, recipe: Recipe) -> NDArray[np.float64]:
    """The shares of each frame's valid samples that were rejected low and high, shape (2, n)."""
    out = stacked(kept, survivors_mean(recipe))
    valid, rejected = out.valid, out.rejected
    threshold = _low_threshold(kept, recipe, out, rejected)
    shares = np.zeros((2, len(kept.values)))
    for f in range(len(kept.values)):
        low = int((rejected[f] & (normalised(kept, recipe, f) < threshold)).sum())
        sides = np.array([low, int(rejected[f].sum()) - low])
        shares[:, f] = sides / max(int(valid[f].sum()), 1)
    return shares


def _low_threshold(
    kept: CutSamples, recipe: Recipe, out: Stacked, rejected: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The value below which rejected samples count as rejected low, shape (rows, columns).

    This is the mean of the survivors. In a pixel without survivors, of which k samples were
    rejected low, it is the next higher sample, or infinity if all were rejected low.
    """
    threshold = out.data.astype(np.float64)
    lost = np.isnan(threshold)
    ends = np.full((1, np.count_nonzero(lost)), np.inf)
    found = [
        np.where(rejected[f], normalised(kept, recipe, f), np.inf)[lost]
        for f in range(len(kept.values))
    ]
    values = np.sort(np.concatenate([found, ends]), axis=0)
    low = out.low[lost][np.newaxis].astype(np.intp)
    threshold[lost] = np.take_along_axis(values, low, axis=0)[0]
    return threshold
