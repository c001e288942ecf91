"""Numbers of headers, as cards hold them: those of some cameras stand in quotes."""

import math
import re

from astropy.io import fits

from gpustack.checks import real

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def read_number(header: fits.Header, key: str) -> float:
    """The finite number that a card holds, in quotes or not; NaN where there is none."""
    try:
        value = header.get(key)
    except fits.VerifyError:
        return math.nan
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    number = real(value)
    return number if math.isfinite(number) else math.nan


def words_of(header: fits.Header, key: str) -> str:
    """What there is in place of a number, for errors."""
    try:
        value = header.get(key)
    except fits.VerifyError:
        return "what is no FITS value"
    # Without a value, a card is there and has nothing to say.
    return "none" if value is None or isinstance(value, fits.card.Undefined) else repr(value)
