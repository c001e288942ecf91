"""The samples of a frame as they are combined, on the host or on a device."""

from typing import Any

import numpy as np

from gpustack.backends.base import Samples, working_dtype
from gpustack.backends.cuda.device import is_array
from gpustack.frames.base import decode_values
from gpustack.recipe import Recipe


def normalised(samples: Samples, recipe: Recipe, f: int, dtype: np.dtype[Any]) -> Any:
    """Return the samples of frame `f`, decoded and normalised, in float64; undefined if invalid.

    They are the numbers that a backend computes with, rounded to `dtype`.
    """
    values: Any = samples.data
    if not is_array(values):
        values = decode_values(samples, working_dtype(values.dtype))
    exact = values.astype(np.float64, order="C")  # so that sums along rows have one order
    if not recipe.normalizes:  # nothing to round
        return exact
    if recipe.zero is not None:
        exact = exact - recipe.zero[f]
    if recipe.scale is not None:
        exact = exact * recipe.scale[f]
    return exact.astype(dtype).astype(np.float64)
