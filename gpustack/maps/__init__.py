"""Maps derived from the reasons why samples are out, and the rejection of neighbours.

A backend can say of every sample why it is out. Here a stack is cut into bands, so that only the
reasons of one band are held at a time; the maps and the growing of rejections work on each band.

This module is the entry point. The others, each of which imports only those above it:

- `base`: the protocol of a derived map, and what it receives of each band.
- `samples`, `sums`: the samples of a frame as they are combined, and exact sums.
- `reason`, `coverage`, `exposure`, `rejections`, `flags`, `sigma`, `weight`, `propagated`: maps.
- `grow`: rejects neighbours of rejected samples.
- `window`: holds the reasons of some rows.
- `plan`: cuts a stack into bands.
- `row_noise`: measures the noise of whole rows that some clips need.
- `banded`: runs a recipe band by band.
- `extensions`: writes maps as FITS extensions.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpustack.maps.banded import execute, halo, least_memory
from gpustack.maps.base import ClippedBand, Derived, MakeArray, Rows, Stack
from gpustack.maps.coverage import CoverageMap
from gpustack.maps.exposure import ExposureMap
from gpustack.maps.flags import FlagMap
from gpustack.maps.propagated import PropagatedMap
from gpustack.maps.reason import ReasonMap
from gpustack.maps.rejections import RejectionCube, RejectionMap
from gpustack.maps.row_noise import with_row_noise
from gpustack.maps.sigma import SigmaMap
from gpustack.maps.weight import WeightMap
from gpustack.recipe import Recipe

__all__ = [
    "ClippedBand",
    "Derived",
    "MakeArray",
    "RejectionCube",
    "RejectionMap",
    "Rows",
    "Stack",
    "derived",
    "execute",
    "halo",
    "least_memory",
    "with_row_noise",
]


def derived(
    recipe: Recipe,
    source: Stack,
    real: np.dtype[Any],
    exposures: Sequence[float],
    sinks: MakeArray | None = None,
) -> dict[str, Derived]:
    """Create the maps of a recipe's outputs that are derived from reasons, not yet filled, by name.

    Parameters
    ----------
    recipe : Recipe
        With numbers for scale, zero and weights.
    source : Stack
    real : dtype
        The dtype of maps of real numbers.
    exposures : sequence of float
        The exposure of each frame; needed where the map of exposure is wanted.
    sinks : callable or None
        Makes a `Sink` of a shape and dtype that receives the rows of a map, in place of an array.
    """
    made: dict[str, Derived] = {}
    empty = source.empty if sinks is None else sinks
    if "reason" in recipe.outputs:
        made["reason"] = ReasonMap(source, empty)
    if "exposure" in recipe.outputs:
        made["exposure"] = ExposureMap(source, empty, real, exposures)
    if "rejections" in recipe.outputs:
        shape = (source.n, source.rows, source.width)
        made["rejections"] = RejectionMap(source, sinks and sinks(shape, np.dtype(bool)))
    if "flags" in recipe.outputs:
        made["flags"] = FlagMap(source, empty)
    if "sigma" in recipe.outputs:
        made["sigma"] = SigmaMap(source, empty, real, recipe)
    if "coverage" in recipe.outputs:
        made["coverage"] = CoverageMap(source, empty)
    if "weight" in recipe.outputs:
        made["weight"] = WeightMap(source, empty, recipe)
    if recipe.propagates:
        made["uncertainty"] = PropagatedMap(source, empty, real, recipe)
    return made
