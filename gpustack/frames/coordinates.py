"""World coordinates of a frame, made when somebody asks for them: astropy.wcs is slow to load."""

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from astropy.io import fits

from gpustack.frames.hdus import quiet

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The world coordinates that came with an image.

    Parameters
    ----------
    given : astropy.wcs.WCS, another that follows APE 14, or None
        Of an image in memory.
    name : str
        Of the image, for the log.
    header : astropy.io.fits.Header or None
        Of an image in a file, which has them as cards.
    """

    given: Any = None
    name: str = ""
    header: fits.Header | None = None

    @cached_property
    def wcs(self) -> Any:
        """They; None where there are none, or none that wcslib accepts."""
        if self.header is None:
            return self.given
        if not any(key.startswith("CTYPE") for key in self.header):
            return None
        from astropy.wcs import WCS

        try:
            with quiet():
                wcs = WCS(self.header)
                return wcs if any(wcs.wcs.ctype) else None
        except Exception as err:  # noqa: BLE001 - wcslib raises errors of many kinds
            _log.info("%s: world coordinates left out: %s", self.name, err)
            return None
