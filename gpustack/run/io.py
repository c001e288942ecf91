"""What a backend reads and fills in a run: its source and its outputs."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Outputs
from gpustack.backends.sink import Sink, Sum
from gpustack.frames import Frame, FrameSource
from gpustack.maps import MakeArray
from gpustack.provenance import TimedSource
from gpustack.recipe import Recipe


def source_of(
    frames: Sequence[Frame],
    recipe: Recipe,
    dtype: np.dtype[Any],
    weights: NDArray[Any] | None = None,
    reads: list[float] | None = None,
) -> FrameSource:
    """Return the source that the backend reads.

    Parameters
    ----------
    frames : sequence of Frame
        Frames that agree in shape and unit.
    recipe : Recipe
        With all numbers filled in.
    dtype : dtype
        The dtype in which samples are compared and sorted.
    weights : ndarray, shape (n, rows, width), or None
        The weight of each sample, where the weights of the recipe are ``"sample"``.
    reads : list of float, or None
        Gets the seconds that each read takes.
    """
    scales = None
    if recipe.weights == "variance":
        scales = (1.0,) * len(frames) if recipe.scale is None else recipe.scale
    given = frames, dtype, weights, recipe.clips_by_variance, scales
    return FrameSource(*given) if reads is None else TimedSource(*given, reads)


def outputs_of(
    recipe: Recipe, source: FrameSource, reasons: bool, sinks: MakeArray | None = None
) -> Outputs:
    """Allocate the arrays of the result where the frames are, or create the sinks for their rows.

    With sinks, and unless rejections are counted per frame, the surviving samples of all pixels are
    added up: by the sink of the count map, or else by a `Sum`. Next to writing that takes no time,
    whereas counting rejections per frame takes a second look at all samples.
    """
    n, shape = source.n, (source.rows, source.width)
    empty = source.empty if sinks is None else sinks
    float_dtype = np.dtype(recipe.dtype) if recipe.dtype else source.dtype
    count_dtype = np.dtype(np.uint16 if n <= np.iinfo(np.uint16).max else np.uint32)
    if source.resident:
        count_dtype = np.dtype(np.int32)  # the type that kernels write
    out = Outputs(empty(shape, float_dtype), mask=empty(shape, np.dtype(bool)))
    if recipe.spread is not None:
        out.uncertainty = empty(shape, float_dtype)
    for name in ("count", "low", "high"):
        if name in recipe.outputs:
            setattr(out, name, empty(shape, count_dtype))
    if "rejected" in recipe.outputs:
        out.valid, out.rejected = np.zeros(n, np.int64), np.zeros(n, np.int64)
    elif sinks is not None:
        out.valid = np.zeros(n, np.int64)
        if out.count is None:
            out.count = Sum(shape, count_dtype)  # type: ignore[assignment]
    if reasons:
        out.reasons = empty((n, *shape), np.dtype(np.uint8))
    return out


def rejected_share(out: Outputs) -> float | None:
    """The rejected fraction of the valid samples of all frames; None if they were not counted."""
    if out.valid is None:
        return None
    valid = int(out.valid.sum())
    if out.rejected is not None:
        rejected = int(out.rejected.sum())
    elif isinstance(count := cast(Any, out.count), Sink):
        rejected = valid - count.total
    else:
        return None
    return rejected / valid if valid else 0.0
