"""Headers that are safe to read: cards that break the FITS standard are repaired or set aside.

astropy parses a card only when its value is used, and raises then. One bad card, such as a
camera's ``EXPTIME = 30 s``, should not end a run, so all cards are checked when a file is opened.
"""

import re
from collections.abc import Iterator

from astropy.io import fits

from gpustack.logs import logger

_log = logger(__name__)

#: Length of a card (FITS standard 4.0, section 3.3.1), and of a card without its keyword.
CARD, _TEXT = 80, 72

#: Headers are printable ASCII (FITS standard 4.0, section 3.2.2); other bytes become "?", as in
#: astropy.
_PRINTABLE = bytes(byte if 32 <= byte < 127 else ord("?") for byte in range(256))

#: Cards that are valid for sure (FITS standard 4.0, sections 4.1 and 4.2; HIERARCH keyword
#: convention). Most cards are, and astropy takes 20 times as long to check one.
_VALID_CARD = re.compile(
    r"(?:COMMENT |HISTORY | {8}).*"
    r"|(?:(?=.{8}= )[A-Z0-9_-]+ *|HIERARCH [A-Z0-9_-]+(?: [A-Z0-9_-]+)* *)= +"
    r"(?:'(?:[^']|'')*'|[TF]|[+-]?(?:\d+\.?\d*|\.\d+)(?:[ED][+-]?\d+)?)? *(?:/.*)?"
)


def parse(name: str, raw: bytes) -> fits.Header:
    """Parse the header of file `name`, so that reading any of its values does not raise.

    Where astropy can read a value only as text, it becomes that text. A card that astropy cannot
    mend becomes a COMMENT, and the log says so.
    """
    lines: list[str] = []
    for card in _cards(raw.translate(_PRINTABLE).decode("ascii")):
        # `_VALID_CARD` accepts any text in a comment, even a wrong continuation: hence the length.
        is_valid = len(card) == CARD and _VALID_CARD.fullmatch(card)
        lines += [card] if is_valid else _repaired(name, card)
    return fits.Header.fromstring("".join(lines))


def made_safe(name: str, header: fits.Header, parsed: fits.Header) -> fits.Header:
    """Return a copy of a `header` that astropy read from file `name`, made safe as by `parse`.

    Cards that astropy cannot read are taken from `parsed`, where they are already repaired.
    """
    lines = []
    for card in header.cards:
        try:
            lines.append(str(card))
        except (fits.VerifyError, ValueError):
            if card.keyword in parsed:
                lines.append(str(parsed.cards[card.keyword]))
    return parse(name, "".join(lines).encode("ascii", "replace"))


def _cards(text: str) -> Iterator[str]:
    """Yield the cards up to END, each joined with the CONTINUE cards that follow it."""
    card = ""
    for start in range(0, len(text), CARD):
        line = text[start : start + CARD].ljust(CARD)
        if card and not line.startswith("CONTINUE"):
            yield card
            card = ""
        if line.rstrip() == "END":
            return
        card += line
    if card:
        yield card


def _repaired(name: str, text: str) -> list[str]:
    try:
        return [_as_text(fits.Card.fromstring(text))]
    except Exception:  # noqa: BLE001 - astropy raises errors of many kinds
        _log.debug("%s: card set aside as a comment: %s", name, text.strip())
        pieces = (text[at : at + _TEXT].rstrip() for at in range(0, len(text), _TEXT))
        return [f"COMMENT {piece}".ljust(CARD) for piece in pieces if piece]


def _as_text(card: fits.Card) -> str:
    """Return the card as text, repaired if necessary; raise where astropy cannot read it."""
    try:
        _read(card)
    except fits.VerifyError:
        card.verify("silentfix")
    image = str(card)
    _read(fits.Card.fromstring(image))
    return image


def _read(card: fits.Card) -> None:
    """Access all parts of a card: astropy parses them only then, and raises."""
    _ = card.keyword, card.value, card.comment
    card.verify("exception")
