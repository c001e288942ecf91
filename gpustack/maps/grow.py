"""Growing: rejecting the neighbours of rejected samples. See `gpustack.clips.Grow`."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.frames.resident import on_host
from gpustack.reasons import Reason

#: Bytes that growing takes per pixel of a frame; frames are grown one at a time.
PIXEL_BYTES = 6

_CLIP, _GROW = np.uint8(Reason.CLIP), np.uint8(Reason.GROW)


def grow(reasons: Any, start: int, stop: int, radius: float) -> None:
    """Mark survivors in rows ``[start, stop)`` that are near a clipped sample of their frame.

    Their reason becomes GROW.

    Parameters
    ----------
    reasons : array of uint8, shape (n, rows, width)
        The reasons of these rows and of all rows within `radius` of them. Changed in place.
    start, stop : int
    radius : float
        The largest distance that is near, in pixels.
    """
    for frame in reasons:
        near = dilated((frame & _CLIP) != 0, radius)[start:stop]
        rows = frame[start:stop]
        frame[start:stop] = rows + (near & (rows == 0)) * _GROW


def count_grown(reasons: Any) -> NDArray[np.int64]:
    """Return how many samples of each frame growing has rejected, as a numpy array."""
    counts = [on_host((frame & _GROW).astype(bool).sum()) for frame in reasons]
    return np.array(counts, np.int64)


def dilated(marks: Any, radius: float) -> Any:
    """Return which pixels are within `radius` of a mark, marks included: shape (rows, width).

    From the top of the disc to its middle, marks are spread along their row to the width of the
    disc at `dy`, and added `dy` rows above and below.
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
    """Return the largest dx with ``dx^2 + dy^2 <= radius^2``."""
    room = radius * radius - dy * dy
    if room >= 2**52:  # larger than any frame
        return 2**26
    return math.isqrt(math.floor(room))


def _widened(marks: Any, half: int, reach: int) -> Any:
    """Return marks spread over `reach` pixels to both sides, from marks spread over `half`.

    Each step shifts them by at most ``half + 1``, which leaves no gap even where the edge of the
    frame has cut one side off.
    """
    while half < reach:
        step = min(half + 1, reach - half)
        wider = marks.copy()
        wider[:, step:] |= marks[:, :-step]
        wider[:, :-step] |= marks[:, step:]
        marks, half = wider, half + step
    return marks
