"""Masks, weights and variances of an image in separate files; see `gpustack.Image`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from gpustack.backends.base import Samples, working_dtype
from gpustack.errors import FrameError, MissingFileError
from gpustack.files import HduKey, split_hdu
from gpustack.frames.base import decode
from gpustack.frames.bits import bits_dtype, is_bools
from gpustack.frames.choose_hdu import hdus_in_words, named_image
from gpustack.frames.companions import MASKS, UNCERTAINTIES, find_beside, images_of
from gpustack.frames.hdus import Hdu, scan
from gpustack.frames.onfile import reading
from gpustack.frames.planes import Plane, open_plane
from gpustack.frames.variance import Kind, kind_of
from gpustack.images import PLANES, Image
from gpustack.logs import logger, warn_about_file

_log = logger(__name__)

#: EXTNAMEs of the images that are preferred in a separate file.
_NAMES = {"mask": MASKS, "weight": ("WEIGHT",), "variance": ("VAR", "UNCERT")}

#: The kind of uncertainty that each plane holds.
KIND_OF_PLANE: dict[str, Kind] = {"weight": "ivar", "variance": "var"}

_WORDS = {"std": "standard deviations", "var": "variances", "ivar": "inverse variances"}

#: Bytes per sample, in addition to the stored weight, that `weightless` takes.
WEIGHT_BYTES = 8 + 2


@dataclass(frozen=True, slots=True, eq=False)
class SeparatePlane:
    """A plane in a separate file that belongs to the image of a frame.

    Parameters
    ----------
    what : {"mask", "weight", "variance"}
    file, hdu, gzipped
        Where it is, and whether the file is gzip-compressed.
    plane : Plane
    """

    what: str
    file: str
    hdu: Hdu
    gzipped: bool
    plane: Plane

    def __str__(self) -> str:
        return f"{self.what} {self.file}[{self.hdu.index}]"


def open_separate_planes(
    given: Image, image: Plane, header: fits.Header
) -> dict[str, SeparatePlane]:
    """Open the planes of an image that are in separate files, reading only headers.

    The keys of the result are names of `gpustack.images.PLANES`.

    Raises
    ------
    FrameError
        Where a file is unusable, or has no image of the right shape that surely is the plane. The
        message names both files.
    """
    found = {}
    for what in PLANES:
        text = getattr(given, what)
        if text is not None:
            file, key = _file_of(what, text, image.file, header)
            with _told_of(what, image.file):
                found[what] = _opened(what, file, key, image)
    return found


@contextmanager
def _told_of(what: str, frame: str) -> Iterator[None]:
    """Add to errors about a file which plane of which frame it is."""
    try:
        yield
    except FrameError as err:
        raise type(err)(err.name, f"{err.problem} (the {what} of {frame})") from err


def _file_of(what: str, text: str, frame: str, header: fits.Header) -> tuple[str, HduKey | None]:
    """Return the file and HDU that `text` gives, or that a card of the frame names."""
    if not text.startswith("!"):
        return split_hdu(text)
    key, meant = text[1:].strip(), files_meant(text, frame, header.get)
    named: Any = header.get(key)
    if not meant:
        got = repr(named) if key in header else "no such card"
        raise FrameError(frame, f"{what} {text}: expected the header to name a file, got {got}")
    for file in meant:
        if Path(file).is_file():
            return file, split_hdu(named.strip())[1]
    raise MissingFileError(
        meant[0], f"expected the {what} that {key} of {frame} names, got no such file"
    )


def files_meant(text: str, frame: str, card: Callable[[str], Any]) -> list[str]:
    """Return the candidates for a file, of which the first that exists is meant.

    There are none where the header of the frame does not name a file.

    Parameters
    ----------
    text : str
        The mask, weight or variance of a `gpustack.Image`.
    frame : str
        The file of the frame.
    card : callable
        Takes a keyword and returns its value in the header of the frame.
    """
    if not text.startswith("!"):
        return [split_hdu(text)[0]]
    named = card(text[1:].strip())
    if not isinstance(named, str) or not named.strip():
        return []
    file, _ = split_hdu(named.strip())
    folder = Path(frame).parent
    # IRAF also names files without their extension.
    places = folder / file, folder / f"{file}.fits", Path(file), Path(f"{file}.fits")
    return [str(path) for path in places]


def _opened(what: str, file: str, key: HduKey | None, image: Plane) -> SeparatePlane:
    hdus, gzipped = scan(file)
    hdu = _counterpart(what, file, hdus, image.hdu) if key is None else named_image(file, hdus, key)
    if hdu.index == image.hdu.index and Path(file).samefile(image.file):
        raise FrameError(file, f"expected another image than the frame itself, got HDU {hdu}")
    if hdu.shape != image.shape:
        raise FrameError(
            file, f"expected the shape of the image, {image.shape}, got {hdu.shape} in HDU {hdu}"
        )
    with reading(file):
        plane = open_plane(file, hdu, gzipped)
    found = SeparatePlane(what, file, hdu, gzipped, plane)
    _check_numbers(found)
    return found


def _counterpart(what: str, file: str, hdus: list[Hdu], image: Hdu) -> Hdu:
    """Return the image in a file that surely belongs to the image of a frame."""
    named = find_beside(image, hdus, _NAMES[what])
    if named is not None:
        return named
    images = [hdu for hdu in hdus if hdu.has_image]
    alike = [hdu for hdu in images if (hdu.name, hdu.version) == (image.name, image.version)]
    if len(alike) > 1:
        alike = [hdu for hdu in alike if hdu.index == image.index]
    rest = images_of(images) or images
    for some in (alike, rest):
        if len(some) == 1:
            return some[0]
    raise FrameError(
        file,
        f"expected one image with data, or one with EXTNAME {image.name or 'none'} and EXTVER "
        f"{image.version}, as the frame has, got {hdus_in_words(hdus)}; FILE[HDU] names another",
    )


def _check_numbers(found: SeparatePlane) -> None:
    """Raise where a plane surely does not hold what it should."""
    plane = found.plane
    if found.what == "mask":
        if bits_dtype(plane) is None and not is_bools(plane):
            raise FrameError(
                found.file,
                f"expected integers in HDU {found.hdu}, got {plane.stored.newbyteorder('=')} with "
                f"BSCALE {plane.bscale:g} and BZERO {plane.bzero:g}",
            )
        return
    if found.hdu.name in UNCERTAINTIES:
        kind, expected = kind_of(found.file, found.hdu), KIND_OF_PLANE[found.what]
        if kind != expected:
            raise FrameError(
                found.file, f"expected {_WORDS[expected]}, got {_WORDS[kind]} in HDU {found.hdu}"
            )
    if found.what == "weight" and _loses_zeros(found.hdu):
        warn_about_file(
            _log,
            "%s: lossy compression may have turned weights of 0 into small ones; use a mask to "
            "exclude samples",
            found.file,
        )


def _loses_zeros(hdu: Hdu) -> bool:
    """Whether floats were quantised in a way that does not keep 0 (FITS standard 4.0, 10.2)."""
    if hdu.kind != "tiles" or hdu.header.get("ZQUANTIZ") == "SUBTRACTIVE_DITHER_2":
        return False
    count = hdu.header.get("TFIELDS", 0)
    return any(hdu.header.get(f"TTYPE{n}") == "ZSCALE" for n in range(1, count + 1))


def weightless(samples: Samples) -> NDArray[np.bool_]:
    """Return where weights are not positive finite numbers."""
    values, invalid = decode(samples, working_dtype(samples.data.dtype))
    invalid |= values <= 0
    return invalid
