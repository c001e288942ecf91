"""Bands through slots: while one is read, another goes up, is computed or comes down."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Outputs, Progress, Samples, Source
from gpustack.backends.cuda import device
from gpustack.backends.cuda.launch import Job, Kernels
from gpustack.backends.cuda.slots import POOLED, Layout, Slot, Streams, pinned_bytes, power_of_two
from gpustack.backends.cuda.staging import Intake, Piece, Results
from gpustack.errors import BackendError, MemoryLimitError
from gpustack.plan import Band

_log = logging.getLogger(__name__)

#: Bands under way on a device: one is read while one is computed; a third lets either be late.
SLOTS = 3

#: A stack is cut into so many bands where they stay as large as that, so that there is
#: something to overlap.
LEAST_BANDS, LEAST_BYTES = 8, 16 << 20

#: The share of the free memory of a device that is taken where there is no limit.
SHARE = 0.8

#: Threads that read and copy: one does not keep up with the bus.
READERS = 4


class _DeviceFull(Exception):
    """Memory is out; no band is lost by it."""


class Rows:
    """The rows of a stack that are still to be done, handed out in order to all devices."""

    def __init__(self, rows: int) -> None:
        self._total = rows
        self._next = 0
        self._returned: list[Band] = []
        self.done = 0
        #: Rows done after each band: progress is told in the caller's thread.
        self.told: SimpleQueue[int | None] = SimpleQueue()
        self._lock = threading.Lock()

    def take(self, most: int) -> Band | None:
        """The next rows, at most so many; None where none are left."""
        with self._lock:
            if self._returned:
                band = self._returned.pop()
                if band.rows > most:
                    self._returned.append(Band(band.start + most, band.stop))
                return Band(band.start, min(band.start + most, band.stop))
            if self._next >= self._total:
                return None
            band = Band(self._next, min(self._next + most, self._total))
            self._next = band.stop
            return band

    def give_back(self, band: Band) -> None:
        """Rows that were taken and could not be done."""
        with self._lock:
            self._returned.append(band)

    def stop(self) -> None:
        """Hand out nothing more."""
        with self._lock:
            self._returned, self._next = [], self._total

    def finish(self, slot: Slot, out: Outputs) -> None:
        """Place the results of a slot's band, one device at a time."""
        with self._lock:
            self.done += slot.finish(out).rows
            self.told.put(self.done)

    def tell(self, progress: Progress | None, workers: int) -> None:
        """Tell of the rows as they are done, until None was put for each worker."""
        while workers:
            done = self.told.get()
            if done is None:
                workers -= 1
            elif progress is not None:
                progress(done, self._total)


class Pipeline:
    """A recipe run on a whole source, by one thread for each device.

    Parameters
    ----------
    source : Source
    job : Job
    out : Outputs
    kernels : Kernels
    memory : int
        Bytes of pinned memory of the host, for the slots of all devices.
    progress : callable or None
    """

    def __init__(
        self,
        source: Source,
        job: Job,
        out: Outputs,
        kernels: Kernels,
        memory: int,
        progress: Progress | None,
    ) -> None:
        self.source, self.job, self.out, self.kernels = source, job, out, kernels
        self.memory = memory
        self.progress = progress
        self.rows = Rows(source.rows)
        # Files that are compressed as a whole are read in order, by one device after the other.
        self.reading = threading.Lock()

    def layout(self, rows: int) -> Layout:
        """Of bands of so many rows."""
        job, source = self.job, self.source
        return Layout(
            Intake(source, job.stored, len(job.clips()), rows),
            Results(self.out, source.n, source.width, rows, job.result),
        )

    def fitting_rows(self, fits: Callable[[Layout], bool]) -> int:
        """The most rows whose layout fits; 0 where that of one does not."""
        least, most = 0, self.source.rows
        while least < most:
            middle = (least + most + 1) // 2
            if fits(self.layout(middle)):
                least = middle
            else:
                most = middle - 1
        return least

    @property
    def enough_rows(self) -> int:
        """Rows of a band that is worth a copy of its own."""
        return self.fitting_rows(lambda layout: layout.size <= LEAST_BYTES)

    def beside(self, layout: Layout) -> int:
        """Bytes of the host that reading a band makes beside its slot; one is read at a time."""
        return min(READERS, self.source.n) * layout.intake.fresh

    def run(self, devices: Sequence[int], limit: int | None) -> None:
        """Run on some devices, of whose memory `limit` bytes may be taken, or most of it.

        A device that cannot work is left out where another can.

        Raises
        ------
        MemoryLimitError
            Where not even one row fits.
        BackendError
            Where no device can work.
        """
        least = max(self.enough_rows, 1)
        devices = devices[: max(self.source.rows // least, 1)]
        memory, bands = self.memory // len(devices), len(devices) * LEAST_BANDS
        with ThreadPoolExecutor(READERS) as readers:
            workers = [Worker(self, number, limit, memory, readers) for number in devices]
            problem: Exception | None = None
            # Rows that one could not do may be left when the others have come to their end.
            while workers and self.rows.done < self.source.rows:
                ends = self._run_all(workers, bands)
                problem = problem or next((end for end in ends if end is not None), None)
                left = [worker for worker, end in zip(workers, ends, strict=True) if end is None]
                if len(left) == len(workers):
                    break
                workers = left
        if not workers and problem is not None:
            raise problem
        if self.rows.done != self.source.rows:
            raise BackendError(
                f"backend 'cuda' lost rows: expected {self.source.rows}, got {self.rows.done} "
                "(a fault of gpustack, please report it)"
            )

    def _run_all(self, workers: "Sequence[Worker]", bands: int) -> list[Exception | None]:
        """Run all workers to their end; why those that could not work could not."""
        with ThreadPoolExecutor(len(workers)) as pool:
            running = [pool.submit(worker.run, bands) for worker in workers]
            for future in running:
                future.add_done_callback(lambda _: self.rows.told.put(None))
            try:
                self.rows.tell(self.progress, len(running))
                return [future.result() for future in running]
            except BaseException:
                self.rows.stop()
                raise


class Worker:
    """What runs a pipeline's bands on one device."""

    def __init__(
        self,
        line: Pipeline,
        number: int,
        limit: int | None,
        memory: int,
        readers: ThreadPoolExecutor,
    ) -> None:
        self._line, self._number, self._readers = line, number, readers
        self._given, self._limit, self._memory = limit, 0, memory
        self._begun = False

    def run(self, bands: int) -> Exception | None:
        """Run until no rows are left, in at least so many bands where they stay large enough.

        Returns
        -------
        Exception or None
            Why the device cannot work, with all that it took given back.
        """
        try:
            with device.cupy().cuda.Device(self._number):
                self._run(bands)
            return None
        except MemoryLimitError as err:
            # Without what the error holds: buffers, through its traceback.
            problem: Exception = MemoryLimitError(str(err))
        except BaseException as err:
            if self._begun or not device.is_cuda_error(err):
                self._line.rows.stop()
                raise
            problem = BackendError(f"device {self._number} cannot be used: {err}")
        _log.info("backend cuda: device %d takes no part: %s", self._number, str(problem))
        return problem

    def _run(self, bands: int) -> None:
        pool = device.cupy().cuda.MemoryPool()
        slots, most = self._planned(bands)
        pool.set_limit(size=self._limit)
        while not self._attempt(pool, slots, most):
            slots, most = self._smaller(slots, most)
            pool.free_all_blocks()
            device.free_unused()
        pool.free_all_blocks()

    def _planned(self, bands: int) -> tuple[int, int]:
        """How many slots, and the rows of each, in the memory that there is."""
        try:
            self._measure()
            return self._plan(bands)
        except MemoryLimitError:
            device.free_unused()  # what CuPy's pool holds does not count as free
            self._measure()
            return self._plan(bands)

    def _measure(self) -> None:
        """Find what may be taken of the device."""
        self._limit = int(device.room() * SHARE) if self._given is None else self._given

    def _plan(self, bands: int) -> tuple[int, int]:
        """How many slots, and the rows of each."""
        line = self._line
        for at_once in range(SLOTS, 0, -1):
            host, memory = self._memory // at_once, self._limit // at_once
            pooled = power_of_two(max(host, 1))
            for room in (pooled, host) if pooled <= POOLED else (host,):
                fits = partial(self._fits, at_once=at_once, room=min(room, memory))
                most = line.fitting_rows(fits)
                if most:
                    enough = max(-(-line.source.rows // bands), line.enough_rows)
                    most = min(most, enough)
                    slots = min(at_once, -(-line.source.rows // most))
                    _log.info(
                        "backend cuda: frames go to device %d in bands of %d rows, %d at once",
                        *(self._number, most, slots),
                    )
                    return slots, most
        row = line.layout(1)
        raise MemoryLimitError(
            f"memory limit: expected room for at least one row of all frames and its results, "
            f"{row.size + line.beside(row):,} bytes on the host and {row.size:,} on the device; "
            f"got {self._memory:,} and {self._limit:,} bytes"
        )

    def _fits(self, layout: Layout, at_once: int, room: int) -> bool:
        """Whether slots of this layout have room, each and with what reading makes."""
        host = at_once * layout.size + self._line.beside(layout)
        return layout.size <= room and host <= self._memory

    def _smaller(self, slots: int, most: int) -> tuple[int, int]:
        """What to try when memory is out."""
        if most > 1:
            return slots, most // 2
        if slots > 1:
            return 1, 1
        raise MemoryLimitError(
            f"device {self._number} is out of memory: expected room for one row of all frames and "
            f"its results, {self._line.layout(1).size:,} bytes, got less"
        )

    def _attempt(self, pool: Any, slots: int, most: int) -> bool:
        """Run until no rows are left; False where memory is out, with nothing under way."""
        layout = self._line.layout(most)
        streams = Streams()
        try:
            size = self._host_bytes(layout, slots)
            with _full_is_told():
                ring = [Slot(layout, size, pool) for _ in range(slots)]
            self._feed(ring, streams, most)
        except _DeviceFull as err:
            _log.info("device %d: out of memory at %d rows: %s", self._number, most, str(err))
            return False
        finally:
            streams.synchronize()  # nothing may use buffers that are about to be free
        return True

    def _host_bytes(self, layout: Layout, slots: int) -> int:
        """Of the pinned memory of a slot: what can be pooled where the limit leaves room for it."""
        rounded = pinned_bytes(layout.size)
        fits = slots * rounded + self._line.beside(layout) <= self._memory
        return rounded if fits else layout.size

    def _feed(self, ring: list[Slot], streams: Streams, most: int) -> None:
        """Send band after band through the slots, in turn."""
        line = self._line
        under_way: deque[Slot] = deque()
        free = deque(ring)
        while True:
            if not free:
                free.append(self._finish(under_way.popleft()))
            with line.reading:
                band = line.rows.take(most)
                if band is None:
                    break
                self._begun = True
                slot = free.popleft()
                layout = slot.begin(band)
                samples, pieces = read_band(layout.intake, band, slot.block, self._readers)
            try:
                with _full_is_told():
                    slot.start(line.job, line.kernels, streams, samples, pieces)
            except _DeviceFull:
                line.rows.give_back(band)
                while under_way:
                    self._finish(under_way.popleft())
                raise
            under_way.append(slot)
        while under_way:
            self._finish(under_way.popleft())

    def _finish(self, slot: Slot) -> Slot:
        slot.wait()
        self._line.rows.finish(slot, self._line.out)
        return slot


@contextmanager
def _full_is_told() -> Iterator[None]:
    """Of errors within, those that say that memory is out become `_DeviceFull`."""
    try:
        yield
    except Exception as err:
        if not device.is_out_of_memory(err):
            raise
        raise _DeviceFull(str(err)) from None


def read_band(
    intake: Intake, band: Band, block: NDArray[np.uint8], readers: ThreadPoolExecutor
) -> tuple[list[Samples], list[Piece]]:
    """Read a band of all frames into `block`, some frames at once; see `Intake.read`."""
    n = intake.source.n

    def some(first: int) -> list[tuple[Samples, list[Piece]]]:
        return [intake.read(f, band, block) for f in range(first, n, READERS)]

    parts = list(readers.map(some, range(min(READERS, n))))
    each = [parts[f % READERS][f // READERS] for f in range(n)]
    return [samples for samples, _ in each], [piece for _, some in each for piece in some]
