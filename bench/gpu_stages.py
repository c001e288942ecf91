"""Time whole runs from the host, and each of their parts alone."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from bench.gpu_check import CHECKED, check
from bench.gpu_sources import FLOAT32, Arrays
from bench.gpu_timing import device_seconds
from gpustack.backends.base import Outputs
from gpustack.backends.cuda import device
from gpustack.backends.cuda.backend import CudaBackend
from gpustack.backends.cuda.launch import Job, Kernels
from gpustack.backends.cuda.slots import Slot
from gpustack.backends.cuda.work import READERS, Work
from gpustack.backends.cuda.worker import read_band
from gpustack.plan import DEFAULT_MEMORY, Band, plan_bands
from gpustack.recipe import Recipe

#: The number of bands that a stack is cut into to time the parts.
BANDS = 8


def run(kind: str, name: str, recipe: Recipe, source: Arrays) -> dict[str, Any]:
    """Time a whole run from arrays or files on the host, and its parts."""
    n, size = source.n, source.width
    data, mask = np.empty((size, size), FLOAT32), np.empty((size, size), bool)
    out = Outputs(data, mask=mask)
    backend = CudaBackend()
    backend.stream(source, recipe, out, DEFAULT_MEMORY)  # compiles, and allocates pinned memory
    rows = max(CHECKED // size, 1)
    few = [image[:rows] for image in source.images]
    check(f"{name} from {kind}", few, recipe, data[:rows], mask[:rows])
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
    return {"read": read} | {name: share * taken for name, taken in parts.items()}


def _seconds(work: Callable[[Band], Any], bands: Sequence[Band]) -> float:
    """Seconds of some work on all bands, when it is done for the second time."""
    for band in bands:
        work(band)
    start = time.perf_counter()
    for band in bands:
        work(band)
    return time.perf_counter() - start
