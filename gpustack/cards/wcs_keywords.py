"""Patterns for the keywords of header cards that describe world coordinates.

They cover the FITS standard 4.0, section 8, where a letter at the end of a keyword marks an
alternative description; distortions (SIP, lookup tables); and cards of older files.
"""

import re
from collections.abc import Iterable

_AXES = r"(CTYPE|CUNIT|CRPIX|CRVAL|CDELT|CROTA|CNAME|CRDER|CSYER)\d+"
_MATRIX = r"(CD|PC|PV|PS)\d+_\d+"
_POLES = r"(WCSAXES|LONPOLE|LATPOLE)"
_SYSTEM = r"(WCSNAME|EQUINOX|RADESYS)"
_POLYNOMIALS = r"(A|B|AP|BP)_(ORDER|DMAX|\d+_\d+)"
_TABLES = r"(CPDIS|CPERR|D2IMDIS|D2IMERR|DP|D2IM)\d(\.[\w.]+)?"
_OLD_MATRIX = r"(CD|PC)\d{6}"
_OLD_SYSTEM = r"RADECSYS|EPOCH"
_PHYSICAL = r"[ADL]T[MV]\d(_\d)?|WAT\d_\d{3}|WCSDIM"

#: Cards that hold a number.
NUMBERS = re.compile(
    r"((CRPIX|CRVAL|CDELT|CROTA)\d+|(CD|PC|PV)\d+_\d+|LONPOLE|LATPOLE|EQUINOX)[A-Z]?"
    rf"|{_POLYNOMIALS}|{_OLD_MATRIX}"
)

#: Cards of lookup tables, which lie in other HDUs.
OF_TABLES = re.compile(_TABLES)

#: Cards that map pixels to world coordinates, without those of the celestial reference system.
PIXEL_MAPPING = re.compile(
    rf"({_AXES}|{_MATRIX}|{_POLES})[A-Z]?|{_POLYNOMIALS}|{_TABLES}|{_OLD_MATRIX}"
)

#: Cards of the celestial reference system.
CELESTIAL_SYSTEM = re.compile(rf"(EQUINOX|RADESYS)|{_OLD_SYSTEM}")

#: Cards that `astropy.wcs.WCS.to_header` writes in another form or not at all.
REWRITTEN_BY_ASTROPY = re.compile(
    rf"{_MATRIX}[A-Z]?|(CROTA|CDELT)\d+|{_POLYNOMIALS}|{_TABLES}|{_OLD_MATRIX}"
)

#: All cards of coordinates, including those of detector pixels (LTV, LTM) and of IRAF (WAT).
ANY = re.compile(rf"{PIXEL_MAPPING.pattern}|{_SYSTEM}[A-Z]?|{_OLD_SYSTEM}|{_PHYSICAL}")

#: Cards that `astropy.wcs.WCS.to_header` does not replace, and that contradict the cards of another
#: WCS: alternative descriptions, older names of the system, detector pixels.
LEFT_OVER = re.compile(rf"({_AXES}|{_MATRIX}|{_POLES}|{_SYSTEM})[A-Z]|{_OLD_SYSTEM}|{_PHYSICAL}")

_CD = re.compile(r"CD\d+_\d+|CD\d{6}")
_NOT_CD = re.compile(r"PC\d+_\d+|PC\d{6}|(CDELT|CROTA)\d+")


def other_matrix(header: Iterable[str]) -> re.Pattern[str] | None:
    """Cards of the pixel matrix in the form that a header does not use; None if it uses neither.

    The forms are CD, and PC or CROTA with CDELT.
    """
    keys = tuple(header)
    for own, other in ((_CD, _NOT_CD), (_NOT_CD, _CD)):
        if any(map(own.fullmatch, keys)):
            return other
    return None
