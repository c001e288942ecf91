"""Compare answers of a device with those of the CPU backend."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.gpu_sources import FLOAT32, Arrays
from gpustack.backends.base import Outputs
from gpustack.backends.cpu import CpuBackend
from gpustack.plan import DEFAULT_MEMORY
from gpustack.recipe import Recipe

#: The number of pixels whose answers are compared.
CHECKED = 4096


class WrongError(Exception):
    """An answer differs from that of the CPU backend."""


def check(
    name: str,
    images: Sequence[NDArray[np.float32]],
    recipe: Recipe,
    data: NDArray[Any],
    mask: NDArray[Any],
) -> None:
    """Compare the answer for some pixels; WrongError where it differs.

    Parameters
    ----------
    name : str
        What has been combined, and how, for the message.
    images : sequence of n ndarray of float32, shape (rows, width)
    recipe : Recipe
    data, mask : ndarray, shape (rows, width)
        The answer.
    """
    want = Outputs(np.empty(data.shape, FLOAT32), mask=np.empty(data.shape, bool))
    CpuBackend().stream(Arrays(images), recipe, want, DEFAULT_MEMORY)
    close = np.isclose(data, want.data, rtol=1e-6, atol=0, equal_nan=True)
    values, masks = np.sum(~close), np.sum(mask != want.mask)
    # A sample within rounding of a bound may fall either way.
    if values > 0.001 * close.size or masks:
        raise WrongError(
            f"{name}, {len(images)} frames: values differ at {values} and masks at {masks} of "
            f"{close.size} pixels"
        )
