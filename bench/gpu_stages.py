"""Time whole runs from the host, and each of their parts alone."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.gpu_timing import device_seconds, noise, synchronize
from gpustack.backends.base import Outputs, Samples
from gpustack.backends.cuda import device
from gpustack.backends.cuda.backend import CudaBackend
from gpustack.backends.cuda.launch import Job, Kernels
from gpustack.backends.cuda.slots import Slot
from gpustack.backends.cuda.work import READERS, Work
from gpustack.backends.cuda.worker import read_band
from gpustack.plan import DEFAULT_MEMORY, Band, plan_bands
from gpustack.recipe import Recipe

FLOAT32 = np.dtype(np.float32)
KINDS = ("arrays", "files")
#: The number of bands that a stack is cut into to time the parts.
BANDS = 8


class Arrays:
    """A source of images on the host, shape (rows, width); see `gpustack.backends.base.Source`.

    It stands in for gpustack's frames, which need astropy; not every machine with a GPU has it.
    """

    dtype = FLOAT32
    stored_dtype = FLOAT32
    weighted = variance = False
    temporary_bytes = held_bytes = read_bytes = 0

    def __init__(self, images: Sequence[NDArray[np.float32]]) -> None:
        self.images, self.n = images, len(images)
        self.rows, self.width = images[0].shape
        self.stored, self.masked = [self.stored_dtype] * self.n, [False] * self.n
        self.row_bytes = [self.read_bytes * self.width] * self.n

    def read(self, f: int, start: int, stop: int, into: Any = None) -> Samples:
        """Views of rows ``[start, stop)`` of image `f`."""
        return Samples(self.images[f][start:stop])


class Files(Arrays):
    """A source of raw files, big-endian as in FITS; just written, so they are read from memory."""

    stored_dtype = np.dtype(">f4")
    read_bytes = 4

    def __init__(self, images: Sequence[NDArray[np.float32]], folder: Path) -> None:
        super().__init__(images)
        self.folder = folder
        for f, image in enumerate(images):
            image.astype(">f4").tofile(folder / f"{f}.raw")

    def read(self, f: int, start: int, stop: int, into: Any = None) -> Samples:
        """Rows ``[start, stop)`` of file `f`, read into `into`."""
        size = (stop - start) * 4 * self.width
        with (self.folder / f"{f}.raw").open("rb", buffering=0) as file:
            file.seek(start * 4 * self.width)
            file.readinto(memoryview(into)[:size])
        return Samples(np.frombuffer(into, ">f4", size // 4).reshape(stop - start, self.width))


def source(kind: str, n: int, size: int, folder: Path) -> Arrays:
    """`n` square images on the host, as arrays or as files in a folder."""
    row = noise(size * size + n)
    images = [row[f : f + size * size].reshape(size, size).copy() for f in range(n)]
    return Files(images, folder) if kind == "files" else Arrays(images)


def run(kind: str, name: str, recipe: Recipe, source: Arrays) -> dict[str, Any]:
    """Time a whole run from arrays or files on the host, and its parts."""
    n, size = source.n, source.width
    out = Outputs(np.empty((size, size), FLOAT32), mask=np.empty((size, size), bool))
    backend = CudaBackend()
    backend.stream(source, recipe, out, DEFAULT_MEMORY)  # compiles, and allocates pinned memory
    start = time.perf_counter()
    backend.stream(source, recipe, out, DEFAULT_MEMORY)
    seconds = time.perf_counter() - start
    parts = _parts(source, recipe, out)
    slowest = max(parts.values())
    return {
        "name": name,
        "kind": kind,
        "frames": n,
        "size": size,
        "seconds": seconds,
        "bytes_per_second": 4 * n * size * size / seconds,
        "parts": parts,
        "of_slowest": slowest / seconds,
    }


def _parts(source: Any, recipe: Recipe, out: Outputs) -> dict[str, float]:
    """Seconds that reading, uploading, computing and fetching all bands take, each alone."""
    kernels, job = Kernels(), Job(recipe, source.n, FLOAT32, source.stored[0], out)
    bands = plan_bands(source.rows, 1, max(source.rows // BANDS, 1))
    layout = Work(source, job, out, kernels).layout(bands[0].rows)
    slot = Slot(layout, layout.size, device.cupy().cuda.MemoryPool())
    with ThreadPoolExecutor(READERS) as readers:
        read = _seconds(
            lambda band: read_band(slot.begin(band).intake, band, slot.block, readers), bands
        )
        samples, pieces = read_band(slot.begin(bands[0]).intake, bands[0], slot.block, readers)
    launch = slot.prepare(job, kernels, samples)
    stream = device.cupy().cuda.get_current_stream()
    share = source.rows / bands[0].rows
    parts = {
        "upload": device_seconds(lambda: slot.upload(pieces, stream), 1),
        "compute": device_seconds(launch, 1),
        "fetch": device_seconds(lambda: slot.download(stream), 1),
    }
    synchronize()
    return {"read": read} | {name: share * taken for name, taken in parts.items()}


def _seconds(work: Callable[[Band], Any], bands: Sequence[Band]) -> float:
    """Seconds of some work on all bands, when it is done for the second time."""
    for band in bands:
        work(band)
    start = time.perf_counter()
    for band in bands:
        work(band)
    return time.perf_counter() - start
