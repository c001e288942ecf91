"""Which HDU of a FITS file is the image."""

from numbers import Integral
from typing import Any

from gpustack.checks import plain
from gpustack.errors import FrameError, InputError
from gpustack.files import HduKey, split_hdu, with_hdu
from gpustack.frames.companions import is_companion
from gpustack.frames.hdus import Hdu, scan
from gpustack.logs import logger, warn_of

_log = logger(__name__)


def checked_hdu(hdu: Any) -> HduKey | None:
    """Which HDU a caller means, None being the first image.

    Raises
    ------
    InputError
        Where it is neither a number nor a name, nor a name and EXTVER.
    """
    key = tuple(map(plain, hdu)) if isinstance(hdu, tuple) else plain(hdu)
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
    """The first image with data that lies beside no other, or is all that there is.

    Raises
    ------
    FrameError
        Where there is none.
    """
    images = [hdu for hdu in hdus if hdu.has_image]
    if not images:
        raise FrameError(name, f"expected an image with data, got {told(hdus)}")
    for found in images:
        if not is_companion(found):
            return found
    warn_of(_log, f"%s: no other image than {images[0].name}, using it", name)
    return images[0]


def images_in(name: str) -> list[HduKey]:
    """All images of a file that lie beside no other, by EXTNAME where only one has it.

    By EXTNAME and EXTVER where several share the EXTNAME, else by number.

    Raises
    ------
    FrameError
        Where the file is unusable, or has none.
    """
    hdus, _ = scan(name)
    images = [hdu for hdu in hdus if hdu.has_image and not is_companion(hdu)]
    if not images:
        raise FrameError(name, f"expected images with data, got {told(hdus)}")
    return [_key_of(name, image, images) for image in images]


def _key_of(file: str, image: Hdu, images: list[Hdu]) -> HduKey:
    """The EXTNAME of an image, with its EXTVER where others share it, or its number."""
    alike = [one.version for one in images if one.name == image.name]
    key: HduKey = image.name if len(alike) == 1 else (image.name, image.version)
    is_clear = alike.count(image.version) == 1 and split_hdu(with_hdu(file, key)) == (file, key)
    return key if is_clear else image.index


def tell_of_more(name: str, chosen: Hdu, hdus: list[Hdu]) -> None:
    """Log where other images are as large as the one taken: amplifiers, detectors, dithers."""
    alike = [
        hdu for hdu in hdus if hdu.has_image and not is_companion(hdu) and hdu.shape == chosen.shape
    ]
    if len(alike) > 1:
        warn_of(
            _log,
            "%s: %d images of shape %s; using HDU %s; hdu= (--hdu) chooses another, FILE[*] all",
            *(name, len(alike), chosen.shape, chosen.index),
        )


def named_image(name: str, hdus: list[Hdu], key: HduKey) -> Hdu:
    """The image with data in a HDU: by number, by EXTNAME, or by EXTNAME and EXTVER.

    Numbers below 0 count from the end.

    Raises
    ------
    FrameError
        Where there is none.
    """
    wanted, version = key if isinstance(key, tuple) else (key, None)
    for found in hdus:
        is_it = (
            wanted in (found.index, found.index - len(hdus))
            if isinstance(wanted, int)
            else found.name == str(wanted).strip().upper() and version in (None, found.version)
        )
        if is_it and found.has_image:
            return found
    raise FrameError(name, f"expected an image in HDU {key!r}, got {told(hdus)}")


def told(hdus: list[Hdu]) -> str:
    """What HDUs there are, for errors."""
    return "HDUs " + "; ".join(map(str, hdus))
