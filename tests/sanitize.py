"""Run each way through the kernels once, to be checked by compute-sanitizer.

Usage: ``compute-sanitizer python tests/sanitize.py [FRAMES ...]``. Needs a device, numpy and CuPy.
Every array gets an allocation of its own instead of a part of a pool, so that memcheck sees
accesses beyond its end, and initcheck sees reads of memory that was never written.
"""

import sys
from dataclasses import replace

import numpy as np

from bands import MEMORY, BandSource, Cpu, Cuda
from gpustack.backends.cuda import device, work
from recipes import ON_DEVICES, recipe
from stacks import outputs, run, stack
from tolerances import MAPS, assert_like_cpu

#: Numbers of frames: a column fits in registers, in shared memory, and in neither.
COUNTS = (6, 130, 370)


class NoPool:
    """A replacement for a memory pool in which every allocation is one of the device."""

    def malloc(self, size):
        """Allocate on the device."""
        return device.cupy().cuda.alloc(size)

    def set_limit(self, size):
        """Do nothing: there is no limit."""

    def free_all_blocks(self):
        """Do nothing: no unused memory is kept."""


def on_device(band, asked):
    """Run the recipe on device arrays; return the outputs on the host."""
    cupy = device.cupy()

    def there(thing, names):
        arrays = {name: getattr(thing, name) for name in names}
        return replace(thing, **{k: cupy.asarray(a) for k, a in arrays.items() if a is not None})

    found = outputs(band, asked)
    given = [there(samples, ("data", "mask", "weight", "variance")) for samples in band]
    results = there(found, MAPS)
    Cuda().stream(BandSource(given, np.dtype(np.float32)), asked, results, MEMORY)
    for name in MAPS:
        if getattr(found, name) is not None:
            getattr(found, name)[...] = getattr(results, name).get()
    return found


def main():
    """Run each way through the kernels on arrays of the host and of the device."""
    device.cupy().cuda.set_allocator(None)
    device.cupy().cuda.MemoryPool = NoPool
    work.LEAST_BYTES = 1  # bands of few rows, in many slots
    for n in map(int, sys.argv[1:] or COUNTS):
        for name in ON_DEVICES:
            asked = recipe(name, n)
            band = stack("masked", n, asked)
            want = run(Cpu(threads=1), band, asked)
            for found in (run(Cuda(), band, asked), on_device(band, asked)):
                assert_like_cpu(found, want, asked.combine)
            print(f"{name}, {n} frames: like the CPU", flush=True)


if __name__ == "__main__":
    main()
