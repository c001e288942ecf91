"""Where frames lie on each other by their celestial coordinates, to fractions of a pixel."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.wcs.utils import pixel_to_pixel
from numpy.typing import NDArray

from gpustack.align.footprint import transform_between
from gpustack.errors import GpustackWarning, InputError
from gpustack.frames import Frame
from gpustack.frames.hdus import quiet
from gpustack.header import fits_wcs

#: Frames that lie further apart than this, in pixels, do not match pixel by pixel: one pixel, and
#: the rounding error of one.
APART_LIMIT = 1.001

#: Corners that lie further from their places than this, in pixels, cause a warning.
CORNER_LIMIT = 0.5

Place = tuple[float, float]


def places_on_sky(frames: Sequence[Frame]) -> list[Place | str]:
    """Where the first pixel of each frame lies, (y, x), on the first frame that has coordinates.

    It is the place of the frame's centre on that frame, less the place of the centre in the frame
    itself: where frames differ by more than a shift, the centre is then right. For a frame that has
    no place, the reason is in the list instead.

    Warns
    -----
    GpustackWarning
        Where corners are off by more than `CORNER_LIMIT`, as a shift alone does not align the
        frames; or where coordinates have no scale.
    """
    warn_no_scale(frames, stacklevel=7)
    lacking = [why_unusable(frame.coordinates.wcs) for frame in frames]
    places: list[Place | str] = list(lacking)
    if "" not in lacking:
        return places
    reference = frames[lacking.index("")]
    apart = [0.0] * len(frames)
    for i, frame in enumerate(frames):
        if frame is reference:
            places[i] = (0.0, 0.0)
        elif not lacking[i]:
            places[i], apart[i] = _place_and_corners(frame, reference)
    _warn_apart(frames, reference, apart, "--align wcs (align=Reproject()) resamples", stacklevel=7)
    return places


def warn_turned(
    frames: Sequence[Frame], reference: int, seen: Sequence[float], advice: str, stacklevel: int
) -> None:
    """Warn about frames that a shift alone does not align, by their coordinates or images.

    `seen` contains the distance of the corners of each frame from their places, in pixels, as
    measured on the images; NaN where it is unknown.
    """
    known = [
        not why_unusable(frame.coordinates.wcs) and not _has_no_scale(frame) for frame in frames
    ]
    apart = [
        _place_and_corners(frame, frames[reference])[1] if tells and known[reference] else 0.0
        for frame, tells in zip(frames, known, strict=True)
    ]
    # `max` keeps its first argument where either is NaN. So NaN by coordinates, which is a corner
    # without a place, counts, and NaN by images does not.
    apart = list(map(max, apart, seen))
    _warn_apart(frames, frames[reference], apart, advice, stacklevel + 1)


def first_apart(frames: Sequence[Frame]) -> tuple[Frame, Frame, float] | None:
    """The first frame more than `APART_LIMIT` from the reference, the reference, and how far.

    The reference is the first frame with usable coordinates. The distance is the largest of those
    of the centre and the corners, as a frame may be rotated. It is infinite where the reference has
    no pixel for one of them. Frames whose coordinates are missing, have no scale or cannot be
    compared are skipped.
    """
    known = (f for f in frames if not why_unusable(f.coordinates.wcs) and not _has_no_scale(f))
    reference = next(known, None)
    if reference is None:
        return None
    for frame in known:
        far = _farthest(frame, reference)
        if far > APART_LIMIT:
            return frame, reference, far
    return None


def warn_no_scale(frames: Sequence[Frame], stacklevel: int) -> None:
    """Warn about coordinates in which a pixel is one degree, as FITS has it without CD and CDELT.

    A frame that was not plate-solved, whose header only says where the telescope was pointed, has
    such coordinates.
    """
    names = [frame.name for frame in frames if _has_no_scale(frame)]
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        warnings.warn(
            f"{names[0]}{more}: world coordinates have no scale (no CD or CDELT, or one degree per "
            "pixel); was the image plate-solved?",
            GpustackWarning,
            stacklevel=stacklevel,
        )


def _has_no_scale(frame: Frame) -> bool:
    wcs = fits_wcs(frame.coordinates.wcs)
    celestial = wcs is not None and bool(wcs.is_celestial)
    return celestial and np.array_equal(wcs.pixel_scale_matrix, np.eye(2))


def why_unusable(wcs: Any) -> str:
    """Why coordinates are not two celestial ones that can be inverted; empty where they are."""
    if wcs is None:
        return "no world coordinates"
    plain = fits_wcs(wcs)
    if plain is not None:
        axes, celestial = ", ".join(map(str, plain.wcs.ctype)), bool(plain.is_celestial)
    else:
        low = getattr(wcs, "low_level_wcs", wcs)
        types = [str(kind) for kind in low.world_axis_physical_types]
        axes, celestial = ", ".join(types), [kind[:4] for kind in types] == ["pos."] * 2
        celestial = celestial and low.pixel_n_dim == 2
    if not celestial:
        return f"world coordinates that are not celestial, with axes {axes}"
    if plain is not None and np.linalg.det(plain.pixel_scale_matrix) == 0:
        return "world coordinates that cannot be inverted, with a singular CD matrix"
    return ""


def _farthest(frame: Frame, reference: Frame) -> float:
    """How far a frame lies from the pixels of the reference, at most; 0 where that is unknown."""
    try:
        back = np.hypot(*_shifts(frame, frame))
        far = np.hypot(*_shifts(frame, reference))
    except InputError:
        return 0.0
    # A corner that is off the sky, or where a distortion diverges, does not transform back.
    far = far[back < APART_LIMIT / 10]
    return float(np.nan_to_num(far, nan=np.inf).max(initial=0.0))


def _shifts(frame: Frame, reference: Frame) -> NDArray[Any]:
    """Shifts (y, x) of the centre and the corners of a frame, to their places on the reference.

    NaN where the reference has no pixel for one.

    Raises
    ------
    InputError
        Where the coordinates of one cannot be turned into those of the other.
    """
    height, width = frame.shape
    y = np.array([(height - 1) / 2, -0.5, -0.5, height - 0.5, height - 0.5])
    x = np.array([(width - 1) / 2, -0.5, width - 0.5, -0.5, width - 0.5])
    try:
        with quiet(), np.errstate(all="ignore"):
            there = _transformed(frame.coordinates.wcs, reference.coordinates.wcs, x, y)
    except Exception as err:  # wcslib and coordinate frames raise many kinds
        raise InputError(
            f"world coordinates that cannot be turned into those of {reference.name}: {err}"
        ) from err
    shifts: NDArray[Any] = there[::-1] - (y, x)
    return shifts


def _place_and_corners(frame: Frame, reference: Frame) -> tuple[Place | str, float]:
    """The place of a frame, or why it has none; and how far its corners are from their places."""
    try:
        shifts = _shifts(frame, reference)
    except InputError as err:
        return str(err), 0
    if not np.isfinite(shifts[:, 0]).all():
        return f"a place on the sky that {reference.name} has no pixels for", 0
    apart = np.hypot(*(shifts[:, 1:] - shifts[:, :1])).max()  # NaN where a corner has no place
    return (float(shifts[0, 0]), float(shifts[1, 0])), float(apart)


def _transformed(wcs: Any, other: Any, x: Any, y: Any) -> NDArray[Any]:
    """Transform pixels of one WCS to those of another; NaN where they do not transform back."""
    plain, others = fits_wcs(wcs), fits_wcs(other)
    if plain is None or others is None:
        return np.array(pixel_to_pixel(wcs, other, x, y))
    return np.array(transform_between(plain, others)(x, y))


def _warn_apart(
    frames: Sequence[Frame], reference: Frame, apart: list[float], advice: str, stacklevel: int
) -> None:
    wrong = [i for i, distance in enumerate(apart) if not distance <= CORNER_LIMIT]
    if not wrong:
        return
    worst = max(wrong, key=lambda i: np.nan_to_num(apart[i], nan=np.inf))
    more = len(wrong) - 1
    others = f", those of {more} other{'s' * (more > 1)} less" if more else ""
    far = np.nan_to_num(apart[worst], nan=np.inf)  # a corner has no place at all
    warnings.warn(
        f"{frames[worst].name}: rotated, scaled or distorted relative to {reference.name}: its "
        f"corners lie up to {far:.3g} pixels from where a shift puts them{others}; {advice}",
        GpustackWarning,
        stacklevel=stacklevel,
    )
