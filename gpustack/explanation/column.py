"""The column of one pixel: its samples, and which of them given clips leave."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Outputs, Samples
from gpustack.backends.block import Block
from gpustack.backends.columns import Floats
from gpustack.backends.frame_clips import ByFrame
from gpustack.backends.frame_screens import normalisation
from gpustack.backends.line_fit import Line
from gpustack.backends.loading import decode, model_row, normalize_row
from gpustack.backends.ragged import Ragged
from gpustack.backends.tiles import TilePixels
from gpustack.clips import Clip
from gpustack.combines import NoiseModel
from gpustack.explanation.pixel import Patch
from gpustack.maps.grow import dilated
from gpustack.reasons import Reason
from gpustack.recipe import OUTPUTS, Recipe

_FIRST_SAMPLE = TilePixels(slice(0, 1), slice(0, 1), slice(0, 1))


@dataclass(frozen=True, eq=False)
class Column:
    """The samples of one pixel, with what is needed to run clips on them.

    Parameters
    ----------
    x, y : int
        The pixel, counted from 0.
    recipe : Recipe
        With all numbers filled in, also those that clips have for the rows of `around`.
    around : Patch
        The pixel and the pixels around it that its recipe uses.
    alone : Patch
        The pixel alone.
    raw, value : ndarray of float32 or float64, shape (n,)
        The decoded samples, also masked ones, and the normalised samples, in the dtype in which
        they are compared. NaN where blank.
    noise : ndarray of the same dtype, shape (n,), or None
        The noise of each sample by a `NoiseModel`, which is combined instead of the samples.
    """

    x: int
    y: int
    recipe: Recipe
    around: Patch
    alone: Patch
    raw: Floats
    value: Floats
    noise: Floats | None

    @property
    def samples(self) -> Sequence[Samples]:
        """The sample of each frame, of shape (1, 1)."""
        return self.alone.band

    @property
    def row(self) -> int:
        """The row of `around` that the pixel is in."""
        return self.y - self.around.top

    def after(self, clips: Sequence[Clip]) -> Outputs:
        """The outputs of the pixel, shape (1, 1), with these clips in place of the recipe's."""
        recipe = self._with(clips)
        if recipe.grow is None:
            return self.alone.run(recipe.rows(self.row, self.row + 1))
        row, column = self.row, self.x - self.around.left
        out = self.around.run(recipe)
        maps = {part.name: getattr(out, part.name) for part in fields(out)}
        here = (..., slice(row, row + 1), slice(column, column + 1))
        made = {name: map_[here] for name, map_ in maps.items() if map_ is not None}
        return Outputs(**made)

    def left_by(self, clips: Sequence[Clip]) -> NDArray[np.bool_]:
        """Which samples survive these clips, shape (n,)."""
        return survivors(self.after(clips))

    def clipped_near(self, radius: float) -> list[list[tuple[int, int]]]:
        """Return, for each frame, the pixels (x, y) within `radius` whose samples clips rejected.

        The nearest come first; equally near ones are sorted by row.
        """
        around = self.around
        reasons = around.run(self._with(self.recipe.clips[:-1])).reasons
        assert reasons is not None  # always made
        here = np.zeros((around.rows, around.width), bool)
        here[self.y - around.top, self.x - around.left] = True
        near = ((reasons & Reason.CLIP) != 0) & dilated(here, radius)
        found = [
            [(int(x) + around.left, int(y) + around.top) for y, x in np.argwhere(marks)]
            for marks in near
        ]
        return [sorted(pixels, key=self._distance) for pixels in found]

    def _distance(self, pixel: tuple[int, int]) -> int:
        """The squared distance of a pixel from this one."""
        return (pixel[0] - self.x) ** 2 + (pixel[1] - self.y) ** 2

    def _with(self, clips: Sequence[Clip]) -> Recipe:
        return replace(self.recipe, clips=tuple(clips), outputs=OUTPUTS)

    def seen(self, raw: bool) -> Floats:
        """The samples as a clip sees them; with `raw`, as a clip of raw values does."""
        return self.raw if raw or self.recipe.clip_on == "raw" else self.value

    def by_frame(self, which: NDArray[np.bool_]) -> ByFrame:
        """The samples as clips by frame see them; `which` of them survive."""
        scale, zero = (part.reshape(-1, 1) for part in normalisation(self.recipe))
        variance: Any = None
        if self.recipe.needs_variance:
            variance = np.array([samples.variance[0] for samples in self.samples])  # type: ignore[index]
        seen, row = self.seen(raw=False)[:, np.newaxis], np.array([self.row])
        return ByFrame(seen, which[:, np.newaxis], scale, zero, row, variance)

    def off_line(self, which: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """Return how far the survivors are above the line through them, and their mean distance.

        The shapes are (n,), with NaN for other samples, and (1,).
        """
        seen, frames = self.seen(raw=False), np.flatnonzero(which)
        order = frames[np.argsort(seen[frames], kind="stable")]  # equal samples rank by frame
        values = seen[order][:, np.newaxis]
        line = Line.through(values, np.ones(values.shape, bool))
        off = np.full(len(seen), np.nan)
        off[order] = line.off[:, 0]
        return off, line.spread

    def ragged(self, which: NDArray[np.bool_]) -> Ragged:
        """As `sorted`, in the form of columns whose intervals of survivors can be moved."""
        values = self.sorted(which).rows
        hi = np.array([len(values)])
        return Ragged(np.zeros(1, np.intp), values, hi.copy(), np.zeros(1, np.intp), hi)

    def sorted(self, which: NDArray[np.bool_]) -> Block:
        """The samples `which`, at least one, as clips see them, sorted."""
        values = np.sort(self.seen(raw=False)[which])
        return Block(values[:, np.newaxis], 0, len(values))


def survivors(result: Outputs) -> NDArray[np.bool_]:
    """Which samples of a pixel survive, shape (n,)."""
    assert result.marks is not None  # `Patch.run` always makes reasons
    return ~result.marks[:, 0, 0]


def load_column(around: Patch, x: int, y: int, recipe: Recipe) -> Column:
    """Return the column of a pixel, decoded and normalised as a backend does."""
    alone = around.only(x, y)
    raw = np.empty(alone.n, alone.dtype)
    with np.errstate(all="ignore"):  # samples that overflow are invalid
        for f, samples in enumerate(alone.band):
            decode(samples, _FIRST_SAMPLE, raw[f : f + 1])
            if is_blank(samples):
                raw[f] = np.nan
        value, noise = raw.copy(), None
        if recipe.normalizes:
            for f in range(alone.n):
                normalize_row(value[f : f + 1], f, recipe)
        if isinstance(recipe.combine, NoiseModel):
            noise = raw.copy()
            for f in range(alone.n):
                model_row(noise[f : f + 1], f, recipe)
    return Column(x, y, around.with_row_noise(recipe), around, alone, raw, value, noise)


def is_blank(samples: Samples) -> bool:
    """Whether the sample is the integer that BLANK declares to be no value."""
    whole = samples.data.dtype.kind in "iu"
    return whole and samples.blank is not None and samples.data.item() == samples.blank
