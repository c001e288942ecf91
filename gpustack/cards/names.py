"""Header cards with the names of the frames that a stack is made of, as IRAF writes them."""

import re
from collections.abc import Iterator, Sequence

from astropy.io import fits

#: The keywords: IMCMB001 and on; from 1000 frames on IMCM0001, and so forth.
NAME_CARD = re.compile(r"IMCMB\d{3}|IMCM\d{4}|IMC\d{5}|IM\d{6}|I\d{7}")


def name_cards(names: Sequence[str]) -> Iterator[fits.Card]:
    """Yield a card for each name, numbered from 1."""
    digits = max(3, len(str(len(names))))
    for number, name in enumerate(names, 1):
        yield fits.Card(f"{'IMCMB'[: 8 - digits]}{number:0{digits}d}", printable(name))


def names_in(header: fits.Header) -> Iterator[str]:
    """Yield the names in the cards of a header."""
    for key in filter(NAME_CARD.fullmatch, header):
        yield str(header[key])


def printable(text: str) -> str:
    """Text for a FITS card: anything but printable ASCII is escaped as in Python."""
    return re.sub("[^ -~]", lambda sign: sign[0].encode("unicode_escape").decode(), text)
