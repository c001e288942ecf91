"""Carry out a `Register` alignment: align frames by what is seen on them."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from gpustack.align.base import AbsentFrame, Aligned, Grid
from gpustack.align.brightness import warn_frames_scaled
from gpustack.align.extent import boxes_of, grid_around
from gpustack.align.footprint import window
from gpustack.align.known_places import recall
from gpustack.align.phase import Shift
from gpustack.align.pixel_map import PixelMap
from gpustack.align.placed import PlacedFrame
from gpustack.align.projected import ProjectedFrame
from gpustack.align.resample import Resampling
from gpustack.align.similarity import Similarity
from gpustack.align.sky import warn_turned
from gpustack.align.stars import Stars
from gpustack.alignments import Register
from gpustack.errors import FrameError, InputError, MissingPackageError
from gpustack.frames import Frame
from gpustack.logs import logger

_log = logger(__name__)

#: Way to measure -> the packages that it needs, by their names of import.
_NEEDS = {"phase": ("skimage", "sep"), "stars": ("astroalign", "sep")}

_ADVICE = "--align register:by=stars (align=Register('stars')) and --align wcs rotate and scale"


def register_frames(
    frames: Sequence[Frame],
    how: Register,
    known: Sequence[Similarity | None] | None = None,
    *,
    max_bytes: float | None,
) -> Aligned:
    """Align frames to the pixels of the reference.

    Each frame is read once, while the reference is held in memory. If it is `known` where frames
    lie, nothing is read, and the result has no columns.

    Raises
    ------
    FrameError
        Where a frame cannot be aligned and may not be left out, or the reference is unusable.
    InputError
        Where there is no such reference, or the result would be too large.
    MissingPackageError
        Where a package that measures is not installed.
    """
    if how.reference >= len(frames):
        raise InputError(
            f"align {how}: expected a reference below {len(frames)}, the number of frames, "
            f"got {how.reference}"
        )
    origin = f"align: {how}, to {frames[how.reference].name}"
    if known is not None:
        grid = _grid(frames, known, how, max_bytes)
        return Aligned(_placed(frames, known, how, *grid), [origin], found=list(known))
    _check_installed(how)
    found, rows, faults = _measured(frames, how)
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    if how.by == "phase":
        warn_turned(frames, how.reference, columns["corners"], _ADVICE, stacklevel=5)
    if any(faults):
        columns["left_out"] = faults
    grid = _grid(frames, found, how, max_bytes)
    placed = _placed(frames, found, how, *grid)
    warn_frames_scaled(placed, how.flux, stacklevel=4)
    return Aligned(placed, [origin], columns, found)


def _measured(
    frames: Sequence[Frame], how: Register
) -> tuple[list[Similarity | None], list[dict[str, Any]], list[str]]:
    """Where each frame lies, its row of the columns, and why it cannot be aligned, or ``""``."""
    reference = frames[how.reference]
    # Measuring the reference is not needed where all frames are remembered.
    measurer = cache(partial(_measurer, reference, how))
    found: list[Similarity | None] = []
    rows: list[dict[str, Any]] = []
    faults: list[str] = []
    for f, frame in enumerate(frames):
        measure = partial(_measure, measurer, frame, how, itself=f == how.reference)
        fit, trust, fault = recall(how, reference, frame, measure)
        found.append(fit)
        rows.append(_place_columns(how, fit) | trust)
        faults.append(fault)
        _log.debug("%s: %s", frame.name, fault or _in_words(rows[f]))
    return found, rows, faults


def _measure(
    measurer: Callable[[], Shift | Stars], frame: Frame, how: Register, *, itself: bool
) -> tuple[Similarity | None, dict[str, Any], str]:
    """Where a frame lies, how certain that is, and why it cannot be aligned, or ``""``."""
    if itself:
        return Similarity(), measurer().reference_columns, ""
    found = measurer()
    image = frame.whole()  # a file that cannot be read is an error in any case
    try:
        return *found.measure(frame.name, image), ""
    except FrameError as err:
        if not how.skip:
            raise
        return None, found.missing_columns, err.problem


def _measurer(reference: Frame, how: Register) -> Shift | Stars:
    """The object that measures where frames lie on the reference."""
    image = reference.whole()
    try:
        if how.by == "stars":
            return Stars(reference.name, image)
        return Shift(reference.name, image, how.upsample)
    except FrameError as err:
        why = f"{err.problem}; it is the reference: choose another with reference=N"
        raise FrameError(err.name, why) from err


def _check_installed(how: Register) -> None:
    missing = [name for name in _NEEDS[how.by] if find_spec(name) is None]
    if missing:
        raise MissingPackageError(
            f"align {how}: expected the packages that measure, got no {', '.join(missing)}: pip "
            "install astroalign scikit-image sep (the extra gpustack[register])"
        )


def _place_columns(how: Register, fit: Similarity | None) -> dict[str, float]:
    """The columns that say where a frame lies; NaN where that is unknown."""
    lost = np.nan if fit is None else 0.0
    fit = Similarity() if fit is None else fit
    columns = {"dy": fit.shift.imag + lost, "dx": fit.shift.real + lost}
    if how.by == "stars":
        columns |= {"rotation": fit.rotation + lost, "magnification": fit.scale + lost}
    return columns


def _in_words(row: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:.6g}" for name, value in row.items())


def _placed(
    frames: Sequence[Frame],
    found: Sequence[Similarity | None],
    how: Register,
    grid: Grid,
    left: int,
    bottom: int,
) -> list[Frame]:
    """Frames on the grid: resampled, unless they are moved by whole pixels or not at all."""
    resampling = Resampling("interp", how.order, how.flux)
    placed: list[Frame] = []
    for f, (frame, fit) in enumerate(zip(frames, found, strict=True)):
        if fit is None:
            placed.append(AbsentFrame(frame, grid))
        elif f == how.reference and grid.shape == frame.shape:
            placed.append(frame)
        else:
            placed.append(_place(frame, fit.seen_from(left, bottom), grid, resampling))
    return placed


def _place(frame: Frame, fit: Similarity, grid: Grid, how: Resampling) -> Frame:
    if fit.whole is not None:
        return PlacedFrame(frame, grid, fit.whole)
    touched = window(fit.to_reference, frame.shape, grid.shape)
    if touched is None:
        raise FrameError(
            frame.name,
            "align: expected a frame that overlaps the reference, got it at a shift of "
            f"({fit.shift.real:.4g}, {fit.shift.imag:.4g}) pixels (x, y)",
        )
    # A `PixelMap` interpolates an affine map without an error.
    pixel_map = PixelMap.of(fit.to_frame, *touched)
    return ProjectedFrame(frame, grid, how, pixel_map, touched, fit.scale**-2)


def _grid(
    frames: Sequence[Frame],
    found: Sequence[Similarity | None],
    how: Register,
    max_bytes: float | None,
) -> tuple[Grid, int, int]:
    """The grid of the reference or around all frames; x, y of its first pixel on the reference."""
    reference = frames[how.reference]
    if how.extent == "reference":
        return Grid(reference.shape, reference.coordinates.wcs), 0, 0
    used = {f: fit.to_reference for f, fit in enumerate(found) if fit is not None}
    boxes = boxes_of([frames[f] for f in used], list(used.values()))
    grid = grid_around(how, reference.coordinates.wcs, boxes, max_bytes=max_bytes)
    return grid, min(box.x0 for _, box in boxes), min(box.y0 for _, box in boxes)
