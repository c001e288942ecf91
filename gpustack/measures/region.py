"""Regions: parts of a frame, given as a FITS section or as slices."""

import re
from collections.abc import Sequence
from typing import Any

from gpustack.checks import check, whole_number
from gpustack.errors import RecipeError
from gpustack.value_texts import size_words

_AXIS = re.compile(r"\*|(\d{1,18})(?::(\d{1,18}|\*))?")


def tidy_region(kind: str, given: Any) -> str | None:
    """Return a region as the text of a FITS section without blanks; None for the whole frame.

    Parameters
    ----------
    kind : str
        Name of the measure whose region it is, for errors.
    given : str, slice, tuple of slices, or None
        ``"[x1:x2,y1:y2]"``: pixels count from 1, both ends are included, x is first; ``*`` is a
        whole axis, ``x1:*`` goes to its end, ``x1`` is one pixel. Slices count from 0, stop
        before their end and have x last, as in numpy.

    Raises
    ------
    RecipeError
        Where the region is neither, or slices are empty, have a step or count from the end.
    """
    if given is None:
        return None
    slices = (given,) if isinstance(given, slice) else given
    if isinstance(slices, tuple) and slices and all(isinstance(item, slice) for item in slices):
        return f"[{','.join(_axis_text(kind, item) for item in reversed(slices))}]"
    text = re.sub(r"\s", "", given) if isinstance(given, str) else ""
    known = text[:1] == "[" and text[-1:] == "]"
    check(
        known and all(_AXIS.fullmatch(axis) for axis in text[1:-1].split(",")),
        f"{kind} region: expected a section such as '[1:100,1:50]', x first, or a tuple of "
        f"slices, x last, got {given!r}",
    )
    return text


def _axis_text(kind: str, item: slice) -> str:
    """Return one slice as the text of an axis of a section."""
    name = f"{kind} region"
    check(item.step in (None, 1), f"{name}: expected slices without a step, got {item}")
    first = whole_number(name, 0 if item.start is None else item.start, 0)
    if item.stop is None:
        return f"{first + 1}:*" if first else "*"
    stop = whole_number(name, item.stop, 0)
    check(first < stop, f"{name}: expected slices that are not empty, got {item}")
    return f"{first + 1}:{stop}"


def section(region: str | None, shape: Sequence[int]) -> tuple[slice, ...]:
    """The slices, in numpy order, that a region selects in frames of `shape`.

    Either end of an axis may be written first: the order does not matter to a statistic.

    Raises
    ------
    RecipeError
        Where the region has another number of axes than the frames, or is not inside of them.
    """
    if region is None:
        return tuple(slice(0, length) for length in shape)
    axes = region[1:-1].split(",")
    if len(axes) != len(shape):
        raise _outside(region, shape, f"{len(shape)} axes")
    ends = [_ends(axis, length) for axis, length in zip(reversed(axes), shape, strict=True)]
    for (first, last), length in zip(ends, shape, strict=True):
        if first < 1 or last > length:
            raise _outside(region, shape, "pixels inside of the frame, counted from 1")
    return tuple(slice(first - 1, last) for first, last in ends)


def _outside(region: str, shape: Sequence[int], expected: str) -> RecipeError:
    return RecipeError(
        f"region: expected {expected}, for frames of shape {tuple(shape)}, which is "
        f"{size_words(shape)} with x first, got {region}"
    )


def _ends(axis: str, length: int) -> tuple[int, int]:
    """First and last pixel of an axis of a section, counted from 1."""
    if axis == "*":
        return 1, length
    left, _, right = axis.partition(":")
    first = int(left)
    last = first if not right else length if right == "*" else int(right)
    # In ``x1:*``, a first pixel beyond the end must not be sorted: it is an error.
    return (first, max(first, last)) if right == "*" else (min(first, last), max(first, last))
