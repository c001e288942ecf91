"""Numbers in header cards, also those in quotes, as some cameras write them."""

import math
import re

from astropy.io import fits

from gpustack.checks import real

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def read_number(header: fits.Header, key: str) -> float:
    """The finite number in a card, in quotes or not; NaN where there is none."""
    try:
        value = header.get(key)
    except fits.VerifyError:
        return math.nan
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    number = real(value)
    return number if math.isfinite(number) else math.nan


def words_of(header: fits.Header, key: str) -> str:
    """The value of a card that is no number, in words, for error messages."""
    try:
        value = header.get(key)
    except fits.VerifyError:
        return "an invalid FITS value"
    return "none" if value is None else repr(value)  # `get` gives None for a card without a value
