"""Choose the grid that frames are resampled onto."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import wcs_to_celestial_frame

from gpustack.align.base import Grid
from gpustack.align.extent import boxes_of, check_size, grid_around
from gpustack.align.footprint import transform_between
from gpustack.align.pixel_map import STEP
from gpustack.alignments import Reproject
from gpustack.cards.wcs_keywords import OF_TABLES
from gpustack.errors import FrameError, InputError
from gpustack.files import split_hdu
from gpustack.files.paths import at_home
from gpustack.frames import Frame
from gpustack.frames.coordinates import Coordinates
from gpustack.frames.fitsframe import coordinates_in_file
from gpustack.header import fits_wcs, lookup_tables


def choose_grid(frames: Sequence[Frame], how: Reproject, max_bytes: float | None) -> Grid:
    """The grid that an alignment asks for.

    Parameters
    ----------
    frames : sequence of Frame
        The frames that can be aligned.
    how : Reproject
    max_bytes : float or None
        As in `gpustack.align.extent.check_size`.

    Raises
    ------
    InputError
        Where the target has no celestial WCS or no shape, or the result would be too large.
    """
    wcs, shape = _target(frames, how)
    shape = how.shape or shape
    if how.extent == "union" or (how.target_is("optimal") and how.shape is None):
        wcs = as_grid(wcs)
        boxes = boxes_of(
            frames, [transform_between(fits_wcs(frame.coordinates.wcs), wcs) for frame in frames]
        )
        return grid_around(how, wcs, boxes, max_bytes=max_bytes)
    if shape is None:
        raise InputError(
            "align target: expected a shape: Reproject(shape=(y, x)), NAXIS1 and NAXIS2 in a "
            "header, or the array_shape of a WCS, got none"
        )
    check_size(how, shape, max_bytes=max_bytes)
    return Grid((int(shape[0]), int(shape[1])), as_grid(wcs))


def _target(frames: Sequence[Frame], how: Reproject) -> tuple[WCS, Sequence[int] | None]:
    """The WCS and the shape of the target; None for a shape that is not given."""
    if how.target_is("first"):
        return fits_wcs(frames[0].coordinates.wcs), frames[0].shape
    if how.target_is("optimal"):
        return _optimal(frames, how)
    if how.file is not None:
        return _of_file(how.file)
    if isinstance(how.target, fits.Header):
        return _of_header("align target", how.target)
    wcs = fits_wcs(how.target)
    if wcs is None:
        raise InputError(
            "align target: expected 'first', 'optimal', a file, a header or an astropy.wcs.WCS, "
            f"got {how.target!r}"
        )
    check_celestial("align target", wcs)
    return wcs, wcs.array_shape


def _optimal(frames: Sequence[Frame], how: Reproject) -> tuple[WCS, Sequence[int]]:
    """A grid with north up, and with the smallest of the frames' pixels or `scale` arcseconds.

    It is just around all frames, or about their centre if a shape is asked for.
    """
    from reproject.mosaicking import find_optimal_celestial_wcs

    resolution = None if how.scale is None else how.scale * units.arcsec
    images = [(frame.shape, fits_wcs(frame.coordinates.wcs)) for frame in frames]
    try:
        wcs, shape = find_optimal_celestial_wcs(
            images, resolution=resolution, negative_lon_cdelt=True
        )
    except ValueError as err:  # raised where a corner has no place, which is NaN
        raise InputError(
            "align target 'optimal': expected frames that fit one tangent plane, got some that do "
            f"not fit one together with {frames[0].name}; give a target in another projection"
        ) from err
    for axis, (asked, found) in enumerate(zip(how.shape or shape, shape, strict=True)):
        wcs.wcs.crpix[1 - axis] += (asked - found) // 2
    return wcs, how.shape or shape


def _of_file(name: str) -> tuple[WCS, Sequence[int] | None]:
    """WCS and shape of the first celestial image in a FITS file, or of that in ``FILE[HDU]``."""
    places, contents = coordinates_in_file(*split_hdu(at_home(name)))
    faults = []
    for made, shape in places:
        try:
            check_celestial(name, fits_wcs(made.wcs), made.fault)
        except InputError as err:
            faults.append(str(err))
        else:
            return made.wcs, shape
    raise FrameError(
        name,
        "align target: expected an image of two axes with celestial coordinates, got "
        f"{faults[0] if faults else contents}",
    )


def _of_header(name: str, header: fits.Header) -> tuple[WCS, Sequence[int] | None]:
    # Lookup tables lie in other HDUs, and a grid has none; see `as_grid`.
    plain = [card for card in header.cards if not OF_TABLES.fullmatch(card.keyword)]
    made = Coordinates(name=name, header=fits.Header(plain))
    check_celestial(name, fits_wcs(made.wcs), made.fault)
    return made.wcs, made.wcs.array_shape


def check_celestial(name: str, wcs: Any, fault: str = "none") -> None:
    """Raise unless a WCS is celestial and can be computed with.

    `fault` is the reason why it is missing, for the error.

    Raises
    ------
    InputError
        Its message begins with `name`.
    """
    if wcs is None:
        raise InputError(f"{name}: expected a celestial WCS, got {fault}")
    if not isinstance(wcs, WCS):
        raise InputError(f"{name}: expected an astropy.wcs.WCS, got {type(wcs).__name__}")
    if not wcs.is_celestial:
        types = [str(kind) for kind in wcs.wcs.ctype]
        axes = f"with axes {', '.join(types)}" if any(types) else "without a CTYPE"
        raise InputError(f"{name}: expected a celestial WCS, got one that is not celestial, {axes}")
    try:
        SkyCoord(0.0, 0.0, unit="deg", frame=wcs_to_celestial_frame(wcs))
    except (ValueError, TypeError) as err:  # places on planets fail as SkyCoord, or have no radius
        raise InputError(
            f"{name}: expected equatorial, galactic or ecliptic coordinates, got axes "
            f"{', '.join(map(str, wcs.wcs.ctype))}: {err}"
        ) from err
    if np.linalg.det(wcs.pixel_scale_matrix) == 0:
        raise InputError(
            f"{name}: expected a WCS that can be inverted, got one whose CD matrix is singular: "
            f"{wcs.pixel_scale_matrix.tolist()}"
        )


def has_fine_tables(wcs: WCS) -> bool:
    """Whether a lookup table is too fine to be interpolated between the nodes of a `PixelMap`.

    Tables with a number for each column or amplifier are.
    """
    return any(min(table.cdelt) < 2 * STEP for table in lookup_tables(wcs).values())


def as_grid(wcs: WCS) -> WCS:
    """A WCS without lookup tables, which end at the edges of the image that they belong to.

    The grid has the coordinates that the cards alone define; frames are resampled to these.
    """
    tables = lookup_tables(wcs)
    if not tables:
        return wcs
    plain = wcs.deepcopy()
    for name in tables:
        setattr(plain, name, None)
    return plain
