"""Texts in header cards."""

from astropy.io import fits


def read_text(header: fits.Header, key: str, default: str = "") -> str:
    """The value of a card as text, without blanks around it.

    It is `default` where there is no card, or one without a value.
    """
    value = header.get(key)
    missing = value is None or isinstance(value, fits.card.Undefined)
    return default if missing else str(value).strip()
