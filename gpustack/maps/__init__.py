"""What a run makes beyond what backends make: maps of reasons, and neighbours that are rejected.

Backends say of every sample why it is out. Here a stack is cut into bands, so that the reasons of
one at a time are held; what is derived of them takes its share of each.

Modules, each importing only those before it: `base` is what a derived map is and what it gets,
`samples` are those of a frame, `sums` adds them up, `reason`, `coverage`, `exposure`, `rejections`,
`flags`, `sigma`, `weight` and `propagated` are such maps, `grow` rejects neighbours, `window` holds
the reasons of some rows, `plan` cuts the stack, `row_noise` finds what clips need to know of whole
rows, `banded` runs it. `extensions` writes maps as FITS. This is their door.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpustack.maps.banded import execute, halo, least_memory
from gpustack.maps.base import Derived, Empty, Part, Rows, Stack
from gpustack.maps.coverage import CoverageMap
from gpustack.maps.exposure import ExposureMap
from gpustack.maps.flags import FlagMap
from gpustack.maps.propagated import PropagatedMap
from gpustack.maps.reason import ReasonMap
from gpustack.maps.rejections import RejectionCube, RejectionMap
from gpustack.maps.row_noise import measured
from gpustack.maps.sigma import SigmaMap
from gpustack.maps.weight import WeightMap
from gpustack.recipe import Recipe

__all__ = [
    "Derived",
    "Empty",
    "Part",
    "RejectionCube",
    "RejectionMap",
    "Rows",
    "Stack",
    "derived",
    "execute",
    "halo",
    "least_memory",
    "measured",
]


def derived(
    recipe: Recipe,
    source: Stack,
    real: np.dtype[Any],
    exposures: Sequence[float],
    sinks: Empty | None = None,
) -> dict[str, Derived]:
    """The maps of a recipe's outputs that are made of reasons, not yet filled, by their names.

    Parameters
    ----------
    recipe : Recipe
        With all numbers filled in.
    source : Stack
    real : dtype
        Of maps of real numbers.
    exposures : sequence of float
        Of each frame; needed where the exposure is wanted.
    sinks : callable or None
        Makes what takes the rows of a map of some shape and dtype, in the place of an array.
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
