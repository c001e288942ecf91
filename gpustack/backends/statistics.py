"""Statistics of the survivors of columns, of either kind, in float64."""

import numpy as np
from numpy.typing import DTypeLike

from gpustack.backends.columns import Floats, Uniform, middles
from gpustack.backends.ragged import Ragged

Columns = Uniform | Ragged


def pivot(columns: Columns) -> Floats | None:
    """About what samples are added up; None is 0.

    For float64, a sample from the middle of the survivors. float32 needs none: sums of
    its samples have 29 bits to spare.
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

    return columns.once("mean", compute)


def sums(columns: Columns) -> Floats:
    """The sums of the survivors; of float32, which need no pivot.

    These are kept, and no means beside them.
    """
    return columns.once("sum", lambda: columns.total(None))


def median(columns: Columns) -> Floats:
    """The median of the survivors: of an even number the middle of two, in float64."""
    lower, upper = middles(columns)
    return lower if lower is upper else midpoint(lower, upper)


def midpoint(lower: Floats, upper: Floats) -> Floats:
    """The mean of two, in float64; of equal ones these, infinite ones too."""
    middle = np.add(lower, upper, dtype=np.float64) * 0.5
    if upper.dtype != np.float32 and np.isinf(middle).any():  # the sum of large ones
        np.copyto(middle, lower * 0.5 + upper * 0.5, where=np.isinf(middle))
    return np.where(lower == upper, lower, middle)


def std(columns: Columns, ddof: int = 0, about: Floats | None = None) -> Floats:
    """The standard deviation, about the mean where `about` is None; NaN for `ddof` samples."""
    if about is None:
        squares = columns.once("squares", lambda: squares_about_mean(columns))
    else:
        squares = columns.total(about, squared=True)
    degrees = np.asarray(columns.count - ddof, dtype=np.float64)
    return np.sqrt(squares / np.where(degrees > 0, degrees, np.nan))


def squares_about_mean(columns: Columns) -> Floats:
    """The sum of the squared deviations from the mean.

    Of float32, taken about the mean rounded to float32: then the sum is exact in most columns,
    which need no sorting; see `gpustack.backends.unsorted`. How far that is from the mean is
    taken off in the end, from the sum of the samples, which is exact in those: not from their
    mean, whose rounding may be large beside the deviations.
    """
    if columns.dtype != np.float32:
        return columns.total(mean(columns), squared=True)
    origin = rounded_mean(columns)
    return put_right(columns.total(origin, squared=True), origin, columns)


def rounded_mean(columns: Columns) -> Floats:
    """The mean rounded to float32, in float64."""
    return mean(columns).astype(np.float32).astype(np.float64)


def put_right(squares: Floats, origin: Floats, columns: Columns) -> Floats:
    """The squares about the mean, from those about an origin near to it, which is overwritten."""
    off = np.multiply(origin, columns.count, out=origin)
    np.subtract(sums(columns), off, out=off)
    off *= off
    off /= columns.count
    squares -= off
    return np.maximum(squares, 0.0, out=squares)


def mad(columns: Columns, dtype: DTypeLike = np.float64) -> Floats:
    """The median absolute deviation about the median, in float64; deviations rounded to `dtype`."""
    return columns.once(f"mad in {np.dtype(dtype)}", lambda: columns.mad(dtype))


def quick_mad(columns: Columns) -> Floats:
    """`mad` with deviations rounded to the samples' own dtype.

    float32 takes half the time of float64 and is off by 6e-8 of the result. Where it
    overflows the result is that of float64.
    """
    result = mad(columns, columns.dtype)
    top = columns.at(columns.hi - 1)
    overflown = np.isinf(result) & np.isfinite(top)  # not where columns are meaningless
    return np.where(overflown, mad(columns), result) if overflown.any() else result
