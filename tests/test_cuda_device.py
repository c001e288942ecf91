"""The CUDA backend on a device, or a simulated one, with only numpy, CuPy and pytest installed.

`test_cuda_cupy` and `test_cuda_doors` test frames and files, which need astropy.
"""

from dataclasses import replace

import numpy as np
import pytest

from bands import BandSource, Cpu, Files, N, frames, stream
from gpustack.backends.cuda.backend import CudaBackend
from gpustack.backends.cuda.worker import SLOTS
from gpustack.recipe import Recipe
from recipes import ON_DEVICES, ROUTES, recipe
from stacks import outputs, run, with_variances
from tolerances import MAPS, assert_like_cpu

CPU = Cpu(threads=1)


@pytest.mark.usefixtures("small_bands")
@pytest.mark.parametrize("kind", [BandSource, Files])
@pytest.mark.parametrize("name", ROUTES)
def test_bands_of_the_host_in_many_slots(cuda, name, kind):
    asked = recipe(name, N)
    band = frames(weights=asked.weights == "sample")
    found, told = stream(band, asked, kind=kind)
    assert len(told) >= 2 * SLOTS, "every buffer was to be used again"
    expected = run(CPU, band, asked)
    assert_like_cpu(found, expected, asked.combine)
    np.testing.assert_array_equal(found.valid, expected.valid)
    np.testing.assert_array_equal(found.rejected, expected.rejected)


@pytest.mark.parametrize("name", ON_DEVICES)
def test_arrays_of_the_device(cuda, name):
    asked = recipe(name, N)
    band = frames(weights=asked.weights == "sample")
    band = with_variances(band) if asked.needs_variance else band
    expected, found = run(CPU, band, asked), outputs(band, asked)
    maps = [part for part in MAPS if getattr(found, part) is not None]
    there = replace(found, **{part: cuda.asarray(getattr(found, part)) for part in maps})
    CudaBackend().stream(_on_device(cuda, band), asked, there, 1 << 24)
    for part in maps:
        getattr(found, part)[...] = getattr(there, part).get()
    assert_like_cpu(found, expected, asked.combine)
    np.testing.assert_array_equal(found.rejected, expected.rejected)


def _on_device(cuda, band):
    def there(array):
        return cuda.asarray(array.astype(array.dtype.newbyteorder("=")))

    parts = ("data", "mask", "weight", "variance")
    given = [
        replace(s, **{p: there(getattr(s, p)) for p in parts if getattr(s, p) is not None})
        for s in band
    ]
    return BandSource(given, np.dtype(np.float32))


def test_bands_as_large_as_they_are_in_use(cuda, request):
    # On a real device, there are several slots of many megabytes: copies and kernels overlap.
    size = 2048 if request.config.getoption("require_gpu") else 30
    cube = np.random.default_rng(4).normal(100, 8, (20, size, size)).astype(">f4")
    image, mask = np.empty((size, size), np.float32), np.empty((size, size), bool)
    band = [replace(frames()[0], data=frame, mask=None) for frame in cube]
    out = replace(outputs(band, Recipe()), data=image, mask=mask)
    CudaBackend().stream(Files(band, np.dtype(np.float32)), Recipe(combine="median"), out, 1 << 27)
    np.testing.assert_array_equal(image, np.median(cube.astype("f4"), axis=0))
    assert not mask.any()
