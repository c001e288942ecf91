"""What all alignments share: the grid, frames on a grid, and the result of aligning."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from astropy import units
from astropy.io import fits
from numpy.typing import NDArray

from gpustack.align.similarity import Similarity
from gpustack.backends.base import Samples
from gpustack.cards import wcs_keywords
from gpustack.frames import Frame
from gpustack.frames.base import read_whole
from gpustack.frames.coordinates import Coordinates
from gpustack.header import with_exposure, without_wcs

#: Keywords for sections of a detector or an amplifier, which no longer hold for the result.
SECTIONS = re.compile(r"(AMP|BIAS|CCD|DATA|DET|TRIM)SEC\w?")
#: Keywords of cards that describe the pixels of the frame before it was aligned.
_PIXEL_CARDS = re.compile(rf"{SECTIONS.pattern}|{wcs_keywords.LEFT_OVER.pattern}")
#: Why a frame has no sample at a pixel of the grid that it does not cover.
OUTSIDE = "outside of the frame"
#: Why a frame is left out although it could be aligned.
NO_OVERLAP = "none of its pixels are on the grid"
#: The advice in errors about a frame that cannot be aligned.
SKIP_ADVICE = "skip=True (--skip-unaligned) leaves such frames out"


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The pixel grid of the result.

    Parameters
    ----------
    shape : tuple of int
        (y, x).
    wcs : astropy.wcs.WCS, another that follows APE 14, or None
        World coordinates of the grid; None where they are unknown.
    """

    shape: tuple[int, ...]
    wcs: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class Aligned:
    """Frames on one grid, and how they were brought there.

    Parameters
    ----------
    frames : list of Frame
        In the order in which they were given. A frame that is left out is an `AbsentFrame`, so
        that numbers given one per frame still match the frames.
    origins : list of str
        How the frames were aligned, in words for the header.
    columns : dict of str to list or array
        Columns for `StackResult.frames`, one value per frame. If any frame is left out,
        ``"left_out"`` contains the reason for each frame, empty for frames that are used.
    found : list of Similarity or None
        Where each frame was measured to lie on the reference, None for a frame that is left out.
        None instead of a list where nothing was measured.
    """

    frames: list[Frame]
    origins: list[str] = field(default_factory=list)
    columns: dict[str, Any] = field(default_factory=dict)
    found: list[Similarity | None] | None = None


def without_pixel_cards(header: fits.Header, wcs: Any) -> fits.Header:
    """A copy of a header without cards that say where its pixels lie.

    These are its world coordinates, alternative ones too, physical coordinates (LTV, LTM) and
    sections of a detector.
    """
    copy = without_wcs(header, wcs)
    for key in {key for key in copy if _PIXEL_CARDS.fullmatch(key)}:
        copy.remove(key, remove_all=True)
    return copy


@dataclass(eq=False)
class GridFrame:
    """A frame brought onto a grid. See `Frame` for what the attributes mean.

    Parameters
    ----------
    inner : Frame
        The frame as it was given.
    grid : Grid
    """

    inner: Frame
    grid: Grid

    @property
    def name(self) -> str:
        """The name of the inner frame."""
        return self.inner.name

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the grid."""
        return self.grid.shape

    @property
    def unit(self) -> units.UnitBase | None:
        """The unit of the inner frame."""
        return self.inner.unit

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the inner frame: float32 or float64."""
        return self.inner.dtype

    @property
    def has_variance(self) -> bool:
        """Whether the inner frame has variances."""
        return self.inner.has_variance

    @property
    def flags_dtype(self) -> np.dtype[Any] | None:
        """The dtype of the bits of the inner frame."""
        return self.inner.flags_dtype

    @property
    def coordinates(self) -> Coordinates:
        """The coordinates of the grid."""
        return Coordinates(self.grid.wcs, of_grid=True)

    @cached_property
    def header(self) -> fits.Header:
        """The header of the inner frame, without cards that do not hold on the grid."""
        return self._with_exposure(
            without_pixel_cards(self.inner.header, self.inner.coordinates.wcs)
        )

    def _with_exposure(self, header: fits.Header) -> fits.Header:
        """`header` with the cards of the exposure that an image in memory keeps in its WCS."""
        return with_exposure(header, self.inner.coordinates)

    @cached_property
    def _bits_dtype(self) -> np.dtype[Any]:
        """The dtype of the bits of the inner frame, which raises FrameError if it has none."""
        return self.inner.read_flags(0, 1).dtype

    @property
    def kept_bytes(self) -> int:
        """Bytes that the frame holds for the whole run, whether it is read or not."""
        return 0

    @property
    def factor(self) -> float:
        """What values are multiplied by; where that varies, the one in the middle of the frame."""
        return 1.0

    def lacks(self, y: int, x: int) -> str:
        """Why the frame has no sample at pixel (y, x) of the grid; empty where it has one."""
        raise NotImplementedError


@dataclass(eq=False)
class AbsentFrame(GridFrame):
    """A frame that is left out: none of its samples is valid."""

    #: Reading a row takes no memory: it is a broadcast NaN.
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
        """Rows of 0: no bit is set."""
        return np.zeros((stop - start, self.shape[-1]), np.uint8)

    def lacks(self, y: int, x: int) -> str:
        """Return that the frame is left out."""
        return "left out"

    def whole(self) -> np.ma.MaskedArray[Any, Any]:
        """An image in which every sample is invalid."""
        return read_whole(self)
