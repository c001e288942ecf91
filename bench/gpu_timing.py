"""Time work on a device, and simulate the samples for it."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from gpustack.backends.cuda import device

#: A sky with noise, and a share of the samples hit by cosmic rays, as in `bench.data`.
SKY, NOISE, HITS, HIT = 1000.0, 30.0, 0.002, 5000.0
SEED = 20_240_229

#: Number of runs, of which the fastest counts: a device may be slow at first.
RUNS = 3


def sky(n: int, width: int) -> Any:
    """Samples on the device, float32 of shape (n, width), simulated on the host row by row."""
    cupy = device.cupy()
    cube = cupy.empty((n, width), np.dtype(np.float32))
    row = noise(width + n)
    for i in range(n):
        # Shifted copies of one row: every column has other samples, in random order.
        part = cupy.asarray(row[i : i + width])
        cube[i] = part
    return cube


def noise(size: int) -> Any:
    """A row of the sky with hits, from a fixed seed."""
    rng = np.random.default_rng(SEED)
    values = rng.standard_normal(size, dtype=np.float32)
    values *= np.float32(NOISE)
    values += np.float32(SKY)
    values[rng.random(size, dtype=np.float32) < HITS] += np.float32(HIT)
    return values


def device_seconds(run: Callable[[], Any], repeat: int) -> float:
    """Seconds of one call of `run`, as the mean of `repeat` calls queued at once."""
    run()
    synchronize()
    best = np.inf
    for _ in range(RUNS):
        start = time.perf_counter()
        for _ in range(repeat):
            run()
        synchronize()
        best = min(best, (time.perf_counter() - start) / repeat)
    return float(best)


def synchronize() -> None:
    """Wait until the current stream of the device is done."""
    device.cupy().cuda.get_current_stream().synchronize()


def copy_bandwidth(size: int, repeat: int) -> float:
    """Bytes a second that the device reads and writes when it copies its own memory."""
    cuda = device.cupy().cuda
    one, other = cuda.alloc(size), cuda.alloc(size)
    seconds = device_seconds(lambda: one.copy_from_device_async(other, size), repeat)
    return 2 * size / seconds
