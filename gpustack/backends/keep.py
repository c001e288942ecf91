"""The `keep` of a clip: how many samples must survive, and which rejected ones come back."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import Floats, Ranks

Flags = NDArray[np.bool_]

#: The smallest unit in which a distance is measured. Units are 0 for samples without noise: these
#: come back after samples with noise, the nearest of them first.
LEAST_UNIT = 2.0**-500


def least_kept(keep: int, count: Ranks) -> Ranks:
    """How many of `count` samples, one number per column, must survive a clip with this `keep`."""
    least: Ranks = np.minimum(keep, count) if keep >= 0 else count + keep
    return np.maximum(least, 0)


def bring_back(
    low: Flags, high: Flags, off: Floats, unit: Floats, count: Ranks, least: Ranks
) -> tuple[Flags, Flags, Flags]:
    """Bring the nearest rejected samples of columns back until enough survive, ties together.

    Parameters
    ----------
    low, high : ndarray of bool, shape (n, m)
        The samples out of bounds.
    off, unit : ndarray, shape (n, m), or (m,)
        Signed distances of the samples from the centre, and the units in which to compare these.
    count, least : ndarray of int, shape (m,)
        How many samples there were, and how many must survive.

    Returns
    -------
    low, high : ndarray of bool, shape (n, m)
        The samples that remain rejected.
    short : ndarray of bool, shape (m,)
        The columns in which samples came back.
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
