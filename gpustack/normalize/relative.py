"""Relate the numbers of frames to that of a reference, as scales and zeros."""

import warnings
from collections.abc import Sequence

import numpy as np

from gpustack.checks import check
from gpustack.errors import GpustackWarning
from gpustack.frames import Frame
from gpustack.measures import Reference
from gpustack.normalize.given import Numbers
from gpustack.normalize.survey import Measured

#: Ratio of two scales above which a warning is given; twilight flats reach 20.
FAR = 30


def target(
    role: str, values: Measured, reference: Reference, frames: Sequence[Frame]
) -> tuple[float | None, str]:
    """The number that all frames are brought to, and the name of the reference.

    Without a reference, it is the number of the first frame that has one. It is None where no frame
    has a number.

    Raises
    ------
    RecipeError
        Where the reference does not exist, or has no valid sample.
    """
    known = [value for value in values if value is not None]
    if reference == "mean":
        with np.errstate(over="ignore"):  # numbers that follow from inf are refused later
            return (float(np.mean(known)) if known else None), "the mean"
    if reference is None:
        at = next((i for i, value in enumerate(values) if value is not None), 0)
        return values[at], frames[at].name
    check(
        reference < len(frames),
        f"{role} reference: expected a frame from 0 to {len(frames) - 1}, got {reference}",
    )
    name = frames[reference].name
    check(
        values[reference] is not None,
        f"{role} reference: expected a frame with valid samples, got none in {name}",
    )
    return values[reference], name


def ratios(values: Measured, level: float | None, name: str, frames: Sequence[Frame]) -> Numbers:
    """The factor that brings each value to `level`; 1 for a frame without a valid sample.

    Raises
    ------
    RecipeError
        Where a value is 0, or has another sign than `level`; names the frame.
    """
    expected = "scale: expected levels other than 0 and of one sign, got"
    check(level != 0, f"{expected} 0 in {name}")
    for frame, value in zip(frames, values, strict=True):
        check(
            value is None or level is None or _same_sign(value, level),
            f"{expected} {level or 0:g} in {name} and {value or 0:g} in {frame.name}",
        )
    return tuple(1.0 if value is None or level is None else level / value for value in values)


def _same_sign(one: float, other: float) -> bool:
    return one != 0 and other != 0 and (one > 0) == (other > 0)  # a product may underflow


def warn_far(kind: str, scales: Numbers, frames: Sequence[Frame], stacklevel: int) -> None:
    """Warn about scales that differ so much that levels near 0 are a likelier cause than light."""
    sizes = [abs(scale) for scale in scales]
    least, most = sizes.index(min(sizes)), sizes.index(max(sizes))
    if sizes[most] > FAR * sizes[least]:
        warnings.warn(
            f"scale by {kind}: {scales[most]:.4g} for {frames[most].name} and "
            f"{scales[least]:.4g} for {frames[least].name}; if the sky or all light was "
            f"subtracted, levels are near 0 and determine no scale; use a zero (--zero {kind})",
            GpustackWarning,
            stacklevel=stacklevel + 1,
        )


def shifts(values: Measured, level: float | None, scales: Numbers) -> Numbers:
    """What to subtract before scaling to bring each scaled value to `level`; 0 without a value."""
    return tuple(
        0.0 if value is None or level is None else value / scale - level / scale
        for value, scale in zip(values, scales, strict=True)
    )
