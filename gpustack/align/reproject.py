"""Carry out a `Reproject` alignment: resample frames onto a grid on the sky."""

from collections.abc import Sequence

from astropy.wcs.utils import proj_plane_pixel_area

from gpustack.align.base import NO_OVERLAP, SKIP_ADVICE, AbsentFrame, Aligned, Grid
from gpustack.align.brightness import warn_frames_scaled
from gpustack.align.footprint import transform_between, window
from gpustack.align.pixel_map import PixelMap
from gpustack.align.placed import PlacedFrame, overlaps
from gpustack.align.projected import ProjectedFrame
from gpustack.align.resample import Resampling
from gpustack.align.sky import warn_no_scale
from gpustack.align.target import check_celestial, choose_grid, has_fine_tables
from gpustack.alignments import Reproject
from gpustack.errors import FrameError, InputError
from gpustack.frames import Frame
from gpustack.header import fits_wcs
from gpustack.logs import logger

_log = logger(__name__)

#: Largest relative difference of pixel areas that count as equal. Headers that state the same scale
#: in different ways, by CD or by PC and CDELT, differ by rounding. float32 resolves 6e-8.
SAME_AREA = 1e-9


def reproject_frames(
    frames: Sequence[Frame], how: Reproject, *, max_bytes: float | None
) -> Aligned:
    """Resample frames onto the grid of the target; only the headers of files are read.

    Raises
    ------
    FrameError
        Where a frame has no celestial WCS and may not be left out.
    InputError
        Where no frame has a celestial WCS, the target has none, no frame has a place on the grid,
        or the result would be too large.
    """
    faults = [_fault(frame) for frame in frames]
    usable = [frame for frame, fault in zip(frames, faults, strict=True) if not fault]
    if not usable:
        raise InputError(
            f"align {how}: expected a frame with a celestial WCS, got none of {len(frames)}; "
            f"{frames[0].name}: {faults[0]}; --align register needs none"
        )
    for frame, fault in zip(frames, faults, strict=True):
        is_target = frame is frames[0] and how.target_is("first")
        if fault and (not how.skip or is_target):
            beside = f"; {SKIP_ADVICE}"
            if is_target:
                beside = (
                    "; it is the target, and cannot be left out: put another frame first, or take "
                    "target=FILE or target=optimal"
                )
            raise FrameError(frame.name, f"{fault}{beside}")
    warn_no_scale(usable, stacklevel=5)
    grid = choose_grid(usable, how, max_bytes)
    how_to = Resampling(how.method, how.order, how.flux)
    placed: list[Frame] = []
    for f, frame in enumerate(frames):
        placed.append(AbsentFrame(frame, grid) if faults[f] else project(frame, grid, how_to))
        if not faults[f] and isinstance(placed[f], AbsentFrame):
            faults[f] = NO_OVERLAP
    warn_frames_scaled(placed, how.flux, stacklevel=4)
    columns = {"left_out": faults} if any(faults) else {}
    _log.debug("aligned onto %d x %d pixels by %s", *grid.shape[::-1], how)
    return Aligned(placed, [f"align: {how}"], columns)


def project(frame: Frame, grid: Grid, how: Resampling) -> Frame:
    """A frame resampled onto a grid, or an `AbsentFrame` if it does not touch the grid.

    Both have a celestial WCS. Where the pixels of the frame lie on those of the grid, the frame is
    moved by whole pixels instead: there is nothing to interpolate.
    """
    wcs = fits_wcs(frame.coordinates.wcs)
    to_grid, to_frame = transform_between(wcs, grid.wcs), transform_between(grid.wcs, wcs)
    touched = window(to_grid, frame.shape, grid.shape)
    if touched is None:
        return AbsentFrame(frame, grid)
    pixel_map = PixelMap.of(to_frame, *touched, rough=has_fine_tables(wcs))
    ratio = proj_plane_pixel_area(grid.wcs) / proj_plane_pixel_area(wcs)
    offset = pixel_map.offset
    same = how.flux != "ratio" or abs(ratio - 1) <= SAME_AREA
    if how.method == "interp" and offset is not None and same:
        # A frame that shares an edge with the grid touches it, but has no pixel on it.
        beside = not overlaps(offset, frame.shape, grid.shape)
        return AbsentFrame(frame, grid) if beside else PlacedFrame(frame, grid, offset)
    return ProjectedFrame(frame, grid, how, pixel_map, touched, ratio)


def _fault(frame: Frame) -> str:
    """Why a frame cannot be aligned; empty where it can."""
    try:
        found = frame.coordinates
        plain = fits_wcs(found.wcs)
        check_celestial("wcs", found.wcs if plain is None else plain, found.fault)
    except InputError as err:
        return f"align: {err}"
    return ""
