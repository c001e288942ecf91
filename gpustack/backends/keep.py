"""How many samples a clip must leave, and which of those out of bounds come back."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import Floats, Ranks

Flags = NDArray[np.bool_]

#: The least unit that a distance is measured in. Units are 0 where there is no noise: such samples
#: come back after those with some, the nearest of them first.
LEAST_UNIT = 2.0**-500


def least_kept(keep: int, count: Ranks) -> Ranks:
    """How many of `count` samples, one number a column, must survive; `keep` of a clip."""
    least: Ranks = np.minimum(keep, count) if keep >= 0 else count + keep
    return np.maximum(least, 0)


def bring_back(
    low: Flags, high: Flags, off: Floats, unit: Floats, count: Ranks, least: Ranks
) -> tuple[Flags, Flags, Flags]:
    """What a clip rejects of columns when enough of it has come back: the nearest, ties together.

    Parameters
    ----------
    low, high : ndarray of bool, shape (n, m)
        The samples out of bounds.
    off, unit : ndarray, shape (n, m), or (m,)
        Their distances from the centre, of either sign, and what these are measured in.
    count, least : ndarray of int, shape (m,)
        How many samples there were, and must be left.

    Returns
    -------
    low, high : ndarray of bool, shape (n, m)
    short : ndarray of bool, shape (m,)
        In which columns some came back.
    """
    out: Any = low | high
    kept = count - np.count_nonzero(out, axis=0)
    short: Flags = kept < least
    if not short.any():
        return low, high, short
    away = np.where(out, np.abs(off) / np.maximum(unit, LEAST_UNIT), np.inf)[:, short]
    last = (least - kept)[np.newaxis, short] - 1
    reach = np.take_along_axis(np.sort(away, axis=0), last, axis=0)
    back = np.zeros_like(out)
    back[:, short] = away <= reach
    return low & ~back, high & ~back, short
