"""Statistics of a few Python floats, and a test for comparisons that rounding may decide."""

import math
from typing import Any

import numpy as np

#: 1 / (quantile of the normal distribution at 3/4): MAD to standard deviation.
MAD_TO_STD = 1.482602218505602
#: A sample within this many ulp of a bound may be on either side, because the bound is rounded.
CLOSE_ULP = 4
#: `CLOSE_ULP` steps of float32 are at most this fraction of a number plus this absolute amount;
#: steps of float64 are smaller.
MOST_CLOSE, LEAST_CLOSE = 5e-7, 1e-44


def mean(values: list[float]) -> float:
    """The arithmetic mean, with one correction step that rounds it to the nearest float."""
    rough = math.fsum(values) / len(values)
    return rough + math.fsum([*values, *[-rough] * len(values)]) / len(values)


def median(values: list[float]) -> float:
    """The middle value; of an even number, the mean of the two middle ones."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def std(values: list[float], ddof: int = 0) -> float:
    """The standard deviation about the mean; NaN where ``n <= ddof``."""
    if len(values) <= ddof:
        return math.nan
    center = mean(values)
    return math.sqrt(math.fsum((v - center) * (v - center) for v in values) / (len(values) - ddof))


def mad_std(values: list[float]) -> float:
    """The standard deviation of normal noise with this median absolute deviation."""
    center = median(values)
    return MAD_TO_STD * median([abs(v - center) for v in values])


def ulp(value: float, dtype: np.dtype[Any]) -> float:
    """The spacing of the numbers of `dtype` at `value`."""
    digits, smallest = (24, -149) if dtype == np.float32 else (53, -1074)
    return math.ldexp(1.0, max(math.frexp(value)[1] - digits, smallest))


def is_close(value: float, bound: float, dtype: np.dtype[Any]) -> bool:
    """Whether `value` is too near to a rounded `bound` to decide on which side it lies."""
    size, gap = max(abs(value), abs(bound)), abs(value - bound)
    if gap > MOST_CLOSE * size + LEAST_CLOSE:
        return False  # the common case, decided cheaply
    return math.isfinite(bound) and gap <= CLOSE_ULP * ulp(size, dtype)


def mad(values: list[float]) -> float:
    """The median absolute deviation about the median."""
    center = median(values)
    return median([abs(v - center) for v in values])


def spread_about(values: list[float], center: float, ddof: int) -> float:
    """The root of the mean square distance from `center`; NaN where ``n <= ddof``."""
    if len(values) <= ddof:
        return math.nan
    return math.sqrt(math.fsum((v - center) * (v - center) for v in values) / (len(values) - ddof))


def student_cdf(t: float, degrees: int) -> float:
    """Student's distribution function, by its finite series for integer degrees of freedom.

    Abramowitz and Stegun, 26.7.3 and 26.7.4.
    """
    theta = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(theta), math.cos(theta)
    odd = degrees % 2
    term, total = (cosine if odd else 1.0), 0.0
    for k in range(1 + odd, degrees + odd - 1 + (1 - odd), 2):
        total += term
        term *= cosine * cosine * k / (k + 1)
    return 0.5 + ((theta + sine * total) / math.pi if odd else sine * total / 2)


def student_quantile(p: float, degrees: int) -> float:
    """The argument at which `student_cdf` is `p` > 0.5, by bisection."""
    low, high = 0.0, 1.0
    while student_cdf(high, degrees) < p:
        high *= 2
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if student_cdf(middle, degrees) < p else (low, middle)
    return high
