"""The survey: all statistics that a stack wants of its frames.

Each frame is read once for all of them; one that is resampled once more where noise is wanted.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.align.base import AbsentFrame
from gpustack.checks import check
from gpustack.clips import RangeClip
from gpustack.frames import Frame
from gpustack.frames.sections import AT_ONCE, read_rows, read_section
from gpustack.lazy_types import loaded
from gpustack.measures import Noise, Statistic, section
from gpustack.normalize import statistics

Wanted = Statistic | Noise
#: What is measured, and where.
Key = tuple[str, str | None]
#: A number a frame; None where it has no valid sample.
Measured = list[float | None]

#: The mean first: the others put the values in another order, and so are its last bits.
_STATISTICS: dict[str, Callable[[statistics.Values], float]] = {
    "mean": statistics.mean,
    "median": statistics.median,
    "mode": statistics.mode,
    "mad": statistics.mad,
}


@dataclass(frozen=True, slots=True)
class Sampling:
    """Statistics that are of the same samples.

    Interpolation smooths noise, in each frame by a different amount, so the scatter in a resampled
    frame is measured on the nearest samples of the camera.

    Parameters
    ----------
    kinds : sequence of str
    frame : Frame
        Which has these samples.
    stride : int
        Columns from one sample to the next that is not the same.
    averaged : float
        How many of these a sample is the average of.
    """

    kinds: Sequence[str]
    frame: Frame
    stride: int = 1
    averaged: float = 1.0

    def measured(self, values: NDArray[Any], invalid: NDArray[np.bool_]) -> dict[str, float | None]:
        """The statistics of the valid ones of the samples (rows, width)."""
        valid = values[~invalid]
        numbers: dict[str, float | None] = {}
        for kind, statistic in _STATISTICS.items():
            if kind in self.kinds:
                numbers[kind] = statistic(valid) if len(valid) else None
        if "noise" in self.kinds:
            apart = values[:, :: self.stride], invalid[:, :: self.stride]
            noise = statistics.noise(*apart) if len(valid) else None
            numbers["noise"] = None if noise is None else noise / math.sqrt(self.averaged)
        return numbers


def key_of(measure: Wanted) -> Key:
    """What a survey calls the statistic of a measure."""
    return (measure.kind if isinstance(measure, Statistic) else measure.name, measure.region)


def survey(
    frames: Sequence[Frame], measures: Iterable[Wanted], ranges: Sequence[RangeClip]
) -> dict[Key, Measured]:
    """The statistics of all frames by `key_of`.

    Invalid samples are left out, and those that one of `ranges` rejects. One region of one
    frame is held at a time.

    Raises
    ------
    RecipeError
        Where a region is not inside of the frames, or has no valid sample of a frame that has some
        elsewhere.
    FrameError
        Where a frame is on a device, or can no longer be read.
    """
    wanted = sorted({key_of(measure) for measure in measures}, key=str)
    regions = {region: section(region, frames[0].shape) for _, region in wanted}
    found: dict[Key, Measured] = {key: [] for key in wanted}
    for frame in frames:
        for region, slices in regions.items():
            asked = [kind for kind, where in wanted if where == region]
            for one in _samplings(frame, asked):
                values, invalid = read_section(one.frame, slices)
                leave_out(values, invalid, ranges)
                if region is not None and invalid.all():
                    _check_empty(frame, region, ranges)
                for kind, number in one.measured(values, invalid).items():
                    found[kind, region].append(number)
    return found


def _samplings(frame: Frame, kinds: Sequence[str]) -> Iterator[Sampling]:
    """Each frame, or the nearest samples of one that is resampled."""
    if not isinstance(frame, loaded("gpustack.align.projected", "ProjectedFrame")):
        yield Sampling(kinds, frame)
        return
    projected: Any = frame
    spreads = projected.told_by_nearest
    if others := [kind for kind in kinds if kind not in spreads]:
        yield Sampling(others, frame)
    if some := [kind for kind in kinds if kind in spreads]:
        yield Sampling(some, projected.nearest(), projected.stride, projected.averaged)


def leave_out(
    values: NDArray[Any], invalid: NDArray[np.bool_], ranges: Sequence[RangeClip]
) -> None:
    """Add to `invalid` what `ranges` reject."""
    for clip in ranges:
        # A bound is a float64, also for samples of float32.
        if clip.low is not None:
            invalid |= values < np.float64(clip.low)
        if clip.high is not None:
            invalid |= values > np.float64(clip.high)


def _check_empty(frame: Frame, region: str, ranges: Sequence[RangeClip]) -> None:
    """Raise where a frame without a valid sample in a region has one: it would not be measured."""
    if isinstance(frame, AbsentFrame):
        return
    rows, step = math.prod(frame.shape[:-1]), max(1, AT_ONCE // frame.shape[-1])
    for start in range(0, rows, step):
        values, invalid = read_rows(frame, start, min(start + step, rows))
        leave_out(values, invalid, ranges)
        check(
            bool(invalid.all()),
            f"region {region}: expected valid samples in each frame, got none in {frame.name}, "
            "which has some elsewhere; give a region that all frames have, or numbers",
        )
