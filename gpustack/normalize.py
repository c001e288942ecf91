"""The numbers of a frame: its scale, zero and weight, given or measured."""

from collections.abc import Callable, Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.cuda.device import is_array as is_device_array
from gpustack.checks import check, per_frame, real, word
from gpustack.clips import Statistic
from gpustack.errors import RecipeError
from gpustack.frames import Frame, FrameSource

PerFrame = Sequence[float] | NDArray[Any] | str | Callable[[Any], float] | None
Numbers = tuple[float, ...] | None


def resolve(scale: PerFrame, zero: PerFrame, frames: Sequence[Frame]) -> tuple[Numbers, Numbers]:
    """The scale and the zero of each frame as numbers; None stays None.

    A callable gets each frame as a masked array. A statistic brings each frame to the
    first one that has a valid sample, together with the other's numbers if there are any.
    Each reads the frames once more, and holds one of them at a time.

    Raises
    ------
    RecipeError
        Where no such numbers exist; names the frame.
    """
    words = get_args(Statistic)
    both = isinstance(scale, str) and isinstance(zero, str)
    check(
        not both,
        f"scale={scale!r} and zero={zero!r}: one statistic cannot set both; "
        "give numbers for one of them",
    )
    if isinstance(zero, str):
        factors = _given("scale", scale, frames)
        return factors, _zeros(word("zero", zero, words), factors, frames)
    offsets = _given("zero", zero, frames)
    if isinstance(scale, str):
        return _scales(word("scale", scale, words), offsets, frames), offsets
    return _given("scale", scale, frames), offsets


def _given(name: str, value: Any, frames: Sequence[Frame]) -> Numbers:
    """Numbers as they were given, or what a callable says of each frame."""
    if not callable(value):
        numbers: Numbers = per_frame(name, value, (), -np.inf)
        if numbers is not None and len(numbers) != len(frames):
            raise RecipeError(
                f"{name}: expected {len(frames)} numbers, one a frame, got {len(numbers)}"
            )
        return numbers
    answers = [value(frame.whole()) for frame in frames]
    for frame, answer in zip(frames, answers, strict=True):
        check(
            np.isfinite(real(answer)),
            f"{name}: expected a finite number, got {answer!r} for {frame.name}",
        )
    return tuple(map(real, answers))


def _scales(statistic: str, zeros: Numbers, frames: Sequence[Frame]) -> tuple[float, ...]:
    """What scales ``s - zero`` of every frame to that of the first, s the statistic."""
    measured = _measured(statistic, frames)
    zeros = zeros or (0.0,) * len(frames)
    above = [None if s is None else s - z for s, z in zip(measured, zeros, strict=True)]
    first = next((value for value in above if value is not None), 1.0)
    for frame, value in zip(frames, above, strict=True):
        check(
            value is None or value * first > 0,
            f"scale: expected every {statistic} to have the sign of the first, {first:g}, "
            f"got {value or 0:g} in {frame.name}",
        )
    # Of a frame without any valid sample nothing will count.
    return tuple(1.0 if value is None else first / value for value in above)


def _zeros(statistic: str, scales: Numbers, frames: Sequence[Frame]) -> tuple[float, ...]:
    """What shifts every frame so that, scaled, its statistic is that of the first."""
    measured = _measured(statistic, frames)
    scales = scales or (1.0,) * len(frames)
    known = [(s, c) for s, c in zip(measured, scales, strict=True) if s is not None]
    first = known[0][0] * known[0][1] if known else 0.0
    return tuple(0.0 if s is None else s - first / c for s, c in zip(measured, scales, strict=True))


def _measured(statistic: str, frames: Sequence[Frame]) -> list[float | None]:
    return [_measure(frame, statistic) for frame in frames]


def _measure(frame: Frame, statistic: str) -> float | None:
    """The median or mean of the valid samples of a frame, in float64; None without any."""
    valid = frame.whole().compressed()
    if not len(valid):
        return None
    if statistic == "mean":
        return float(np.mean(valid, dtype=np.float64))
    half = len(valid) // 2
    middle = (half - 1 + len(valid) % 2, half)
    valid.partition(middle)
    return float(valid[list(middle)].mean(dtype=np.float64))


def split_weights(weights: Any, frames: Sequence[Frame]) -> tuple[Any, NDArray[Any] | None]:
    """Weights per frame for the recipe, or ``"sample"`` and the array of them.

    A weight of a sample that is not finite becomes 0, as maps of 1/variance have them
    where there is no sample.

    Raises
    ------
    RecipeError
        Where weights are negative or of the wrong shape; names the frame.
    """
    resident = FrameSource(frames, frames[0].dtype).resident
    if is_device_array(weights) or (resident and np.ndim(weights) > 1):
        return _device_weights(weights, frames, resident)
    if weights is None or np.ndim(weights) == 0:
        return per_frame("weights", weights, (), 0), None
    array = np.asarray(weights)
    check(array.dtype.kind in "biuf", f"weights: expected real numbers, got {array.dtype}")
    if array.ndim == 1:
        numbers = per_frame("weights", array, (), 0)
        check(any(numbers), f"weights: expected some above 0, got {weights!r}")
        return numbers, None
    expected = (len(frames), *frames[0].shape)
    check(
        array.shape == expected,
        f"weights: expected shape {expected} or ({len(frames)},), got {array.shape}",
    )
    finite = np.isfinite(array)
    if not finite.all():
        array = np.where(finite, array, 0)
    for frame, part in zip(frames, array, strict=True):
        least = part.min()
        check(least >= 0, f"weights: expected numbers >= 0, got {least} for {frame.name}")
    return "sample", array


def _device_weights(weights: Any, frames: Sequence[Frame], resident: bool) -> tuple[Any, Any]:
    """A weight for every sample, on the device where the samples are; none is looked at."""
    expected = (len(frames), *frames[0].shape)
    both = resident and is_device_array(weights)
    check(
        both and weights.shape == expected and weights.dtype.kind in "biuf",
        "weights: expected numbers, one a frame, or for cupy frames alone a cupy array of shape "
        f"{expected}, got {type(weights).__module__} {type(weights).__name__} of shape "
        f"{np.shape(weights) if not is_device_array(weights) else weights.shape}",
    )
    return "sample", weights
