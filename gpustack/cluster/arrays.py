"""Stacks that are dask arrays: frames without samples at the client, and the blocks of a task."""

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
    """Whether `frames` is a `dask.array.Array`."""
    return isinstance(frames, loaded("dask.array", "Array"))


@dataclass(eq=False)
class RemoteFrame(ArrayFrame):
    """A frame of a dask array: its shape and dtype are known at the client, its samples are not."""

    def read(self, start: int, stop: int, into: Any = None) -> Samples:
        """Raise an InputError: the client has no samples."""
        raise InputError(
            f"{self.name}: the client has no samples of a dask array: expected numbers or a "
            "statistic such as 'median', got a function or an overlap"
        )


def remote_frames(array: Any, unit: Any, flags: Flags | None) -> list[Frame]:
    """Return the frames of a dask array, without their samples.

    Parameters
    ----------
    array : dask.array.Array, shape (n, y, x)
        Of any real dtype.
    unit, flags
        As for `gpustack.frames.open_frames`.

    Raises
    ------
    InputError
        Where `array` is not of shape (frame, y, x), has no frame, or has unknown lengths; where
        `unit` is not a unit; where `flags` are given, as a dask array has no bits.
    FrameError
        Where the dtype is not real, or the frames have no samples.
    """
    if array.ndim != 3 or np.isnan(array.shape).any() or not array.shape[0]:
        raise InputError(
            "frames: expected a dask array (frame, y, x) of known shape with at least one frame, "
            f"got shape {array.shape}"
        )
    stand_in = np.broadcast_to(np.zeros((), array.dtype), array.shape[1:])
    known = open_frames([stand_in] * array.shape[0], unit=unit, flags=flags)
    return [RemoteFrame(**vars(frame)) for frame in known]


def chunk_rows(array: Any) -> int:
    """The number of rows of the largest block of `array`; other blocks may be empty."""
    return int(max(array.chunks[1]))


def block_of(array: Any, around: Band) -> Any:
    """Rows `around` of all frames, as a dask Delayed of one numpy array."""
    rows = array[:, around.start : around.stop]
    return _merged(rows)


def plane_of(array: Any, f: int) -> Any:
    """Frame `f`, as a dask Delayed of one numpy array."""
    return _merged(array[f])


def _merged(array: Any) -> Any:
    """Merge all blocks of `array` into one.

    The graph is optimised, so that of a source that is read by slices, such as Zarr, only the
    slices that `array` contains are read.
    """
    import dask

    (whole,) = dask.optimize(array.rechunk(array.shape))
    return whole.to_delayed(optimize_graph=False).item()
