"""The noise of the detector, where a clip or a noise model names keywords that say it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gpustack.align.base import AbsentFrame
from gpustack.checks import check
from gpustack.clips import NoiseClip, noise_keys
from gpustack.combines import NoiseModel
from gpustack.errors import RecipeError
from gpustack.frames import Frame
from gpustack.normalize.given import from_headers
from gpustack.recipe import Recipe


def read_noise(recipe: Recipe, frames: Sequence[Frame]) -> tuple[Recipe, list[str]]:
    """The recipe with numbers in the place of keywords; and in words, from what.

    Raises
    ------
    RecipeError
        Where a header has none, or one that cannot be, or two differ; names the frames.
    """
    there = [frame for frame in frames if not isinstance(frame, AbsentFrame)]
    words: list[str] = []

    def with_numbers(value: Any) -> Any:
        if not isinstance(value, NoiseClip | NoiseModel):
            return value
        for name, key in noise_keys(value).items():
            value = _with_number(value, name, key, there)
            words.append(f"{name} of {value.name} by !{key}")
        return value

    clips = tuple(map(with_numbers, recipe.clips))
    return replace(recipe, clips=clips, combine=with_numbers(recipe.combine)), words


def _with_number(value: Any, name: str, key: str, frames: Sequence[Frame]) -> Any:
    """The same value, with the number that all headers have for a keyword."""
    role = f"{value.name} {name}"
    numbers = from_headers(role, key, frames)
    for frame, number in zip(frames, numbers, strict=True):
        check(
            number == numbers[0],
            f"{role}: expected one {key} in all frames, got {numbers[0]:.15g} in {frames[0].name} "
            f"and {number:.15g} in {frame.name}; combine those of each apart, or give a number",
        )
    try:
        return replace(value, **{name: numbers[0]})
    except RecipeError as err:
        raise RecipeError(f"{err}, as {key} in {frames[0].name}") from err
