"""Functions that users pass: recognise those that a recipe has a word for, and call the others.

ccdproc takes functions such as ``func=np.ma.median``; a backend takes a word. A function
is recognised by identity in the module it comes from, and only in modules that are
already imported: a caller with ``bottleneck.nanmedian`` has imported bottleneck.
"""

import sys
import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import MAD_TO_STD
from gpustack.checks import did_you_mean
from gpustack.errors import InputError, RecipeError
from gpustack.frames.masked import nan_filled

Word = Literal["mean", "median", "sum", "std", "mad_std"]
Statistic = Callable[..., Any]
Masked = np.ma.MaskedArray[Any, Any]

_NAN_NAMES: dict[str, Word] = {
    "nanmean": "mean",
    "nanmedian": "median",
    "nansum": "sum",
    "nanstd": "std",
}
_PLAIN_NAMES: dict[str, Word] = {
    "mean": "mean",
    "average": "mean",
    "median": "median",
    "sum": "sum",
    "std": "std",
}
_KNOWN: dict[str, dict[str, Word]] = {
    "numpy": {**_PLAIN_NAMES, **_NAN_NAMES},
    "numpy.ma": _PLAIN_NAMES,
    "bottleneck": {**_NAN_NAMES, "median": "median"},
    "astropy.stats": {"mad_std": "mad_std"},
    "astropy.stats.nanfunctions": {**_NAN_NAMES, "nanmadstd": "mad_std"},
    "ccdproc": {"sigma_func": "mad_std"},
}


def recognise(function: Statistic) -> Word | None:
    """Return the word for the statistic that `function` computes, None where it is not known.

    Known are mean, average, median, sum and std of numpy and numpy.ma, the NaN-skipping
    forms of numpy, bottleneck and astropy, `astropy.stats.mad_std`, and ccdproc's
    ``sigma_func``. None of those modules but numpy is imported for it.

    Examples
    --------
    >>> recognise(np.ma.median)
    'median'
    >>> recognise(np.ptp) is None
    True
    """
    for module_name, words in _KNOWN.items():
        module = sys.modules.get(module_name)
        for name, word in words.items():
            if module is not None and getattr(module, name, None) is function:
                return word
    return None


def word_or_function(
    name: str, given: str | Statistic, words: tuple[Word, ...]
) -> Word | Statistic:
    """Return the one of `words` that `given` is, or that its function computes; else the function.

    Parameters
    ----------
    name : str
        The name of the argument, for the error.
    given : str or callable
        What the user passed.
    words : tuple of str
        The words that a recipe accepts here.

    Raises
    ------
    RecipeError
        Where `given` is neither one of `words` nor callable.
    """
    word = given if isinstance(given, str) else recognise(given)
    if word in words:
        return word
    if not callable(given):
        raise RecipeError(
            f"{name}: expected {' or '.join(map(repr, words))} or a function, got {given!r}"
            f"{did_you_mean(given, words)}"
        )
    return given


def skips_nan(statistic: Word | Statistic) -> Statistic:
    """Return `statistic` as a function of (array, axis) that skips NaN.

    The user's functions are returned as they are, with one exception: astropy's
    ``median_absolute_deviation`` does not skip NaN by default, and is replaced by one that does.
    """
    if not callable(statistic):
        return _SKIPPING[statistic]
    stats = sys.modules.get("astropy.stats")
    if stats is not None and statistic is stats.median_absolute_deviation:
        return _nan_mad
    return statistic


def _nan_mad(values: NDArray[Any], axis: int) -> Any:
    middle = np.expand_dims(np.nanmedian(values, axis=axis), axis)
    return np.nanmedian(np.abs(values - middle), axis=axis)


def _nan_mad_std(values: NDArray[Any], axis: int) -> Any:
    return _nan_mad(values, axis) * MAD_TO_STD


_SKIPPING: dict[str, Statistic] = {
    "mean": np.nanmean,
    "median": np.nanmedian,
    "sum": np.nansum,
    "std": np.nanstd,
    "mad_std": _nan_mad_std,
}


def call(function: Statistic, samples: Masked) -> NDArray[Any]:
    """Return what `function` computes from every column of `samples`, as a plain array.

    Parameters
    ----------
    function : callable
        Called as ``function(samples, axis=0)``. If it raises TypeError, as functions compiled by
        numba do for masked arrays, it is called with a plain array that is NaN under the mask.
    samples : MaskedImage, or another MaskedArray that is NaN under its mask, shape (n, ...)

    Returns
    -------
    ndarray, shape (...)
        Float; NaN where the function returned a masked value. Its answer is broadcast, so that a
        single number stands for all columns.

    Raises
    ------
    InputError
        Where the function returned an array of another shape, or of other than real numbers.
    """
    try:
        return _called(function, samples)
    except TypeError:
        return _called(function, nan_filled(samples))


def _called(function: Statistic, values: Any) -> NDArray[Any]:
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        # numpy warns about columns without a sample, which end up masked.
        warnings.simplefilter("ignore", RuntimeWarning)
        answer = np.ma.asanyarray(function(values, axis=0))
    shape = values.shape[1:]
    given = answer[0] if answer.shape == (1, *shape) else answer  # some functions keep the axis
    fits = given.ndim == 0 or (
        given.ndim == len(shape)
        and all(n in (1, length) for n, length in zip(given.shape, shape, strict=True))
    )
    if not fits or answer.dtype.kind not in "biuf":
        raise InputError(
            f"{_name(function)}: expected one number for each of {shape} pixels along axis 0, "
            f"got an array of shape {answer.shape}, {answer.dtype}"
        )
    numbers = given.astype(given.dtype if given.dtype.kind == "f" else np.float64)
    return np.broadcast_to(numbers.filled(np.nan), shape)


def _name(function: Statistic) -> str:
    return getattr(function, "__name__", repr(function))
