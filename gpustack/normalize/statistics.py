"""Statistics of the samples of a frame: of valid ones in float64, the noise in their own dtype."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import MAD_TO_STD

Values = NDArray[np.floating[Any]]

#: Parameters of IRAF's mode: the share of the samples, about the median, that it uses; width and
#: step of its bins, as shares of the range of these samples; and how many samples it needs.
MODE_SHARE, MODE_BIN, MODE_STEP, MODE_LEAST = 0.7, 0.1, 0.01, 10


def mean(values: Values) -> float:
    """The mean of at least one value; not finite if a float cannot hold their sum."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.mean(values, dtype=np.float64))


def median(values: Values) -> float:
    """The median of at least one value, or the mean of the middle two; reorders the values."""
    half = len(values) // 2
    middle = (half - 1 + len(values) % 2, half)
    values.partition(middle)
    lower, upper = (float(values[rank]) for rank in middle)
    total = lower + upper
    return total / 2 if math.isfinite(total) else lower / 2 + upper / 2


def mad(values: Values) -> float:
    """The median absolute deviation from the median of at least one value; reorders the values."""
    middle = np.float64(median(values))
    with np.errstate(over="ignore"):  # of the farther half; the median is at most half the range
        return median(np.abs(values - middle))


def mode(values: Values) -> float:
    """The mode as in IRAF, see `gpustack.measures.Statistic`; reorders the values.

    References
    ----------
    IRAF imcombine, SCALES AND WEIGHTS in its help.
    """
    n = len(values)
    if n < MODE_LEAST:
        return median(values)
    values.sort()
    first, last = (int(n * (1 + side * MODE_SHARE) / 2) for side in (-1, 1))
    central = values[first : last + 1].astype(np.float64)
    # Halves have a range that a float holds; to halve other values could round subnormal ones.
    unit = 1.0 if math.isfinite(float(central[-1]) - float(central[0])) else 0.5
    central *= unit
    low, span, central = central[0], central[-1] - central[0], central[:-1]
    # One start more than fills the range, so that the last bin includes the upper end.
    starts = low + span * MODE_STEP * np.arange(round((1 - MODE_BIN) / MODE_STEP) + 2)
    left = np.searchsorted(central, starts)
    right = np.searchsorted(central, starts + span * MODE_BIN)
    fullest = int(np.argmax(right - left))
    return float(central[(left[fullest] + right[fullest]) // 2]) / unit


def noise(values: Values, invalid: NDArray[np.bool_]) -> float:
    """The standard deviation of the noise from sample to sample along rows.

    Both arrays have the shape (rows, width). The result is NaN if no row has five adjacent samples
    of which the first, the third and the last are valid.

    References
    ----------
    Stoehr et al., "DER_SNR", ASP Conf. Ser. 394, 2008, 505.
    """
    usable = ~(invalid[:, 2:-2] | invalid[:, :-4] | invalid[:, 4:])
    with np.errstate(invalid="ignore", over="ignore"):  # from samples that are not usable
        curved = 2 * values[:, 2:-2] - values[:, :-4] - values[:, 4:]
    curved = curved[usable]
    if not len(curved):
        return math.nan
    return MAD_TO_STD / math.sqrt(6) * median(np.abs(curved, out=curved))
