"""The samples of a frame as they are combined, wherever they are."""

from typing import Any

import numpy as np

from gpustack.backends.base import Samples, working_dtype
from gpustack.backends.cuda.device import is_array
from gpustack.frames.base import decode_values
from gpustack.recipe import Recipe


def normalised(samples: Samples, recipe: Recipe, f: int, dtype: np.dtype[Any]) -> Any:
    """The samples of frame `f`, decoded and normalised: float64, anything where invalid.

    The same numbers that a backend computes with, which are rounded to `dtype`.
    """
    values: Any = samples.data
    if not is_array(values):
        values = decode_values(samples, working_dtype(values.dtype))
    exact = values.astype(np.float64, order="C")  # sums along rows are in one order then
    if not recipe.normalizes:  # they are such numbers already
        return exact
    if recipe.zero is not None:
        exact = exact - recipe.zero[f]
    if recipe.scale is not None:
        exact = exact * recipe.scale[f]
    return exact.astype(dtype).astype(np.float64)
