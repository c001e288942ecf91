"""The numbers of a frame: its scale, zero and weight, given or measured."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.errors import RecipeError
from gpustack.frames import Frame

PerFrame = Sequence[float] | NDArray[Any] | str | Callable[[Any], float] | None


def per_frame_numbers(name: str, value: PerFrame, frames: Sequence[Frame]) -> Any:
    """One number a frame from numbers, a statistic or a callable; None stays None."""
    if isinstance(value, str):
        return _relative(name, value, frames)
    if not callable(value):
        return value
    numbers = []
    for frame in frames:
        number = float(value(frame.whole()))
        if not np.isfinite(number):
            raise RecipeError(f"{name}: expected a finite number, got {number} for {frame.name}")
        numbers.append(number)
    return numbers


def _relative(name: str, statistic: str, frames: Sequence[Frame]) -> list[float]:
    """What brings the statistic of each frame to that of the first with a valid sample."""
    if statistic not in ("median", "mean"):
        raise RecipeError(f"{name}: expected 'median' or 'mean', got {statistic!r}")
    measured = [_measure(frame, statistic) for frame in frames]
    reference = next((value for value in measured if value is not None), 0.0)
    numbers = []
    for frame, value in zip(frames, measured, strict=True):
        if value is None:  # nothing of this frame will count
            numbers.append(1.0 if name == "scale" else 0.0)
        elif name == "zero":
            numbers.append(value - reference)
        elif value * reference > 0:
            numbers.append(reference / value)
        else:
            raise RecipeError(
                f"scale: expected every {statistic} to have the sign of the first, {reference:g}, "
                f"got {value:g} in {frame.name}"
            )
    return numbers


def _measure(frame: Frame, statistic: str) -> float | None:
    """The median or mean of the valid samples of a frame, in float64; None without any."""
    valid = frame.whole().compressed()
    if not len(valid):
        return None
    return float(np.median(valid) if statistic == "median" else np.mean(valid, dtype=np.float64))


def split_weights(weights: Any, frames: Sequence[Frame]) -> tuple[Any, NDArray[Any] | None]:
    """Weights per frame for the recipe, or ``"sample"`` and the array of them."""
    if weights is None or np.ndim(weights) <= 1:
        return weights, None
    array = np.asarray(weights)
    expected = (len(frames), *frames[0].shape)
    if array.shape != expected:
        raise RecipeError(
            f"weights: expected shape {expected} or ({len(frames)},), got {array.shape}"
        )
    for frame, part in zip(frames, array, strict=True):
        if not (np.isfinite(part).all() and part.min() >= 0):
            raise RecipeError(
                f"weights: expected finite numbers >= 0, got {part.min()} for {frame.name}"
            )
    return "sample", array
