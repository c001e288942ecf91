"""Make some pixels of a stack again, from the samples of all frames that were kept."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.clips import Grow, RowSigmaClip
from gpustack.combines import AVERAGES
from gpustack.explanation.pixel import Patch
from gpustack.kept_samples import CutSamples
from gpustack.reasons import Reason
from gpustack.recipe import Recipe


@dataclass(frozen=True, slots=True, eq=False)
class Stacked:
    """The pixels of a cut, stacked.

    Parameters
    ----------
    data : ndarray of float, shape (rows, columns)
        NaN where no sample survived.
    count, low, high : ndarray of int
        Survivors, and samples that were rejected low and high.
    reasons : ndarray of uint8, shape (n, rows, columns)
        Why each sample is out, 0 for survivors.
    """

    data: NDArray[Any]
    count: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]
    reasons: NDArray[np.uint8]

    @property
    def rejected(self) -> NDArray[np.bool_]:
        """Which valid samples were rejected: a new array of all frames each time."""
        out: NDArray[np.bool_] = np.asarray(self.reasons >= Reason.RANGE)
        return out

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Which samples were valid before any was rejected: a new array each time."""
        came: NDArray[np.bool_] = (self.reasons == 0) | self.rejected
        return came


def stacked(kept: CutSamples, recipe: Recipe, frames: Sequence[int] | None = None) -> Stacked:
    """Run a recipe on a cut: its pixels have the same bits as in the whole stack.

    The exception: rejections grow only where the pixels of the cut touch.

    Parameters
    ----------
    kept : CutSamples
    recipe : Recipe
        That of the look, with the noise of every row where clips need it.
    frames : sequence of int or None
        The frames to combine, by number; None is all. For some frames, the noise of rows is
        measured again, from the pixels of the cut.
    """
    band = kept.band()
    if frames is not None:
        band, recipe = [band[f] for f in frames], of_frames(recipe, frames)
    clips = tuple(
        replace(clip, sigmas=clip.sigmas[kept.cut.rows]) if isinstance(clip, RowSigmaClip) else clip
        for clip in recipe.clips
        if kept.cut.is_contiguous or not isinstance(clip, Grow)
    )
    asked = replace(recipe, clips=clips, uncertainty="auto", outputs=("count", "low", "high"))
    out = Patch(band, kept.values.dtype, 0, 0).run(asked)
    data, reasons = np.asarray(out.data), np.asarray(out.reasons)
    data = np.where(np.asarray(out.mask), np.nan, data)
    count, low, high = (np.asarray(one) for one in (out.count, out.low, out.high))
    return Stacked(data, count, low, high, reasons)


def of_frames(recipe: Recipe, frames: Sequence[int]) -> Recipe:
    """The recipe with the scales, zeros and weights of some frames, and no noise of rows."""
    clips = (clip.plain() if isinstance(clip, RowSigmaClip) else clip for clip in recipe.clips)
    numbers: dict[str, Any] = {"clips": tuple(clips)}
    for name in ("scale", "zero", "weights"):
        value = getattr(recipe, name)
        if isinstance(value, tuple):
            numbers[name] = tuple(value[f] for f in frames)
    return replace(recipe, **numbers)


def plain(recipe: Recipe) -> Recipe:
    """The recipe without clips, and with a mean in place of a median."""
    combine: Any = "mean" if recipe.method in AVERAGES else recipe.combine
    return replace(recipe, clips=(), combine=combine, uncertainty="auto")


def survivors_mean(recipe: Recipe) -> Recipe:
    """The recipe with the same rejections, and the unweighted mean of the survivors."""
    return replace(recipe, combine="mean", weights=None, uncertainty="auto")


def normalised(kept: CutSamples, recipe: Recipe, f: int) -> NDArray[np.float64]:
    """The normalised samples of frame `f`, shape (rows, columns), NaN where invalid."""
    zero = recipe.zero[f] if isinstance(recipe.zero, tuple) else 0.0
    scale = recipe.scale[f] if isinstance(recipe.scale, tuple) else 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        values = (kept.values[f].astype(np.float64) - zero) * scale
    return np.where(kept.invalid[f] | ~np.isfinite(values), np.nan, values)
