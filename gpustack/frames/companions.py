"""Companions of an image in its FITS file: extensions with its mask and its uncertainty.

They are recognised by EXTNAME: MASK and UNCERT of CCDData; DQ, VAR and ERR of the pipelines of
Gemini (DQ, VAR) and STScI (DQ, ERR).
"""

from collections.abc import Sequence

from gpustack.frames.hdus import Hdu
from gpustack.logs import logger

_log = logger(__name__)

#: EXTNAMEs of masks; the first one that exists is used.
MASKS = ("MASK", "DQ", "BPM")

#: EXTNAMEs of uncertainties; the first one that exists is used.
UNCERTAINTIES = ("UNCERT", "VAR", "ERR")

#: EXTNAMEs of the maps that gpustack writes beside a result; that of flags is DQ, as of a mask.
MAPS = ("COUNT", "LOW", "HIGH", "REASON", "EXPOSURE", "REJECTED", "SIGMA", "COVERAGE", "WEIGHT")

#: Other EXTNAMEs that CCDData and the pipelines of STScI write beside an image.
_OTHERS = ("PSFIMAGE", "WHT", "CON", "CTX", "AREA", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT")

_NAMES = (*MASKS, *UNCERTAINTIES, *MAPS, *_OTHERS)


def is_companion(hdu: Hdu) -> bool:
    """Whether an HDU accompanies an image, as a mask or a map does, and is not the image."""
    return hdu.index > 0 and hdu.name in _NAMES


def images_of(hdus: Sequence[Hdu]) -> list[Hdu]:
    """The HDUs with an image that is no companion."""
    return [hdu for hdu in hdus if hdu.has_image and not is_companion(hdu)]


def find_beside(image: Hdu, hdus: Sequence[Hdu], names: Sequence[str]) -> Hdu | None:
    """Return the extension with the first of `names` that belongs to an image, or None.

    Where extensions of a name have an EXTVER, only the one with the EXTVER of the image (1 if it
    has none) belongs to it; without EXTVER, the first one belongs to every image. But if the file
    has several images and several extensions of the name, an image without EXTVER has the first of
    these that lies between it and the next image. An image whose own name is one of `names` has no
    companion.
    """
    if image.index > 0 and image.name in names:
        return None
    images = [hdu.index for hdu in images_of(hdus)]
    for name in names:
        found = [hdu for hdu in hdus if hdu.name == name and hdu.index > 0 and hdu.has_image]
        if len(found) > 1 and len(images) > 1 and "EXTVER" not in image.header:
            end = min((index for index in images if index > image.index), default=len(hdus))
            found = [hdu for hdu in found if image.index < hdu.index < end]
            if found:
                return found[0]
            continue
        for hdu in found:
            if hdu.version == image.version:
                return hdu
        if found and not any("EXTVER" in hdu.header for hdu in found):
            return found[0]
    return None


def log_other_companions(file: str, image: Hdu, hdus: Sequence[Hdu], names: Sequence[str]) -> None:
    """Log which of `names` belong to other images; for calls after `find_beside` found none."""
    if image.index > 0 and image.name in names:
        return
    for name in names:
        if any(hdu.name == name and hdu.index > 0 and hdu.has_image for hdu in hdus):
            text = "%s: ignoring %s: none has EXTVER %s, that of the image"
            _log.debug(text, file, name, image.version)
