"""What lies beside an image in a FITS file, to be read with it: masks and uncertainties.

Which extensions, by EXTNAME: MASK and UNCERT of CCDData; DQ, VAR and ERR of the pipelines of
Gemini (DQ, VAR) and STScI (DQ, ERR).
"""

from collections.abc import Sequence

from gpustack.frames.hdus import Hdu
from gpustack.logs import logger

_log = logger(__name__)

#: Extensions that mask the image; of those that are there, the first.
MASKS = ("MASK", "DQ", "BPM")

#: Extensions that hold its uncertainty.
UNCERTAINTIES = ("UNCERT", "VAR", "ERR")

#: Maps that a result of ours may have beside it.
MAPS = (
    *("COUNT", "LOW", "HIGH", "REASON", "EXPOSURE", "REJECTED", "SIGMA"),
    *("COVERAGE", "WEIGHT"),
)

#: What else CCDData and the pipelines of STScI put beside it.
_OTHERS = ("PSFIMAGE", "WHT", "CON", "CTX", "AREA", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT")

_NAMES = (*MASKS, *UNCERTAINTIES, *MAPS, *_OTHERS)


def is_companion(hdu: Hdu) -> bool:
    """Whether it lies beside images, and is not the image that somebody wants."""
    return hdu.index > 0 and hdu.name in _NAMES


def find_beside(image: Hdu, hdus: Sequence[Hdu], names: Sequence[str]) -> Hdu | None:
    """The extension with the first of `names` that belongs to an image; None where none does.

    Where extensions of a name have an EXTVER, that with the one of the image alone. What is
    itself called so has none beside it.
    """
    if image.index > 0 and image.name in names:
        return None
    for name in names:
        found = [hdu for hdu in hdus if hdu.name == name and hdu.index > 0 and hdu.has_image]
        for hdu in found:
            if hdu.version == image.version:
                return hdu
        if found and not any("EXTVER" in hdu.header for hdu in found):
            return found[0]
    return None


def tell_of_others(file: str, image: Hdu, hdus: Sequence[Hdu], names: Sequence[str]) -> None:
    """Log which of `names` are there, but for other images; call it where none was found."""
    if image.index > 0 and image.name in names:
        return
    for name in names:
        if any(hdu.name == name and hdu.index > 0 and hdu.has_image for hdu in hdus):
            version = image.version
            _log.debug("%s: no %s with EXTVER %s, as the image has: none used", file, name, version)
