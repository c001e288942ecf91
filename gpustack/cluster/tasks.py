"""The tasks that workers run: rows of a result, statistics of a frame, which backends work."""

import math
import platform
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Condition, Lock
from typing import Any

import numpy as np

from gpustack import backends
from gpustack.align.base import GridFrame
from gpustack.backends.cuda import device
from gpustack.clips import RangeClip
from gpustack.cluster.opening import Opening, frames_of
from gpustack.cluster.rows import RowSink, TaskRows
from gpustack.errors import FrameError, GpustackError, MemoryLimitError
from gpustack.flags import Flags
from gpustack.frames import Frame
from gpustack.frames.array import open_array
from gpustack.frames.onfile import kept_open
from gpustack.maps import derived, execute, least_memory
from gpustack.normalize import Key, Wanted, survey
from gpustack.plan import Band
from gpustack.recipe import Recipe
from gpustack.run.io import outputs_of, source_of
from gpustack.run.limit import counting_held, limit_of, within_memory
from gpustack.run.requirements import check_needs, exposures


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """What all tasks of a stack share.

    Parameters
    ----------
    opening : Opening
    recipe : Recipe
        With all numbers filled in.
    dtype : str
        The dtype in which samples are compared and sorted.
    backend, memory, device_memory
        As in `gpustack.stack`; the limits are those of each worker.
    """

    opening: Opening
    recipe: Recipe
    dtype: str
    backend: str
    memory: float | str | None
    device_memory: float | str | None


@dataclass(frozen=True, slots=True)
class Declared:
    """The shape and dtype that a dask array declares for a block; its graph may return others.

    Parameters
    ----------
    name : str
        What errors call the block: which rows, or which frame, it contains.
    shape : tuple of int
    dtype : dtype
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def check(self, block: Any) -> None:
        """Raise unless a block is as declared.

        Raises
        ------
        FrameError
            Where the shape differs, or the dtype cannot be cast to the declared one safely.
        """
        found = np.shape(block)
        if found != self.shape:
            raise FrameError(
                self.name, f"expected shape {self.shape}, as it declares, got a block of {found}"
            )
        dtype = np.dtype(getattr(block, "dtype", object))
        if not np.can_cast(dtype, self.dtype):  # digits would be lost silently
            raise FrameError(
                self.name,
                f"expected {self.dtype}, as it declares, got a block of {dtype}: give the right "
                "dtype= to map_blocks or from_delayed",
            )


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """The worker that runs a task: its name for errors, and how many threads it may use."""

    name: str
    threads: int

    @classmethod
    def of_this_task(cls) -> "WorkerInfo":
        """Return the worker that runs this task."""
        from distributed import get_worker

        worker = get_worker()
        name = f"worker {worker.name}, {worker.address} on {socket.gethostname()}"
        return cls(name, worker.state.nthreads)


@contextmanager
def on_worker() -> Iterator[WorkerInfo]:
    """Context manager: errors of gpustack name the worker too."""
    here = WorkerInfo.of_this_task()
    try:
        yield here
    except FrameError as err:
        raise type(err)(err.name, f"{err.problem} ({here.name})") from None
    except MemoryLimitError as err:
        raise type(err)(f"{err.problem} ({here.name})", err.enough) from None
    except GpustackError as err:
        raise type(err)(f"{err} ({here.name})") from None


#: Bytes per sample that measuring takes: for the MAD of float32, and roughly for the others.
_MEASURING = 32


class Room:
    """Memory that tasks share: a task waits until it fits beside the others, or is alone."""

    def __init__(self) -> None:
        self._taken, self._changed = 0, Condition()

    @contextmanager
    def __call__(self, size: int, limit: int) -> Iterator[None]:
        """Context manager: `size` bytes are taken; wait until the total is at most `limit`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + size <= limit)
            self._taken += size
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()


#: By worker: the memory of frames that are being measured, and the lock of the one band at a time
#: that has its threads and its memory.
_measuring_rooms: dict[str, Room] = {}
_band_locks: dict[str, Lock] = {}
_registry_lock = Lock()


def _room_of(worker: str) -> Room:
    with _registry_lock:  # two tasks that start at once must get the same one
        return _measuring_rooms.setdefault(worker, Room())


def _band_lock_of(worker: str) -> Lock:
    with _registry_lock:
        return _band_locks.setdefault(worker, Lock())


def shared(work: Any) -> Any:
    """Return `work`, which other tasks share. As a task, it is repeated if its worker dies."""
    return work


def make_rows(
    work: Work, start: int, stop: int, declared: Declared | None = None, block: Any = None
) -> TaskRows:
    """Make rows ``[start, stop)`` of a result.

    Parameters
    ----------
    work : Work
    start, stop : int
        Rows of the frames, or of the block if there is one.
    declared : Declared or None
        What the dask array declares of the block.
    block : array, shape (n, rows, width), or None
        For a dask array: these rows of all frames, and the neighbours that they depend on.

    Raises
    ------
    ClusterError
        Where versions differ from those of the client.
    FrameError
        Where the block is not as declared.
    """
    opening = work.opening
    with on_worker() as here, _band_lock_of(here.name), kept_open():
        if declared is None:
            frames = frames_of(opening)
        else:
            opening.check_versions()
            declared.check(block)
            frames = [_plane(f, plane, opening.unit) for f, plane in enumerate(block)]
        return within_memory(partial(_compute_rows, work, frames, Band(start, stop), here.threads))


def _plane(f: int, plane: Any, unit: Any) -> Frame:
    return open_array(f"frame {f}", plane, unit, Flags())


def _compute_rows(work: Work, frames: Sequence[Frame], span: Band, threads: int) -> TaskRows:
    recipe = work.recipe
    check_needs(frames, recipe)
    source = source_of(frames, recipe, np.dtype(work.dtype))
    sinks = partial(RowSink, span=span)
    out = outputs_of(recipe, source, False, sinks)
    assert out.data is not None
    made = derived(recipe, source, out.data.dtype, exposures(frames, recipe), sinks)
    maps = list(made.values())
    kept = sum(frame.kept_bytes for frame in frames if isinstance(frame, GridFrame))
    limit = limit_of(work.memory, source, least_memory(source, recipe, out, maps), kept)
    executor = backends.get(work.backend, device_memory=work.device_memory, threads=threads)
    with counting_held(kept):
        execute(executor, source, recipe, out, maps, limit, None, span)
    return TaskRows.of(out, maps)


def measure_frame(
    opening: Opening,
    f: int,
    wanted: Sequence[Wanted],
    ranges: Sequence[RangeClip],
    limit: int,
    declared: Declared | None = None,
    plane: Any = None,
) -> dict[Key, float | None]:
    """Return statistics of one frame, read from its file or given as the `plane` of a dask array.

    A worker measures as many frames at a time as fit in `limit` bytes, and always at least one.

    Raises
    ------
    ClusterError
        Where versions differ from those of the client.
    FrameError
        Where the plane is not as declared.
    """
    with on_worker() as here, kept_open():
        if declared is not None:
            opening.check_versions()
            declared.check(plane)
            frame = _plane(f, plane, None)
        elif opening.opens_singly:
            (frame,) = opening.frames()
        else:
            frame = frames_of(opening)[f]
        with _room_of(here.name)(_MEASURING * math.prod(frame.shape), limit):
            return {key: values[0] for key, values in survey([frame], wanted, ranges).items()}


def usable() -> dict[str, str | None]:
    """Return what this worker computes with: its processor, and its device or why it has none."""
    problem = device.problem()
    return {
        "cpu": platform.machine() or "cpu",
        "cuda": device.summary() if problem is None else None,
        "problem": problem,
    }
