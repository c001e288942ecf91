"""Finds numbers of frames, such as scale or noise, that are out of line with the other frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import MAD_TO_STD

#: A number is out of line if it lies more than `DEVIATIONS` robust deviations from the median, and
#: further than its `Floor`. With fewer than `LEAST_FRAMES` frames none is.
DEVIATIONS, LEAST_FRAMES = 5.0, 5


@dataclass(frozen=True, slots=True)
class Floor:
    """How far a number may lie from the median without being out of line; the largest applies.

    Parameters
    ----------
    share : float
        As a fraction of the median.
    fixed : float
        As it is.
    noises : float
        In units of the median noise of the frames.
    """

    share: float = 0.0
    fixed: float = 0.0
    noises: float = 0.0


FLOORS = {
    "scale": Floor(share=0.05),
    "zero": Floor(noises=1.0),
    "weight": Floor(share=0.25),
    "noise": Floor(share=0.15),
    "valid": Floor(fixed=0.05),
    "low": Floor(fixed=0.005),
    "high": Floor(fixed=0.005),
}

RULE = (
    f"A number is marked where it lies more than {DEVIATIONS:g} robust deviations (1.4826 MAD) "
    "from the median of all frames, and by more than 5 % of it (scale), 25 % (weight), 15 % "
    "(noise), the noise of a frame (zero), 5 % of the pixels (valid) or 0.5 % (rejected). With "
    f"fewer than {LEAST_FRAMES} frames nothing is marked."
)


def out_of_line(
    columns: Mapping[str, Any], there: NDArray[np.bool_] | None = None
) -> dict[str, NDArray[np.bool_]]:
    """Return which numbers are out of line, by name; see `RULE`.

    Parameters
    ----------
    columns : mapping of str to sequence of float
        Each with one number per frame; names that are not in `FLOORS` are skipped.
    there : ndarray of bool, shape (n,), or None
        Which frames count: not those that are left out or have no valid sample.
    """
    if there is not None:
        columns = {name: np.where(there, given, np.nan) for name, given in columns.items()}
    noises = columns.get("noise", np.array([np.nan]))
    noise = float(np.median(noises[np.isfinite(noises)])) if np.isfinite(noises).any() else 0.0
    return {
        name: _stray(np.asarray(columns[name], np.float64), floor, noise)
        for name, floor in FLOORS.items()
        if name in columns
    }


def _stray(numbers: NDArray[np.float64], floor: Floor, noise: float) -> NDArray[np.bool_]:
    known = numbers[np.isfinite(numbers)]
    if len(known) < LEAST_FRAMES:
        return np.zeros(len(numbers), bool)
    middle = float(np.median(known))
    far = DEVIATIONS * MAD_TO_STD * float(np.median(np.abs(known - middle)))
    least = max(floor.share * abs(middle), floor.fixed, floor.noises * noise)
    off: NDArray[np.bool_] = np.abs(numbers - middle) > max(far, least)
    return off


def outlying_names(flags: Mapping[str, NDArray[np.bool_]], f: int) -> Sequence[str]:
    """The names of the numbers of frame `f` that are out of line."""
    return [name for name, marks in flags.items() if marks[f]]
