"""Reword errors about the values of a recipe, so that they name the caller's arguments."""

from collections.abc import Iterator
from contextlib import contextmanager

from gpustack.errors import RecipeError


@contextmanager
def naming_arguments(**names: str) -> Iterator[None]:
    """Context manager: errors about a value of a recipe name the argument that the value came from.

    Parameters
    ----------
    **names : str
        By the name of an argument: how the recipe's error about its value begins. Or by the name
        of a method: the clip that it makes. The first beginning that matches is replaced.

    Raises
    ------
    RecipeError
        The error raised within, with the name of the argument.

    Examples
    --------
    >>> from gpustack import RangeClip
    >>> with naming_arguments(min_clip="RangeClip low", minmax_clipping="RangeClip"):
    ...     RangeClip(low="3")
    Traceback (most recent call last):
    gpustack.errors.RecipeError: min_clip: expected a finite number or None, got '3'
    """
    try:
        yield
    except RecipeError as err:
        message = str(err)
        for name, beginning in names.items():
            if message.startswith(beginning):
                raise RecipeError(name + message.removeprefix(beginning)) from None
        raise
