"""The choice of the HDU of a FITS file that is the image."""

from numbers import Integral
from typing import Any

from gpustack.checks import unwrap_scalar
from gpustack.errors import FrameError, InputError
from gpustack.files import ALL, HduKey, split_hdu, with_hdu
from gpustack.frames.companions import images_of
from gpustack.frames.hdus import Hdu, scan
from gpustack.logs import logger, warn_about_file

_log = logger(__name__)


def checked_hdu(hdu: Any) -> HduKey | None:
    """Check the `hdu` of a caller and return it in plain types; None means the first image.

    Raises
    ------
    InputError
        Where it is not a number, a name, or a pair of name and EXTVER.
    """
    key = tuple(map(unwrap_scalar, hdu)) if isinstance(hdu, tuple) else unwrap_scalar(hdu)
    match key:
        case bool() | (_, bool()):
            pass
        case None | str():
            return key
        case Integral():
            return int(key)
        case str() as name, Integral() as version:
            return name, int(version)
    raise InputError(f"hdu: expected a number, an EXTNAME, or both EXTNAME and EXTVER, got {hdu!r}")


def first_image(name: str, hdus: list[Hdu]) -> Hdu:
    """Return the first image with data that is not a companion, else the first companion.

    Raises
    ------
    FrameError
        Where there is no image with data.
    """
    images = [hdu for hdu in hdus if hdu.has_image]
    if not images:
        raise FrameError(name, f"expected an image with data, got {hdus_in_words(hdus)}")
    if own := images_of(hdus):
        return own[0]
    warn_about_file(
        _log, f"%s: no image but masks, maps and the like; using {images[0].name}", name
    )
    return images[0]


def images_in(name: str) -> list[HduKey]:
    """The HDUs of all images in a file, companions aside.

    Each is named by EXTNAME, by EXTNAME and EXTVER where several share the EXTNAME, or by number.

    Raises
    ------
    FrameError
        Where the file is unusable, or has none.
    """
    hdus, _ = scan(name)
    images = images_of(hdus)
    if not images:
        found = hdus_in_words(hdus)
        raise FrameError(name, f"expected images other than masks and maps, got {found}")
    integers = [hdu for hdu in images if _holds_integers(hdu)]
    if 0 < len(integers) < len(images):
        warn_about_file(
            _log,
            "%s: [*] also reads images of integers, such as HDU %s, beside images of floats; name "
            "the images one by one if these are masks",
            *(name, integers[0]),
        )
    return [_key_of(name, image, images) for image in images]


def _holds_integers(hdu: Hdu) -> bool:
    """Whether the values of an image are integers, as those of masks are."""
    bits = hdu.header.get("ZBITPIX", hdu.header.get("BITPIX"))  # not checked before it is opened
    return isinstance(bits, int) and bits > 0 and bool(hdu.header.get("BSCALE", 1) == 1)


def _key_of(file: str, image: Hdu, images: list[Hdu]) -> HduKey:
    """The shortest clear name of an image: EXTNAME, EXTNAME and EXTVER, or number."""
    alike = [one.version for one in images if one.name == image.name]
    key: HduKey = image.name if len(alike) == 1 else (image.name, image.version)
    is_clear = alike.count(image.version) == 1 and split_hdu(with_hdu(file, key)) == (file, key)
    return key if is_clear and key != ALL else image.index


def warn_of_equal_images(name: str, chosen: Hdu, hdus: list[Hdu]) -> None:
    """Warn where several images have the chosen shape: amplifiers, detectors, dithers."""
    alike = [hdu for hdu in images_of(hdus) if hdu.shape == chosen.shape]
    if len(alike) > 1:
        warn_about_file(
            _log,
            "%s: %d images of shape %s; using HDU %s; hdu= (--hdu) chooses one, FILE[*] reads all",
            *(name, len(alike), chosen.shape, chosen.index),
        )


def named_image(name: str, hdus: list[Hdu], key: HduKey) -> Hdu:
    """Return the image with data in the HDU of a number, EXTNAME, or EXTNAME and EXTVER.

    Negative numbers count from the end.

    Raises
    ------
    FrameError
        Where there is no such HDU, or no image with data in it.
    """
    if key == ALL:
        raise FrameError(name, f"expected one HDU, got [{ALL}], which only frames may have")
    wanted, version = key if isinstance(key, tuple) else (key, None)
    for found in hdus:
        is_it = (
            wanted in (found.index, found.index - len(hdus))
            if isinstance(wanted, int)
            else found.name == str(wanted).strip().upper() and version in (None, found.version)
        )
        if is_it and found.has_image:
            return found
    raise FrameError(name, f"expected an image in HDU {key!r}, got {hdus_in_words(hdus)}")


def hdus_in_words(hdus: list[Hdu]) -> str:
    """List the HDUs of a file in words, for error messages."""
    return "HDUs " + "; ".join(map(str, hdus))
