"""What alignments share: the grid that frames are brought to, and what they give."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from astropy import units
from astropy.io import fits
from numpy.typing import NDArray

from gpustack import coordinate_cards
from gpustack.align.similarity import Similarity
from gpustack.backends.base import Samples
from gpustack.frames import Frame
from gpustack.frames.base import read_whole
from gpustack.frames.coordinates import Coordinates
from gpustack.header import with_exposure, without_wcs

#: Sections of detector and amplifier, which do not say which pixels the result has.
SECTIONS = re.compile(r"(AMP|BIAS|CCD|DATA|DET|TRIM)SEC\w?")
#: Cards that tell of the pixels that a frame had.
_OF_PIXELS = re.compile(rf"{SECTIONS.pattern}|{coordinate_cards.BESIDE.pattern}")
#: Why a frame has no sample at a pixel of the grid that is none of its own.
OUTSIDE = "outside of the frame"
#: Why a frame is left out that could be aligned.
BESIDE = "expected a frame that overlaps the grid, got none of its pixels on it"
#: What errors say of a frame that cannot be aligned.
SKIP = "skip=True (--skip-unaligned) leaves such frames out"


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The pixels of the result.

    Parameters
    ----------
    shape : tuple of int
        (y, x).
    wcs : astropy.wcs.WCS, another that follows APE 14, or None
        Where they are on the sky; None where nobody knows.
    """

    shape: tuple[int, ...]
    wcs: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class Aligned:
    """Frames on one grid.

    Parameters
    ----------
    frames : list of Frame
        In the order in which they were given. One that is left out is an `AbsentFrame`, so that
        numbers that were given one a frame still fit.
    origins : list of str
        In words, how they were aligned; for the header.
    columns : dict of str to list
        What is known of each frame, for `StackResult.frames`. Where frames were to be left out,
        ``"left_out"`` says of each why, or is empty.
    found : list of Similarity or None
        Where frames were measured, where each lies on the reference; None for one left out.
    """

    frames: list[Frame]
    origins: list[str] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)
    found: list[Similarity | None] | None = None


def without_place(header: fits.Header, wcs: Any) -> fits.Header:
    """A copy of a header without its coordinates, and without where the image was cut from.

    Sections of detectors, physical coordinates (LTV, LTM) and alternative ones.
    """
    told = without_wcs(header, wcs)
    for key in {key for key in told if _OF_PIXELS.fullmatch(key)}:
        told.remove(key, remove_all=True)
    return told


@dataclass(eq=False)
class GridFrame:
    """A frame on another grid. See `Frame` for what the attributes mean.

    Parameters
    ----------
    inner : Frame
        As it was given.
    grid : Grid
    """

    inner: Frame
    grid: Grid

    @property
    def name(self) -> str:
        """Of the frame that was given."""
        return self.inner.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the grid."""
        return self.grid.shape

    @property
    def unit(self) -> units.UnitBase | None:
        """Of the frame that was given."""
        return self.inner.unit

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the frame: float32 or float64."""
        return self.inner.dtype

    @property
    def has_variance(self) -> bool:
        """Whether the frame has."""
        return self.inner.has_variance

    @property
    def flags_dtype(self) -> np.dtype[Any] | None:
        """As of the frame."""
        return self.inner.flags_dtype

    @property
    def coordinates(self) -> Coordinates:
        """Of the grid."""
        return Coordinates(self.grid.wcs, of_grid=True)

    @cached_property
    def header(self) -> fits.Header:
        """That of the frame, without what no longer holds."""
        return self._exposed(without_place(self.inner.header, self.inner.coordinates.wcs))

    def _exposed(self, header: fits.Header) -> fits.Header:
        """A header with what an image in memory has in its coordinates of the exposure."""
        return with_exposure(header, self.inner.coordinates)

    @cached_property
    def _bits_dtype(self) -> np.dtype[Any]:
        """Of the bits that the frame has; one without any says so here."""
        return self.inner.read_flags(0, 1).dtype

    @property
    def kept_bytes(self) -> int:
        """Bytes that it holds from the beginning to the end, read or not."""
        return 0

    @property
    def factor(self) -> float:
        """What its values are multiplied by; where that differs, in its middle on the grid."""
        return 1.0

    def lacks(self, y: int, x: int) -> str:
        """Why the frame has no sample at a pixel of the grid; empty where it has one."""
        raise NotImplementedError


@dataclass(eq=False)
class AbsentFrame(GridFrame):
    """A frame that is left out: none of its samples is valid."""

    #: One row of it takes no memory.
    row_bytes: ClassVar[int] = 0
    dtype: ClassVar[np.dtype[Any]] = np.dtype(np.float32)
    stored: ClassVar[np.dtype[Any]] = np.dtype(np.float32)
    masked: ClassVar[bool] = False
    has_variance: ClassVar[bool] = True
    flags_dtype: ClassVar[None] = None
    held_bytes: ClassVar[int] = 0

    def read(self, start: int, stop: int, into: Any = None) -> Samples:
        """Rows of NaN."""
        return Samples(np.broadcast_to(np.float32(np.nan), (stop - start, self.shape[-1])))

    def read_variance(self, start: int, stop: int) -> NDArray[np.float64]:
        """Rows of NaN."""
        return np.full((stop - start, self.shape[-1]), np.nan)

    def read_flags(self, start: int, stop: int) -> NDArray[Any]:
        """No bit is set."""
        return np.zeros((stop - start, self.shape[-1]), np.uint8)

    def lacks(self, y: int, x: int) -> str:
        """That it is left out."""
        return "left out"

    def whole(self) -> np.ma.MaskedArray[Any, Any]:
        """Nothing but invalid samples."""
        return read_whole(self)
