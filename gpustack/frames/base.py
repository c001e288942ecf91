"""What every frame is: something with shape, unit, header and wcs that is read by rows."""

import math
import re
from typing import Any, Protocol

import numpy as np
from astropy import units
from astropy.io import fits
from numpy.typing import NDArray

from gpustack.backends.base import Samples
from gpustack.frames.coordinates import Coordinates
from gpustack.logs import logger, warn_of
from gpustack.value_texts import unit_words

_log = logger(__name__)


class Frame(Protocol):
    """One input image: what is known without reading it, and its rows.

    Rows are those of the frame flattened to two dimensions: ``prod(shape[:-1])`` rows of
    ``shape[-1]`` samples; a frame of one axis is one row.
    """

    @property
    def name(self) -> str:
        """The file, or ``"frame 3"`` (counted from 0) where it came from memory."""

    @property
    def shape(self) -> tuple[int, ...]:
        """In numpy order."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """In which its samples are compared: float32 or float64."""

    @property
    def stored(self) -> np.dtype[Any]:
        """Of the samples as `read` gives them."""

    @property
    def masked(self) -> bool:
        """Whether `read` gives a mask with them."""

    @property
    def has_variance(self) -> bool:
        """Whether there is something to read variances from; nothing of it has been read."""

    @property
    def flags_dtype(self) -> np.dtype[Any] | None:
        """Of the bits that `read_flags` gives, in native order; None without an integer mask."""

    @property
    def unit(self) -> units.UnitBase | None:
        """Of the samples; None where an array came without."""

    @property
    def header(self) -> fits.Header:
        """Of the image."""

    @property
    def coordinates(self) -> Coordinates:
        """World coordinates, which keep no samples in memory."""

    @property
    def row_bytes(self) -> int:
        """Bytes that reading one row takes; 0 where rows are views."""

    @property
    def held_bytes(self) -> int:
        """Bytes that reading holds beside, however few the rows."""

    def read(self, start: int, stop: int, into: Any = None) -> Samples:
        """Rows ``[start, stop)``, not decoded.

        Parameters
        ----------
        start, stop : int
            ``0 <= start < stop <= prod(shape[:-1])``.
        into : writable buffer of ``(stop - start) * row_bytes`` bytes or more, optional
            What comes from a file is laid there instead of into fresh memory.

        Raises
        ------
        FrameError
            Where the file can no longer be read.
        """

    def read_variance(self, start: int, stop: int) -> NDArray[np.float64]:
        """The variance of rows ``[start, stop)``, in the unit of the samples squared.

        No rows, ``[0, 0)``, may be asked for: that says whether there is one that fits, and from
        then on `held_bytes` counts what reading it holds.

        Returns
        -------
        ndarray of float64, shape (rows, width)
            Fresh. Anything where a sample is invalid, and elsewhere as the frame has it: it may
            be NaN or infinite (as the inverse of 0 is), or negative, which a variance is where
            its standard deviation is negative.

        Raises
        ------
        FrameError
            Where there is none, or it does not fit the samples in shape or unit, or the file can
            no longer be read.
        """

    def read_flags(self, start: int, stop: int) -> NDArray[Any]:
        """The bits of the mask of rows ``[start, stop)``, all of them, whatever `Flags` say.

        Returns
        -------
        ndarray of int, shape (rows, width)
            Of the integer type that the frame has them in; may be a view.

        Raises
        ------
        FrameError
            Where there are none, or the file can no longer be read.
        """

    def whole(self) -> np.ma.MaskedArray[Any, Any]:
        """All samples, decoded: a fresh array of `shape` and `dtype`, invalid ones masked."""


def read_whole(frame: Frame) -> np.ma.MaskedArray[Any, Any]:
    """`Frame.whole` by way of `Frame.read`."""
    samples = frame.read(0, math.prod(frame.shape[:-1]))
    values, invalid = decode(samples, frame.dtype)
    return np.ma.MaskedArray(values.reshape(frame.shape), invalid.reshape(frame.shape))


def decode_values(samples: Samples, dtype: np.dtype[Any]) -> NDArray[np.floating[Any]]:
    """The values of samples in `dtype`, invalid ones too; -0.0 becomes +0.0.

    The same bits as a backend computes with.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # infinite values are invalid
        values = samples.data.astype(dtype)
        if samples.bscale != 1:
            values *= samples.bscale
        values += samples.bzero
    return values


def decode(
    samples: Samples, dtype: np.dtype[Any]
) -> tuple[NDArray[np.floating[Any]], NDArray[np.bool_]]:
    """The values of samples in `dtype`, and where they are invalid; see `decode_values`."""
    values = decode_values(samples, dtype)
    invalid = ~np.isfinite(values)
    if samples.blank is not None and samples.data.dtype.kind in "iu":
        invalid |= samples.data == samples.blank
    if samples.mask is not None:
        invalid |= samples.mask
    return values, invalid


#: What cameras and pipelines call units, in lower case -> astropy's name.
_CAMERAS = {
    "adu": "adu",
    "count": "count",
    "counts": "count",
    "dn": "DN",
    "electron": "electron",
    "electrons": "electron",
    "photon": "photon",
    "photons": "photon",
    "s": "s",
    "sec": "s",
    "second": "s",
}
_WORD = re.compile("[A-Za-z]+")


def unit_of(text: str) -> units.UnitBase:
    """The unit that a BUNIT says, read as `CCDData.read` does, in the words of cameras too.

    Raises
    ------
    ValueError
        Where astropy knows none of that name.
    """
    try:
        unit: units.UnitBase = units.Unit(text)
    except ValueError:
        from astropy.nddata import CCDData  # slow to load

        fixed = CCDData.known_invalid_fits_unit_strings.get(text)
        unit = units.Unit(_in_astropys_words(text)) if fixed is None else fixed
    return unit


def _in_astropys_words(text: str) -> str:
    """A unit in its words, if all of it is in those of cameras."""
    text = re.sub(r"\b[eE]-(?![0-9])", "electron", text)
    if any(word.lower() not in _CAMERAS for word in _WORD.findall(text)):
        return text
    return _WORD.sub(lambda word: _CAMERAS[word[0].lower()], text)


def choose_unit(
    name: str, own: units.UnitBase | None, given: units.UnitBase | None
) -> units.UnitBase | None:
    """The unit that a frame came with, or the `given` one, which goes first."""
    if given is None:
        return own
    if own is not None and own != given:
        text = f"using the given unit {unit_words(given)} instead of its own, {unit_words(own)}"
        warn_of(_log, f"%s: {text.replace('%', '%%')}", name)
    return given
