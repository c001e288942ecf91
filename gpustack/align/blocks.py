"""The blocks in which a frame is resampled onto a grid, and the part of the frame below each.

Blocks keep memory bounded. Below a square block lies a smaller part of a rotated frame than below
whole rows. Measurements are in docs/decisions/0019-blocks-of-resampling.md.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gpustack.align.pixel_map import STEP, PixelMap

#: Side of the blocks that are resampled at once, in pixels of the grid, or of the frame where those
#: are smaller. Square blocks lie on the fewest pixels of a rotated frame. Larger blocks are no
#: faster, and leave less of the memory limit to bands and threads.
SIDE = 256
#: Smallest side of the areas that are transformed by way of the sky at once, because that takes
#: 2 ms however few the pixels are.
LEAST_SKY_SIDE = 64
#: Bytes that the parts of a frame below adjacent blocks may take together. Such blocks are read
#: together, so that the rows they share are read once. For float32 these are 9 blocks.
GROUP_BYTES = 4 << 20

#: Rows and columns of the grid, or of a frame.
Block = tuple[slice, slice]
#: Blocks that are read together, each with the part of the frame below it.
Group = list[tuple[Block, Block]]


@dataclass(frozen=True, eq=False)
class Blocks:
    """The blocks of a window of a grid.

    Parameters
    ----------
    window : tuple of slice
        Rows and columns of the grid that the frame touches.
    pixel_map : PixelMap
        Where the pixels of the window lie on the frame.
    shape : sequence of int
        (y, x) of the frame.
    margin : int
        Pixels of the frame that contribute to a block beyond those that it lies on.
    part_bytes : int
        Bytes that are held for each pixel of the frame below a block.
    """

    window: Block
    pixel_map: PixelMap
    shape: Sequence[int]
    margin: int
    part_bytes: int

    def groups(self, start: int, stop: int) -> Iterator[Group]:
        """Yield rows ``[start, stop)`` of the window in groups of adjacent blocks.

        Blocks outside of the frame are left out.
        """
        down, across = self.window
        if self.is_rough:
            height, width = self.max_sky_size()
            for rows in _cut(max(start, down.start), min(stop, down.stop), height):
                for columns in _cut(across.start, across.stop, width):
                    yield from self._halved(rows, columns)
            return
        height, width = self.max_size()
        most = self.max_group(height, width)
        for rows in _cut(max(start, down.start), min(stop, down.stop), height):
            blocks = [(rows, columns) for columns in _cut(across.start, across.stop, width)]
            for first in range(0, len(blocks), most):
                group = blocks[first : first + most]
                parts = [(block, self.frame_part(*block)) for block in group]
                yield [(block, part) for block, part in parts if part is not None]

    @property
    def is_rough(self) -> bool:
        """Whether some pixels of the window cannot be interpolated between nodes."""
        return bool(self.pixel_map.rough.any())

    def max_sky_size(self) -> tuple[int, int]:
        """The largest number of rows and columns transformed by way of the sky at once."""
        rows, columns = (
            max(most, min(LEAST_SKY_SIDE, part.stop - part.start))
            for most, part in zip(self.max_size(), self.window, strict=True)
        )
        return rows, columns

    def _halved(self, rows: slice, columns: slice) -> Iterator[Group]:
        """Halve a part of the window until the halves are blocks; drop halves outside of the frame.

        Most of the area that a torn frame may lie on is outside of the frame.
        """
        part, most = self.frame_part(rows, columns), self.max_size()
        if part is None:
            return
        sizes = rows.stop - rows.start, columns.stop - columns.start
        if sizes[0] <= most[0] and sizes[1] <= most[1]:
            yield [((rows, columns), part)]
        elif sizes[0] * most[1] > sizes[1] * most[0]:
            for half in _cut(rows.start, rows.stop, -(-sizes[0] // 2)):
                yield from self._halved(half, columns)
        else:
            for half in _cut(columns.start, columns.stop, -(-sizes[1] // 2)):
                yield from self._halved(rows, half)

    def max_group(self, rows: int, columns: int) -> int:
        """The largest number of adjacent blocks of this size that are read together."""
        height, width = self.max_frame_size(rows, columns)
        room = GROUP_BYTES // max(height * width * self.part_bytes, 1)
        across = int(self.window[1].stop - self.window[1].start)
        return max(1, min(room, -(-across // columns)))

    def max_size(self) -> tuple[int, int]:
        """The largest number of rows and columns of a block."""
        scale = np.hypot(*self.pixel_map.rates).max()
        side = SIDE // max(round(min(scale, SIDE)), 1)
        rows, columns = (min(side, part.stop - part.start) for part in self.window)
        return rows, columns

    def max_frame_size(self, rows: int, columns: int) -> tuple[int, int]:
        """The largest number of rows and columns of the frame below a block of this size."""
        if self.is_rough:
            return self.shape[0], self.shape[1]
        around = 2 * self.margin + 4
        sizes = self.pixel_map.rates @ (rows + 2 * STEP, columns + 2 * STEP) + around
        height, width = np.minimum(sizes, self.shape).astype(int)
        return int(height), int(width)

    def frame_part(self, rows: slice, columns: slice) -> Block | None:
        """The part of the frame below a block, with the margin; None outside of the frame."""
        margin = self.margin
        spans = []
        ends = self.pixel_map.extent(rows, columns)
        for (low, high), length in zip(ends, self.shape, strict=True):
            if not (high >= -margin and low < length + margin):
                return None
            first = max(int(max(low, 0)) - margin, 0)
            spans.append(slice(first, min(int(min(high, length)) + margin + 2, length)))
        return spans[0], spans[1]


def _cut(start: int, stop: int, most: int) -> Iterator[slice]:
    """Yield ``[start, stop)`` in parts of nearly the same length, at most `most` each."""
    parts = -(-(stop - start) // most)
    for i in range(parts):
        first, last = (start + (stop - start) * k // parts for k in (i, i + 1))
        yield slice(first, last)
