"""What all devices share of a run: the rows that are to be done, and how bands of them lie."""

import threading
from collections.abc import Callable
from queue import SimpleQueue

from gpustack.backends.base import Outputs, Progress, Source
from gpustack.backends.cuda.launch import Job, Kernels
from gpustack.backends.cuda.slots import Layout, Slot
from gpustack.backends.cuda.staging import Intake, Results
from gpustack.plan import Band

#: Bands may stay as large as that, so that copies and kernels are worth their start.
LEAST_BYTES = 16 << 20

#: Threads that read and copy: one does not keep up with the bus. To an H200 54 GB/s go up; beside
#: it four threads copied 17 GB/s, eight 25 and sixteen 32.
READERS = 8

#: How many of them read, by what room there is for what each holds.
READERS_AT_ONCE = (READERS, 4, 2, 1)


class Rows:
    """The rows of a stack that are still to be done, handed out in order to all devices."""

    def __init__(self, rows: int) -> None:
        self._total = rows
        self._next = 0
        self._returned: list[Band] = []
        self.done = 0
        #: Rows done after each band: progress is told in the caller's thread.
        self.told: SimpleQueue[int | None] = SimpleQueue()
        self._lock, self._placing = threading.Lock(), threading.Lock()

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
        with self._placing:  # not the lock of `take`: the next band is read meanwhile
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


class Work:
    """A recipe that is run on a whole source.

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
        # Files that are compressed as a whole are read in order, by one device after the other.
        self.reading = threading.Lock()

    def layout(self, rows: int) -> Layout:
        """Of bands of so many rows."""
        job, source = self.job, self.source
        return Layout(
            Intake(source, job.stored, job.clip_bytes, rows),
            Results(self.out, source.n, source.width, rows, job.result, job.recipe.clips_by_frame),
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

    def beside(self, layout: Layout, readers: int = 1) -> int:
        """Bytes of the host that a band takes beside its slot, to be read and to be placed.

        One is read at a time, by so many threads, and one placed.
        """
        read = min(readers, self.source.n) * (layout.intake.fresh + self.source.held_bytes)
        return read + layout.results.rows * self.out.row_bytes
