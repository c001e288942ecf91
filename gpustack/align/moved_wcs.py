"""World coordinates and headers of an image whose pixels are counted from another place."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, DistortionLookupTable, Sip
from astropy.wcs.wcsapi import HighLevelWCSWrapper
from astropy.wcs.wcsapi.wrappers.base import BaseWCSWrapper

from gpustack.align.base import SECTIONS
from gpustack.cards.numbers import read_number
from gpustack.header import fits_wcs, lookup_tables

#: Cards that hold a pixel coordinate, and cards that make a missing pixel coordinate count as 0:
#: of world coordinates, main and alternative, and of IRAF's physical ones.
_PIXEL_CARDS = re.compile(r"(?:CRPIX|LTV)([12])[A-Z]?")
_IMPLIES_PIXEL_CARD = re.compile(r"CTYPE([12])([A-Z]?)|LTM([12])_\3")


def moved_wcs(wcs: Any, shift: tuple[int, int], shape: Sequence[int]) -> Any:
    """World coordinates of an image of `shape` whose pixel (y, x) was (y, x) - shift before.

    Parameters
    ----------
    wcs : astropy.wcs.WCS, another that follows APE 14, or None
        Not changed. In the result, SIP polynomials and lookup tables are moved along.
    shift : tuple of int
        (y, x).
    """
    plain = fits_wcs(wcs)
    if plain is not None:
        return _moved_fits(plain, np.array(shift[::-1], float), shape)
    if wcs is None:
        return None
    low = getattr(wcs, "low_level_wcs", wcs)
    return HighLevelWCSWrapper(_MovedWCS(low, shift[::-1], shape[::-1]))


def _moved_fits(wcs: WCS, shift: np.ndarray[Any, Any], shape: Sequence[int]) -> WCS:
    moved = wcs.deepcopy()
    crpix = moved.wcs.crpix
    crpix[: len(shift)] += shift
    moved.wcs.crpix = crpix
    if wcs.sip is not None:
        sip = wcs.sip
        moved.sip = Sip(sip.a, sip.b, sip.ap, sip.bp, sip.crpix + shift)
    for name, table in lookup_tables(wcs).items():
        value = tuple(np.array(table.crval) + shift)
        setattr(moved, name, DistortionLookupTable(table.data, table.crpix, value, table.cdelt))
    if wcs.pixel_bounds is not None:
        moved.pixel_bounds = None
    moved.array_shape = tuple(shape) if moved.naxis == len(shape) else None
    return moved


class _MovedWCS(BaseWCSWrapper):  # type: ignore[misc]
    """A moved WCS that is no `astropy.wcs.WCS`; `shift` and `shape` are (x, y)."""

    def __init__(self, wcs: Any, shift: Sequence[int], shape: Sequence[int]) -> None:
        super().__init__(wcs)
        self._shift = shift
        self._shape = tuple(shape)

    @property
    def pixel_shape(self) -> tuple[int, ...]:
        """(x, y)."""
        return self._shape

    @property
    def pixel_bounds(self) -> None:
        """None, as the bounds were those of the image before it was moved."""
        return

    def pixel_to_world_values(self, *pixels: Any) -> Any:
        """World coordinates of pixels."""
        there = [np.asarray(p) - s for p, s in zip(pixels, self._shift, strict=True)]
        return self._wcs.pixel_to_world_values(*there)

    def world_to_pixel_values(self, *world: Any) -> Any:
        """Pixels of world coordinates."""
        pixels = self._wcs.world_to_pixel_values(*world)
        return tuple(p + s for p, s in zip(pixels, self._shift, strict=True))


def moved_header(header: fits.Header, shift: tuple[int, int]) -> fits.Header:
    """A copy of `header` for an image whose pixels are moved by `shift`, (y, x).

    CRPIX, also that of alternative coordinates, and LTV are moved along, or removed where they are
    no finite numbers. SIP coefficients need no change, as they count from CRPIX. Sections such as
    CCDSEC, which say what part of a detector the image is, are left out.
    """
    moved = header.copy()
    for key in {key for key in moved if SECTIONS.fullmatch(key)}:
        moved.remove(key, remove_all=True)
    for key, axis in _pixel_cards(moved).items():
        number = read_number(moved, key) if key in moved else 0.0
        if np.isfinite(number):
            moved[key] = number + shift[2 - axis]
        else:
            moved.remove(key, remove_all=True)
    return moved


def _pixel_cards(header: fits.Header) -> dict[str, int]:
    """Keyword -> axis, counted from 1, of all pixel coordinates, also of missing ones."""
    found = {}
    for key in header:
        if match := _PIXEL_CARDS.fullmatch(key):
            found[key] = int(match[1])
        elif match := _IMPLIES_PIXEL_CARD.fullmatch(key):
            axis = match[1] or match[3]
            found[f"CRPIX{axis}{match[2]}" if match[1] else f"LTV{axis}"] = int(axis)
    return found
