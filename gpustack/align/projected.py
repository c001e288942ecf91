"""Frames that are resampled onto a grid, block by block, as their rows are read."""

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
    interpolate,
    nan_where_masked,
    resample,
    sliced,
    unusable_variance,
    with_mask_plane,
)
from gpustack.backends.base import Samples
from gpustack.frames.base import read_whole
from gpustack.frames.sections import AT_ONCE, read_parts, read_sections
from gpustack.frames.variance import READ_BYTES
from gpustack.header import fits_wcs

#: Method -> bytes that resampling takes for a pixel of a block, and for a pixel of the part of the
#: frame below it, at most; measured with float64 and masked samples.
HELD_BYTES = {"interp": (34, 33), "adaptive": (98, 34), "exact": (52, 136)}
#: Further bytes for a pixel of the frame that filtering for splines takes.
SPLINE_BYTES = 8
#: A grid pixel that covers at least this many frame pixels shares few of them with its neighbours.
UNSHARED = 2.0
#: Grid pixels that are smaller than those of the frame by less than this fraction, as by rounding,
#: count as of the same size.
STRIDE_SLACK = 0.01
#: Further bytes for a pixel that is transformed by way of the sky, instead of between nodes.
SKY_BYTES = 240


@dataclass(eq=False)
class ProjectedFrame(GridFrame):
    """A frame resampled onto a grid. See `Frame` for what the attributes mean.

    A sample is NaN outside of the frame, and where an invalid sample contributes to it.

    Parameters
    ----------
    how : Resampling
    pixel_map : PixelMap
        Where the pixels of the window lie on the frame.
    window : tuple of slice
        Rows and columns of the grid that the frame touches.
    ratio : float
        The area of a grid pixel divided by that of a frame pixel, at the reference points.
    """

    how: Resampling
    pixel_map: PixelMap
    window: Block
    ratio: float

    @property
    def stored(self) -> np.dtype[Any]:
        """The dtype of the samples, the same as `dtype`."""
        return self.inner.dtype

    @property
    def masked(self) -> bool:
        """False: invalid samples are NaN."""
        return False

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of samples on the grid."""
        return self.shape[1] * self.stored.itemsize

    @property
    def kept_bytes(self) -> int:
        """Bytes of the nodes."""
        return self.pixel_map.nbytes

    @property
    def held_bytes(self) -> int:
        """Bytes of resampling a block, of reading, and of the parts of the frame read together."""
        block, part = HELD_BYTES[self.how.method]
        part += SPLINE_BYTES * self.how.is_spline
        rows, columns = self._blocks.max_size()
        sky = SKY_BYTES * math.prod(self._blocks.max_sky_size()) if self._blocks.is_rough else 0
        height, width = self._blocks.max_frame_size(rows, columns)
        # Rows of the frame, as they are read for the parts, with variances.
        row = self.inner.row_bytes + self.inner.has_variance * READ_BYTES * self.inner.shape[1]
        read = min(self.inner.shape[0], AT_ONCE // self.inner.shape[1] + 1) * row
        beside = (self._blocks.max_group(rows, columns) - 1) * self._part_bytes * height * width
        block, part = block * rows * columns, part * height * width
        return sky + block + part + beside + read + self.inner.held_bytes

    def read(self, start: int, stop: int, into: Any = None) -> Samples:
        """Rows ``[start, stop)`` of the grid; only the part of the frame below them is read."""
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

        It is resampled in the same way as the samples. A single resampled sample is less noisy than
        its variance says, but it is correlated with its neighbours: for sums over many samples the
        variance is right.
        """
        self.inner.read_variance(0, 0)  # raises where there is none, whatever the rows
        variance = np.full((stop - start, self.shape[1]), np.nan)
        self._fill(variance, start, self._variance)
        return variance

    def read_flags(self, start: int, stop: int) -> NDArray[Any]:
        """The bits of the nearest pixels for rows ``[start, stop)``, 0 outside of the frame."""
        bits = np.zeros((stop - start, self.shape[1]), self._bits_dtype)
        self._fill(bits, start, self._bits)
        return bits

    @property
    def measured_on_nearest(self) -> tuple[str, ...]:
        """Which of noise and mad are measured on the nearest samples, not on resampled ones.

        Resampled samples are smoothed where neighbours share samples of the camera, by an amount
        that depends on where they lie between these. The adaptive method smooths all samples alike,
        so that the mads of frames remain comparable. Measurements are in
        docs/decisions/0029-noise-before-interpolation.md.
        """
        if self.how.method == "adaptive":
            return ("noise",)
        if self.ratio < UNSHARED:
            return ("noise", "mad")
        return ("noise",) if self.how.method == "exact" else ()

    @property
    def averaged(self) -> float:
        """How many samples of the frame are averaged, or summed, to a resampled sample."""
        return 1.0 if self.how.method == "interp" else max(self.ratio, 1.0)

    def nearest(self) -> Self:
        """The frame resampled to the nearest samples, whose noise is that of the camera."""
        return replace(self, how=replace(self.how, method="interp", order="nearest-neighbor"))

    @property
    def stride(self) -> int:
        """Columns from one nearest sample to the next; 1 unless grid pixels are smaller."""
        return max(1, math.ceil(1 / max(self.pixel_map.scale, STRIDE_SLACK) - STRIDE_SLACK))

    def lacks(self, y: int, x: int) -> str:
        """That the centre of a pixel of the grid is outside of the frame; empty where inside."""
        pixel = slice(y, y + 1), slice(x, x + 1)
        if not all(
            span.start <= one.start < span.stop
            for one, span in zip(pixel, self.window, strict=True)
        ):
            return OUTSIDE
        place = self.pixel_map.places_of_window(*pixel).ravel()
        inside = (place >= -0.5) & (place < np.array(self.inner.shape) - 0.5)  # NaN is neither
        return "" if inside.all() else OUTSIDE

    def whole(self) -> np.ma.MaskedArray[Any, Any]:
        """All samples of the grid."""
        return read_whole(self)

    def _fill(
        self, array: NDArray[Any], start: int, values: Callable[[Group], Iterator[Any]]
    ) -> None:
        """Fill rows of the grid, from `start` on; pixels outside of the frame are not written."""
        for group in self._blocks.groups(start, start + len(array)):
            for ((rows, columns), _), found in zip(group, values(group), strict=True):
                array[rows.start - start : rows.stop - start, columns] = found

    @cached_property
    def _blocks(self) -> Blocks:
        """The blocks of the window."""
        margin = self.how.margin(self.pixel_map.scale)
        return Blocks(self.window, self.pixel_map, self.inner.shape, margin, self._part_bytes)

    @property
    def _part_bytes(self) -> int:
        """Bytes held for a pixel of the frame below a block: samples, variance, mask or bits."""
        inner = self.inner
        samples = int(inner.dtype.itemsize) + 1
        return max(samples + 8 * inner.has_variance, 8 * (inner.flags_dtype is not None))

    def _samples(self, group: Group) -> Iterator[Any]:
        """Yield the samples of each block."""
        read = read_sections(self.inner, [part for _, part in group])
        for (block, part), (values, invalid) in zip(group, read, strict=True):
            yield self._resampled(values, invalid, part, block) * self._area(*block)

    def _variance(self, group: Group) -> Iterator[Any]:
        """Yield the variances of each block."""
        parts = [part for _, part in group]
        read = read_parts(self.inner.read_variance, self.inner.shape, parts, np.dtype(np.float64))
        samples = read_sections(self.inner, parts)
        for (block, part), values, (_, invalid) in zip(group, read, samples, strict=True):
            variance = self._resampled(values, unusable_variance(values, invalid), part, block)
            if self.how.is_spline:
                np.maximum(variance, 0, out=variance)  # splines overshoot beside a step
            yield variance * self._area(*block) ** 2

    def _bits(self, group: Group) -> Iterator[Any]:
        """Yield the bits of each block."""
        parts = [part for _, part in group]
        read = read_parts(self.inner.read_flags, self.inner.shape, parts, self._bits_dtype)
        for (block, part), bits in zip(group, read, strict=True):
            with np.errstate(invalid="ignore"):
                # Of two equally near pixels, take the one that interpolation takes. Where frames
                # lie half a pixel off the grid, no pixel is then used twice, and none is lost.
                at = np.floor(self.pixel_map.places_of_window(*block) + 0.5)
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
        """A part of the frame resampled onto a block; NaN where an invalid pixel contributes."""
        if not invalid.any():
            return self._at_once(values, part, block)
        planes = np.stack(with_mask_plane(values, invalid, self.how))
        image, marks = self._at_once(planes, part, block)
        return nan_where_masked(image, marks, self.how)

    def _at_once(self, planes: NDArray[Any], part: Block, block: Block) -> NDArray[np.float64]:
        """Planes of a part of the frame, all resampled onto a block of the grid at once."""
        if self.how.method == "interp":
            places = self.pixel_map.places_of_window(*block)
            places -= np.array([span.start for span in part]).reshape(2, 1, 1)
            return interpolate(planes, places, self.how)
        shape = tuple(span.stop - span.start for span in block)
        return resample(planes, *self._coordinates(part, block), shape, self.how)

    def _coordinates(self, part: Block, block: Block) -> tuple[Any, Any]:
        """The WCS of a part of the frame and of a block of the grid, for reproject."""
        if self.how.method == "exact":
            wcs = fits_wcs(self.inner.coordinates.wcs)
            return sliced(wcs, part), sliced(self.grid.wcs, block)
        corners = [span.start for span in (*reversed(block), *reversed(part))]
        return FramePixels(), GridPixels(self.pixel_map, *corners)

    def _area(self, rows: slice, columns: slice) -> Any:
        """The factor on the values of a block: one for each pixel, or one for all."""
        return self.pixel_map.area(rows, columns) if self.how.flux == "local" else self.factor

    @property
    def factor(self) -> float:
        """The ratio of pixel areas, in the middle of the frame if local; 1 where none is scaled."""
        if self.how.flux == "local":
            return middle_area(self.pixel_map.transform, *self.window)
        return 1.0 if self.how.flux == "unscaled" else self.ratio
