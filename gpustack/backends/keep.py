"""The `keep` of a clip: how many samples must survive, and which rejected ones come back."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import Floats, Ranks
from gpustack.backends.totals import count_flags

Flags = NDArray[np.bool_]

#: The smallest unit in which a distance is measured. Units are 0 for samples without noise: these
#: come back after samples with noise, the nearest of them first.
LEAST_UNIT = 2.0**-500


def least_kept(keep: int, count: Ranks) -> Ranks:
    """How many of `count` samples, one number per column, must survive a clip with this `keep`."""
    least: Ranks = np.minimum(keep, count) if keep >= 0 else count + keep
    return np.maximum(least, 0)


def bring_back(
    low: Flags,
    high: Flags,
    off: Callable[[Flags], Floats],
    unit: Floats,
    count: Ranks,
    least: Ranks,
) -> tuple[Flags, Flags, Flags]:
    """Bring the nearest rejected samples of columns back until enough survive, ties together.

    Parameters
    ----------
    low, high : ndarray of bool, shape (n, m)
        The samples out of bounds.
    off : callable
        Takes flags of columns; returns signed distances of their samples from the centre.
    unit : ndarray, shape (n, m), or (m,)
        The units in which to compare distances.
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
    kept = count - count_flags(out)
    short: Flags = kept < least
    if not short.any():
        return low, high, short
    away = np.abs(off(short)) / np.maximum(unit[..., short], LEAST_UNIT)
    np.copyto(away, np.inf, where=~out[:, short])
    last = (least - kept)[np.newaxis, short] - 1
    reach = np.take_along_axis(np.sort(away, axis=0), last, axis=0)
    back = np.zeros_like(out)
    back[:, short] = away <= reach
    return low & ~back, high & ~back, short
