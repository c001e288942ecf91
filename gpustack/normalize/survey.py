"""The survey: all statistics that a stack wants of its frames, each frame read once."""

import math
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gpustack.align.base import AbsentFrame
from gpustack.checks import check
from gpustack.clips import RangeClip
from gpustack.frames import Frame
from gpustack.frames.sections import AT_ONCE, read_rows, read_section
from gpustack.loaded import loaded
from gpustack.measures import Noise, Statistic, section
from gpustack.normalize import statistics

Wanted = Statistic | Noise
#: What is measured, and where.
Key = tuple[str, str | None]
#: A number a frame; None where it has no valid sample.
Measured = list[float | None]

#: What is measured on samples, these, and where they are invalid.
Look = tuple[list[str], tuple[NDArray[Any], NDArray[np.bool_]]]

#: How far values lie apart: interpolation smooths noise, in each frame by another amount. Of frames
#: that are resampled they are measured before.
_SPREADS = ("mad", "noise")

#: The mean first: the others put the values in another order, and so are its last bits.
_STATISTICS: dict[str, Callable[[statistics.Values], float]] = {
    "mean": statistics.mean,
    "median": statistics.median,
    "mode": statistics.mode,
    "mad": statistics.mad,
}


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
            for kinds, (values, invalid) in _looks(frame, slices, asked):
                leave_out(values, invalid, ranges)
                if region is not None and invalid.all():
                    _check_empty(frame, region, ranges)
                for kind, number in _measure(values, invalid, kinds).items():
                    found[kind, region].append(number)
    return found


def _looks(frame: Frame, slices: Sequence[slice], kinds: Sequence[str]) -> Iterator[Look]:
    """The samples that each kind is measured on: one after the other, and each is let go."""
    resampled = isinstance(frame, loaded("gpustack.align.projected", "ProjectedFrame"))
    spreads = [kind for kind in kinds if kind in _SPREADS and resampled]
    others = [kind for kind in kinds if kind not in spreads]
    if others:
        yield others, read_section(frame, slices)
    if spreads:
        yield spreads, cast(Any, frame).read_beneath(slices)


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


def _measure(
    values: NDArray[Any], invalid: NDArray[np.bool_], kinds: Container[str]
) -> dict[str, float | None]:
    """Some statistics of the valid ones of the samples (rows, width)."""
    valid = values[~invalid]
    numbers: dict[str, float | None] = {}
    for kind, statistic in _STATISTICS.items():
        if kind in kinds:
            numbers[kind] = statistic(valid) if len(valid) else None
    if "noise" in kinds:
        numbers["noise"] = statistics.noise(values, invalid) if len(valid) else None
    return numbers
