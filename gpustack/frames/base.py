"""The protocol of all frames, the decoding of their samples, and the reading of their units."""

import math
import re
from typing import Any, Protocol

import numpy as np
from astropy import units
from astropy.io import fits
from numpy.typing import NDArray

from gpustack.backends.base import Samples
from gpustack.frames.coordinates import Coordinates
from gpustack.logs import logger, warn_about_file
from gpustack.value_texts import unit_words

_log = logger(__name__)


class Frame(Protocol):
    """One input image: what is known of it without reading samples, and how its rows are read.

    Rows are counted in the frame flattened to two dimensions: ``prod(shape[:-1])`` rows of
    ``shape[-1]`` samples. A frame of one axis is one row.
    """

    @property
    def name(self) -> str:
        """The file name, or ``"frame 3"`` (counted from 0) for an image in memory."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, in numpy order."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype in which samples are compared: float32 or float64."""

    @property
    def stored(self) -> np.dtype[Any]:
        """The dtype of the samples as `read` returns them."""

    @property
    def masked(self) -> bool:
        """Whether `read` returns a mask."""

    @property
    def has_variance(self) -> bool:
        """Whether there is a source of variances; it has been neither read nor checked."""

    @property
    def flags_dtype(self) -> np.dtype[Any] | None:
        """The dtype of `read_flags`, in native byte order; None without an integer mask."""

    @property
    def unit(self) -> units.UnitBase | None:
        """The unit of the samples; None for an array without one."""

    @property
    def header(self) -> fits.Header:
        """The header of the image."""

    @property
    def coordinates(self) -> Coordinates:
        """The world coordinates, which keep no samples in memory."""

    @property
    def row_bytes(self) -> int:
        """Bytes that reading one row takes; 0 where rows are views."""

    @property
    def held_bytes(self) -> int:
        """Bytes that reading holds in addition, however few the rows."""

    def read(self, start: int, stop: int, into: Any = None) -> Samples:
        """Return rows ``[start, stop)``, not decoded.

        Parameters
        ----------
        start, stop : int
            ``0 <= start < stop <= prod(shape[:-1])``.
        into : writable buffer of ``(stop - start) * row_bytes`` bytes or more, optional
            Memory for what is read from a file, in place of fresh memory.

        Raises
        ------
        FrameError
            Where the file can no longer be read.
        """

    def read_variance(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return the variance of rows ``[start, stop)``, in the unit of the samples squared.

        An empty range, ``[0, 0)``, only checks that there is a variance that fits the samples;
        from then on `held_bytes` counts what reading it holds.

        Returns
        -------
        ndarray of float64, shape (rows, width)
            A fresh array. Undefined where a sample is invalid. Elsewhere it may be NaN, infinite
            (the inverse of a zero inverse variance), or negative (from a negative standard
            deviation), as the frame has it.

        Raises
        ------
        FrameError
            Where there is no variance, its shape or unit does not fit the samples, or the file
            can no longer be read.
        """

    def read_flags(self, start: int, stop: int) -> NDArray[Any]:
        """Return the mask of rows ``[start, stop)`` with all its bits, whatever `Flags` select.

        Returns
        -------
        ndarray of int, shape (rows, width)
            Of the integer type of the frame's mask; may be a view.

        Raises
        ------
        FrameError
            Where there is no integer mask, or the file can no longer be read.
        """

    def whole(self) -> np.ma.MaskedArray[Any, Any]:
        """Return all samples, decoded, in a fresh masked array of `shape` and `dtype`."""


def read_whole(frame: Frame) -> np.ma.MaskedArray[Any, Any]:
    """Implement `Frame.whole` by `Frame.read`."""
    samples = frame.read(0, math.prod(frame.shape[:-1]))
    values, invalid = decode(samples, frame.dtype)
    return np.ma.MaskedArray(values.reshape(frame.shape), invalid.reshape(frame.shape))


def decode_values(samples: Samples, dtype: np.dtype[Any]) -> NDArray[np.floating[Any]]:
    """Return the values of samples in `dtype`, including invalid ones; -0.0 becomes +0.0.

    They are bit for bit the values that a backend computes with.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # infinite values are invalid
        values = samples.data.astype(dtype)
        if samples.bscale != 1:
            values *= samples.bscale
        values += samples.bzero + 0.0  # a BZERO of -0.0 too
    return values


def decode(
    samples: Samples, dtype: np.dtype[Any]
) -> tuple[NDArray[np.floating[Any]], NDArray[np.bool_]]:
    """Return the values of samples in `dtype` and where they are invalid; see `decode_values`."""
    values = decode_values(samples, dtype)
    invalid = ~np.isfinite(values)
    if samples.blank is not None and samples.data.dtype.kind in "iu":
        invalid |= samples.data == samples.blank
    if samples.mask is not None:
        invalid |= samples.mask
    return values, invalid


#: Names that cameras and pipelines have for units, in lower case -> astropy's names.
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
    """Parse a BUNIT as `CCDData.read` does, and also accept the unit names of cameras.

    Raises
    ------
    ValueError
        Where astropy knows no such unit.
    """
    try:
        unit: units.UnitBase = units.Unit(text)
    except ValueError:
        from astropy.nddata import CCDData  # slow to load

        fixed = CCDData.known_invalid_fits_unit_strings.get(text)
        unit = units.Unit(_in_astropys_words(text)) if fixed is None else fixed
    return unit


def _in_astropys_words(text: str) -> str:
    """Replace the words of a unit by astropy's, if every one of them is in `_CAMERAS`."""
    text = re.sub(r"\b[eE]-(?![0-9])", "electron", text)
    if any(word.lower() not in _CAMERAS for word in _WORD.findall(text)):
        return text
    return _WORD.sub(lambda word: _CAMERAS[word[0].lower()], text)


def choose_unit(
    name: str, own: units.UnitBase | None, given: units.UnitBase | None
) -> units.UnitBase | None:
    """Return the `given` unit if there is one, else the frame's `own`; warn if they differ."""
    if given is None:
        return own
    if own is not None and own != given:
        text = f"using the given unit {unit_words(given)} instead of its own, {unit_words(own)}"
        warn_about_file(_log, f"%s: {text.replace('%', '%%')}", name)
    return given
