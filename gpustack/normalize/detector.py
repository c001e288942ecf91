"""Read the noise of the detector where a clip or a noise model names header keywords for it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gpustack.checks import check
from gpustack.clips import NoiseClip, noise_keys
from gpustack.combines import NoiseModel
from gpustack.errors import RecipeError
from gpustack.frames import Frame
from gpustack.normalize.given import from_headers
from gpustack.recipe import Recipe


def read_noise(recipe: Recipe, frames: Sequence[Frame]) -> tuple[Recipe, list[str]]:
    """Return the recipe with numbers in place of noise keywords, and their sources in words.

    Raises
    ------
    RecipeError
        Where a header has no number, or one out of range, or two headers differ; names the frames.
    """
    sources: list[str] = []

    def with_numbers(value: Any) -> Any:
        if not isinstance(value, NoiseClip | NoiseModel):
            return value
        for name, key in noise_keys(value).items():
            value = _with_number(value, name, key, frames)
            sources.append(f"{name} of {value.name} by !{key}")
        return value

    clips = tuple(map(with_numbers, recipe.clips))
    return replace(recipe, clips=clips, combine=with_numbers(recipe.combine)), sources


def _with_number(value: Any, name: str, key: str, frames: Sequence[Frame]) -> Any:
    """Return the clip or noise model with the number that all headers have for a keyword."""
    role = f"{value.name} {name}"
    read = zip(frames, from_headers(role, key, frames), strict=True)
    known = [(frame.name, number) for frame, number in read if number is not None]
    first, one = known[0]
    for other, number in known:
        check(
            number == one,
            f"{role}: expected one {key} in all frames, got {one:.15g} in {first} "
            f"and {number:.15g} in {other}; combine the frames of each value separately, "
            "or give a number",
        )
    try:
        return replace(value, **{name: one})
    except RecipeError as err:
        raise RecipeError(f"{err}, as {key} in {first}") from err
