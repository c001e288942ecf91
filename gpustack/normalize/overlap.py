"""Offsets between frames that cover parts of a field, measured where they overlap."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.checks import check
from gpustack.clips import RangeClip
from gpustack.frames import Frame
from gpustack.frames.sections import read_rows
from gpustack.normalize.survey import mark_out_of_range

#: Largest number of samples that are used of a frame, and of all frames together.
FRAME_SAMPLES, ALL_SAMPLES = 100_000, 1 << 24
#: Two frames overlap if at least this many of these samples are valid in both.
LEAST = 10
#: Samples read at once.
_AT_ONCE = 1 << 20


def overlap_offsets(
    frames: Sequence[Frame], scales: Sequence[float], ranges: Sequence[RangeClip]
) -> list[float | None]:
    """The offset of each scaled frame, with a sum of 0; None for a frame without a valid sample.

    Parameters
    ----------
    frames : sequence of Frame
        Each is read once. Of large frames, evenly spread samples are held, the same of all frames.
    scales : sequence of float
        The scale of each frame, which its samples are multiplied by first.
    ranges : sequence of RangeClip
        Samples that these reject are left out.

    Raises
    ------
    RecipeError
        Where frames fall into groups that do not overlap; names two frames.
    """
    n, shape = len(frames), frames[0].shape
    chosen = sample_indices(shape, min(FRAME_SAMPLES, max(1, ALL_SAMPLES // n)))
    cube = np.empty((n, len(chosen)))
    picked = (
        _read_chosen(frame, chosen, ranges, row) for frame, row in zip(frames, cube, strict=True)
    )
    has_valid = np.fromiter(picked, bool)
    with np.errstate(over="ignore"):  # infinite samples are left out
        cube *= np.reshape(scales, (-1, 1))
    counts, differences = _pairs(cube)
    _check_connected(counts, has_valid, frames, len(chosen))
    offsets = solve(counts, differences)
    return [float(o) if valid else None for o, valid in zip(offsets, has_valid, strict=True)]


def _read_chosen(
    frame: Frame,
    chosen: NDArray[np.int64],
    ranges: Sequence[RangeClip],
    into: NDArray[np.float64],
) -> bool:
    """Put the chosen samples of a frame into an array, NaN where they are invalid.

    Returns
    -------
    bool
        Whether any sample of the frame is valid, chosen or not.
    """
    has_valid = False
    rows, width = math.prod(frame.shape[:-1]), frame.shape[-1]
    step = max(1, _AT_ONCE // width)
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        first, last = np.searchsorted(chosen, (start * width, stop * width))
        values, invalid = read_rows(frame, start, stop)
        mark_out_of_range(values, invalid, ranges)
        at = chosen[first:last] - start * width
        into[first:last] = np.where(invalid.ravel()[at], np.nan, values.ravel()[at])
        has_valid = has_valid or not invalid.all()
    return has_valid


def sample_indices(shape: Sequence[int], most: int) -> NDArray[np.int64]:
    """At most `most` indices into a flattened frame, evenly spread over rows and columns."""
    size, width = math.prod(shape), shape[-1]
    step = -(-size // most)
    while step > 1 and math.gcd(step, width) > 1:  # else some columns are never chosen
        step += 1
    return np.arange(0, size, step)


def _pairs(cube: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """How many samples each two frames have in common, and the median of ``i - j`` there.

    Both are 0 for frames with fewer than `LEAST` samples in common.
    """
    n = len(cube)
    counts, differences = np.zeros((n, n)), np.zeros((n, n))
    for i in range(n):
        for j in range(i):
            with np.errstate(invalid="ignore", over="ignore"):
                apart = cube[i] - cube[j]
            apart = apart[np.isfinite(apart)]
            if len(apart) >= LEAST:
                counts[i, j] = counts[j, i] = len(apart)
                differences[i, j] = np.median(apart)
                differences[j, i] = -differences[i, j]
    return counts, differences


def solve(counts: NDArray[Any], differences: NDArray[Any]) -> NDArray[np.float64]:
    """The offsets that minimise ``sum counts_ij (o_i - o_j - differences_ij)^2``.

    Of all solutions, it is the one of smallest norm: where all frames are connected, its sum is 0.
    """
    # The normal equations are n x n, however many pairs there are.
    laplacian = np.diag(counts.sum(axis=1)) - counts
    right = (counts * differences).sum(axis=1)
    offsets: NDArray[np.float64] = np.linalg.lstsq(laplacian, right, rcond=None)[0]
    return offsets


def _check_connected(
    counts: NDArray[Any], has_valid: NDArray[np.bool_], frames: Sequence[Frame], compared: int
) -> None:
    """Raise RecipeError where overlaps do not connect a frame to the first, not even via others."""
    first = int(np.argmax(has_valid))
    reached = np.zeros(len(frames), bool)
    reached[first] = True
    while (grown := reached | (counts[reached] > 0).any(axis=0)).sum() > reached.sum():
        reached = grown
    alone = has_valid & ~reached
    check(
        not alone.any(),
        f"zero: expected frames that all overlap, directly or through others (at least {LEAST} of "
        f"the {compared:,} samples compared valid in both), got nothing that connects "
        f"{frames[first].name} and {frames[int(np.argmax(alone))].name}",
    )
