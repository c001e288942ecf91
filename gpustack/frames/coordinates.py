"""World coordinates of a frame, built on first use: astropy.wcs is slow to load."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from astropy.io import fits

from gpustack.cards import wcs_keywords
from gpustack.cards.numbers import read_number, words_of
from gpustack.checks import real
from gpustack.errors import FrameError
from gpustack.frames.hdus import quiet
from gpustack.frames.onfile import Stamp, as_hdus, reading
from gpustack.logs import logger

_log = logger(__name__)

#: Cards of distortions, which may be lookup tables in other HDUs.
_TABLES = re.compile(r"(CPDIS|D2IMDIS)[1-9]")

#: Cards of sizes, and the largest valid value of each. wcslib accepts 32 axes, but first allocates
#: matrices: 20,000 axes take minutes and gigabytes, and 65,536 end the process. astropy looks up
#: each coefficient of a SIP polynomial, whose keywords have room for two digits: order 3000 takes
#: half a minute.
_SIZES = {re.compile("WCSAXES[A-Z]?"): 32, re.compile("(A|B|AP|BP)_ORDER"): 99}


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The world coordinates that came with an image.

    Parameters
    ----------
    given : astropy.wcs.WCS, another WCS that follows APE 14, or None
        The WCS of an image in memory, or of a grid.
    name : str
        The name of the image, for messages; for an image in a file, the name of the file.
    header : astropy.io.fits.Header or None
        The header of an image in a file, whose cards describe the coordinates.
    stamp : Stamp or None
        The state of the file, which may hold lookup tables for the coordinates.
    of_grid : bool
        Whether they describe a grid that the image was aligned to, possibly another image's.
    """

    given: Any = None
    name: str = ""
    header: fits.Header | None = None
    stamp: Stamp | None = None
    of_grid: bool = False

    @property
    def of_file(self) -> bool:
        """Whether the header of a file describes the coordinates."""
        return self.header is not None

    @property
    def in_memory(self) -> bool:
        """Whether they came with an image in memory.

        Then the WCS may hold cards that `CCDData.read` has taken out of the header.
        """
        return not (self.of_file or self.of_grid)

    @property
    def wcs(self) -> Any:
        """The WCS; None where there is none, or none that wcslib accepts.

        Raises
        ------
        FrameError
            Where the file that holds its lookup tables has changed or is gone.
        """
        return self._made[0]

    @property
    def fault(self) -> str:
        """Why there is no WCS, for error messages."""
        return self._made[1]

    @cached_property
    def _made(self) -> tuple[Any, str]:
        if self.header is None:
            return self.given, "none"
        no_axes = "none (no CTYPE)"
        if not any(key.startswith("CTYPE") for key in self.header):
            return None, no_axes
        from astropy.wcs import WCS

        try:
            with quiet(), self._tables() as hdus:
                wcs = WCS(_checked_sizes(_with_numbers(self.header)), hdus)
                return (wcs if any(wcs.wcs.ctype) else None), no_axes
        except FrameError:
            raise
        except Exception as err:  # noqa: BLE001 - wcslib raises errors of many kinds
            problem = " ".join(str(err).split())
            _log.debug("%s: world coordinates left out: %s", self.name, problem)
            return None, f"one that wcslib does not accept: {problem}"

    @contextmanager
    def _tables(self) -> Iterator[Any]:
        """Yield the open file where the coordinates have lookup tables in other HDUs, else None."""
        has_tables = any(_TABLES.fullmatch(key) for key in self.header or ())
        if self.stamp is None or not has_tables:
            yield None
            return
        with reading(self.name), as_hdus(self.name, self.stamp) as hdus:
            yield hdus


def _with_numbers(header: fits.Header) -> fits.Header:
    """Return a header in which quoted numbers are numbers: wcslib would read the text as 0.

    An EQUINOX such as ``'J2000'`` stays as it is, as wcslib ignores it.

    Raises
    ------
    ValueError
        Where a card that determines the positions of pixels holds no number.
    """
    keys = {key for key in header if wcs_keywords.NUMBERS.fullmatch(key)}
    texts = {key for key in keys if not _is_number(header, key)}
    if not texts:
        return header
    told = header.copy()
    for key in texts:
        number = read_number(header, key)
        if not math.isnan(number):
            told[key] = number
        elif wcs_keywords.PIXEL_MAPPING.fullmatch(key):
            raise ValueError(f"expected a number in {key}, got {words_of(header, key)}")
    return told


def _checked_sizes(header: fits.Header) -> fits.Header:
    """Return the header itself; raise ValueError where one of its `_SIZES` is too large."""
    for card in header.cards:  # each of several with one keyword: wcslib takes the largest
        for pattern, most in _SIZES.items():
            if pattern.fullmatch(card.keyword) and real(card.value) > most:
                raise ValueError(f"expected {card.keyword} <= {most}, got {card.value}")
    return header


def _is_number(header: fits.Header, key: str) -> bool:
    try:
        return not isinstance(header[key], str)
    except fits.VerifyError:
        return False
