"""Errors about the values of a recipe, in the words of the arguments that they come from."""

from collections.abc import Iterator
from contextlib import contextmanager

from gpustack.errors import RecipeError


@contextmanager
def called(**names: str) -> Iterator[None]:
    """Within it, say of a value of a recipe what its argument is called.

    Parameters
    ----------
    **names : str
        The name of an argument, and what the error of a recipe begins with for it; or that of a
        method, and the clip that it makes. The first that fits is taken.

    Raises
    ------
    RecipeError
        As from within, with the name of the argument.

    Examples
    --------
    >>> from gpustack import RangeClip
    >>> with called(min_clip="RangeClip low", minmax_clipping="RangeClip"):
    ...     RangeClip(low="3")
    Traceback (most recent call last):
    gpustack.errors.RecipeError: min_clip: expected a finite number or None, got '3'
    """
    try:
        yield
    except RecipeError as err:
        said = str(err)
        for name, beginning in names.items():
            if said.startswith(beginning):
                raise RecipeError(name + said.removeprefix(beginning)) from None
        raise
