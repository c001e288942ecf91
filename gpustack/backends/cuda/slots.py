"""A slot: the buffers of one band, on the host and on the device, and how far it has come."""

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

#: Pinned memory up to this size comes from CuPy's pool, which keeps it for the next run: to
#: pin it takes as long as to use it. More is freed with the slot.
POOLED = 128 << 20


class Streams:
    """The streams of one device: bands go up, are computed and come down at the same time."""

    def __init__(self) -> None:
        stream = device.cupy().cuda.Stream
        self.up, self.compute, self.down = (stream(non_blocking=True) for _ in range(3))

    def synchronize(self) -> None:
        """Wait until all is done."""
        for stream in (self.up, self.compute, self.down):
            stream.synchronize()


@dataclass(frozen=True, slots=True)
class Layout:
    """The layouts of what goes up and of what comes down, for bands of some rows."""

    intake: Intake
    results: Results

    def of(self, rows: int) -> "Layout":
        """The same for another number of rows."""
        return Layout(replace(self.intake, rows=rows), replace(self.results, rows=rows))

    @property
    def size(self) -> int:
        """Bytes of a slot, on the host as on the device."""
        return self.intake.size + self.results.size


class Slot:
    """Buffers for bands of at most the rows of `layout`, used again and again.

    The order of events keeps the buffers apart: a kernel starts when its band is up, the copy
    down when the kernel is done; and a new band is read into the slot when the host has seen
    that the results of the last one are down and placed, after which nothing uses any buffer.

    Parameters
    ----------
    layout : Layout
    host_bytes : int
        Of pinned memory; at least the size of the layout.
    pool : cupy.cuda.MemoryPool
        That has the memory of the device.

    Raises
    ------
    cupy.cuda.memory.OutOfMemoryError, cupy.cuda.runtime.CUDARuntimeError
        Where the buffers do not fit; see `device.is_out_of_memory`.
    """

    def __init__(self, layout: Layout, host_bytes: int, pool: Any) -> None:
        cuda = device.cupy().cuda
        self._layout = layout
        self._pool = pool  # before CuPy 14.1 what is left of a pool's memory goes with it
        self._pinned = _pinned(host_bytes)
        self._host = np.frombuffer(self._pinned, np.uint8, host_bytes)
        self._intake = pool.malloc(layout.intake.size)
        self._results = pool.malloc(layout.results.size)
        self._is_up, self._is_done = (cuda.Event(disable_timing=True) for _ in range(2))
        # Who waits for it sleeps, and leaves his core to those who read.
        self._is_down = cuda.Event(block=True, disable_timing=True)
        self.band: Band | None = None

    def begin(self, band: Band) -> Layout:
        """Take a band; the layout of its rows."""
        self.band = band
        self._layout = self._layout.of(band.rows)
        return self._layout

    @property
    def block(self) -> NDArray[np.uint8]:
        """Where the band is read into."""
        return self._host[: self._layout.intake.size]

    def start(
        self,
        job: Job,
        kernels: Kernels,
        streams: Streams,
        band: Sequence[Samples],
        pieces: Sequence[Piece],
    ) -> None:
        """Send a band that lies in `block` on its way: up, through the kernel, and down.

        Parameters
        ----------
        band : sequence of Samples
            As they lie in `block`, decoded or not.
        pieces : sequence of (offset, size)
            What of the block goes up, beside the tables.
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
        """Write the tables into `block`; gives what computes on the current stream."""
        intake, results = self._layout.intake, self._layout.results
        records = self._write_tables(job, band)
        base = int(self._intake.ptr)
        run = kernels.prepare(
            job,
            records,
            base,
            base + intake.clip_table,
            results.addresses(int(self._results.ptr)),
            (intake.rows, intake.source.width),
        )

        def launch() -> None:
            if results.tallies:
                self._results.memset_async(0, results.tallies)
            run()

        return launch

    def upload(self, pieces: Sequence[Piece], stream: Any) -> None:
        """Ask a stream to copy the tables and other parts of the block to the device."""
        for offset, size in merged([(0, self._layout.intake.tables), *pieces]):
            target = self._intake + offset
            target.copy_from_host_async(self._host_address(offset), size, stream)

    def download(self, stream: Any) -> None:
        """Ask a stream to copy the results to the host."""
        address = self._host_address(self._layout.intake.size)
        self._results.copy_to_host_async(address, self._layout.results.down, stream)

    def wait(self) -> None:
        """Wait until the results are down."""
        self._is_down.synchronize()

    def finish(self, out: Outputs) -> Band:
        """Put the results, which are down, into `out`; the band is done."""
        band, self.band = self.band, None
        assert band is not None
        results = self._layout.results
        results.place(self._host[self._layout.intake.size :], band.start, out)
        return band

    def _host_address(self, offset: int) -> int:
        return int(self._host.ctypes.data) + offset

    def _write_tables(self, job: Job, band: Sequence[Samples]) -> NDArray[Any]:
        """Fill the tables of frames and clips at the beginning of the block."""
        intake = self._layout.intake
        records = job.records(band)
        base, width = int(self._intake.ptr), intake.source.width
        for name, dtype in job.kinds.items():
            used = [name == "data" or getattr(samples, name) is not None for samples in band]
            records[name] = np.where(used, getattr(intake, name) + base, 0)
            records[f"{name}_stride"] = width * dtype.itemsize
        assert self.band is not None
        clips = job.clip_table(base + intake.clip_table, self.band.start)
        for offset, table in ((0, records.view(np.uint8)), (intake.clip_table, clips)):
            self._host[offset : offset + table.nbytes] = table
        return records


def pinned_bytes(size: int) -> int:
    """What CuPy's pool takes for `size` bytes of pinned memory: a power of two, if it is used."""
    return 2 * power_of_two(size - 1) if size <= POOLED else size


def _pinned(size: int) -> Any:
    """Pinned memory of the host; from CuPy's pool only where that takes no more."""
    cuda = device.cupy().cuda
    if size <= POOLED and size == power_of_two(size):
        return cuda.alloc_pinned_memory(size)
    return cuda.PinnedMemoryPointer(cuda.PinnedMemory(size), 0)


def power_of_two(size: int) -> int:
    """The largest power of two that is not above `size`."""
    return 1 << (size.bit_length() - 1)
