"""Frames that are resampled, block by block, as their rows are asked for."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gpustack.align.base import OUTSIDE, GridFrame
from gpustack.align.blocks import Block, Blocks, Group
from gpustack.align.map_wcs import FramePixels, GridPixels
from gpustack.align.pixel_map import PixelMap, middle_area
from gpustack.align.resample import (
    Resampling,
    cleared,
    interpolate,
    marked,
    resample,
    sliced,
    unknown,
)
from gpustack.backends.base import Samples
from gpustack.frames.base import read_whole
from gpustack.frames.sections import AT_ONCE, read_parts, read_sections
from gpustack.frames.variance import READ_BYTES
from gpustack.header import fits_wcs

#: Bytes that a pixel of a block takes meanwhile, and one of the part of the frame below it, at
#: most; measured with float64 and masked samples.
HELD_BYTES = {"interp": (34, 33), "adaptive": (98, 34), "exact": (52, 136)}
#: What filtering for splines takes of a pixel of the frame, beside.
SPLINE_BYTES = 8
#: Pixels of a frame in one of the grid from which on neighbours share few of them.
UNSHARED = 2.0
#: Pixels that are larger by no more than rounding do not shrink.
STRIDE_SLACK = 0.01
#: What a pixel takes beside, where nodes do not tell and the sky is asked.
SKY_BYTES = 240


@dataclass(eq=False)
class ProjectedFrame(GridFrame):
    """A frame resampled onto a grid. See `Frame` for what the attributes mean.

    A sample is NaN outside of the frame and where an invalid one contributes.

    Parameters
    ----------
    how : Resampling
    pixel_map : PixelMap
        Where the pixels of the window lie on the frame.
    window : tuple of slice
        Rows and columns of the grid that the frame touches.
    ratio : float
        Of the area of a pixel of the grid to that of one of the frame, at reference points.
    """

    how: Resampling
    pixel_map: PixelMap
    window: Block
    ratio: float

    @property
    def stored(self) -> np.dtype[Any]:
        """The same."""
        return self.inner.dtype

    @property
    def masked(self) -> bool:
        """Never; NaN is invalid."""
        return False

    @property
    def row_bytes(self) -> int:
        """Of the samples on the grid."""
        return self.shape[1] * self.stored.itemsize

    @property
    def kept_bytes(self) -> int:
        """Of the nodes."""
        return self.pixel_map.nbytes

    @property
    def held_bytes(self) -> int:
        """Of a block, while it is resampled, and of what lies below those read with it."""
        block, part = HELD_BYTES[self.how.method]
        part += SPLINE_BYTES * self.how.is_spline
        rows, columns = self._blocks.most()
        sky = SKY_BYTES * math.prod(self._blocks.asked()) if self._blocks.is_rough else 0
        height, width = self._blocks.most_under(rows, columns)
        # Meanwhile, rows of the frame as they are read, with variances.
        row = self.inner.row_bytes + self.inner.has_variance * READ_BYTES * self.inner.shape[1]
        read = min(self.inner.shape[0], AT_ONCE // self.inner.shape[1] + 1) * row
        beside = (self._blocks.beside(rows, columns) - 1) * self._part_bytes * height * width
        block, part = block * rows * columns, part * height * width
        return sky + block + part + beside + read + self.inner.held_bytes

    def read(self, start: int, stop: int, into: Any = None) -> Samples:
        """Rows ``[start, stop)`` of the grid; the frame is read where they lie on it."""
        shape = (stop - start, self.shape[1])
        if start >= self.window[0].stop or stop <= self.window[0].start:
            return Samples(np.broadcast_to(self.stored.type(np.nan), shape))
        data: NDArray[Any] = np.empty(shape, self.stored)
        if into is not None:
            data = np.ndarray(shape, self.stored, into)
        data.fill(np.nan)
        self._fill(data, start, self._samples)
        return Samples(data)

    def read_variance(self, start: int, stop: int) -> NDArray[np.float64]:
        """The variance of rows ``[start, stop)``, NaN outside of the frame.

        It is resampled as the samples are. A single resampled sample is less noisy than it says,
        but correlated with its neighbours: for sums over many of them it is right.
        """
        self.inner.read_variance(0, 0)  # says where there is none, whatever the rows
        variance = np.full((stop - start, self.shape[1]), np.nan)
        self._fill(variance, start, self._variance)
        return variance

    def read_flags(self, start: int, stop: int) -> NDArray[Any]:
        """The bits of rows ``[start, stop)``, of the nearest pixel, 0 outside of the frame."""
        bits = np.zeros((stop - start, self.shape[1]), self._bits_dtype)
        self._fill(bits, start, self._bits)
        return bits

    @property
    def told_by_nearest(self) -> tuple[str, ...]:
        """Which of noise and mad are measured on the nearest samples, and not on its own.

        Its own are smoothed where neighbours share samples of the camera, each by where it lies
        between these. The adaptive method smooths all alike, so that mads compare. Decision 29 has
        what was measured.
        """
        if self.how.method == "adaptive":
            return ("noise",)
        if self.ratio < UNSHARED:
            return ("noise", "mad")
        return ("noise",) if self.how.method == "exact" else ()

    @property
    def averaged(self) -> float:
        """How many samples of the frame a sample is the average of, or the sum."""
        return 1.0 if self.how.method == "interp" else max(self.ratio, 1.0)

    def nearest(self) -> Self:
        """The frame with the nearest samples, whose noise is that of the camera."""
        return replace(self, how=replace(self.how, method="interp", order="nearest-neighbor"))

    @property
    def stride(self) -> int:
        """Columns of the grid after which the nearest sample is another, where pixels shrink."""
        return max(1, math.ceil(1 / max(self.pixel_map.scale, STRIDE_SLACK) - STRIDE_SLACK))

    def lacks(self, y: int, x: int) -> str:
        """That the centre of a pixel of the grid is outside of the frame, if it is."""
        pixel = slice(y, y + 1), slice(x, x + 1)
        if not all(
            span.start <= one.start < span.stop
            for one, span in zip(pixel, self.window, strict=True)
        ):
            return OUTSIDE
        place = self.pixel_map.within(*pixel).ravel()
        inside = (place >= -0.5) & (place < np.array(self.inner.shape) - 0.5)  # NaN is neither
        return "" if inside.all() else OUTSIDE

    def whole(self) -> np.ma.MaskedArray[Any, Any]:
        """All samples of the grid."""
        return read_whole(self)

    def _fill(
        self, array: NDArray[Any], start: int, values: Callable[[Group], Iterator[Any]]
    ) -> None:
        """Fill the blocks of rows from `start` on; what lies beside the frame stays as it is."""
        for group in self._blocks.groups(start, start + len(array)):
            for ((rows, columns), _), found in zip(group, values(group), strict=True):
                array[rows.start - start : rows.stop - start, columns] = found

    @cached_property
    def _blocks(self) -> Blocks:
        """How the window is cut."""
        margin = self.how.margin(self.pixel_map.scale)
        return Blocks(self.window, self.pixel_map, self.inner.shape, margin, self._part_bytes)

    @property
    def _part_bytes(self) -> int:
        """Of a pixel of a part of the frame: what is read, and whether it is invalid."""
        inner = self.inner
        samples = int(inner.dtype.itemsize) + 1
        return max(samples + 8 * inner.has_variance, 8 * (inner.flags_dtype is not None))

    def _samples(self, group: Group) -> Iterator[Any]:
        """The samples of blocks."""
        read = read_sections(self.inner, [part for _, part in group])
        for (block, part), (values, invalid) in zip(group, read, strict=True):
            yield self._resampled(values, invalid, part, block) * self._area(*block)

    def _variance(self, group: Group) -> Iterator[Any]:
        """The variances of blocks."""
        parts = [part for _, part in group]
        read = read_parts(self.inner.read_variance, self.inner.shape, parts, np.dtype(np.float64))
        samples = read_sections(self.inner, parts)
        for (block, part), values, (_, invalid) in zip(group, read, samples, strict=True):
            variance = self._resampled(values, unknown(values, invalid), part, block)
            if self.how.is_spline:
                np.maximum(variance, 0, out=variance)  # waves beside a step
            yield variance * self._area(*block) ** 2

    def _bits(self, group: Group) -> Iterator[Any]:
        """The bits of blocks."""
        parts = [part for _, part in group]
        read = read_parts(self.inner.read_flags, self.inner.shape, parts, self._bits_dtype)
        for (block, part), bits in zip(group, read, strict=True):
            with np.errstate(invalid="ignore"):
                # Of two as near the one that interpolation takes: no pixel twice, and none of them
                # nowhere, where frames lie half a pixel off.
                at = np.floor(self.pixel_map.within(*block) + 0.5)
                inside = np.ones(at.shape[1:], bool)
                for place, span in zip(at, part, strict=True):
                    inside &= (place >= span.start) & (place < span.stop)
            found = np.zeros(inside.shape, bits.dtype)
            y, x = (place[inside].astype(np.intp) for place in at)
            found[inside] = bits[y - part[0].start, x - part[1].start]
            yield found

    def _resampled(
        self, values: NDArray[Any], invalid: NDArray[np.bool_], part: Block, block: Block
    ) -> NDArray[Any]:
        """A part of the frame on a block of the grid, NaN where an invalid pixel contributes."""
        if not invalid.any():
            return self._at_once(values, part, block)
        planes = np.stack(marked(values, invalid, self.how))
        image, marks = self._at_once(planes, part, block)
        return cleared(image, marks, self.how)

    def _at_once(self, planes: NDArray[Any], part: Block, block: Block) -> NDArray[np.float64]:
        """Planes of a part of the frame on a block of the grid."""
        if self.how.method == "interp":
            places = self.pixel_map.within(*block)
            places -= np.array([span.start for span in part]).reshape(2, 1, 1)
            return interpolate(planes, places, self.how)
        shape = tuple(span.stop - span.start for span in block)
        return resample(planes, *self._coordinates(part, block), shape, self.how)

    def _coordinates(self, part: Block, block: Block) -> tuple[Any, Any]:
        """The WCS of a part of the frame and of a block of the grid, as reproject wants them."""
        if self.how.method == "exact":
            wcs = fits_wcs(self.inner.coordinates.wcs)
            return sliced(wcs, part), sliced(self.grid.wcs, block)
        corners = [span.start for span in (*reversed(block), *reversed(part))]
        return FramePixels(), GridPixels(self.pixel_map, *corners)

    def _area(self, rows: slice, columns: slice) -> Any:
        """What values are multiplied by."""
        return self.pixel_map.area(rows, columns) if self.how.flux == "local" else self.factor

    @property
    def factor(self) -> float:
        """The ratio of the areas of pixels, or 1 where values stay what they are."""
        if self.how.flux == "local":
            return middle_area(self.pixel_map.transform, *self.window)
        return 1.0 if self.how.flux == "unscaled" else self.ratio
