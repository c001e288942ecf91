"""The column of one pixel: its samples, and what any clips leave of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.by_frame import ByFrame
from gpustack.backends.columns import Uniform
from gpustack.backends.risk import normalisation
from gpustack.backends.tiles import Where, decode, normalize_row
from gpustack.clips import Clip
from gpustack.engine import run
from gpustack.explanation.pixel import PixelFrame
from gpustack.recipe import OUTPUTS, Recipe
from gpustack.result import StackResult

_HERE = Where(slice(0, 1), slice(0, 1), slice(0, 1))


@dataclass(frozen=True, eq=False)
class Column:
    """The samples of one pixel.

    Parameters
    ----------
    frames : sequence of PixelFrame
    recipe : Recipe
        With all numbers filled in.
    weights : ndarray, shape (n, 1, 1), or None
        Where the weights of the recipe are ``"sample"``.
    raw, value : ndarray of float32 or float64, shape (n,)
        Decoded, also under a mask, and normalised; in the dtype in which they are compared.
        NaN where blank.
    """

    frames: Sequence[PixelFrame]
    recipe: Recipe
    weights: NDArray[Any] | None
    raw: NDArray[np.floating]
    value: NDArray[np.floating]

    def after(self, clips: Sequence[Clip]) -> StackResult:
        """What the engine gives for these clips in place of those of the recipe."""
        recipe = replace(self.recipe, clips=tuple(clips), outputs=OUTPUTS)
        return run(self.frames, recipe, weights=self.weights, backend="cpu", reasons=True)

    def left_by(self, clips: Sequence[Clip]) -> NDArray[np.bool_]:
        """Which samples survive these clips, shape (n,)."""
        return survivors(self.after(clips))

    def seen(self, raw: bool) -> NDArray[np.floating]:
        """The samples as a clip sees them, with `raw` one that looks at those in the frames."""
        return self.raw if raw or self.recipe.clip_on == "raw" else self.value

    def by_frame(self, which: NDArray[np.bool_]) -> ByFrame:
        """The samples as clips by frame see them, of which some survive."""
        scale, zero = (part.reshape(-1, 1) for part in normalisation(self.recipe))
        variance = None
        if self.recipe.needs_variance:
            variance = np.array([frame.read_variance(0, 1)[0] for frame in self.frames])
        inside = which[:, np.newaxis].copy()
        return ByFrame(self.seen(raw=False)[:, np.newaxis], inside, scale, zero, variance)

    def sorted(self, which: NDArray[np.bool_]) -> Uniform:
        """Some of the samples, one or more, as clips see them."""
        values = np.sort(self.seen(raw=False)[which])
        return Uniform(list(values[:, np.newaxis]), 0, len(values))


def survivors(result: StackResult) -> NDArray[np.bool_]:
    """Which samples of a column survive, shape (n,)."""
    assert result.marks is not None  # it was asked for
    return ~result.marks[:, 0, 0]


def load_column(
    frames: Sequence[PixelFrame], recipe: Recipe, weights: NDArray[Any] | None
) -> Column:
    """The column of these frames, decoded and normalised as a backend does."""
    dtype = np.result_type(np.float32, *(frame.dtype for frame in frames))
    raw = np.empty(len(frames), dtype)
    with np.errstate(all="ignore"):  # what overflows is found to be invalid
        for f, frame in enumerate(frames):
            decode(frame.samples, _HERE, raw[f : f + 1])
            if is_blank(frame):
                raw[f] = np.nan
        value = raw.copy()
        if recipe.normalizes:
            for f in range(len(frames)):
                normalize_row(value[f : f + 1], f, recipe)
    return Column(frames, recipe, weights, raw, value)


def is_blank(frame: PixelFrame) -> bool:
    """Whether the sample is the integer that stands for no value."""
    samples = frame.samples
    whole = samples.data.dtype.kind in "iu"
    return whole and samples.blank is not None and samples.data.item() == samples.blank
