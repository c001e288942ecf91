"""Carry out an `Offsets` alignment: move frames by whole pixels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpustack.align.base import NO_OVERLAP, SKIP_ADVICE, AbsentFrame, Aligned, Grid
from gpustack.align.extent import Box, extent_of, grid_around
from gpustack.align.placed import PlacedFrame, overlaps
from gpustack.align.sky import places_on_sky
from gpustack.alignments import Offsets
from gpustack.cards.numbers import read_number, words_of
from gpustack.errors import FrameError, InputError
from gpustack.files.number_files import read_lines
from gpustack.frames import Frame
from gpustack.logs import logger

_log = logger(__name__)

#: Offsets have to be below this, in pixels: floats represent all whole numbers only up to here.
OFFSET_LIMIT = 2**53


@dataclass(frozen=True, slots=True)
class FoundOffsets:
    """The offsets of frames, before they are rounded.

    Parameters
    ----------
    places : list of (y, x) or str
        What is added to the pixels of each frame, or the reason why there is no offset.
    absolute : bool
        Whether the union begins at offset 0 or before it.
    """

    places: list[tuple[float, float] | str] = field(default_factory=list)
    absolute: bool = False


def place_frames(frames: Sequence[Frame], how: Offsets, *, max_bytes: float | None) -> Aligned:
    """Move frames by whole pixels onto the grid that `how` asks for.

    Raises
    ------
    FrameError
        Where a frame has no offset and is not to be skipped, or an offset is not below
        `OFFSET_LIMIT`.
    InputError
        Where there are more or fewer offsets than frames, a file of offsets cannot be read, an
        intersection is asked for and no pixel is in all frames, or the result would be too large.
    """
    found = _find(frames, how)
    reasons = [place if isinstance(place, str) else "" for place in found.places]
    for frame, place, reason in zip(frames, found.places, reasons, strict=True):
        if reason and not how.skip:
            raise FrameError(
                frame.name,
                f"align {how.name}: expected {_expected(how)}, got {reason}; {SKIP_ADVICE}",
            )
        if not reason and not max(map(abs, place)) < OFFSET_LIMIT:  # type: ignore[arg-type]
            raise FrameError(
                frame.name,
                f"align {how.name}: expected an offset below 2**53 pixels, got {place} (y, x)",
            )
    rounded = {
        i: _round(place) for i, place in enumerate(found.places) if not isinstance(place, str)
    }
    if not rounded:
        grid = Grid(tuple(frames[0].shape))
        absent: list[Frame] = [AbsentFrame(frame, grid) for frame in frames]
        return Aligned(absent, columns={"left_out": reasons})
    _log_rounding(frames, found, rounded)
    return _placed(frames, how, rounded, reasons, found.absolute, max_bytes)


def _placed(
    frames: Sequence[Frame],
    how: Offsets,
    rounded: dict[int, tuple[int, int]],
    reasons: list[str],
    absolute: bool,
    max_bytes: float | None,
) -> Aligned:
    """The frames on the grid, with their offsets and the reasons why some are left out."""
    (number, zero), *_ = rounded.items()
    reference = frames[number]
    offsets = {i: (y - zero[0], x - zero[1]) for i, (y, x) in rounded.items()}
    box, boxes = extent_of(frames, offsets, how, (-zero[0], -zero[1]) if absolute else None)
    grid = grid_around(how, reference.coordinates.wcs, boxes, box, max_bytes=max_bytes)
    placed: list[Frame] = []
    for i, frame in enumerate(frames):
        offset = (offsets[i][0] - box.y0, offsets[i][1] - box.x0) if i in offsets else None
        if offset is not None and not overlaps(offset, frame.shape, grid.shape):
            offset, reasons[i] = None, NO_OVERLAP
        if offset is None:
            placed.append(AbsentFrame(frame, grid))
        else:
            placed.append(PlacedFrame(frame, grid, offset))
    columns = _columns(len(frames), offsets) | ({"left_out": reasons} if any(reasons) else {})
    return Aligned(placed, [_origin(how, reference, box)], columns)


def _columns(n: int, offsets: dict[int, tuple[int, int]]) -> dict[str, Any]:
    """Offsets relative to the reference, masked for frames without one, as columns."""
    out = [i not in offsets for i in range(n)]
    columns: dict[str, Any] = {}
    for axis, name in enumerate(("dy", "dx")):
        values = np.array([offsets.get(i, (0, 0))[axis] for i in range(n)])
        columns[name] = np.ma.MaskedArray(values, out) if any(out) else values
    return columns


def _origin(how: Offsets, reference: Frame, box: Box) -> str:
    source = how.source if isinstance(how.source, str) else "given"
    return f"align: moved by whole pixels, offsets {source}, onto {reference.name} {box}"


def _log_rounding(
    frames: Sequence[Frame], found: FoundOffsets, rounded: dict[int, tuple[int, int]]
) -> None:
    """Log how far the offsets are from whole numbers, at most."""
    rest = {
        i: max(abs(a - b) for a, b in zip(found.places[i], whole, strict=True))  # type: ignore[operator]
        for i, whole in rounded.items()
    }
    worst = max(rest, key=lambda i: rest[i])
    _log.debug("offsets: up to %.2f pixels from whole, in %s", rest[worst], frames[worst].name)


def _round(place: Any) -> tuple[int, int]:
    """An offset rounded to whole pixels, halves away from 0, as IRAF does.

    Rounding to 6 decimals first makes a half of what differs from one by a rounding error.
    """
    y, x = (_away_from_0(abs(round(float(v), 6))) * (1 if v > 0 else -1) for v in place)
    return y, x


def _away_from_0(value: float) -> int:
    """A number >= 0 rounded to a whole one, halves up.

    Adding 0.5 would not be exact where floats are hardly finer than whole numbers.
    """
    below = math.floor(value)
    return below + (value - below >= 0.5)


def _expected(how: Offsets) -> str:
    if how.source == "wcs":
        return "celestial world coordinates (--align register needs none)"
    return f"a finite number in each of {how.source[1:].replace('/', ' and ')}"


def _find(frames: Sequence[Frame], how: Offsets) -> FoundOffsets:
    if how.source == "wcs":
        return FoundOffsets(places_on_sky(frames))
    if not isinstance(how.source, str):
        return _checked(_from_first(list(how.source)), frames, "source")
    if how.source.startswith("@"):
        return _checked(read_offsets(how.source[1:]), frames, how.source[1:])
    keys = [key.strip().upper() for key in how.source[1:].split("/")]
    return _from_first([_from_header(frame, *keys) for frame in frames])


def _from_first(places: list[tuple[float, float] | str]) -> FoundOffsets:
    """Offsets relative to the first frame that has one: rounding errs by half a pixel at most.

    Offsets in a file are rounded as they stand, as IRAF does.
    """
    y0, x0 = next((place for place in places if not isinstance(place, str)), (0.0, 0.0))
    return FoundOffsets(
        [one if isinstance(one, str) else (one[0] - y0, one[1] - x0) for one in places]
    )


def _checked(found: FoundOffsets, frames: Sequence[Frame], where: str) -> FoundOffsets:
    if len(found.places) != len(frames):
        raise InputError(
            f"align offsets: expected {len(frames)} offsets, one per frame, got "
            f"{len(found.places)} in {where}"
        )
    return found


def _from_header(frame: Frame, x: str, y: str) -> tuple[float, float] | str:
    """The offset (y, x) in two keywords, or the reason why there is none."""
    numbers = []
    for key in (y, x):
        number = read_number(frame.header, key)
        if math.isnan(number):
            return f"{words_of(frame.header, key)} in {key}"
        numbers.append(number)
    return numbers[0], numbers[1]


def read_offsets(path: str) -> FoundOffsets:
    """Read the offsets in a text file as IRAF does.

    Each line contains x and y of a frame; further columns are ignored. Empty lines are ignored, and
    so is text after a ``#``. The exception is a comment alone on its line whose first word is
    ``absolute`` or ``relative``; the last such comment holds. Absolute offsets are places in the
    union; of relative ones, the default, only the differences count.

    Raises
    ------
    InputError
        Where the file cannot be read, or a line does not begin with two finite numbers.

    References
    ----------
    IRAF imcombine ``offsets``.
    """
    places: list[tuple[float, float] | str] = []
    absolute = False
    for item, comment, where in read_lines(path, "align offsets: expected a file with offsets"):
        words = comment.lower().split()
        if not item and words and words[0] in ("absolute", "relative"):
            absolute = words[0] == "absolute"
        elif item:
            places.append(_from_line(item, where))
    return FoundOffsets(places, absolute)


def _from_line(item: str, where: str) -> tuple[float, float]:
    try:
        x, y = (float(word) for word in item.split()[:2])
        if math.isfinite(x) and math.isfinite(y):
            return y, x
    except ValueError:
        pass
    raise InputError(
        f"align offsets: expected two finite numbers per line, x y, got {item!r} in {where}"
    )
