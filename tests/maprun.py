"""Run `gpustack.maps` directly on arrays of samples, without the engine and frames."""

from dataclasses import replace

import numpy as np

from bands import BandSource
from gpustack.backends.base import working_dtype
from gpustack.combines import AVERAGES
from gpustack.maps import derived, execute, least_memory
from gpustack.recipe import MAPS
from stacks import outputs

#: Exposure times in seconds, repeated for as many frames as there are.
EXPOSURES = (30.0, 0.1, 1.7, 600.0, 30.0)
DEFAULT = 1 << 26


def exposures(n):
    """The exposure times of `n` frames."""
    return [EXPOSURES[f % len(EXPOSURES)] for f in range(n)]


def with_maps(recipe, bits=None):
    """The recipe with all maps that it can make; `flags` only if the frames have `bits`."""
    able = {"sigma": recipe.method in AVERAGES, "flags": bits is not None}
    maps = [name for name in MAPS if able.get(name, True)]
    return replace(recipe, outputs=(*recipe.outputs, *maps))


def _prepared(band, recipe, kind, bits, seconds):
    """The source, the Outputs, and all derived maps by name."""
    dtype = np.result_type(*(working_dtype(samples.data.dtype) for samples in band))
    source, out = kind(band, dtype, bits), outputs(band, recipe)
    times = exposures(len(band)) if seconds is None else seconds
    return source, out, derived(with_maps(recipe, bits), source, np.dtype(np.float64), times)


def run_maps(
    backend,
    band,
    recipe,
    memory=DEFAULT,
    kind=BandSource,
    seconds=None,
    progress=None,
    bits=None,
):
    """Run the recipe; return the Outputs and all derived maps by name."""
    source, out, maps = _prepared(band, recipe, kind, bits, seconds)
    execute(backend, source, recipe, out, list(maps.values()), memory, progress)
    return out, {name: np.asarray(one.value) for name, one in maps.items()}


def least(band, recipe, kind):
    """The bytes that reasons and maps take for a band of one row."""
    source, out, maps = _prepared(band, recipe, kind, None, None)
    return least_memory(source, recipe, out, list(maps.values()))
