"""The numbers of a frame: its scale, zero and weight, given or measured.

Modules, each importing only those before it: `statistics` are those of samples, `survey`
takes them of all frames, `given` has the numbers that are in headers, files and functions,
`detector` those of a CCD, `overlap` solves for offsets, `relative` brings numbers to that of a
reference, `measured` puts these together, `weights` sorts out what was given as weights. This is
their door.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from gpustack.clips import RangeClip
from gpustack.frames import Frame
from gpustack.measures import Measure, Noise, Overlap, Role, Statistic
from gpustack.normalize.detector import read_noise
from gpustack.normalize.measured import Taking
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

#: What takes statistics of frames, as `survey` does.
Survey = Callable[[Sequence[Frame], Iterable[Wanted], Sequence[RangeClip]], dict[Key, Measured]]


def resolve(
    recipe: Recipe,
    functions: Mapping[Role, Callable[[Any], float]],
    frames: Sequence[Frame],
    survey: Survey = survey,
) -> tuple[Recipe, list[str]]:
    """The recipe with numbers where it has measures or keywords; and in words, from what.

    A statistic as scale is that of the frames less a zero that is not measured on samples;
    a zero that is measured on them brings the scaled frames to one level.

    Parameters
    ----------
    recipe : Recipe
    functions : mapping
        Functions that take a frame as a masked array and give its number, by what they
        stand for.
    frames : sequence of Frame
        Each is read once more for all statistics, once for an overlap, once a function.
    survey : callable
        Takes the statistics.

    Raises
    ------
    RecipeError
        Where no such numbers exist; names the frame or the file.
    """
    recipe, words = read_noise(recipe, frames)
    stated = {
        "scale": functions.get("scale", recipe.scale),
        "zero": functions.get("zero", recipe.zero),
        "weights": functions.get("weights", recipe.weights),
    }
    wanted = [value for value in stated.values() if isinstance(value, (Statistic, Noise))]
    found = survey(frames, wanted, recipe.raw_ranges) if wanted else {}
    taking = Taking(frames, recipe.raw_ranges, found)
    scale_first = isinstance(stated["zero"], (Statistic, Overlap))
    order: tuple[Role, ...] = ("scale", "zero") if scale_first else ("zero", "scale")
    for role in (*order, "weights"):
        taking.take(role, stated[role])
    by = stated["scale"]
    if isinstance(by, Statistic) and by.kind != "mad":  # noise may well be that different
        warn_far(by.kind, taking.numbers["scale"], frames, stacklevel=4)
    return replace(recipe, **taking.numbers), [*words, *taking.words]
