"""Slots: the buffers of one band on the host and on the device, and the steps it goes through."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Outputs, Samples
from gpustack.backends.cuda import device
from gpustack.backends.cuda.launch import Job, Kernels
from gpustack.backends.cuda.staging import Intake, Piece, Results, merged
from gpustack.plan import Band

#: Pinned memory up to this size comes from CuPy's pool, which keeps it for the next run, because
#: pinning takes as long as using it. Larger memory is freed with the slot.
POOLED = 128 << 20


class Streams:
    """The streams of one device, in which uploads, kernels and downloads overlap."""

    def __init__(self) -> None:
        stream = device.cupy().cuda.Stream
        self.up, self.compute, self.down = (stream(non_blocking=True) for _ in range(3))

    def synchronize(self) -> None:
        """Wait until all streams are done."""
        for stream in (self.up, self.compute, self.down):
            stream.synchronize()


@dataclass(frozen=True, slots=True)
class Layout:
    """The layouts of what is uploaded and of what is downloaded, for a number of rows."""

    intake: Intake
    results: Results

    def of(self, rows: int) -> "Layout":
        """The layout for another number of rows."""
        return Layout(replace(self.intake, rows=rows), replace(self.results, rows=rows))

    @property
    def size(self) -> int:
        """Bytes of a slot: as many on the host as on the device."""
        return self.intake.size + self.results.size


class Slot:
    """Buffers for bands of at most as many rows as `layout` has, reused band after band.

    Events keep the uses of a buffer apart: a kernel starts when its band is on the device, the
    download when the kernel is done. A new band is read into the slot when the host has seen
    the results of the last one arrive and has placed them; then nothing uses any buffer.

    Parameters
    ----------
    layout : Layout
    host_bytes : int
        Bytes of pinned memory; at least the size of the layout.
    pool : cupy.cuda.MemoryPool
        Where the device memory comes from.

    Raises
    ------
    cupy.cuda.memory.OutOfMemoryError, cupy.cuda.runtime.CUDARuntimeError
        Where the buffers do not fit; see `device.is_out_of_memory`.
    """

    def __init__(self, layout: Layout, host_bytes: int, pool: Any) -> None:
        cuda = device.cupy().cuda
        self._layout = layout
        self._pool = pool  # before CuPy 14.1, memory of a pool is gone with the pool
        self._pinned = _pinned(host_bytes)
        self._host = np.frombuffer(self._pinned, np.uint8, host_bytes)
        self._intake = pool.malloc(layout.intake.size)
        self._results = pool.malloc(layout.results.size)
        self._is_up, self._is_done = (cuda.Event(disable_timing=True) for _ in range(2))
        # A thread that waits for this event sleeps, and leaves its core to the readers.
        self._is_down = cuda.Event(block=True, disable_timing=True)
        self.band: Band | None = None

    def begin(self, band: Band) -> Layout:
        """Start with a band; return the layout for its number of rows."""
        self.band = band
        self._layout = self._layout.of(band.rows)
        return self._layout

    @property
    def block(self) -> NDArray[np.uint8]:
        """The pinned memory that the band is read into."""
        return self._host[: self._layout.intake.size]

    def start(
        self,
        job: Job,
        kernels: Kernels,
        streams: Streams,
        band: Sequence[Samples],
        pieces: Sequence[Piece],
    ) -> None:
        """Queue all that happens to a band in `block`: upload, kernel, download.

        Parameters
        ----------
        band : sequence of Samples
            The band as it lies in `block`, decoded or not.
        pieces : sequence of (offset, size)
            The parts of the block to upload besides the tables.
        """
        launch = self.prepare(job, kernels, band)
        self.upload(pieces, streams.up)
        self._is_up.record(streams.up)
        streams.compute.wait_event(self._is_up)
        with streams.compute:
            launch()
        self._is_done.record(streams.compute)
        streams.down.wait_event(self._is_done)
        self.download(streams.down)
        self._is_down.record(streams.down)

    def prepare(self, job: Job, kernels: Kernels, band: Sequence[Samples]) -> Callable[[], None]:
        """Write the tables into `block`; return what runs the kernel on the current stream."""
        intake, results = self._layout.intake, self._layout.results
        records = self._write_tables(job, band)
        base = int(self._intake.ptr)
        run = kernels.prepare(
            job,
            records,
            base,
            base + intake.clip_table_offset,
            results.addresses(int(self._results.ptr)),
            (intake.rows, intake.source.width),
        )

        def launch() -> None:
            if results.tally_bytes:
                self._results.memset_async(0, results.tally_bytes)
            run()

        return launch

    def upload(self, pieces: Sequence[Piece], stream: Any) -> None:
        """Queue the copy of the tables and other parts of the block to the device."""
        for offset, size in merged([(0, self._layout.intake.table_bytes), *pieces]):
            target = self._intake + offset
            target.copy_from_host_async(self._host_address(offset), size, stream)

    def download(self, stream: Any) -> None:
        """Queue the copy of the results to the host."""
        address = self._host_address(self._layout.intake.size)
        self._results.copy_to_host_async(address, self._layout.results.download_bytes, stream)

    def wait(self) -> None:
        """Wait until the results are on the host."""
        self._is_down.synchronize()

    def finish(self, out: Outputs) -> Band:
        """Copy the results, which are on the host, into `out`; return the finished band."""
        band, self.band = self.band, None
        assert band is not None
        results = self._layout.results
        results.place(self._host[self._layout.intake.size :], band.start, out)
        return band

    def _host_address(self, offset: int) -> int:
        return int(self._host.ctypes.data) + offset

    def _write_tables(self, job: Job, band: Sequence[Samples]) -> NDArray[Any]:
        """Write both tables to the beginning of the block; return the one of the frames."""
        intake = self._layout.intake
        records = job.records(band)
        base, width = int(self._intake.ptr), intake.source.width
        for name, dtype in job.kinds.items():
            used = [name == "data" or getattr(samples, name) is not None for samples in band]
            records[name] = np.where(used, getattr(intake, name) + base, 0)
            records[f"{name}_stride"] = width * dtype.itemsize
        assert self.band is not None
        clips = job.clip_table(base + intake.clip_table_offset, self.band.start)
        for offset, table in ((0, records.view(np.uint8)), (intake.clip_table_offset, clips)):
            self._host[offset : offset + table.nbytes] = table
        return records


def pinned_bytes(size: int) -> int:
    """Bytes of pinned memory taken for `size`: a power of two where they are from CuPy's pool."""
    return 2 * power_of_two(size - 1) if size <= POOLED else size


def _pinned(size: int) -> Any:
    """Pinned host memory; from CuPy's pool only where that does not round the size up."""
    cuda = device.cupy().cuda
    if size <= POOLED and size == power_of_two(size):
        return cuda.alloc_pinned_memory(size)
    return cuda.PinnedMemoryPointer(cuda.PinnedMemory(size), 0)


def power_of_two(size: int) -> int:
    """The largest power of two that is at most `size`."""
    return 1 << (size.bit_length() - 1)
