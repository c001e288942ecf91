"""Determine the numbers of each frame: its scale, zero and weight, given or measured.

The modules, each of which imports only those before it: `statistics` computes statistics of
samples, `survey` measures them for all frames, `given` reads numbers from headers and files and
calls functions of the user, `detector` reads the noise of a CCD, `overlap` solves for offsets,
`relative` relates numbers to a reference, `measured` puts these together, and `weights` sorts out
what was given as weights. Other packages import from here.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from gpustack.clips import RangeClip
from gpustack.frames import Frame
from gpustack.measures import Measure, Noise, Overlap, Role, Statistic
from gpustack.normalize.detector import read_noise
from gpustack.normalize.measured import NumberResolver
from gpustack.normalize.relative import warn_far
from gpustack.normalize.survey import Key, Measured, Wanted, survey
from gpustack.normalize.weights import split_weights
from gpustack.recipe import Recipe

__all__ = [
    "Key",
    "Measured",
    "PerFrame",
    "Survey",
    "Wanted",
    "resolve",
    "split_weights",
    "survey",
]

PerFrame = Sequence[float] | NDArray[Any] | str | Measure | Callable[[Any], float] | None

#: A function that measures statistics of frames, as `survey` does.
Survey = Callable[[Sequence[Frame], Iterable[Wanted], Sequence[RangeClip]], dict[Key, Measured]]


def resolve(
    recipe: Recipe,
    functions: Mapping[Role, Callable[[Any], float]],
    frames: Sequence[Frame],
    survey: Survey = survey,
) -> tuple[Recipe, list[str]]:
    """Return the recipe with numbers in place of measures and keywords, and their sources in words.

    If the zero is a `Statistic` or an `Overlap`, the scale is determined first, and the zero brings
    the scaled frames to one level. Otherwise the zero is determined first, and a statistic as scale
    is that of the frames less their zeros.

    Parameters
    ----------
    recipe : Recipe
    functions : mapping
        Role -> a function of the user that takes a frame as a masked array and returns its number.
    frames : sequence of Frame
        Each is read once more for all statistics of a region, once for an overlap, and once for
        each function.
    survey : callable
        The function that measures the statistics.

    Raises
    ------
    RecipeError
        Where a frame has no usable number; names the frame or the file.
    """
    recipe, sources = read_noise(recipe, frames)
    stated = {
        "scale": functions.get("scale", recipe.scale),
        "zero": functions.get("zero", recipe.zero),
        "weights": functions.get("weights", recipe.weights),
    }
    wanted = [value for value in stated.values() if isinstance(value, (Statistic, Noise))]
    found = survey(frames, wanted, recipe.raw_ranges) if wanted else {}
    resolver = NumberResolver(frames, recipe.raw_ranges, found)
    scale_first = isinstance(stated["zero"], (Statistic, Overlap))
    order: tuple[Role, ...] = ("scale", "zero") if scale_first else ("zero", "scale")
    for role in (*order, "weights"):
        resolver.resolve(role, stated[role])
    by = stated["scale"]
    if isinstance(by, Statistic) and by.kind != "mad":  # spreads may well differ that much
        warn_far(by.kind, resolver.numbers["scale"], frames, stacklevel=4)
    return replace(recipe, **resolver.numbers), [*sources, *resolver.sources]
