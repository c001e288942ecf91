"""Masked images as functions of the user receive them: numpy's functions skip invalid samples."""

import math
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gpustack.checks import unwrap_scalar


def _nan_ptp(values: Any, axis: Any = None, out: Any = None, **how: Any) -> Any:
    """Return the range of values as `numpy.ptp` does, but skip NaN."""
    most, least = np.nanmax(values, axis=axis, **how), np.nanmin(values, axis=axis, **how)
    return np.subtract(most, least, out=out)


#: numpy functions that ignore masks or skip NaN -> functions for arrays with NaN under the mask.
_SKIPPING: dict[Callable[..., Any], Callable[..., Any]] = {
    np.median: np.nanmedian,
    np.percentile: np.nanpercentile,
    np.quantile: np.nanquantile,
    np.ptp: _nan_ptp,
    np.sort: np.sort,  # this and partition put NaN last
    np.partition: np.partition,
}
for _name in ("mean", "median", "sum", "std", "var", "min", "max", "percentile", "quantile"):
    _SKIPPING[getattr(np, f"nan{_name}")] = getattr(np, f"nan{_name}")


class MaskedImage(np.ma.MaskedArray):
    """A masked array of floats, NaN under the mask, whose median is that of the valid samples.

    ``numpy.median`` of an ordinary masked array includes masked values, and ``numpy.nanmedian`` of
    one may be NaN. A function such as ``lambda image: 1 / np.median(image)``, as scales are often
    given, would silently be wrong. For this class medians, percentiles, quantiles and `numpy.ptp`
    skip invalid samples. Functions of `numpy.ma` skip them by the mask, and those of bottleneck
    because they are NaN.
    """

    @classmethod
    def of(cls, image: Any) -> Self:
        """Return a copy of a masked array; integers and bools become float64."""
        return cls(nan_filled(image), np.ma.getmaskarray(image), copy=True)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Call `func`, or in place of a function that ignores masks the one that skips NaN."""
        if func not in _SKIPPING:
            return super().__array_function__(func, types, args, kwargs)
        plain = {name: _plain(value) for name, value in kwargs.items()}
        return _SKIPPING[func](*map(_plain, args), **plain)


def _plain(value: Any) -> NDArray[Any] | Any:
    return nan_filled(value) if isinstance(value, MaskedImage) else value


def nan_filled(samples: np.ma.MaskedArray[Any, Any]) -> NDArray[Any]:
    """Return `samples` as an ndarray, NaN where masked; integers as float64. May share memory."""
    real = samples.dtype if samples.dtype.kind == "f" else np.dtype(np.float64)
    values = np.ma.asarray(samples, dtype=real)
    return np.asarray(values.filled(np.nan) if np.ma.getmaskarray(values).any() else values.data)


def as_function_sees(image: np.ma.MaskedArray[Any, Any]) -> np.ma.MaskedArray[Any, Any]:
    """Return a masked array as user functions receive it; its dtype is kept if all is valid."""
    masked = np.ma.getmaskarray(image).any()
    return MaskedImage.of(image) if masked else image.view(MaskedImage)


def why_nan(answer: Any, image: np.ma.MaskedArray[Any, Any]) -> str:
    """Return the end of an error message where masked samples made the `answer` NaN, else "".

    Functions that use ``image.data`` or ``numpy.array(image)`` work in other programs, but see
    NaN here.
    """
    answer = unwrap_scalar(answer)
    if isinstance(answer, float) and math.isnan(answer) and np.ma.getmaskarray(image).any():
        return (
            "; its masked samples are NaN, in .data too: use a function that skips them, "
            "such as np.ma.median or np.nanmean"
        )
    return ""
