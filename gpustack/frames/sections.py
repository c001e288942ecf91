"""Parts of a frame, decoded; only the rows that contain them are read."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.frames.base import Frame, decode
from gpustack.frames.resident import ResidentFrame

#: Samples that are read at once, in addition to those that are kept: enough to make the cost of
#: opening a file small.
AT_ONCE = 1 << 18


def read_rows(
    frame: Frame, start: int, stop: int, across: slice = slice(None)
) -> tuple[NDArray[np.floating[Any]], NDArray[np.bool_]]:
    """Return rows ``[start, stop)`` of a flattened frame, decoded, and where they are invalid.

    Of each row, only the samples `across` are decoded and returned.

    Raises
    ------
    FrameError
        Where the frame is on a device, or can no longer be read.
    """
    if isinstance(frame, ResidentFrame):
        frame.whole()  # raises an error that says that it stays on its device
    samples = frame.read(start, stop)
    mask = None if samples.mask is None else samples.mask[:, across]
    return decode(replace(samples, data=samples.data[:, across], mask=mask), frame.dtype)


def read_section(
    frame: Frame, section: Sequence[slice]
) -> tuple[NDArray[np.floating[Any]], NDArray[np.bool_]]:
    """Return the samples of a part of a frame, and where they are invalid.

    Parameters
    ----------
    frame : Frame
    section : sequence of slice
        One slice per axis, in numpy order, with ends inside the frame and no step.

    Returns
    -------
    values : ndarray of the dtype of the frame, shape (rows, width)
        A fresh array; all axes but the last are flattened to one.
    invalid : ndarray of bool, of the same shape
        True where a sample is masked, blank or not finite.

    Raises
    ------
    FrameError
        Where the frame is on a device, or can no longer be read.
    """
    shape = _shape(section)
    values, invalid = np.empty(shape, frame.dtype), np.empty(shape, bool)
    for start, stop, rows in _runs(frame.shape, section):
        values[rows], invalid[rows] = read_rows(frame, start, stop, section[-1])
    return values, invalid


def read_sections(
    frame: Frame, sections: Sequence[Sequence[slice]]
) -> list[tuple[NDArray[np.floating[Any]], NDArray[np.bool_]]]:
    """Return the samples of several parts of an image, each in the form of `read_section`.

    A row that several parts share is read once.

    Parameters
    ----------
    frame : Frame
        A frame of two axes.
    sections : sequence of (slice, slice)
        The y and x ranges, with ends inside the frame and no step.
    """
    found = [
        (np.empty(_shape(part), frame.dtype), np.empty(_shape(part), bool)) for part in sections
    ]
    for start, stop in _together(frame.shape, sections):
        samples = frame.read(start, stop)
        for (values, invalid), part in zip(found, sections, strict=True):
            there, rows = _shared(start, stop, part[0])
            mask = None if samples.mask is None else samples.mask[there, part[1]]
            cut = replace(samples, data=samples.data[there, part[1]], mask=mask)
            values[rows], invalid[rows] = decode(cut, frame.dtype)
    return found


def read_parts(
    read: Callable[[int, int], NDArray[Any]],
    shape: Sequence[int],
    sections: Sequence[Sequence[slice]],
    dtype: np.dtype[Any],
) -> list[NDArray[Any]]:
    """Return several parts of what `read` returns by rows, such as the variance of a frame.

    Parameters
    ----------
    read : callable
        Takes ``start, stop`` and returns these rows. A row that several parts share is read once.
    shape : sequence of int
        The shape of the frame, which has two axes.
    sections : sequence of (slice, slice)
        As for `read_sections`.
    dtype : dtype
        The dtype of the results.
    """
    found = [np.empty(_shape(part), dtype) for part in sections]
    for start, stop in _together(shape, sections):
        got = read(start, stop)
        for values, part in zip(found, sections, strict=True):
            there, rows = _shared(start, stop, part[0])
            values[rows] = got[there, part[1]]
    return found


def _together(
    shape: Sequence[int], sections: Sequence[Sequence[slice]]
) -> Iterator[tuple[int, int]]:
    """Yield ranges ``[start, stop)`` of the rows that sections cover, each row once, in order."""
    step, done = max(1, AT_ONCE // shape[-1]), 0
    for part in sorted(sections, key=lambda part: part[0].start):
        first, last = max(part[0].start, done), part[0].stop
        for start in range(first, last, step):
            yield start, min(start + step, last)
        done = max(done, last)


def _shared(start: int, stop: int, rows: slice) -> tuple[slice, slice]:
    """Return the overlap of ``[start, stop)`` and `rows`, counted from the start of each."""
    first = min(max(start, rows.start), rows.stop)
    last = max(min(stop, rows.stop), first)
    return slice(first - start, last - start), slice(first - rows.start, last - rows.start)


def _shape(section: Sequence[slice]) -> tuple[int, int]:
    """Return the shape of a section: its rows, all axes but the last, and its width."""
    heights = [item.stop - item.start for item in section[:-1]]
    return math.prod(heights), section[-1].stop - section[-1].start


def _runs(shape: Sequence[int], section: Sequence[slice]) -> Iterator[tuple[int, int, slice]]:
    """Yield ranges ``[start, stop)`` of the rows of a flattened frame that a section covers.

    They come in order, each with a slice that says which rows of the section these are.
    """
    step, done = max(1, AT_ONCE // shape[-1]), 0
    if len(shape) == 1:
        yield 0, 1, slice(0, 1)
        return
    *outer, along = section[:-1]
    for index in product(*(range(item.start, item.stop) for item in outer)):
        first = int(np.ravel_multi_index((*index, 0), tuple(shape[:-1])))
        for start in range(first + along.start, first + along.stop, step):
            stop = min(start + step, first + along.stop)
            yield start, stop, slice(done, done + stop - start)
            done += stop - start
