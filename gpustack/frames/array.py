"""Frames in memory: numpy arrays and CCDData, which are referenced and never copied."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units
from astropy.io import fits
from numpy.typing import NDArray

from gpustack.backends.base import Samples, working_dtype
from gpustack.errors import FrameError
from gpustack.flags import Flags
from gpustack.frames.base import choose_unit, read_whole
from gpustack.frames.bits import invalid_by_flags
from gpustack.frames.coordinates import Coordinates
from gpustack.frames.variance import UTYPES, ArrayVariance, variance_of
from gpustack.frames.views import flattens, take_rows
from gpustack.lazy_types import loaded
from gpustack.logs import logger

_log = logger(__name__)


@dataclass(eq=False)
class ArrayFrame:
    """A frame in memory. See `Frame` for what the attributes mean.

    Parameters
    ----------
    data : ndarray
        Any real dtype, byte order and strides.
    mask : ndarray of the same shape, or None
        Samples are invalid where it is not 0.
    bits : ndarray of int of the same shape, or None
        The bits that `read_flags` returns, of which `flags`, where given, select the bad ones.
    flags : Flags
    variance : ArrayVariance or None
    """

    name: str
    data: NDArray[Any]
    mask: NDArray[Any] | None
    unit: units.UnitBase | None
    header: fits.Header
    coordinates: Coordinates
    bits: NDArray[Any] | None
    flags: Flags
    variance: ArrayVariance | None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return working_dtype(self.data.dtype)

    @property
    def stored(self) -> np.dtype[Any]:
        """The dtype of the array."""
        return self.data.dtype

    @property
    def masked(self) -> bool:
        """Whether a mask or bits make samples invalid."""
        return self.mask is not None or self._flags_apply

    @property
    def has_variance(self) -> bool:
        """Whether there is an uncertainty that can be converted to a variance."""
        return self.variance is not None

    @property
    def flags_dtype(self) -> np.dtype[Any] | None:
        """The dtype of the bits; None where there are none."""
        return None if self.bits is None else self.bits.dtype.newbyteorder("=")

    @property
    def _flags_apply(self) -> bool:
        """Whether bits make samples invalid."""
        return self.bits is not None and self.flags.given

    @property
    def row_bytes(self) -> int:
        """Bytes that reading one row takes: 0 unless the row or its mask has to be copied."""
        size = 0 if flattens(self.data) else self.data.itemsize
        if self.mask is not None:
            size += 0 if flattens(self.mask) else self.mask.itemsize
            size += 0 if self.mask.dtype == bool else 1
        if self.bits is not None and self._flags_apply:
            size += 1 if flattens(self.bits) else 1 + self.bits.itemsize
        return size * self.shape[-1]

    @property
    def held_bytes(self) -> int:
        """Always 0."""
        return 0

    def read(self, start: int, stop: int, into: Any = None) -> Samples:
        """Return rows ``[start, stop)`` as views where possible; `into` is not used."""
        data, mask = take_rows(self.data, start, stop), None
        if self.mask is not None:
            mask = take_rows(self.mask, start, stop).astype(bool, copy=False)
        if self.bits is not None and self._flags_apply:
            marked = invalid_by_flags(take_rows(self.bits, start, stop), self.flags)
            mask = marked if mask is None else np.logical_or(marked, mask, out=marked)
        return Samples(data, mask)

    def read_variance(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return the variance of rows ``[start, stop)``."""
        if self.variance is None:
            raise FrameError(
                self.name,
                f"variance: expected CCDData with an uncertainty, {', '.join(UTYPES)}, got none "
                "that is one of them",
            )
        return self.variance.read(start, stop)

    def read_flags(self, start: int, stop: int) -> NDArray[Any]:
        """Return the bits of rows ``[start, stop)``, as a view where possible."""
        if self.bits is None:
            raise FrameError(
                self.name, "flags: expected CCDData with flags that are integers, got none"
            )
        return take_rows(self.bits, start, stop)

    def whole(self) -> np.ma.MaskedArray[Any, Any]:
        """Return all samples, decoded."""
        return read_whole(self)


#: Types of array that lose nothing when only their samples are used.
_PLAIN = (np.ndarray, np.memmap, np.matrix)


def open_array(name: str, item: Any, unit: units.UnitBase | None, flags: Flags) -> ArrayFrame:
    """Open a numpy array (plain, masked, Quantity or `Masked`) or CCDData as a frame.

    Raises
    ------
    FrameError
        Where `item` is of another type or has no samples, its dtype is not real, or `flags` are
        given for a mask that is not of integers.
    """
    header, wcs = fits.Header(), None
    if isinstance(item, loaded("astropy.nddata", "NDData")):
        data, mask, own, wcs = item.data, item.mask, item.unit, item.wcs
        if not isinstance(data, np.ndarray):  # a dask array, which this computes
            data = np.asarray(data)
        header = _as_header(name, item.meta)
    else:
        data, mask, own = _parts(item)
    data = _checked(name, data)
    mask = _checked_mask(name, mask, data.shape)
    bits = _bits(item, mask, data.shape)
    if flags.given and mask is not None:
        _check_bits(name, mask, bits, flags)
        mask = None if bits is mask else mask
    variance = variance_of(name, item, data.shape, unit if own is None else own)
    unit = choose_unit(name, own, unit)
    return ArrayFrame(name, data, mask, unit, header, Coordinates(wcs), bits, flags, variance)


def _bits(item: Any, mask: NDArray[Any] | None, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """Return the mask if it is of integers, else the flags of a CCDData if they are."""
    if mask is not None and mask.dtype.kind in "iu":
        return mask
    is_nddata = isinstance(item, loaded("astropy.nddata", "NDData"))
    flags = getattr(item, "flags", None) if is_nddata else None
    is_bits = isinstance(flags, np.ndarray) and flags.dtype.kind in "iu" and flags.shape == shape
    return np.asarray(flags) if is_bits else None


def _check_bits(name: str, mask: NDArray[Any], bits: NDArray[Any] | None, flags: Flags) -> None:
    if bits is None:
        raise FrameError(
            name,
            f"mask: expected integers, which flags {flags} need, or for CCDData, whose mask is "
            f"boolean, its flags attribute; got {mask.dtype}",
        )


def _parts(item: Any) -> tuple[Any, Any, units.UnitBase | None]:
    """Return the samples, mask and unit of an array."""
    data, mask = item, None
    if isinstance(item, loaded("astropy.utils.masked", "Masked")):
        data, mask = item.unmasked, item.mask
    elif isinstance(item, np.ma.MaskedArray):
        data, mask = item.data, np.ma.getmask(item)
    if isinstance(data, units.Quantity):
        return data.value, mask, data.unit
    return data, mask, None


def _checked(name: str, data: Any) -> NDArray[Any]:
    if not isinstance(data, np.ndarray):
        kind = type(data).__name__
        hint = (
            "; pass its .data, a numpy array"
            if isinstance(getattr(data, "data", None), np.ndarray)
            else ""
        )
        raise FrameError(
            name, f"expected a file name, a CCDData or a numpy array, got {kind}{hint}"
        )
    if type(data) not in _PLAIN:
        raise FrameError(
            name,
            "expected a numpy array, masked array, Quantity or CCDData, got "
            f"{type(data).__name__}, which may hold more than samples; numpy.asarray() keeps only "
            "these",
        )
    plain: NDArray[Any] = np.asarray(data)
    if plain.dtype.kind == "b":
        plain = plain.view(np.uint8)
    if plain.dtype.kind not in "iuf":
        raise FrameError(name, f"expected samples that are real numbers, got dtype {plain.dtype}")
    if plain.ndim == 0 or plain.size == 0:
        raise FrameError(name, f"expected at least one row of samples, got shape {plain.shape}")
    return plain


def _checked_mask(name: str, mask: Any, shape: tuple[int, ...]) -> NDArray[Any] | None:
    if mask is None or mask is np.ma.nomask:
        return None
    plain: NDArray[Any] = np.asarray(mask)
    if plain.ndim == 0:
        plain = np.broadcast_to(plain, shape)
    if plain.shape != shape or plain.dtype.kind not in "biuf":
        raise FrameError(
            name,
            f"mask: expected bool of shape {shape}, as the data, got {plain.dtype} of shape "
            f"{plain.shape}",
        )
    return plain


def _as_header(name: str, meta: Mapping[str, Any]) -> fits.Header:
    """Return the metadata as a FITS header, without the values that FITS cannot hold."""
    if isinstance(meta, fits.Header):
        return meta
    header = fits.Header()
    for key, value in meta.items():
        try:
            header[key if len(key) <= 8 else f"HIERARCH {key}"] = value
        except (ValueError, TypeError, KeyError) as err:  # KeyError: the key is a tuple
            _log.debug("%s: left out of the header: %s (%s)", name, key, err)
    return header
