"""How what a frame covers of a grid is cut into blocks, and what of the frame lies below each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gpustack.align.pixel_map import STEP, PixelMap

#: Sides of the blocks of the grid that are resampled at once, in pixels of the grid or the frame,
#: whichever are larger. Square ones lie on the fewest pixels of a frame that is turned. With larger
#: ones it is no faster, and less of the limit is left to bands and threads.
SIDE = 256
#: Sides of what the sky is asked of at once, at least, as asking takes 2 ms however few pixels.
ASKED = 64
#: Bytes that the parts of a frame below blocks beside each other may take, so that rows that they
#: share are read once. For float32, 9 blocks.
GROUP_BYTES = 4 << 20

#: Rows and columns of the grid, or of a frame.
Block = tuple[slice, slice]
#: Blocks, and the part of the frame that each lies on.
Group = list[tuple[Block, Block]]


@dataclass(frozen=True, eq=False)
class Blocks:
    """Those of a window of a grid.

    Parameters
    ----------
    window : tuple of slice
        Rows and columns of the grid that the frame touches.
    pixel_map : PixelMap
        Where the pixels of the window lie on the frame.
    shape : sequence of int
        (y, x) of the frame.
    margin : int
        Pixels of the frame that contribute, beyond those that a block lies on.
    part_bytes : int
        Bytes of a pixel of the frame that are held for a block.
    """

    window: Block
    pixel_map: PixelMap
    shape: Sequence[int]
    margin: int
    part_bytes: int

    def groups(self, start: int, stop: int) -> Iterator[Group]:
        """The window, as far as it is in rows ``[start, stop)``, in blocks beside each other."""
        down, across = self.window
        if self.is_rough:
            height, width = self.asked()
            for rows in _cut(max(start, down.start), min(stop, down.stop), height):
                for columns in _cut(across.start, across.stop, width):
                    yield from self._halved(rows, columns)
            return
        height, width = self.most()
        most = self.beside(height, width)
        for rows in _cut(max(start, down.start), min(stop, down.stop), height):
            blocks = [(rows, columns) for columns in _cut(across.start, across.stop, width)]
            for first in range(0, len(blocks), most):
                parts = [(block, self.under(*block)) for block in blocks[first : first + most]]
                yield [(block, part) for block, part in parts if part is not None]

    @property
    def is_rough(self) -> bool:
        """Whether there are pixels of which nodes do not tell."""
        return bool(self.pixel_map.rough.any())

    def asked(self) -> tuple[int, int]:
        """Rows and columns that the sky is asked of at once, at most."""
        rows, columns = (
            max(most, min(ASKED, part.stop - part.start))
            for most, part in zip(self.most(), self.window, strict=True)
        )
        return rows, columns

    def _halved(self, rows: slice, columns: slice) -> Iterator[Group]:
        """A part of the window, one by one in blocks, but for halves of it beside the frame.

        Most of what a torn frame may lie on is beside it.
        """
        part, most = self.under(rows, columns), self.most()
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

    def beside(self, rows: int, columns: int) -> int:
        """How many blocks of so many rows and columns are read together, at most."""
        height, width = self.most_under(rows, columns)
        room = GROUP_BYTES // max(height * width * self.part_bytes, 1)
        across = int(self.window[1].stop - self.window[1].start)
        return max(1, min(room, -(-across // columns)))

    def most(self) -> tuple[int, int]:
        """Rows and columns of a block, at most."""
        scale = np.hypot(*self.pixel_map.rates).max()
        side = SIDE // max(round(min(scale, SIDE)), 1)
        rows, columns = (min(side, part.stop - part.start) for part in self.window)
        return rows, columns

    def most_under(self, rows: int, columns: int) -> tuple[int, int]:
        """Rows and columns of the frame that a block of so many lies on, at most."""
        if self.is_rough:
            return self.shape[0], self.shape[1]
        around = 2 * self.margin + 4
        sizes = self.pixel_map.rates @ (rows + 2 * STEP, columns + 2 * STEP) + around
        height, width = np.minimum(sizes, self.shape).astype(int)
        return int(height), int(width)

    def under(self, rows: slice, columns: slice) -> Block | None:
        """The part of the frame that a block lies on, and what contributes to its edges."""
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
    """``[start, stop)`` in parts of nearly the same length."""
    parts = -(-(stop - start) // most)
    for i in range(parts):
        first, last = (start + (stop - start) * k // parts for k in (i, i + 1))
        yield slice(first, last)
