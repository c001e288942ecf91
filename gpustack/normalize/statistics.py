"""Statistics of the valid samples of a frame, in float64; the noise in their own dtype."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import MAD_TO_STD

Values = NDArray[np.floating[Any]]

#: Of IRAF's mode: the share of the samples, about the median, that it looks at; width and
#: step of its bins, as shares of the range of these; and how many samples it needs.
MODE_SHARE, MODE_BIN, MODE_STEP, MODE_LEAST = 0.7, 0.1, 0.01, 10


def mean(values: Values) -> float:
    """The mean of at least one value."""
    with np.errstate(over="ignore"):
        return float(np.mean(values, dtype=np.float64))


def median(values: Values) -> float:
    """The median of at least one value, the mean of the middle two; puts them in disorder."""
    half = len(values) // 2
    middle = (half - 1 + len(values) % 2, half)
    values.partition(middle)
    lower, upper = (float(values[rank]) for rank in middle)
    total = lower + upper
    return total / 2 if math.isfinite(total) else lower / 2 + upper / 2


def mad(values: Values) -> float:
    """The median absolute deviation from the median of at least one value."""
    return median(np.abs(values - np.float64(median(values))))


def mode(values: Values) -> float:
    """The mode as IRAF has it, see `gpustack.measures.Statistic`; sorts the values.

    References
    ----------
    IRAF imcombine, SCALES AND WEIGHTS in its help.
    """
    n = len(values)
    if n < MODE_LEAST:
        return median(values)
    values.sort()
    first, last = (int(n * (1 + side * MODE_SHARE) / 2) for side in (-1, 1))
    low, high = float(values[first]), float(values[last])
    span = high - low
    # One start more than fills the range, so that the last bin has its upper end in.
    starts = low + span * MODE_STEP * np.arange(round((1 - MODE_BIN) / MODE_STEP) + 2)
    central = values[first:last].astype(np.float64)
    left = np.searchsorted(central, starts)
    right = np.searchsorted(central, starts + span * MODE_BIN)
    fullest = int(np.argmax(right - left))
    return float(central[(left[fullest] + right[fullest]) // 2])


def noise(values: Values, invalid: NDArray[np.bool_]) -> float:
    """The standard deviation of the noise from sample to sample, shape (rows, width).

    NaN where no five samples of a row have the first, the third and the last valid.

    References
    ----------
    Stoehr et al., "DER_SNR", ASP Conf. Ser. 394, 2008, 505.
    """
    usable = ~(invalid[:, 2:-2] | invalid[:, :-4] | invalid[:, 4:])
    with np.errstate(invalid="ignore", over="ignore"):  # of samples that are not usable
        curved = 2 * values[:, 2:-2] - values[:, :-4] - values[:, 4:]
    curved = curved[usable]
    if not len(curved):
        return math.nan
    return MAD_TO_STD / math.sqrt(6) * median(np.abs(curved, out=curved))
