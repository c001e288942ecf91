"""Sort out weights as users give them: by numbers per frame or sample, measures or functions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.cuda.device import is_array as is_device_array
from gpustack.checks import check
from gpustack.errors import RecipeError
from gpustack.frames import Frame, FrameSource
from gpustack.measures import Measure, tidy_numbers


def split_weights(weights: Any, frames: Sequence[Frame]) -> tuple[Any, NDArray[Any] | None]:
    """Return weights for a recipe, and an array if there is one weight per sample.

    With an array, the weights for the recipe are ``"sample"``. Without one, they are numbers, a
    measure, a word or a function, and None stands for the array. In the array, weights that are
    masked or not finite become 0: maps of 1/variance have such values where there is no sample.

    Raises
    ------
    RecipeError
        Where weights are negative or have the wrong shape; names the frame.
    """
    resident = FrameSource(frames, frames[0].dtype).resident
    if isinstance(weights, (str, Measure)) or callable(weights):
        return weights if callable(weights) else tidy_numbers("weights", weights), None
    if is_device_array(weights) or (resident and np.ndim(weights) > 1):
        return _device_weights(weights, frames, resident)
    array = _as_array(weights)
    if array.ndim == 0:
        return tidy_numbers("weights", weights), None
    check(array.dtype.kind in "biuf", f"weights: expected real numbers, got {array.dtype}")
    if array.ndim == 1:
        numbers = tidy_numbers("weights", array)
        check(any(numbers), f"weights: expected one above 0 for some frame, got {weights!r}")
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


def _as_array(weights: Any) -> NDArray[Any]:
    try:
        if isinstance(weights, Sequence) and any(map(np.ma.isMaskedArray, weights)):
            weights = np.ma.stack([np.ma.asarray(one) for one in weights])
        array = np.asarray(np.ma.filled(weights, 0))
    except ValueError as err:  # lists of different lengths
        raise RecipeError(f"weights: expected numbers, one per frame or per sample: {err}") from err
    return array.astype(np.float32) if array.dtype == bool else array


def _device_weights(weights: Any, frames: Sequence[Frame], resident: bool) -> tuple[Any, Any]:
    """``"sample"`` and a device array of weights; shape and dtype are checked, values are not."""
    expected = (len(frames), *frames[0].shape)
    both = resident and is_device_array(weights)
    check(
        both and weights.shape == expected and weights.dtype.kind in "biuf",
        "weights: expected numbers, one per frame, or, for frames that are cupy arrays, a cupy "
        f"array of shape {expected}, got {type(weights).__module__} {type(weights).__name__} of "
        f"shape {np.shape(weights) if not is_device_array(weights) else weights.shape}",
    )
    return "sample", weights
