"""The client's side of a cluster: hand out tasks, and put their results together."""

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from gpustack.align import Aligned, align_frames
from gpustack.alignments import Alignment, as_alignment
from gpustack.backends import NAMES
from gpustack.backends.base import Outputs, Progress
from gpustack.checks import word
from gpustack.clips import RangeClip
from gpustack.cluster import tasks
from gpustack.cluster.arrays import block_of, chunk_rows, is_dask_array, plane_of, remote_frames
from gpustack.cluster.link import CLOSED, asking_scheduler, reporting_loss
from gpustack.cluster.no_workers import warning_without_workers
from gpustack.cluster.opening import (
    Opening,
    absolute_paths,
    found_by_client,
    stamps_of,
    versions_here,
    with_absolute_file,
)
from gpustack.cluster.rows import row_bytes
from gpustack.cluster.task_plan import AHEAD, plan_tasks
from gpustack.errors import BackendError, ClusterError, InputError
from gpustack.frames import Frame, FrameSource, listed, open_frames
from gpustack.lazy_types import loaded
from gpustack.logs import logger
from gpustack.maps import Derived, halo
from gpustack.normalize import Key, Measured, Wanted
from gpustack.plan import Band, parse_memory
from gpustack.recipe import Recipe

_log = logger(__name__)

#: A task: the band or the number of the frame that it is for, the function, and its arguments.
Task = tuple[Any, Callable[..., Any], Sequence[Any]]


class Cluster:
    """Makes a stack on the workers of a cluster; see `gpustack.maker.Maker`.

    Parameters
    ----------
    client : distributed.Client
    memory
        The memory limit of each worker, as in `gpustack.stack`.

    Raises
    ------
    InputError
        Where `client` is not a client, or an asynchronous one; where `memory` is not a limit.
    ClusterError
        Where the client is closed, as it is once it has lost its scheduler.
    """

    reads_here = False

    def __init__(self, client: Any, memory: float | str | None = None) -> None:
        if not isinstance(client, loaded("distributed", "Client")):
            raise InputError(f"client: expected a distributed.Client, got {client!r}")
        if client.asynchronous:
            raise InputError("client: expected a synchronous one, got one with asynchronous=True")
        if client.status in CLOSED:
            raise ClusterError(f"client: expected a connected one, got a closed one: {client!r}")
        self._client = client
        self._memory, self._limit = memory, parse_memory(memory)
        self._token = secrets.token_hex(8)
        self._array: Any = None
        self._opening: Opening
        self._backend = ""
        self._device_memory: float | str | None = None

    def open(self, frames: Any, hdu: Any, unit: Any, flags: Any) -> list[Frame]:
        """Open the frames at the client, and note how workers are to open them.

        Raises
        ------
        InputError
            Where `frames` are neither files nor a dask array, or as in
            `gpustack.frames.open_frames`.
        """
        paths: Sequence[Any] = ()
        if is_dask_array(frames):
            self._array = frames
            opened = remote_frames(frames, unit, flags)
            unit = opened[0].unit
        else:
            items = listed(frames)
            paths = absolute_paths(items)
            opened = open_frames(items, hdu=hdu, unit=unit, flags=flags)
            paths = found_by_client(paths, opened)
        stamps = stamps_of(opened)
        self._opening = Opening(self._token, paths, hdu, unit, flags, stamps, versions_here())
        return opened

    def align_frames(
        self, frames: Sequence[Frame], given: Alignment | str | None, *, max_bytes: float | None
    ) -> Aligned:
        """As `gpustack.align.align_frames`; workers will align the frames in the same way.

        Raises
        ------
        InputError
            Where a dask array is to be aligned, or frames cannot be aligned.
        """
        if given is not None and self._array is not None:
            raise InputError(
                f"align: expected None for a dask array, which has no headers, got {given}"
            )
        how = with_absolute_file(as_alignment(given))
        aligned = align_frames(frames, given, max_bytes=max_bytes)
        self._opening = replace(self._opening, align=how, known=aligned.found)
        return aligned

    def check_supported(self, weights: Any, report: bool, look: bool) -> None:
        """Raise where samples would have to be sent to the workers, or be read by the client.

        Called before any sample is read.

        Parameters
        ----------
        weights, report, look
            As given to `gpustack.stack`.

        Raises
        ------
        InputError
        """
        shape = _shape(weights)
        if len(shape) > 1:
            raise InputError(
                "weights: expected one per frame, or weight maps in files, with client=, as no "
                f"samples are sent, got an array of shape {shape}"
            )
        if look:
            raise InputError(
                "look: expected False with client=, as the samples stay at the workers, got True"
            )
        if report and self._array is not None:
            raise InputError(
                "report: expected files, whose samples can be hashed, got a dask array"
            )

    def survey(
        self, frames: Sequence[Frame], measures: Iterable[Wanted], ranges: Sequence[RangeClip]
    ) -> dict[Key, Measured]:
        """As `gpustack.normalize.survey`, with one task per frame."""
        wanted, n = list(measures), len(frames)
        found: list[dict[Key, float | None]] = [{}] * n
        window = AHEAD * sum(self._workers().values())
        with self._results(self._measuring(n, wanted, ranges), window) as results:
            for f, numbers in results:
                found[f] = numbers
        return {key: [one[key] for one in found] for key in found[0]}

    def _measuring(
        self, n: int, wanted: Sequence[Wanted], ranges: Sequence[RangeClip]
    ) -> Iterator[Task]:
        opening = self._opening
        if self._array is None and opening.opens_singly:
            for f in range(n):
                yield f, tasks.measure_frame, (opening.only(f), f, wanted, ranges, self._limit)
            return
        together = self._shared("opening", opening)
        for f in range(n):
            block = () if self._array is None else self._plane(f)
            yield f, tasks.measure_frame, (together, f, wanted, ranges, self._limit, *block)

    def _plane(self, f: int) -> tuple[tasks.Declared, Any]:
        declared = tasks.Declared(self._block_name(f), self._array.shape[1:], self._array.dtype)
        return declared, plane_of(self._array, f)

    def _block_name(self, what: Band | int) -> str:
        """What errors call rows or a frame of the dask array; empty where there is no array."""
        if self._array is None:
            return ""
        name = f"rows {what.start}:{what.stop}" if isinstance(what, Band) else f"frame {what}"
        return f"{name} of the dask array"

    def choose_backend(
        self, backend: str, device_memory: float | str | None, resident: bool
    ) -> tuple[str, str]:
        """Choose one backend for all workers, so that all rows come from the same one.

        ``"auto"`` is cuda where every worker has a device, else cpu. `device_memory` is the limit
        of each worker, and `resident` is ignored: no frame is on a device of the client.

        Returns
        -------
        name, devices : str
            The backend, and in words the processors or devices that it runs on.

        Raises
        ------
        InputError
            Where there is no backend of that name.
        BackendError
            Where the backend cannot work on a worker.
        ClusterError
            Where there is no worker, or one without gpustack.
        """
        word("backend", backend, NAMES)
        self._workers()
        with asking_scheduler(self._client):
            found = self._client.run(tasks.usable, on_error="return")
        for at, one in found.items():
            if isinstance(one, Exception):
                raise ClusterError(f"worker {at}: expected gpustack, got: {one}")
        lacking = {at: one["problem"] for at, one in found.items() if one["cuda"] is None}
        if backend == "cuda" and lacking:
            at, problem = next(iter(lacking.items()))
            raise BackendError(f"backend 'cuda' cannot work on worker {at}: {problem}")
        if backend == "auto":
            backend = "cpu" if lacking else "cuda"
            counts = len(lacking), len(found)
            _log.debug("backend auto: %s (%d of %d workers without a device)", backend, *counts)
        self._backend, self._device_memory = backend, device_memory
        return backend, ", ".join(sorted({one[backend] for one in found.values()}))

    def execute(
        self,
        source: FrameSource,
        recipe: Recipe,
        out: Outputs,
        maps: Sequence[Derived],
        limit: int,
        progress: Progress | None = None,
    ) -> Recipe:
        """As `gpustack.maps.execute`, on the workers; the noise of rows stays there.

        Parameters
        ----------
        source, recipe, out, maps, progress
            As for `gpustack.maps.execute`; no samples of `source` are read.
        limit : int
            Bytes. Results on their way to the client take at most half of them.
        """
        given = self._backend, self._memory, self._device_memory
        work = tasks.Work(self._opening, recipe, source.dtype.str, *given)
        kept = self._shared("work", work)
        read, made = source.most_row_bytes, row_bytes(out, maps)
        chunk, most = 1, 0
        if self._array is not None:
            chunk, most = chunk_rows(self._array), _most_rows(source, recipe, limit)
        parts = plan_tasks(source.rows, len(self._workers()), read, made, limit // 2, chunk, most)
        jobs = (self._band(kept, source, recipe, band) for band in parts.bands)
        done = 0
        with self._results(jobs, parts.window) as results:
            for band, rows in results:
                rows.place(band, out, maps)
                done += band.rows
                if progress is not None:
                    progress(done, source.rows)
        return recipe

    def _band(self, work: Any, source: FrameSource, recipe: Recipe, band: Band) -> Task:
        if self._array is None:
            return band, tasks.make_rows, (work, band.start, band.stop)
        around = halo(source, recipe, band)
        n, top, width = len(self._array), around.start, self._array.shape[-1]
        shape = n, around.rows, width
        declared = tasks.Declared(self._block_name(around), shape, self._array.dtype)
        block = declared, block_of(self._array, around)
        return band, tasks.make_rows, (work, band.start - top, band.stop - top, *block)

    @contextmanager
    def _results(self, jobs: Iterable[Task], window: int) -> Iterator[Iterator[tuple[Any, Any]]]:
        """Context manager: iterate over the purpose of each task and its result, as they complete.

        At most `window` tasks are out at a time.
        """
        from distributed import as_completed

        jobs_left, pending = iter(jobs), {}
        completed = as_completed(loop=self._client.loop)

        def send(count: int) -> None:
            for what, function, arguments in islice(jobs_left, count):
                future = self._submit(function, arguments)
                pending[future.key] = what, future
                completed.add(future)

        def results() -> Iterator[tuple[Any, Any]]:
            send(window)
            for future in completed:
                what, _ = pending[future.key]
                with reporting_loss(self._client, self._block_name(what)):
                    result = future.result()
                del pending[future.key]
                future.release()
                send(1)
                yield what, result

        with reporting_loss(self._client), warning_without_workers(self._client):
            try:
                yield results()
            finally:  # dask drops tasks whose results nobody holds
                for _, future in pending.values():
                    future.release()

    def _shared(self, name: str, value: Any) -> Any:
        """Return a future of `value`, which other tasks share."""
        with reporting_loss(self._client):
            return self._client.submit(tasks.shared, value, key=self._key(name))

    def _submit(self, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        key = self._key(function.__name__)
        if self._array is None:
            return self._client.submit(function, *arguments, key=key)
        from dask import delayed

        task = delayed(function, pure=False)(*arguments, dask_key_name=key)
        return self._client.compute(task, optimize_graph=False)

    def _key(self, name: str) -> str:
        """A unique key of a task; dask shows tasks with the same name as one group."""
        return f"gpustack_{name}-{secrets.token_hex(8)}"

    def _workers(self) -> dict[str, int]:
        """The number of threads of each worker, by address.

        Raises
        ------
        ClusterError
            Where there is no worker.
        """
        with asking_scheduler(self._client):
            found: dict[str, int] = self._client.nthreads()
        if not found:
            where = self._client.scheduler.address
            raise ClusterError(f"client: expected workers at {where}, got none")
        return found


def _most_rows(source: FrameSource, recipe: Recipe, limit: int) -> int:
    """The most rows of a task whose block of all frames takes at most `limit` bytes; at least 1.

    The block contains the rows near them too, from which rejections grow.
    """
    rows, middle = limit // source.most_row_bytes, source.rows // 2
    if rows >= source.rows:
        return source.rows
    return max(1, rows + 1 - halo(source, recipe, Band(middle, middle + 1)).rows)


def _shape(values: Any) -> tuple[int, ...]:
    """The shape of an array or of lists; () for lists of unlike lengths, refused elsewhere."""
    try:
        return np.shape(values)
    except ValueError:
        return ()
