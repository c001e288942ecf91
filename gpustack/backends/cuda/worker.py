"""Run bands on one device: while one is read, others are uploaded, computed, downloaded."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Samples
from gpustack.backends.cuda import device
from gpustack.backends.cuda.slots import POOLED, Layout, Slot, Streams, pinned_bytes, power_of_two
from gpustack.backends.cuda.staging import Intake, Piece
from gpustack.backends.cuda.work import READERS, READERS_AT_ONCE, Work
from gpustack.errors import BackendError, MemoryLimitError, OutOfMemoryError
from gpustack.logs import logger
from gpustack.plan import Band

_log = logger(__name__)

#: Bands under way on a device: one is read while one is computed; a third makes up for delays.
SLOTS = 3

#: The share of a device's free memory that is used where there is no limit.
SHARE = 0.8


class _DeviceFull(Exception):
    """Memory has run out; the rows of all bands are done or given back."""


class Worker:
    """Runs a pipeline's bands on one device."""

    def __init__(
        self,
        work: Work,
        number: int,
        limit: int | None,
        memory: int,
        readers: ThreadPoolExecutor,
    ) -> None:
        self._work, self._number, self._readers = work, number, readers
        self._given, self._limit, self._memory = limit, 0, memory
        self._begun, self._reader_count = False, 1

    def run(self, bands: int) -> Exception | None:
        """Run until no rows are left; cut the stack into `bands` bands if they stay large enough.

        Returns
        -------
        Exception or None
            Why the device cannot work; the memory and the rows that it took are given back.
        """
        try:
            with device.cupy().cuda.Device(self._number):
                self._run(bands)
            return None
        except (MemoryLimitError, OutOfMemoryError) as err:
            # A new error: the traceback of the old one holds buffers.
            problem: Exception = type(err)(str(err))
        except BaseException as err:
            if self._begun or not device.is_cuda_error(err):
                self._work.rows.stop()
                raise
            problem = BackendError(f"device {self._number} cannot be used: {err}")
        _log.info("backend cuda: device %d is not used: %s", self._number, str(problem))
        return problem

    def _run(self, bands: int) -> None:
        pool = device.cupy().cuda.MemoryPool()
        slots, rows = self._planned(bands)
        pool.set_limit(size=self._limit)
        while not self._attempt(pool, slots, rows):
            slots, rows = self._smaller(slots, rows)
            pool.free_all_blocks()
            device.free_unused()
        pool.free_all_blocks()

    def _planned(self, bands: int) -> tuple[int, int]:
        """The number of slots, and the rows of each, after freeing memory if that is needed."""
        try:
            self._measure()
            return self._plan(bands)
        except MemoryLimitError:
            device.free_unused()  # what CuPy's pool holds does not count as free
            self._measure()
            return self._plan(bands)

    def _measure(self) -> None:
        """Find how many bytes of the device may be used."""
        self._limit = int(device.room() * SHARE) if self._given is None else self._given

    def _plan(self, bands: int) -> tuple[int, int]:
        """The number of slots, and the rows of each, that fit in both limits."""
        work, worthwhile_rows = self._work, max(self._work.enough_rows, 1)
        for at_once, readers in product(range(SLOTS, 0, -1), READERS_AT_ONCE):
            memory = self._limit // at_once
            for room, min_rows in self._rooms(self._memory // at_once):
                fits = partial(self._fits, at_once=at_once, room=min(room, memory), readers=readers)
                rows = work.fitting_rows(fits)
                if rows >= (min_rows if readers == 1 else worthwhile_rows):
                    self._reader_count = readers
                    enough_rows = max(-(-work.source.rows // bands), work.enough_rows)
                    rows = min(rows, enough_rows)
                    slots = min(at_once, -(-work.source.rows // rows))
                    _log.debug(
                        "backend cuda: frames go to device %d in bands of %d rows, %d at once",
                        *(self._number, rows, slots),
                    )
                    return slots, rows
        row = work.layout(1)
        host = row.size + work.bytes_outside_slots(row)
        raise MemoryLimitError(
            f"memory limit: expected room for at least one row of all frames and its results, "
            f"{host:,} bytes on the host and {row.size:,} on the device, "
            f"got {self._memory:,} bytes on the host and {self._limit:,} on the device"
        )

    def _rooms(self, host: int) -> tuple[tuple[int, int], ...]:
        """Sizes of a slot on the host to try: its bytes, and the least rows that it has to hold.

        First comes the most that CuPy's pool keeps for the next run; where rows are too long for
        that, all there is room for.
        """
        pooled = min(power_of_two(max(host, 1)), POOLED)
        min_rows = self._work.enough_rows if 2 * pooled <= host else 1
        return (pooled, max(min_rows, 1)), (host, 1)

    def _fits(self, layout: Layout, at_once: int, room: int, readers: int) -> bool:
        """Whether a slot fits in `room`, and all slots, with what reading takes, in the limit."""
        host = at_once * layout.size + self._work.bytes_outside_slots(layout, readers)
        return layout.size <= room and host <= self._memory

    def _smaller(self, slots: int, rows: int) -> tuple[int, int]:
        """The number of slots, and the rows of each, to try after memory has run out."""
        if rows > 1:
            return slots, rows // 2
        if slots > 1:
            return 1, 1
        raise OutOfMemoryError(
            f"device {self._number} is out of memory: expected room for one row of all frames and "
            f"its results, {self._work.layout(1).size:,} bytes, got less"
        )

    def _attempt(self, pool: Any, slots: int, rows: int) -> bool:
        """Run until no rows are left; False where memory has run out, with no band under way."""
        layout = self._work.layout(rows)
        streams = Streams()
        try:
            size = self._host_bytes(layout, slots)
            with _RaisingDeviceFull():
                ring = [Slot(layout, size, pool) for _ in range(slots)]
            self._feed(ring, streams, rows)
        except _DeviceFull as err:
            _log.debug("device %d: out of memory at %d rows: %s", self._number, rows, str(err))
            return False
        finally:
            streams.synchronize()  # nothing may use buffers that are about to be freed
        return True

    def _host_bytes(self, layout: Layout, slots: int) -> int:
        """Bytes of pinned memory of a slot, rounded up so as to be pooled if the limit permits."""
        rounded = pinned_bytes(layout.size)
        outside = self._work.bytes_outside_slots(layout, self._reader_count)
        return rounded if slots * rounded + outside <= self._memory else layout.size

    def _feed(self, ring: list[Slot], streams: Streams, rows: int) -> None:
        """Send band after band through the slots; another thread places the results."""
        work = self._work
        free, under_way = deque(ring), deque[tuple[Slot, Future[None]]]()

        def finish() -> None:
            slot, placed = under_way.popleft()
            try:
                placed.result()
            finally:
                del placed  # its error would hold it, and buffers, by the traceback
            free.append(slot)

        with ThreadPoolExecutor(1) as placer:
            while True:
                if not free:
                    finish()
                with work.reading:
                    band = work.rows.take(rows)
                    if band is None:
                        break
                    self._begun = True
                    slot = free.popleft()
                    layout = slot.begin(band)
                    samples, pieces = read_band(
                        layout.intake, band, slot.block, self._readers, self._reader_count
                    )
                try:
                    with _RaisingDeviceFull():
                        slot.start(work.job, work.kernels, streams, samples, pieces)
                except _DeviceFull:
                    work.rows.give_back(band)
                    while under_way:
                        finish()
                    raise
                under_way.append((slot, placer.submit(self._place, slot)))
            while under_way:
                finish()

    def _place(self, slot: Slot) -> None:
        """Wait for the results of a band, and place them."""
        with device.cupy().cuda.Device(self._number):  # each thread has its own current device
            slot.wait()
        self._work.rows.finish(slot, self._work.out)


class _RaisingDeviceFull:
    """Turns errors within that say that memory has run out into `_DeviceFull`.

    A class, because an error that a generator with ``@contextmanager`` replaces is kept by a cycle
    of frames until Python collects garbage, from Python 3.12 on. It holds the buffers that have
    just been too large.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, err: BaseException | None, traceback: object) -> None:
        if isinstance(err, Exception) and device.is_out_of_memory(err):
            raise _DeviceFull(str(err)) from None


def read_band(
    intake: Intake,
    band: Band,
    block: NDArray[np.uint8],
    readers: ThreadPoolExecutor,
    at_once: int = READERS,
) -> tuple[list[Samples], list[Piece]]:
    """Read a band of all frames into `block`, `at_once` at a time; see `Intake.read`."""
    n = intake.source.n

    def some(first: int) -> list[tuple[Samples, list[Piece]]]:
        return [intake.read(f, band, block) for f in range(first, n, at_once)]

    parts = list(readers.map(some, range(min(at_once, n))))
    each = [parts[f % at_once][f // at_once] for f in range(n)]
    return [samples for samples, _ in each], [piece for _, some in each for piece in some]
