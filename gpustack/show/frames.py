"""What is told of each frame."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.kept_samples import Kept
from gpustack.recipe import Recipe
from gpustack.show.stacked import Stacked, normalised, stacked, survivors_mean


def frame_table(
    per_frame: Mapping[str, Any], kept: Kept, recipe: Recipe, noise: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Numbers of each frame, by name: those of `FLOORS`, in its order, ``"rejected"``, and others.

    Rejected low and high are shares of the valid samples that were kept in a cut; the others are
    of all samples.
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


def _sides(kept: Kept, recipe: Recipe) -> NDArray[np.float64]:
    """The share of the valid samples of each frame that were rejected low, and high."""
    out = stacked(kept, survivors_mean(recipe))
    middle = _middle(kept, recipe, out)
    shares = np.zeros((2, len(kept.values)))
    for f in range(len(kept.values)):
        valid, gone = int(out.valid[f].sum()), out.rejected[f]
        low = int((gone & (normalised(kept, recipe, f) < middle)).sum())
        shares[:, f] = np.array([low, int(gone.sum()) - low]) / max(valid, 1)
    return shares


def _middle(kept: Kept, recipe: Recipe, out: Stacked) -> NDArray[np.float64]:
    """What samples that were rejected low lie below, shape (rows, columns).

    The mean of the survivors. Where there are none and k samples were rejected low, the next
    higher sample, or infinity where all were.
    """
    middle = out.data.astype(np.float64)
    lost = np.isnan(middle)
    ends = np.full((1, np.count_nonzero(lost)), np.inf)
    gone = [
        np.where(out.rejected[f], normalised(kept, recipe, f), np.inf)[lost]
        for f in range(len(kept.values))
    ]
    values = np.sort(np.concatenate([gone, ends]), axis=0)
    middle[lost] = np.take_along_axis(values, out.low[lost][np.newaxis].astype(np.intp), axis=0)[0]
    return middle
