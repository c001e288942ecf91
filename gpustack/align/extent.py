"""The pixels of a result that frames lie in by whole pixels, and whether it can be held."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gpustack.align.base import RESULT_BYTES, memory_of_machine
from gpustack.alignments import Offsets
from gpustack.errors import InputError
from gpustack.frames import Frame

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Box:
    """Rows ``[y0, y1)`` and columns ``[x0, x1)``, counted from 0 on the reference."""

    y0: int
    x0: int
    y1: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        """(y, x)."""
        return self.y1 - self.y0, self.x1 - self.x0

    def __str__(self) -> str:
        """As a FITS section."""
        return f"[{self.x0 + 1}:{self.x1},{self.y0 + 1}:{self.y1}]"


def extent_of(
    frames: Sequence[Frame], offsets: Mapping[int, Place], how: Offsets, origin: Place | None
) -> Box:
    """The pixels that an `Offsets` asks for.

    Parameters
    ----------
    frames : sequence of Frame
    offsets : mapping of int to (y, x)
        Number of a frame -> where its first pixel is, counted on the first that is here.
    how : Offsets
    origin : (y, x) or None
        Where the union begins at the latest.

    Raises
    ------
    InputError
        Where no pixel is in all frames and those are asked for, or the result is larger than the
        memory of this machine.
    """
    boxes = {i: _of_frame(offsets[i], frames[i].shape) for i in offsets}
    first, *_ = boxes.values()
    if how.extent == "union":
        every = [*boxes.values(), *([] if origin is None else [Box(*origin, *origin)])]
        box = _outer(every)
    elif how.extent == "intersection":
        box = _inner(frames, boxes, how)
    elif how.extent == "reference":
        box = first
    else:
        box = _section(how.extent, first.shape)
    _check_size(box, frames, boxes, how)
    return box


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
                f"align {how.name}: expected pixels that all frames have for extent "
                f"'intersection', got none that {frames[i].name} at {boxes[i]} and "
                f"{frames[j].name} at {boxes[j]} of {frames[next(iter(boxes))].name} share; extent "
                "'union' needs none"
            )
    return Box(
        *(getattr(boxes[i], name) for name, i in last.items()),
        *(getattr(boxes[i], name) for name, i in first.items()),
    )


def _section(text: str, shape: tuple[int, int]) -> Box:
    """A section that may reach outside; it does not matter which end of an axis comes first."""
    ends = []
    for axis, length in zip(reversed(text[1:-1].split(",")), shape, strict=True):
        pair = (1, length) if axis == "*" else sorted(map(int, axis.split(":")))
        ends.append((pair[0] - 1, pair[1]))
    (y0, y1), (x0, x1) = ends
    return Box(y0, x0, y1, x1)


def _check_size(box: Box, frames: Sequence[Frame], boxes: Mapping[int, Box], how: Offsets) -> None:
    """Raise where not even the result fits; nothing has been allocated yet."""
    size, room = RESULT_BYTES * math.prod(box.shape), memory_of_machine()
    if size <= room:
        return
    far = max(boxes, key=lambda i: max(abs(boxes[i].y0), abs(boxes[i].x0)))
    raise InputError(
        f"align {how.name}: expected a result that the memory of this machine holds, "
        f"{room / 1e9:.3g} GB, got shape {box.shape}, {size / 1e9:.3g} GB; "
        f"{frames[far].name} lies at {boxes[far]} of "
        f"{frames[next(iter(boxes))].name}; extent='intersection', 'reference' or a section "
        "gives less"
    )
