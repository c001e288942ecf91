"""The pixels of a grid that frames cover, and whether a result of that size can be held."""

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpustack.align.base import Grid
from gpustack.align.footprint import footprint
from gpustack.align.moved_wcs import moved_wcs
from gpustack.align.pixel_map import Transform
from gpustack.alignments import Alignment, Offsets
from gpustack.errors import GpustackWarning, InputError
from gpustack.frames import Frame

Place = tuple[int, int]

#: Bytes per pixel of a result, which has at least data, uncertainty and mask.
RESULT_BYTES = 9
#: A result with more than this many times the pixels that the frames cover, each counted by
#: itself, causes a warning.
SPARSE = 20
#: Fraction of a pixel by which a frame may extend over an edge before a row or column is added.
SLACK = 1e-3
#: Name of an alignment -> what makes its result smaller, for errors.
_SMALLER = {
    "wcs": "a shape, a scale or another target",
    "offsets": "extent='intersection', 'reference' or a section",
    "register": "extent='reference'",
}


@dataclass(frozen=True, slots=True)
class Box:
    """Rows ``[y0, y1)`` and columns ``[x0, x1)``, counted from 0 on the reference or the target."""

    y0: int
    x0: int
    y1: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        """(y, x)."""
        return self.y1 - self.y0, self.x1 - self.x0

    def __str__(self) -> str:
        """Return the box as a FITS section."""
        return f"[{self.x0 + 1}:{self.x1},{self.y0 + 1}:{self.y1}]"


#: Pairs of a frame's name and the box that the frame lies in, in the order of the frames.
Boxes = Sequence[tuple[str, Box]]


def boxes_of(frames: Sequence[Frame], transforms: Sequence[Transform]) -> Boxes:
    """The pixels of a grid that each frame covers; frames without a place on it are left out.

    Parameters
    ----------
    frames : sequence of Frame
    transforms : sequence of callable
        For each frame, from its pixels to those of the grid.

    Raises
    ------
    InputError
        Where no frame has a place on the grid.
    """
    boxes = []
    for frame, transform in zip(frames, transforms, strict=True):
        left, right, bottom, top = footprint(transform, frame.shape)
        if not math.isnan(left):
            x0, y0 = (math.floor(edge + 0.5 + SLACK) for edge in (left, bottom))
            x1, y1 = (math.ceil(edge - 0.5 - SLACK) + 1 for edge in (right, top))
            # Of a frame smaller than the slack, the last pixel may come before the first.
            boxes.append((frame.name, Box(y0, x0, max(y1, y0 + 1), max(x1, x0 + 1))))
    if not boxes:
        raise InputError(
            f"align: expected a frame that has a place on the grid, got none of {len(frames)}, "
            f"from {frames[0].name} on"
        )
    return boxes


def grid_around(
    how: Alignment, wcs: Any, boxes: Boxes, box: Box | None = None, *, max_bytes: float | None
) -> Grid:
    """The grid that consists of the pixels of a box, with the WCS moved along.

    Parameters
    ----------
    how : alignment
    wcs : WCS or None
        World coordinates of the pixels that boxes are counted in.
    boxes : sequence of (str, Box)
        The boxes of the frames, if they determine the size of the result.
    box : Box, optional
        The pixels of the result; by default those that contain all of `boxes`.
    max_bytes : float or None
        As in `check_size`.

    Raises
    ------
    InputError
        Where the result would be too large.
    """
    box = _outer([one for _, one in boxes]) if box is None else box
    check_size(how, box.shape, boxes, max_bytes=max_bytes)
    return Grid(box.shape, moved_wcs(wcs, (-box.y0, -box.x0), box.shape))


def check_size(
    how: Alignment, shape: Sequence[int], boxes: Boxes = (), *, max_bytes: float | None
) -> None:
    """Raise where the result is too large, before any of it is allocated.

    The limit is `max_bytes`, the bytes of a disk, or with None the memory of this machine.

    Warns
    -----
    GpustackWarning
        Where nearly all of the result will be empty.

    Raises
    ------
    InputError
        Says how large the result is, and which of `boxes` lie farthest apart.
    """
    size, holder = RESULT_BYTES * math.prod(map(float, shape)), "the disk of its file"
    if max_bytes is None:
        max_bytes, holder = memory_of_machine(), "the memory of this machine"
    y, x = shape
    large = f"{x:,} x {y:,} pixels, x first, {size / 1e9:.3g} GB{_farthest(boxes)}"
    if size > max_bytes:
        raise InputError(
            f"align {how.name}: expected a result that {holder} holds, "
            f"{max_bytes / 1e9:.3g} GB, got {large}; {_SMALLER[how.name]} makes it smaller"
        )
    if boxes and math.prod(shape) > SPARSE * sum(math.prod(box.shape) for _, box in boxes):
        warnings.warn(
            f"align {how.name}: nearly all of the result is empty: {large}",
            GpustackWarning,
            stacklevel=7,
        )


def _farthest(boxes: Boxes) -> str:
    """The two frames that lie farthest apart along the longer axis, in words for a message."""
    if not boxes:
        return ""
    height, width = _outer([box for _, box in boxes]).shape
    start, stop = ("y0", "y1") if height > width else ("x0", "x1")
    low = min(boxes, key=lambda one: getattr(one[1], start))
    high = max(boxes, key=lambda one: getattr(one[1], stop))
    if low is high:
        return f"; {low[0]} alone covers {low[1]}"
    return f"; {low[0]} in {low[1]} and {high[0]} in {high[1]} lie farthest apart"


def memory_of_machine() -> float:
    """Bytes of memory of this machine; infinite where the system does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return math.inf


def extent_of(
    frames: Sequence[Frame], offsets: Mapping[int, Place], how: Offsets, origin: Place | None
) -> tuple[Box, Boxes]:
    """The pixels that an `Offsets` asks for and, for a union, the boxes of the frames.

    Parameters
    ----------
    frames : sequence of Frame
    offsets : mapping of int to (y, x)
        Index of a frame -> where its first pixel lies, counted on the first frame in the mapping.
    how : Offsets
    origin : (y, x) or None
        The union begins at this pixel or before it.

    Raises
    ------
    InputError
        Where an intersection is asked for and no pixel is in all frames.
    """
    boxes = {i: _of_frame(offsets[i], frames[i].shape) for i in offsets}
    first, *_ = boxes.values()
    if how.extent == "union":
        box = _outer([*boxes.values()])
        if origin is not None:
            box = Box(min(box.y0, origin[0]), min(box.x0, origin[1]), box.y1, box.x1)
    elif how.extent == "intersection":
        box = _inner(frames, boxes, how)
    elif how.extent == "reference":
        box = first
    else:
        box = _section(how.extent, first.shape)
    deciding = boxes if how.extent == "union" else {}
    return box, [(frames[i].name, one) for i, one in deciding.items()]


def _of_frame(offset: Place, shape: Sequence[int]) -> Box:
    return Box(*offset, offset[0] + shape[0], offset[1] + shape[1])


def _outer(boxes: Sequence[Box]) -> Box:
    return Box(
        min(box.y0 for box in boxes),
        min(box.x0 for box in boxes),
        max(box.y1 for box in boxes),
        max(box.x1 for box in boxes),
    )


def _inner(frames: Sequence[Frame], boxes: Mapping[int, Box], how: Offsets) -> Box:
    last = {name: max(boxes, key=lambda i: getattr(boxes[i], name)) for name in ("y0", "x0")}
    first = {name: min(boxes, key=lambda i: getattr(boxes[i], name)) for name in ("y1", "x1")}
    for start, stop in (("y0", "y1"), ("x0", "x1")):
        i, j = first[stop], last[start]
        if getattr(boxes[i], stop) <= getattr(boxes[j], start):
            raise InputError(
                f"align {how.name}: expected frames that all overlap for extent 'intersection', "
                f"got {frames[i].name} at {boxes[i]} and {frames[j].name} at {boxes[j]}, in pixels "
                f"of {frames[next(iter(boxes))].name}; use extent 'union'"
            )
    return Box(
        *(getattr(boxes[i], name) for name, i in last.items()),
        *(getattr(boxes[i], name) for name, i in first.items()),
    )


def _section(text: str, shape: tuple[int, int]) -> Box:
    """The box of a section, which may extend outside; the ends of an axis may be in any order."""
    ends = []
    for axis, length in zip(reversed(text[1:-1].split(",")), shape, strict=True):
        pair = (1, length) if axis == "*" else sorted(map(int, axis.split(":")))
        ends.append((pair[0] - 1, pair[1]))
    (y0, y1), (x0, x1) = ends
    return Box(y0, x0, y1, x1)
