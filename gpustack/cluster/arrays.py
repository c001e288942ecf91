"""Stacks that are dask arrays: frames whose samples nobody here has, and blocks of their rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpustack.backends.base import Samples
from gpustack.errors import InputError
from gpustack.flags import Flags
from gpustack.frames import ArrayFrame, Frame, open_frames
from gpustack.lazy_types import loaded
from gpustack.plan import Band


def is_dask_array(frames: Any) -> bool:
    """Whether it is a `dask.array.Array`."""
    return isinstance(frames, loaded("dask.array", "Array"))


@dataclass(eq=False)
class FarFrame(ArrayFrame):
    """A frame of a dask array, of which type and shape are known here, and no samples."""

    def read(self, start: int, stop: int, into: Any = None) -> Samples:
        """None of it."""
        raise InputError(
            f"{self.name}: expected what can be made by rows or from statistics, got what needs "
            "samples of a dask array at the client: a function, an overlap"
        )


def far_frames(array: Any, unit: Any, flags: Flags | None) -> list[Frame]:
    """The frames of a dask array.

    Parameters
    ----------
    array : dask.array.Array, shape (n, y, x)
        Of any real dtype.
    unit, flags
        As of `gpustack.frames.open_frames`.

    Raises
    ------
    InputError
        Where it is no stack (frame, y, x), has no frame, or has unknown lengths; where `unit` is no
        unit, or `flags` are given, as it has no bits.
    FrameError
        Where its dtype is not real, or its frames have no samples.
    """
    if array.ndim != 3 or np.isnan(array.shape).any() or not array.shape[0]:
        raise InputError(
            "frames: expected a dask array (frame, y, x) of known shape, with a frame or more, got "
            f"shape {array.shape}"
        )
    stand_in = np.broadcast_to(np.zeros((), array.dtype), array.shape[1:])
    known = open_frames([stand_in] * array.shape[0], unit=unit, flags=flags)
    return [FarFrame(**vars(frame)) for frame in known]


def chunk_rows(array: Any) -> int:
    """Rows of its largest block; others may be empty."""
    return int(max(array.chunks[1]))


def block_of(array: Any, around: Band) -> Any:
    """Rows of all frames, as something that dask makes in one piece."""
    rows = array[:, around.start : around.stop]
    return _one(rows)


def plane_of(array: Any, f: int) -> Any:
    """One frame, as something that dask makes in one piece."""
    return _one(array[f])


def _one(array: Any) -> Any:
    """Of a source that is read by slices, such as Zarr, no more than these are read then."""
    import dask

    (whole,) = dask.optimize(array.rechunk(array.shape))
    return whole.to_delayed(optimize_graph=False).item()
