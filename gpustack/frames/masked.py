"""Images with invalid samples, as functions of users get them: numpy's own do right on them."""

import math
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gpustack.checks import plain


def _nan_ptp(values: Any, axis: Any = None, out: Any = None, **how: Any) -> Any:
    """`numpy.ptp` that leaves NaN out."""
    most, least = np.nanmax(values, axis=axis, **how), np.nanmin(values, axis=axis, **how)
    return np.subtract(most, least, out=out)


#: Functions of numpy that do not look at masks, and those that leave NaN out.
_SKIPPING: dict[Callable[..., Any], Callable[..., Any]] = {
    np.median: np.nanmedian,
    np.percentile: np.nanpercentile,
    np.quantile: np.nanquantile,
    np.ptp: _nan_ptp,
    np.sort: np.sort,  # which have NaN last
    np.partition: np.partition,
}
for _name in ("mean", "median", "sum", "std", "var", "min", "max", "percentile", "quantile"):
    _SKIPPING[getattr(np, f"nan{_name}")] = getattr(np, f"nan{_name}")


class MaskedImage(np.ma.MaskedArray):
    """A masked array of floats, NaN under the mask, whose median is that of the valid samples.

    ``numpy.median`` of another masked array mixes in what is masked, ``numpy.nanmedian`` of one may
    be NaN: so a function such as ``lambda image: 1 / np.median(image)``, as scales are often given,
    would be wrong without a word. Here they, percentiles, quantiles and `numpy.ptp` leave out what
    is invalid, as functions of `numpy.ma` do by masks, and those of bottleneck by NaN.
    """

    @classmethod
    def of(cls, image: Any) -> Self:
        """A copy of a masked array; integers and bools become float64."""
        return cls(nan_filled(image), np.ma.getmaskarray(image), copy=True)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """As numpy, with what leaves out NaN in the place of what does not look at masks."""
        if func not in _SKIPPING:
            return super().__array_function__(func, types, args, kwargs)
        plain = {name: _plain(value) for name, value in kwargs.items()}
        return _SKIPPING[func](*map(_plain, args), **plain)


def _plain(value: Any) -> NDArray[Any] | Any:
    return nan_filled(value) if isinstance(value, MaskedImage) else value


def nan_filled(samples: np.ma.MaskedArray[Any, Any]) -> NDArray[Any]:
    """`samples` as an ndarray, NaN where masked; integers as float64. May share memory."""
    real = samples.dtype if samples.dtype.kind == "f" else np.dtype(np.float64)
    values = np.ma.asarray(samples, dtype=real)
    return np.asarray(values.filled(np.nan) if np.ma.getmaskarray(values).any() else values.data)


def as_function_sees(image: np.ma.MaskedArray[Any, Any]) -> np.ma.MaskedArray[Any, Any]:
    """A masked array as a function of a user gets it; of its own dtype where all is valid."""
    masked = np.ma.getmaskarray(image).any()
    return MaskedImage.of(image) if masked else image.view(MaskedImage)


def why_nan(answer: Any, image: np.ma.MaskedArray[Any, Any]) -> str:
    """The end of an error about the `answer` of a function for an image; empty if not NaN.

    Functions that take ``image.data`` or ``numpy.array(image)`` have worked elsewhere.
    """
    answer = plain(answer)
    if isinstance(answer, float) and math.isnan(answer) and np.ma.getmaskarray(image).any():
        return (
            "; its masked samples are NaN, in .data too: take a function that leaves them out, "
            "such as np.ma.median or np.nanmean"
        )
    return ""
