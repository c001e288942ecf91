"""Which cards of a header tell of coordinates: patterns of their keywords.

Those of the FITS standard 4.0, section 8, where a letter at the end is of an alternative
description; those of distortions (SIP, lookup tables); and those that older files have.
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

#: Those that hold a number.
NUMBERS = re.compile(
    r"((CRPIX|CRVAL|CDELT|CROTA)\d+|(CD|PC|PV)\d+_\d+|LONPOLE|LATPOLE|EQUINOX)[A-Z]?"
    rf"|{_POLYNOMIALS}|{_OLD_MATRIX}"
)

#: Of lookup tables, which lie in other HDUs.
OF_TABLES = re.compile(_TABLES)

#: Those by which pixels have their place, not what the axes are of.
PLACES = re.compile(rf"({_AXES}|{_MATRIX}|{_POLES})[A-Z]?|{_POLYNOMIALS}|{_TABLES}|{_OLD_MATRIX}")

#: What axes on the sky are of.
SYSTEM = re.compile(rf"(EQUINOX|RADESYS)|{_OLD_SYSTEM}")

#: Those that `astropy.wcs.WCS.to_header` writes in another form or not at all.
OTHER_FORMS = re.compile(
    rf"{_MATRIX}[A-Z]?|(CROTA|CDELT)\d+|{_POLYNOMIALS}|{_TABLES}|{_OLD_MATRIX}"
)

#: All of them, those of detectors' pixels and of IRAF too.
ANY = re.compile(rf"{PLACES.pattern}|{_SYSTEM}[A-Z]?|{_OLD_SYSTEM}|{_PHYSICAL}")

#: Those that stay beside the cards of a `astropy.wcs.WCS` and contradict them, once it is another.
BESIDE = re.compile(rf"({_AXES}|{_MATRIX}|{_POLES}|{_SYSTEM})[A-Z]|{_OLD_SYSTEM}|{_PHYSICAL}")

_CD = re.compile(r"CD\d+_\d+|CD\d{6}")
_NOT_CD = re.compile(r"PC\d+_\d+|PC\d{6}|(CDELT|CROTA)\d+")


def other_matrix(header: Iterable[str]) -> re.Pattern[str] | None:
    """Cards that say otherwise what those of a header say of how its pixels lie; None of none."""
    keys = tuple(header)
    for own, other in ((_CD, _NOT_CD), (_NOT_CD, _CD)):
        if any(map(own.fullmatch, keys)):
            return other
    return None
