"""Reword errors about values, so that they name the arguments that the caller gave."""

from collections.abc import Iterator
from contextlib import contextmanager

from gpustack.errors import RecipeError


@contextmanager
def naming_arguments(**names: str) -> Iterator[None]:
    """Context manager: errors about a value name the argument that the value came from.

    Parameters
    ----------
    **names : str
        By the name of an argument: what stands before the colon of the error about its value. Or by
        the name of a method: the clip that it makes.

    Raises
    ------
    RecipeError, TypeError
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
    except (RecipeError, TypeError) as err:
        given, colon, problem = str(err).partition(":")
        for name, inner in names.items():
            if given == inner and colon:
                raise type(err)(f"{name}:{problem}") from None
        raise
