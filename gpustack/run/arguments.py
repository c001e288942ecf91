"""The arguments of `gpustack.stack` as a recipe in which all numbers are filled in."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, Literal

from numpy.typing import DTypeLike, NDArray

from gpustack.checks import check
from gpustack.clips import Clip
from gpustack.combines import Combine
from gpustack.errors import RecipeError
from gpustack.frames import Frame
from gpustack.measures import Role
from gpustack.normalize import PerFrame, Survey, resolve, split_weights, survey
from gpustack.recipe import OUTPUTS, Recipe, Uncertainty


def fill_in(
    frames: Sequence[Frame],
    clips: Clip | str | Iterable[Clip | str] | Recipe,
    combine: Combine | str,
    *,
    scale: PerFrame,
    zero: PerFrame,
    weights: PerFrame,
    clip_on: Literal["normalized", "raw"],
    uncertainty: Uncertainty,
    dtype: DTypeLike | None,
    outputs: Sequence[str] = OUTPUTS,
    survey: Survey = survey,
) -> tuple[Recipe, list[str], NDArray[Any] | None]:
    """Return the recipe that the arguments of `gpustack.stack` ask for, with all numbers filled in.

    Parameters
    ----------
    frames : sequence of Frame
        Frames that agree in shape and unit. Where a number is measured on them, they are read
        once more, whole.
    clips, combine, scale, zero, weights, clip_on, uncertainty, dtype, outputs
        As in `gpustack.stack`.
    survey : callable
        Measures the statistics of frames; see `gpustack.normalize.survey`.

    Returns
    -------
    recipe : Recipe
    origins : list of str
        In words, where the numbers of the recipe come from.
    weights : ndarray, shape (n, *shape of a frame), or None
        One weight per sample, where the weights of the recipe are ``"sample"``; else None.

    Raises
    ------
    InputError
        As `gpustack.stack`.
    """
    per_frame, per_sample = split_weights(weights, frames)
    if isinstance(clips, Recipe):
        recipe = clips
        _check_alone(recipe, combine, scale, zero, clip_on, uncertainty, dtype, outputs)
        scale, zero, per_frame = recipe.scale, recipe.zero, recipe.weights
        if recipe.weights != "sample":
            check(
                weights is None,
                f"weights: expected none where clips is a Recipe, which has {recipe.weights!r}; "
                "change it with dataclasses.replace(recipe, weights=...)",
            )
        elif per_sample is None:
            raise RecipeError("weights: expected an array, as the recipe has weights='sample'")
    else:
        recipe = Recipe(
            clips=clips,  # type: ignore[arg-type]
            combine=combine,  # type: ignore[arg-type]
            scale=_stated(scale),
            zero=_stated(zero),
            weights=_stated(per_frame),
            clip_on=clip_on,
            uncertainty=uncertainty,
            dtype=dtype,  # type: ignore[arg-type]
            outputs=outputs,  # type: ignore[arg-type]
        )
    recipe.check_frames(len(frames))
    given: dict[Role, Any] = {"scale": scale, "zero": zero, "weights": per_frame}
    functions = {role: value for role, value in given.items() if callable(value)}
    return *resolve(recipe, functions, frames, survey), per_sample


def _stated(value: Any) -> Any:
    """`value` for a recipe; None for a function, which a recipe cannot hold."""
    return None if callable(value) else value


def _check_alone(recipe: Recipe, *others: Any) -> None:
    """Raise where an argument given with a recipe is neither None nor its default."""
    names = ("combine", "scale", "zero", "clip_on", "uncertainty", "dtype", "outputs")
    defaults = {field.name: field.default for field in fields(Recipe)}
    for name, given in zip(names, others, strict=True):
        check(
            given is None or (isinstance(given, (str, tuple)) and given == defaults[name]),
            f"{name}: expected none where clips is a Recipe, which has {getattr(recipe, name)!r}, "
            f"got {given!r}; change it with dataclasses.replace(recipe, {name}=...)",
        )
