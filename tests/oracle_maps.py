"""What maps of reasons are, one sample at a time; see `oracle`."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpustack.reasons import Reason


def reason(reasons: Any) -> Any:
    """The reasons of all samples of a pixel as one number."""
    found = np.zeros(reasons.shape[1:], np.uint8)
    for _, y, x in np.argwhere(reasons):
        found[y, x] = 0
        for value in reasons[:, y, x].tolist():
            found[y, x] = int(found[y, x]) | value
    return found


def exposure(reasons: Any, exposures: Sequence[float]) -> Any:
    """The exposures of the samples that survive, together."""
    found = np.zeros(reasons.shape[1:])
    for y, x in np.ndindex(found.shape):
        found[y, x] = math.fsum(
            seconds for f, seconds in enumerate(exposures) if reasons[f, y, x] == 0
        )
    return found


def rejections(reasons: Any) -> Any:
    """Which samples were rejected, by whatever: neither masked ones nor those without a value."""
    found = np.zeros(reasons.shape, bool)
    for at in np.ndindex(reasons.shape):
        found[at] = reasons[at] in (Reason.RANGE, Reason.CLIP, Reason.GROW)
    return found
