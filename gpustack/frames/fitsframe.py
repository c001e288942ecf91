"""Frames in FITS files: the image with its mask, uncertainty, unit, header and coordinates."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from astropy import units
from astropy.io import fits
from numpy.typing import NDArray

from gpustack.backends.base import Samples, working_dtype
from gpustack.cards.texts import read_text
from gpustack.cards.wcs_keywords import CELESTIAL_SYSTEM, PIXEL_MAPPING, other_matrix
from gpustack.errors import FrameError
from gpustack.files import HduKey
from gpustack.flags import Flags
from gpustack.frames.base import choose_unit, decode, read_whole, unit_of
from gpustack.frames.bits import bits_dtype, bits_of, invalid_by_flags, is_bools
from gpustack.frames.choose_hdu import first_image, hdus_in_words, named_image, warn_of_equal_images
from gpustack.frames.companions import (
    MASKS,
    UNCERTAINTIES,
    find_beside,
    is_companion,
    log_other_companions,
)
from gpustack.frames.coordinates import Coordinates
from gpustack.frames.hdus import Hdu, quiet, scan
from gpustack.frames.onfile import reading
from gpustack.frames.planes import Plane, open_plane
from gpustack.frames.separate_planes import (
    KIND_OF_PLANE,
    WEIGHT_BYTES,
    SeparatePlane,
    open_separate_planes,
    weightless,
)
from gpustack.frames.variance import PlaneVariance
from gpustack.images import Image
from gpustack.logs import logger, warn_about_file

_log = logger(__name__)

#: Cards that describe how samples are stored, not what they are; headers of frames lack them.
_STORAGE = ("BSCALE", "BZERO", "BLANK", "CHECKSUM", "DATASUM")


Shape = tuple[int, ...]


@dataclass(eq=False)
class FitsFrame:
    """A frame in a FITS file. See `Frame` for what the attributes mean.

    Parameters
    ----------
    image : Plane
    mask : Plane or None
        Samples are invalid where it is not 0, or where it has bits that `flags` call bad.
    header : astropy.io.fits.Header
        The header of the image; for an extension, with cards of the primary header added.
    flags : Flags
    variance : PlaneVariance or None
    contents : str
        The HDUs of the file in words, for error messages.
    weight : Plane or None
        Samples are invalid where it is not a positive finite number.
    separate_planes : tuple of SeparatePlane
        The planes that are in separate files.
    """

    name: str
    image: Plane
    mask: Plane | None
    unit: units.UnitBase | None
    header: fits.Header
    coordinates: Coordinates
    flags: Flags
    variance: PlaneVariance | None
    contents: str
    weight: Plane | None = None
    separate_planes: tuple[SeparatePlane, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the image, in numpy order."""
        return self.image.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return working_dtype(self.image.file_dtype)

    @property
    def stored(self) -> np.dtype[Any]:
        """The dtype of the samples in the file."""
        return self.image.stored

    @property
    def masked(self) -> bool:
        """Whether a mask or weights make samples invalid."""
        return self.mask is not None or self.weight is not None

    @property
    def has_variance(self) -> bool:
        """Whether an extension or a separate file holds the uncertainty."""
        return self.variance is not None

    @property
    def flags_dtype(self) -> np.dtype[Any] | None:
        """The dtype of the bits of the mask; None where it has no bits."""
        return None if self.mask is None else bits_dtype(self.mask)

    @property
    def files(self) -> set[str]:
        """The files that it is read from."""
        planes = (self.image, self.mask, self.weight, self.variance)
        return {plane.file for plane in planes if plane is not None}

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of the image, of its mask and weights as stored, and of the bool mask."""
        size, width = self.image.row_bytes, self.shape[-1]
        if self.mask is not None:
            size += self.mask.row_bytes + width
        if self.weight is not None:
            size += self.weight.row_bytes + WEIGHT_BYTES * width
        return size

    @property
    def held_bytes(self) -> int:
        """The most that reading the image, its mask, weights or variances holds, one at a time.

        Variances count only after one has been requested, as `check_needs` does; before that,
        none is decoded.
        """
        planes = (self.image, self.mask, self.weight, self.variance)
        return max(plane.held_bytes for plane in planes if plane is not None)

    def read(self, start: int, stop: int, into: Any = None) -> Samples:
        """Return rows ``[start, stop)`` as they are stored in the file."""
        samples = self.image.read(start, stop, into)
        rest = None if into is None else memoryview(into)[(stop - start) * self.image.row_bytes :]
        invalid = None
        if self.mask is not None:
            flags = Flags() if self.flags_dtype is None else self.flags
            invalid = _flagged(self.mask.read(start, stop, rest), flags)
        if self.weight is not None:
            # The stored mask in `rest` is no longer needed.
            without = weightless(self.weight.read(start, stop, rest))
            invalid = without if invalid is None else np.logical_or(invalid, without, out=without)
        return samples if invalid is None else replace(samples, mask=invalid)

    def read_variance(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return the variance of rows ``[start, stop)``."""
        if self.variance is None:
            raise FrameError(self.name, self._lacking("variance", UNCERTAINTIES))
        return self.variance.read(start, stop)

    def read_flags(self, start: int, stop: int) -> NDArray[Any]:
        """Return the bits of the mask of rows ``[start, stop)``."""
        dtype = self.flags_dtype
        if self.mask is None or dtype is None:
            raise FrameError(self.name, self._lacking("flags", MASKS))
        return bits_of(self.mask.read(start, stop)).astype(dtype, copy=False)

    def _lacking(self, what: str, names: Sequence[str]) -> str:
        kind = "integers in " if what == "flags" else ""
        return (
            f"{what}: expected {kind}an extension {' or '.join(names)} of the image's shape, with "
            f"EXTVER {self.image.hdu.version} or none, got {self.contents}; CCDData.write makes one"
        )

    def whole(self) -> np.ma.MaskedArray[Any, Any]:
        """Return all samples, decoded."""
        return read_whole(self)


def _flagged(samples: Samples, flags: Flags) -> NDArray[np.bool_]:
    if flags.given:
        blank = None if samples.blank is None else samples.data == samples.blank
        marked = invalid_by_flags(bits_of(samples), flags)
        return marked if blank is None else marked | blank
    if (samples.bscale, samples.bzero, samples.blank) == (1.0, 0.0, None):
        invalid: NDArray[np.bool_] = samples.data != 0
        return invalid
    values, invalid = decode(samples, np.dtype(np.float64))
    invalid |= values != 0
    return invalid


def open_file(
    name: str,
    hdu: HduKey | None,
    unit: units.UnitBase | None,
    flags: Flags,
    masks: Sequence[str],
    given: Image | None = None,
) -> FitsFrame:
    """Open the FITS file `name` as a frame, reading only headers.

    Planes in separate files, as `given`, take precedence over extensions of this file. Among the
    extensions, the first of `masks` masks whichever image is read, as in `CCDData.read`; where
    extensions have an EXTVER, only the one with the EXTVER of the image does. The same holds for
    uncertainties.

    Raises
    ------
    FrameError
        Where a file is unusable, has no such image, the image has no unit, or `flags` are
        given for a mask without bits.
    """
    with reading(name), quiet():
        hdus, gzipped = scan(name)
        chosen = first_image(name, hdus) if hdu is None else named_image(name, hdus, hdu)
        if hdu is None:
            warn_of_equal_images(name, chosen, hdus)
        image = open_plane(name, chosen, gzipped)
        header = _frame_header(image, hdus[0], inherits=hdu is None)
        own = _unit(name if given is None else os.fsdecode(given.data), header, unit)
        separate = {} if given is None else open_separate_planes(given, image, header)
        opened = _OpenedImage(name, image, hdus, gzipped)
        return FitsFrame(
            name=name,
            image=image,
            mask=_mask_of(opened, separate.get("mask"), masks, flags),
            unit=choose_unit(name, own, unit),
            header=header,
            coordinates=Coordinates(name=name, header=header, stamp=chosen.stamp),
            flags=flags,
            variance=_variance_of(
                opened,
                separate.get("weight") or separate.get("variance"),
                unit if own is None else own,
                read_text(header, "BUNIT"),
            ),
            contents=hdus_in_words(hdus),
            weight=separate["weight"].plane if "weight" in separate else None,
            separate_planes=tuple(separate.values()),
        )


def coordinates_in_file(
    name: str, hdu: HduKey | None
) -> tuple[Iterator[tuple[Coordinates, Shape]], str]:
    """Return the coordinates and shapes of the two-dimensional images in a file, and its HDUs.

    The coordinates are those that frames would have. The image that `open_file` would choose comes
    first, companions last; where `hdu` is given, there is only that image. Each image is opened
    when the iterator reaches it. The HDUs are in words, for error messages.

    Raises
    ------
    FrameError
        Where the file is unusable, or has no such image.
    """
    with reading(name):
        hdus, gzipped = scan(name)
    chosen = first_image(name, hdus) if hdu is None else named_image(name, hdus, hdu)
    others = [one for one in hdus if one.has_image and one is not chosen] if hdu is None else []

    def places() -> Iterator[tuple[Coordinates, Shape]]:
        for image in (chosen, *sorted(others, key=is_companion)):
            if len(image.shape) == 2:
                with reading(name), quiet():
                    plane = open_plane(name, image, gzipped)
                    header = _frame_header(plane, hdus[0], hdu is None and image is chosen)
                yield Coordinates(name=name, header=header, stamp=image.stamp), image.shape

    return places(), hdus_in_words(hdus)


@dataclass(frozen=True, slots=True, eq=False)
class _OpenedImage:
    """An opened image and the file that it is in."""

    name: str
    image: Plane
    hdus: list[Hdu]
    gzipped: bool

    def beside(self, names: Sequence[str], separate: SeparatePlane | None) -> Hdu | None:
        """Return the extension of one of `names` for the image, unless `separate` replaces it."""
        found = find_beside(self.image.hdu, self.hdus, names)
        if separate is not None and found is not None:
            warn_about_file(
                _log, f"%s: using %s instead of its own {found.name}", self.name, separate
            )
        return found if separate is None else None


def _variance_of(
    opened: _OpenedImage, separate: SeparatePlane | None, unit: units.UnitBase | None, bunit: str
) -> PlaneVariance | None:
    found = opened.beside(UNCERTAINTIES, separate)
    if separate is not None:
        kind = KIND_OF_PLANE[separate.what]
        return PlaneVariance(
            separate.file, separate.hdu, separate.gzipped, opened.image, unit, bunit, kind
        )
    if found is None:
        return None
    return PlaneVariance(opened.name, found, opened.gzipped, opened.image, unit, bunit)


def _mask_of(
    opened: _OpenedImage, separate: SeparatePlane | None, masks: Sequence[str], flags: Flags
) -> Plane | None:
    mask, image, name = opened.beside(masks, separate), opened.image, opened.name
    if separate is not None:
        return separate.plane
    if mask is None:
        log_other_companions(name, image.hdu, opened.hdus, masks)
        return None
    if mask.shape != image.shape:
        raise FrameError(
            name,
            f"{mask.name} extension: expected the shape of the image, {image.shape}, "
            f"got {mask.shape}",
        )
    plane = open_plane(name, mask, opened.gzipped)
    if flags.given and bits_dtype(plane) is None and not is_bools(plane):
        raise FrameError(
            name,
            f"{mask.name} extension: expected integers for flags {flags} (--bad-bits, "
            f"--good-bits), got {plane.stored.newbyteorder('=')} with BSCALE {plane.bscale:g} "
            f"and BZERO {plane.bzero:g}",
        )
    return plane


def _frame_header(image: Plane, primary: Hdu, inherits: bool) -> fits.Header:
    """Return the header of an image, with the cards of the primary HDU that it lacks.

    Cards of coordinates are added only where the image `inherits` them, as the first image does in
    `CCDData.read`: several images of one file have different positions. An INHERIT card decides
    instead, where there is one.
    """
    header = image.header.copy()
    if image.hdu.index > 0:
        own = _not_inherited(header, inherits)
        for card in primary.header.copy(strip=True).cards:
            if any(pattern.fullmatch(card.keyword) for pattern in own):
                continue
            if card.keyword in ("COMMENT", "HISTORY") or card.keyword not in header:
                header.append(card, end=True)
    for key in _STORAGE:
        header.remove(key, ignore_missing=True, remove_all=True)
    return header


def _not_inherited(header: fits.Header, inherits: bool) -> list[re.Pattern[str]]:
    """Return patterns of coordinate cards that an extension does not take from the primary HDU.

    An extension that describes its axes (CTYPE) takes no cards of positions, and one that has any
    card of the celestial system takes none of these. One that has either form of the matrix, CD or
    PC/CDELT/CROTA, does not take the other form.
    """
    inherits = header.get("INHERIT", inherits) is True
    has_axes = any(re.fullmatch(r"CTYPE\d+", key) for key in header)
    has_system = any(map(CELESTIAL_SYSTEM.fullmatch, header))
    found = [PIXEL_MAPPING] * (not inherits or has_axes) + [CELESTIAL_SYSTEM] * (
        not inherits or has_system
    )
    other = other_matrix(header)
    return found if other is None else [*found, other]


def _unit(name: str, header: fits.Header, given: units.UnitBase | None) -> units.UnitBase | None:
    """Return the unit that BUNIT names; None, only where one is `given`, if it names none."""
    text = read_text(header, "BUNIT")
    try:
        if text:
            return unit_of(text)
        problem = "expected a unit, got no BUNIT in the header"
        if "BUNIT" in header:
            problem = "expected a unit, got an empty BUNIT (unit='' is dimensionless)"
    except ValueError:
        problem = f"expected a unit that astropy knows, got BUNIT {text!r}"
    if given is None:
        raise FrameError(name, f"{problem}; give unit= (--unit on the command line)")
    if text:
        change = f"using the given unit {given} instead of its own, {text!r}, which is unknown"
        warn_about_file(_log, f"%s: {change.replace('%', '%%')}", name)
    return None
