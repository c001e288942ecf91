"""Statistics of the survivors of columns, `Uniform` or `Ragged`, in float64."""

import numpy as np
from numpy.typing import DTypeLike

from gpustack.backends.columns import Floats, Uniform, middles
from gpustack.backends.ragged import Ragged

Columns = Uniform | Ragged


def pivot(columns: Columns) -> Floats | None:
    """The value about which samples are added up; None means 0.

    For float64 it is a sample from the middle of the survivors. float32 needs none: sums of
    its samples in float64 have 29 bits to spare.
    """
    if columns.dtype == np.float32:
        return None
    return columns.at((columns.lo + columns.hi) >> 1)


def mean(columns: Columns) -> Floats:
    """The mean of the survivors, in float64; meaningless where there are none."""
    origin = pivot(columns)
    if origin is None:
        return sums(columns) / columns.count

    def compute() -> Floats:
        result = columns.total(origin)
        result /= columns.count
        return np.add(result, origin, out=result)

    return columns.cached("mean", compute)


def sums(columns: Columns) -> Floats:
    """The sums of the survivors, for float32 samples, which need no pivot.

    For these the sums are cached, and not the means.
    """
    return columns.cached("sum", lambda: columns.total(None))


def median(columns: Columns) -> Floats:
    """The median of the survivors; for an even count the mean of two, in float64."""
    lower, upper = middles(columns)
    return lower if lower is upper else midpoint(lower, upper)


def midpoint(lower: Floats, upper: Floats) -> Floats:
    """The mean of two values in float64; the value itself if both are equal, infinite ones too."""
    middle = np.add(lower, upper, dtype=np.float64) * 0.5
    if upper.dtype != np.float32 and np.isinf(middle).any():  # the sum of large values
        np.copyto(middle, lower * 0.5 + upper * 0.5, where=np.isinf(middle))
    return np.where(lower == upper, lower, middle)


def std(columns: Columns, ddof: int = 0, about: Floats | None = None) -> Floats:
    """The standard deviation, about the mean if `about` is None; NaN for at most `ddof` samples."""
    if about is None:
        squares = columns.cached("squares", lambda: squares_about_mean(columns))
    else:
        squares = columns.total(about, squared=True)
    degrees = np.asarray(columns.count - ddof, dtype=np.float64)
    return np.sqrt(squares / np.where(degrees > 0, degrees, np.nan))


def squares_about_mean(columns: Columns) -> Floats:
    """The sum of the squared deviations from the mean.

    For float32, deviations are taken about the mean rounded to float32. The sum is then exact in
    most columns, which need no sorting; see `gpustack.backends.unsorted`. Afterwards it is
    corrected for the rounding of the mean. The correction is computed from the sum of the samples,
    which is exact in those columns, and not from their mean, whose rounding may be large compared
    with the deviations.
    """
    if columns.dtype != np.float32:
        return columns.total(mean(columns), squared=True)
    origin = rounded_mean(columns)
    return shift_to_mean(columns.total(origin, squared=True), origin, columns)


def rounded_mean(columns: Columns) -> Floats:
    """The mean rounded to float32, in float64."""
    return mean(columns).astype(np.float32).astype(np.float64)


def shift_to_mean(squares: Floats, origin: Floats, columns: Columns) -> Floats:
    """Turn `squares`, sums about an origin near the mean, into sums about the mean.

    `squares` and `origin` are overwritten.
    """
    off = np.multiply(origin, columns.count, out=origin)
    np.subtract(sums(columns), off, out=off)
    off *= off
    off /= columns.count
    squares -= off
    return np.maximum(squares, 0.0, out=squares)


def mad(columns: Columns, dtype: DTypeLike = np.float64) -> Floats:
    """The median absolute deviation about the median, in float64; deviations rounded to `dtype`."""
    return columns.cached(f"mad in {np.dtype(dtype)}", lambda: columns.mad(dtype))


def quick_mad(columns: Columns) -> Floats:
    """`mad` with deviations rounded to the samples' own dtype.

    float32 takes half the time of float64, and its error is 6e-8 of the result. Where float32
    overflows, the result is that of float64.
    """
    result = mad(columns, columns.dtype)
    top = columns.at(columns.hi - 1)
    overflown = np.isinf(result) & np.isfinite(top)  # meaningless columns may contain inf
    return np.where(overflown, mad(columns), result) if overflown.any() else result
