"""`gpustack.maps` run on samples as they are, beside the engine and its frames."""

from types import SimpleNamespace

import numpy as np

from bands import BandSource
from gpustack.backends.base import working_dtype
from gpustack.maps import derived, execute, least_memory
from gpustack.recipe import MAPS
from stacks import outputs

#: Seconds, of which the frames have one after the other.
EXPOSURES = (30.0, 0.1, 1.7, 600.0, 30.0)
DEFAULT = 1 << 26


def exposures(n):
    """As many exposures as there are frames."""
    return [EXPOSURES[f % len(EXPOSURES)] for f in range(n)]


def run_maps(backend, band, recipe, memory=DEFAULT, kind=BandSource, seconds=None, progress=None):
    """The Outputs, and all derived maps by name.

    `memory` is a limit; or a number <= 10, of rows whose reasons fit.
    """
    dtype = np.result_type(*(working_dtype(samples.data.dtype) for samples in band))
    source, out = kind(band, dtype), outputs(band, recipe)
    full = SimpleNamespace(outputs=MAPS)
    times = exposures(len(band)) if seconds is None else seconds
    maps = derived(full, source, np.dtype(np.float64), times)
    execute(backend, source, recipe, out, list(maps.values()), memory, progress)
    return out, {name: np.asarray(one.value) for name, one in maps.items()}


def least(band, recipe):
    """What reasons and maps take of one row."""
    dtype = np.result_type(*(working_dtype(samples.data.dtype) for samples in band))
    source = BandSource(band, dtype)
    maps = derived(SimpleNamespace(outputs=MAPS), source, np.dtype("f8"), exposures(len(band)))
    return least_memory(source, recipe, list(maps.values()))
