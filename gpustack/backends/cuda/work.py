"""What all devices of a run share: the rows still to be done, and the layout of bands."""

import threading
from collections.abc import Callable
from queue import SimpleQueue

from gpustack.backends.base import Outputs, Progress, Source
from gpustack.backends.cuda.launch import Job, Kernels
from gpustack.backends.cuda.slots import Layout, Slot
from gpustack.backends.cuda.staging import Intake, Results
from gpustack.plan import Band

#: Bytes of a band that make starting its copies and its kernel worthwhile. Bands are not made
#: smaller than this only to have more of them.
LEAST_BYTES = 16 << 20

#: Threads that read and copy, as one does not keep up with the bus: 54 GB/s were uploaded to an
#: H200, on whose host four threads copied 17 GB/s, eight 25 and sixteen 32.
READERS = 8

#: Numbers of readers to try, the largest first: what each of them holds needs memory.
READERS_AT_ONCE = (READERS, 4, 2, 1)


class Rows:
    """The rows of a stack that are still to be done, handed out in order to all devices."""

    def __init__(self, rows: int) -> None:
        self._total = rows
        self._next = 0
        self._returned: list[Band] = []
        self.done = 0
        #: Rows done so far, put after each band, and None by each worker at its end.
        #: `report_progress` reports them in the caller's thread.
        self.progress_queue: SimpleQueue[int | None] = SimpleQueue()
        self._lock, self._placing = threading.Lock(), threading.Lock()

    def take(self, most: int) -> Band | None:
        """The next rows, at most `most`; None where none are left."""
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
        """Accept rows back that were taken and could not be done."""
        with self._lock:
            self._returned.append(band)

    def stop(self) -> None:
        """Hand out no more rows."""
        with self._lock:
            self._returned, self._next = [], self._total

    def finish(self, slot: Slot, out: Outputs) -> None:
        """Place the results of a slot's band, one device at a time."""
        with self._placing:  # not the lock of `take`: meanwhile the next band is read
            self.done += slot.finish(out).rows
            self.progress_queue.put(self.done)

    def report_progress(self, progress: Progress | None, workers: int) -> None:
        """Report rows as they are done, until None has been put for each worker."""
        while workers:
            done = self.progress_queue.get()
            if done is None:
                workers -= 1
            elif progress is not None:
                progress(done, self._total)


class Work:
    """A run of a recipe on a whole source, as all devices share it.

    Parameters
    ----------
    source : Source
    job : Job
    out : Outputs
    kernels : Kernels
    """

    def __init__(self, source: Source, job: Job, out: Outputs, kernels: Kernels) -> None:
        self.source, self.job, self.out, self.kernels = source, job, out, kernels
        self.rows = Rows(source.rows)
        # One device reads at a time: files that are compressed as a whole are read in order.
        self.reading = threading.Lock()

    def layout(self, rows: int) -> Layout:
        """The layout of bands of `rows` rows."""
        job, source = self.job, self.source
        return Layout(
            Intake(source, job.stored, job.clip_bytes, rows),
            Results(self.out, source.n, source.width, rows, job.result, job.recipe.clips_by_frame),
        )

    def fitting_rows(self, fits: Callable[[Layout], bool]) -> int:
        """The most rows whose layout fits; 0 where not even one row does."""
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
        """The rows that fit in `LEAST_BYTES`, enough to be worth a band of their own."""
        return self.fitting_rows(lambda layout: layout.size <= LEAST_BYTES)

    def bytes_outside_slots(self, layout: Layout, readers: int = 1) -> int:
        """Bytes of host memory that bands take outside their slots, to be read and to be placed.

        One band is read at a time, by `readers` threads, and one is placed.
        """
        read = min(readers, self.source.n) * (
            layout.intake.temporary_bytes + self.source.held_bytes
        )
        return read + layout.results.rows * self.out.row_bytes
