"""A second look at the samples of a tile by frame, for clips that need more than sorted columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Samples
from gpustack.backends.columns import Floats, Ranks
from gpustack.backends.frame_clips import ByFrame
from gpustack.backends.frame_screens import normalisation
from gpustack.backends.loading import gather, load_frame, pick_samples, row_tile
from gpustack.backends.members import Members
from gpustack.backends.ragged import Ragged
from gpustack.backends.tiles import TilePixels
from gpustack.clips import ExtremaClip
from gpustack.recipe import Recipe

#: Bytes that ranking samples among all frames, masked ones too, may take besides the buffers.
RANK_BYTES = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class SecondLook:
    """Access to the samples of a tile by frame; `dtype` is that in which they are compared."""

    band: Sequence[Samples]
    where: TilePixels
    recipe: Recipe
    dtype: np.dtype[Any]

    @property
    def n(self) -> int:
        """How many frames."""
        return len(self.band)

    def rank_all(self, columns: Ragged, clip: ExtremaClip) -> tuple[Ranks, Ranks]:
        """The interval of sorted ranks that an extrema clip among all frames leaves."""
        n = self.n
        low, high = np.full(columns.pixels, clip.nlow), np.full(columns.pixels, n - clip.nhigh)
        short = np.flatnonzero(columns.valid < n)
        # In chunks, because the order of the samples takes 8 bytes each in addition to the samples.
        step = max(256, RANK_BYTES // (16 * n))
        for some in (short[i : i + step] for i in range(0, len(short), step)):
            index = columns.index[some]
            everything, valid = gather(self.band, self.where, self.recipe, index, self.dtype)
            if columns.rejected is not None:
                valid &= ~columns.rejected.flags[:, some]
            order = np.argsort(everything, axis=0, kind="stable")
            valid = np.take_along_axis(valid, order, axis=0)
            low[some] = valid[: clip.nlow].sum(axis=0)
            high[some] = valid[: n - clip.nhigh].sum(axis=0)
        return low, high

    def by_frame(self, columns: Ragged) -> ByFrame:
        """Load columns with their samples in frame order; samples that are not sorted are +inf."""
        members = Members(columns, self.recipe)
        values = np.empty((self.n, columns.pixels), self.dtype)
        inside = np.empty(values.shape, dtype=bool)
        tile = row_tile(columns.pixels)
        for f, (samples, row) in enumerate(zip(self.band, values, strict=True)):
            some = pick_samples(samples, self.where, columns.index)
            load_frame(some, tile, self.recipe, f, row)
            inside[f] = members.inside(row, f)
        if columns.rejected is not None:
            np.copyto(values, np.inf, where=columns.rejected.flags)
        scale, zero = (part.reshape(-1, 1) for part in normalisation(self.recipe))
        variance = self._variance(columns.index)
        return ByFrame(values, inside, scale, zero, self.row()[columns.index], variance)

    def row(self) -> Ranks:
        """The row of the band in which each pixel of the tile lies, shape (pixels,)."""
        rows, cols = self.where.rows, self.where.cols
        return np.repeat(np.arange(rows.start, rows.stop), cols.stop - cols.start)

    def _variance(self, index: Ranks) -> Floats | None:
        if any(samples.variance is None for samples in self.band):
            return None
        variances = [self._variances(samples).take(index) for samples in self.band]
        return np.array(variances, np.float64)

    def _variances(self, samples: Samples) -> NDArray[Any]:
        """The variance of each sample of a frame in the tile, shape (pixels,)."""
        assert samples.variance is not None
        return samples.variance[self.where.rows, self.where.cols].reshape(-1)

    def least_noise(self) -> Floats:
        """The least normalised standard deviation of any sample of each column of the tile."""
        scale, _ = normalisation(self.recipe)
        least = np.full(self.where.pixels, np.inf)
        for samples, factor in zip(self.band, np.broadcast_to(scale, self.n), strict=True):
            noise = np.sqrt(self._variances(samples), dtype=np.float64)
            np.fmin(least, np.multiply(noise, abs(factor), out=noise), out=least)
        return least
