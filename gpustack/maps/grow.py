"""Growing: the neighbours of rejected samples are rejected too. See `gpustack.clips.Grow`."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.frames.resident import on_host
from gpustack.reasons import Reason

#: Bytes that growing takes for a pixel of a frame, of which one is grown at a time.
PIXEL_BYTES = 6

_CLIP, _GROW = np.uint8(Reason.CLIP), np.uint8(Reason.GROW)


def grow(reasons: Any, start: int, stop: int, radius: float) -> None:
    """Give survivors near a clipped sample of their frame a reason, in rows ``[start, stop)``.

    Parameters
    ----------
    reasons : array of uint8, shape (n, rows, width)
        Of these rows, and of those above and below that are near enough. Changed in place.
    start, stop : int
    radius : float
        Of what is near, in pixels.
    """
    for frame in reasons:
        near = dilated((frame & _CLIP) != 0, radius)[start:stop]
        rows = frame[start:stop]
        frame[start:stop] = rows + (near & (rows == 0)) * _GROW


def count_grown(reasons: Any) -> NDArray[np.int64]:
    """How many samples of each frame were grown over, on the host."""
    counts = [on_host((frame & _GROW).astype(bool).sum()) for frame in reasons]
    return np.array(counts, np.int64)


def dilated(marks: Any, radius: float) -> Any:
    """What lies within `radius` of a mark, itself too: array of bool, shape (rows, width).

    From the top of the disc to its middle, rows of marks that get ever wider are moved to where
    they belong, above and below.
    """
    rows, width = marks.shape
    wide, half = marks, 0
    result = marks.copy()
    for dy in range(min(math.floor(radius), rows - 1), -1, -1):
        reach = min(half_width(radius, dy), width)
        wide, half = _widened(wide, half, reach), reach
        result[dy:] |= wide[: rows - dy]
        result[: rows - dy] |= wide[dy:]
    return result


def half_width(radius: float, dy: int) -> int:
    """The most dx of which ``dx^2 + dy^2 <= radius^2``."""
    room = radius * radius - dy * dy
    if room >= 2**52:  # far outside of any frame
        return 2**26
    return math.isqrt(math.floor(room))


def _widened(marks: Any, half: int, reach: int) -> Any:
    """Marks that were spread over `half` pixels to both sides, spread over `reach` of them.

    Each step moves them by as much as leaves no gap, even where an edge has cut one side off.
    """
    while half < reach:
        step = min(half + 1, reach - half)
        wider = marks.copy()
        wider[:, step:] |= marks[:, :-step]
        wider[:, :-step] |= marks[:, step:]
        marks, half = wider, half + step
    return marks
