"""Views of arrays at equal distances in memory as one array.

With such a view, one numpy call processes the samples of all frames, not one call per frame. After
each call a thread waits for the GIL. The mean of 100 files of 2048 x 2048 float32 took two threads
1.4 s with one call per frame, longer than one thread; with the view it takes them 0.8 s.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Samples


def as_one(arrays: Sequence[NDArray[Any]]) -> NDArray[Any] | None:
    """Return a read-only view of all arrays, or None if they are not at equal distances.

    The arrays must be parts of one array, which the view keeps alive. Between arrays that were
    allocated separately, there may be the array to which the view is copied later. numpy would
    take that for a part of the view, because it only compares the ends.

    Parameters
    ----------
    arrays : sequence of n ndarray, shape (...)

    Returns
    -------
    ndarray, shape (n, ...), or None
    """
    first = arrays[0]
    like, owner = (first.shape, first.dtype, first.strides), _owner(first)
    if any((array.shape, array.dtype, array.strides) != like for array in arrays):
        return None
    if any(_owner(array) is not owner for array in arrays):
        return None
    places = [array.__array_interface__["data"][0] for array in arrays]
    step = places[1] - places[0] if len(places) > 1 else 0
    if any(after - before != step for before, after in pairwise(places)):
        return None
    return np.lib.stride_tricks.as_strided(
        first, (len(arrays), *first.shape), (step, *first.strides), writeable=False
    )


def _owner(array: Any) -> Any:
    """Return the object that owns the memory of an array."""
    while isinstance(array, np.ndarray | memoryview):
        base = array.obj if isinstance(array, memoryview) else array.base
        if base is None:
            break
        array = base
    return array


def samples_as_one(band: Sequence[Samples]) -> Samples | None:
    """Return the samples of all frames as one `Samples`, shape (n, rows, width), else None.

    The data must suit `as_one`. All frames must have the same BSCALE and BZERO, and neither a mask
    nor a BLANK. The result is for code that decodes all frames at once, `gpustack.backends.stored`;
    other code expects the samples of one frame.
    """
    first = band[0]
    scaling = first.bscale, first.bzero
    if any(one.mask is not None or one.blank is not None for one in band):
        return None
    if any((one.bscale, one.bzero) != scaling for one in band) or not first.data.flags.c_contiguous:
        return None
    data = as_one([one.data for one in band])
    return None if data is None else replace(first, data=data, weight=None, variance=None)
