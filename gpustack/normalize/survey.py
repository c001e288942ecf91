"""Measure all statistics of the frames that a stack needs.

Each frame is read once for all statistics of a region. A resampled frame may be read once more, for
the noise and the mad of its nearest samples.
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
#: The name of a statistic, and the region in which it is measured.
Key = tuple[str, str | None]
#: One number per frame; None for a frame without a valid sample.
Measured = list[float | None]

#: The mean comes first: the others reorder the values, which would change its last bits.
_STATISTICS: dict[str, Callable[[statistics.Values], float]] = {
    "mean": statistics.mean,
    "median": statistics.median,
    "mode": statistics.mode,
    "mad": statistics.mad,
}


@dataclass(frozen=True, slots=True)
class Sampling:
    """Statistics that are measured on the same samples.

    Interpolation smooths noise, in each frame by a different amount, so the scatter in a resampled
    frame is measured on the nearest samples of the camera.

    Parameters
    ----------
    kinds : sequence of str
        The statistics.
    frame : Frame
        The frame that has these samples.
    stride : int
        Columns from one sample to the next that is another sample of the camera.
    averaged : float
        How many samples of the camera are averaged to a sample that is combined.
    """

    kinds: Sequence[str]
    frame: Frame
    stride: int = 1
    averaged: float = 1.0

    def measured(self, values: NDArray[Any], invalid: NDArray[np.bool_]) -> dict[str, float | None]:
        """The statistics of the valid ones of samples of shape (rows, width)."""
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
    """The key of a measure's statistic in the result of `survey`."""
    return (measure.kind if isinstance(measure, Statistic) else measure.name, measure.region)


def survey(
    frames: Sequence[Frame], measures: Iterable[Wanted], ranges: Sequence[RangeClip]
) -> dict[Key, Measured]:
    """Measure the statistics of all frames; the result has them by `key_of`.

    Samples that are invalid or that one of `ranges` rejects are left out. One region of one frame
    is held at a time.

    Raises
    ------
    RecipeError
        Where a region is not inside of the frames, or a frame has valid samples, but none in the
        region.
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
                mark_out_of_range(values, invalid, ranges)
                if region is not None and invalid.all():
                    _check_empty(frame, region, ranges)
                for kind, number in one.measured(values, invalid).items():
                    found[kind, region].append(number)
    return found


def _samplings(frame: Frame, kinds: Sequence[str]) -> Iterator[Sampling]:
    """Yield the statistics to measure on a frame, and on the nearest samples if it is resampled."""
    if not isinstance(frame, loaded("gpustack.align.projected", "ProjectedFrame")):
        yield Sampling(kinds, frame)
        return
    projected: Any = frame
    spreads = projected.measured_on_nearest
    if others := [kind for kind in kinds if kind not in spreads]:
        yield Sampling(others, frame)
    if some := [kind for kind in kinds if kind in spreads]:
        yield Sampling(some, projected.nearest(), projected.stride, projected.averaged)


def mark_out_of_range(
    values: NDArray[Any], invalid: NDArray[np.bool_], ranges: Sequence[RangeClip]
) -> None:
    """Set `invalid` to True where one of `ranges` rejects a value."""
    for clip in ranges:
        # Bounds are compared in float64, also with samples of float32.
        if clip.low is not None:
            invalid |= values < np.float64(clip.low)
        if clip.high is not None:
            invalid |= values > np.float64(clip.high)


def _check_empty(frame: Frame, region: str, ranges: Sequence[RangeClip]) -> None:
    """Raise RecipeError where a frame without a valid sample in a region has some elsewhere.

    Without a valid sample anywhere, a frame needs no number.
    """
    if isinstance(frame, AbsentFrame):
        return
    rows, step = math.prod(frame.shape[:-1]), max(1, AT_ONCE // frame.shape[-1])
    for start in range(0, rows, step):
        values, invalid = read_rows(frame, start, min(start + step, rows))
        mark_out_of_range(values, invalid, ranges)
        check(
            bool(invalid.all()),
            f"region {region}: expected valid samples in each frame, got none in {frame.name}, "
            "which has some elsewhere; give a region that all frames have, or numbers",
        )
