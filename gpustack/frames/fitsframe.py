"""Frames in FITS files: which HDU is the image, what masks it, its unit and coordinates."""

import logging
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from astropy import units
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.wcs import WCS
from numpy.typing import NDArray

from gpustack.backends.base import Samples, working_dtype
from gpustack.errors import FrameError
from gpustack.frames.base import choose_unit, decode, read_whole
from gpustack.frames.hdus import Hdu, quiet, reading, scan
from gpustack.frames.planes import Plane, open_plane

_log = logging.getLogger(__name__)

HduKey = int | str | tuple[str, int]

#: Extensions that CCDData writes beside an image.
_COMPANIONS = ("MASK", "UNCERT", "PSFIMAGE")

#: Cards that tell how samples are stored in the file, not what they are.
_STORAGE = ("BSCALE", "BZERO", "BLANK", "CHECKSUM", "DATASUM")


@dataclass(eq=False)
class FitsFrame:
    """A frame in a FITS file. What the attributes mean says `Frame`.

    Parameters
    ----------
    image : Plane
    mask : Plane or None
        What is not 0 is invalid.
    header : astropy.io.fits.Header
        Of the image; of an extension, with what the primary header has beside.
    """

    name: str
    image: Plane
    mask: Plane | None
    unit: units.UnitBase | None
    header: fits.Header

    @property
    def shape(self) -> tuple[int, ...]:
        """In numpy order."""
        return self.image.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return working_dtype(self.image.dtype)

    @property
    def stored(self) -> np.dtype[Any]:
        """Of the samples as they lie in the file."""
        return self.image.stored

    @property
    def masked(self) -> bool:
        """Whether there is a MASK extension."""
        return self.mask is not None

    @property
    def row_bytes(self) -> int:
        """Of the image, of the MASK extension as it lies, and of the mask made of that."""
        return self.image.row_bytes + (self.mask.row_bytes + self.shape[-1] if self.mask else 0)

    @cached_property
    def wcs(self) -> WCS | None:
        """World coordinates; None where the header has none, or none that wcslib accepts."""
        try:
            with quiet():
                wcs = WCS(self.header)
                return wcs if any(wcs.wcs.ctype) else None
        except Exception as err:  # noqa: BLE001 - wcslib raises errors of many kinds
            _log.info("%s: world coordinates left out: %s", self.name, err)
            return None

    def read(self, start: int, stop: int, into: Any = None) -> Samples:
        """Rows ``[start, stop)`` as they lie in the file."""
        samples = self.image.read(start, stop, into)
        if self.mask is None:
            return samples
        rest = None if into is None else memoryview(into)[(stop - start) * self.image.row_bytes :]
        return replace(samples, mask=_flagged(self.mask.read(start, stop, rest)))

    def whole(self) -> np.ma.MaskedArray[Any, Any]:
        """All samples, decoded."""
        return read_whole(self)


def _flagged(samples: Samples) -> NDArray[np.bool_]:
    if (samples.bscale, samples.bzero, samples.blank) == (1.0, 0.0, None):
        invalid: NDArray[np.bool_] = samples.data != 0
        return invalid
    values, invalid = decode(samples, np.dtype(np.float64))
    invalid |= values != 0
    return invalid


def open_file(name: str, hdu: HduKey | None, unit: units.UnitBase | None) -> FitsFrame:
    """The frame of the FITS file `name`. Reads headers alone.

    A MASK extension masks whichever image is read, as in `CCDData.read`; where one has
    an EXTVER, the one with that of the image alone.

    Raises
    ------
    FrameError
        Where the file is unusable, has no such image, or the image has no unit.
    """
    with reading(name), quiet():
        hdus, packed = scan(name)
        chosen = _first_image(name, hdus) if hdu is None else _named_image(name, hdus, hdu)
        if hdu is None:
            _tell_of_more(name, chosen, hdus)
        image = open_plane(name, chosen, packed)
        header = _frame_header(image, hdus[0])
        own = choose_unit(name, _unit(name, header, unit), unit)
        mask = _mask_of(name, chosen, hdus)
        flags = None if mask is None else open_plane(name, mask, packed)
        return FitsFrame(name, image, flags, own, header)


def _mask_of(name: str, image: Hdu, hdus: list[Hdu]) -> Hdu | None:
    masks = [hdu for hdu in hdus if hdu.name == "MASK" and hdu.index > 0 and hdu.has_image]
    if not masks or image in masks:
        return None
    mask = next((hdu for hdu in masks if hdu.version == image.version), None)
    if mask is None and not any("EXTVER" in hdu.header for hdu in masks):
        mask = masks[0]
    if mask is None:
        _log.info("%s: no MASK with EXTVER %s, that of the image: none used", name, image.version)
        return None
    if mask.shape != image.shape:
        raise FrameError(
            name,
            f"MASK extension: expected the shape of the image, {image.shape}, got {mask.shape}",
        )
    return mask


def _first_image(name: str, hdus: list[Hdu]) -> Hdu:
    for found in hdus:
        if found.has_image and (found.index == 0 or found.name not in _COMPANIONS):
            return found
    raise FrameError(name, f"expected an image with data, got {_listed(hdus)}")


def _tell_of_more(name: str, chosen: Hdu, hdus: list[Hdu]) -> None:
    """Log where other images are as large as the one taken: amplifiers, detectors, dithers."""
    alike = [
        hdu
        for hdu in hdus
        if hdu.has_image and hdu.name not in _COMPANIONS and hdu.shape == chosen.shape
    ]
    if len(alike) > 1:
        _log.warning(
            "%s: %d images of shape %s; taking HDU %s, hdu= (--hdu) takes another",
            *(name, len(alike), chosen.shape, chosen.index),
        )


def _named_image(name: str, hdus: list[Hdu], key: HduKey) -> Hdu:
    wanted, version = key if isinstance(key, tuple) else (key, None)
    for found in hdus:
        is_it = (
            found.index == wanted
            if isinstance(wanted, int)
            else found.name == str(wanted).strip().upper() and version in (None, found.version)
        )
        if is_it and found.has_image:
            return found
    raise FrameError(name, f"expected an image in HDU {key!r}, got {_listed(hdus)}")


def _listed(hdus: list[Hdu]) -> str:
    return "HDUs " + "; ".join(map(str, hdus))


def _frame_header(image: Plane, primary: Hdu) -> fits.Header:
    header = image.header.copy()
    if image.hdu.index > 0:
        for card in primary.header.copy(strip=True).cards:
            if card.keyword in ("COMMENT", "HISTORY") or card.keyword not in header:
                header.append(card, end=True)
    for key in _STORAGE:
        header.remove(key, ignore_missing=True, remove_all=True)
    return header


def _unit(name: str, header: fits.Header, given: units.UnitBase | None) -> units.UnitBase | None:
    """The unit that BUNIT says, read as `CCDData.read` does. None only where one is `given`."""
    text = str(header.get("BUNIT", "")).strip()
    fixed = CCDData.known_invalid_fits_unit_strings.get(text, text)
    try:
        if text:
            return units.Unit("adu" if text.lower() == "adu" else fixed)
        problem = "expected a unit, got no BUNIT in the header"
    except ValueError:
        problem = f"expected a unit that astropy knows, got BUNIT {text!r}"
    if given is None:
        raise FrameError(name, f"{problem}; give unit= (--unit on the command line)")
    return None
