"""Numbers of frames that users give by way of headers, files and functions."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpustack.align.base import AbsentFrame
from gpustack.cards.numbers import read_number, words_of
from gpustack.checks import check, real, unwrap_scalar
from gpustack.clips import RangeClip
from gpustack.files.number_files import read_lines
from gpustack.frames import Frame
from gpustack.frames.masked import as_function_sees, why_nan
from gpustack.header import SAME_AS_EXPTIME
from gpustack.normalize.survey import Measured, mark_out_of_range

Numbers = tuple[float, ...]

#: Other names of cameras for EXPTIME. Errors mention them, but none is read in its place, because
#: some of them contain a number of exposures or a total.
_TIMES = (*SAME_AS_EXPTIME, "ITIME", "EXP_TIME", "TEXPTIME", "INTTIME")


def from_headers(
    role: str, key: str, frames: Sequence[Frame], default: float | None = None
) -> Measured:
    """The number that each header has for a keyword, or the default where the keyword is missing.

    None for a frame that is left out.

    Raises
    ------
    RecipeError
        Where a header has no finite number and no default applies; names the frame.
    """
    return [
        None if isinstance(frame, AbsentFrame) else _from_header(role, key, frame, default)
        for frame in frames
    ]


def _from_header(role: str, key: str, frame: Frame, default: float | None) -> float:
    if default is not None and key not in frame.header:
        return default
    number = read_number(frame.header, key)
    check(
        math.isfinite(number),
        f"{role}: expected a finite number in {key}, got {words_of(frame.header, key)} in "
        f"{frame.name}{_time_instead(frame, key)}",
    )
    return number


def _time_instead(frame: Frame, key: str) -> str:
    """The end of an error for a missing EXPTIME: the keyword that the header has instead."""
    times = (name for name in _TIMES if math.isfinite(read_number(frame.header, name)))
    found = next(times, None) if key == "EXPTIME" and key not in frame.header else None
    return f", which has {found}" if found else ""


def from_file(role: str, path: str, frames: Sequence[Frame]) -> Numbers:
    """Read the numbers in a text file, one per line, in the order of the frames.

    Raises
    ------
    InputError
        Where the file cannot be read.
    RecipeError
        Where a line is not a finite number, or there are more or fewer numbers than frames; names
        the file and the line.
    """
    lines = read_lines(path, f"{role}: expected a file with numbers")
    numbers = [_from_line(role, item, where) for item, _, where in lines if item]
    check(
        len(numbers) == len(frames),
        f"{role}: expected {len(frames)} numbers, one per frame, got {len(numbers)} in {path}",
    )
    return tuple(numbers)


def _from_line(role: str, item: str, where: str) -> float:
    try:
        number = float(item)
    except ValueError:
        number = math.nan
    check(
        math.isfinite(number),
        f"{role}: expected one finite number per line, got {item!r} in {where}",
    )
    return number


def from_function(
    role: str,
    function: Callable[[Any], Any],
    frames: Sequence[Frame],
    ranges: Sequence[RangeClip],
) -> Measured:
    """The number that a function of the user returns for each frame.

    The function gets a frame as a masked array, of which numpy's median and percentiles leave out
    masked samples too. Samples that one of `ranges` rejects are also masked. The function is not
    called for a frame all of whose samples are masked; the number of such a frame is None.

    Raises
    ------
    RecipeError
        Where the function does not return a finite number; names the frame.
    """
    return [_from_function(role, function, frame, ranges) for frame in frames]


def _from_function(
    role: str, function: Callable[[Any], Any], frame: Frame, ranges: Sequence[RangeClip]
) -> float | None:
    image = _within(frame.whole(), ranges)
    if np.ma.getmaskarray(image).all():
        return None
    image = as_function_sees(image)
    answer = function(image)
    check(
        bool(np.isfinite(real(answer))),
        f"{role}: expected a finite number, got {unwrap_scalar(answer)!r} for {frame.name}"
        f"{why_nan(answer, image)}",
    )
    return real(answer)


def _within(image: np.ma.MaskedArray[Any, Any], ranges: Sequence[RangeClip]) -> Any:
    """The image with samples that one of `ranges` rejects masked too."""
    if not ranges:
        return image
    invalid = np.ma.getmaskarray(image).copy()
    mark_out_of_range(image.data, invalid, ranges)
    return np.ma.MaskedArray(image.data, invalid)
