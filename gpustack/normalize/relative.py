"""What frames are brought to: the number of a reference, and how far each is from it."""

import warnings
from collections.abc import Sequence

import numpy as np

from gpustack.checks import check
from gpustack.errors import GpustackWarning
from gpustack.frames import Frame
from gpustack.measures import Reference
from gpustack.normalize.given import Numbers
from gpustack.normalize.survey import Measured

#: How many times one scale is another, above which a warning says so: twilight flats reach 20.
FAR = 30


def target(
    role: str, values: Measured, reference: Reference, frames: Sequence[Frame]
) -> tuple[float | None, str]:
    """The number that all frames are brought to, and what it is of.

    Without a reference it is that of the first frame that has one; None where none has.

    Raises
    ------
    RecipeError
        Where there is no such frame, or it has no valid sample.
    """
    known = [value for value in values if value is not None]
    if reference == "mean":
        with np.errstate(over="ignore"):  # of inf nobody makes use
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
    """What multiplies each value to `level`; 1 for a frame without any valid sample.

    Raises
    ------
    RecipeError
        Where one is 0, or has another sign; names the frame.
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
    """Warn of scales so far apart that levels near 0 are more likely than light that differs."""
    sizes = [abs(scale) for scale in scales]
    least, most = sizes.index(min(sizes)), sizes.index(max(sizes))
    if sizes[most] > FAR * sizes[least]:
        warnings.warn(
            f"scale by {kind}: {scales[most]:.4g} for {frames[most].name} and "
            f"{scales[least]:.4g} for {frames[least].name}; where the sky or all light is "
            f"subtracted, levels are near 0 and tell of no scale, but of a zero (--zero {kind})",
            GpustackWarning,
            stacklevel=stacklevel + 1,
        )


def shifts(values: Measured, level: float | None, scales: Numbers) -> Numbers:
    """What, subtracted before scaling, brings each scaled value to `level`; 0 without one."""
    return tuple(
        0.0 if value is None or level is None else value / scale - level / scale
        for value, scale in zip(values, scales, strict=True)
    )
