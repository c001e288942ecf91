"""When a stack was exposed: cards of its first frame that are to be true of all frames."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from astropy.io import fits

from gpustack.number_cards import read_number

#: Of the beginning, the middle and the end of an exposure: those of FITS, HST and JWST, Siril.
BEGINNINGS = ("DATE-BEG", "MJD-BEG", "EXPSTART")
MIDDLES = ("DATE-AVG", "MJD-AVG", "EXPMID")
ENDS = ("DATE-END", "MJD-END", "EXPEND")

#: The seconds from beginning to end, and the clock that the others are read on.
ELAPSED, CLOCK = "TELAPSE", "TIMESYS"

#: The seconds of them that were exposed.
EFFECTIVE = "XPOSURE"

#: What stays that of the first frame.
OBSERVED = ("DATE-OBS", "MJD-OBS")

#: What is made true of all frames: the header of a result alone tells of these, no coordinates.
CARDS = (*BEGINNINGS, *MIDDLES, *ENDS, ELAPSED)

Moment = datetime | float


def read_dates(header: fits.Header, wcs: Any = None) -> dict[str, Any]:
    """What is known of when a frame was exposed: by keyword, a `Moment`; None where it is none.

    `wcs` is the `~astropy.wcs.WCS` of an image in memory: `CCDData.read` takes most of these cards
    out of the header, and keeps them there.
    """
    cards = header if wcs is None else _with_those_of(wcs, header)
    found: dict[str, Any] = {}
    for key in CARDS:
        if key in cards:
            found[key] = _date(cards, key) if key.startswith("DATE") else _number(cards, key)
    if found:
        found[CLOCK] = str(cards.get(CLOCK, "UTC")).strip().upper()
    return found


def set_dates(
    header: fits.Header, dates: Sequence[Mapping[str, Any]], frames: Sequence[int]
) -> None:
    """Make the cards of the first of several frames true of all: first beginning, last end.

    A card that not all frames have, or not by the same clock, goes. So does TELAPSE, which counts
    the time between exposures too: beginning and end tell it. DATE-OBS and MJD-OBS stay those of
    the first frame, as in IRAF.

    Parameters
    ----------
    header : Header
        That of the first frame; changed.
    dates : sequence of dict
        What `read_dates` gives of each frame.
    frames : sequence of int
        How many exposures each of them is made of: so much it counts in the middle.

    References
    ----------
    A. H. Rots et al., "Representations of time coordinates in FITS", A&A 574, A36 (2015), 4.4.
    """
    one_clock = len({one.get(CLOCK) for one in dates}) == 1
    for key in filter(dates[0].__contains__, CARDS):
        moments: list[Any] = [one.get(key) for one in dates]
        known = one_clock and all(moment is not None for moment in moments)
        if len(dates) > 1 and (not known or key == ELAPSED):
            header.remove(key, ignore_missing=True, remove_all=True)
            continue
        moment = _of_all(key, moments, frames)
        if moment is not None and (key not in header or moment != moments[0]):
            header[key] = _written(moment)


def without_dates(wcs: Any) -> Any:
    """A `~astropy.wcs.WCS` that does not tell when the image was exposed that it comes from.

    `CCDData` writes what its coordinates tell of that over the cards of its header.
    """
    keys = [key for key, _ in _told_by(wcs, (*CARDS, CLOCK, EFFECTIVE, *OBSERVED))]
    told = wcs.deepcopy() if keys else wcs
    for key in keys:
        is_text = isinstance(getattr(told.wcs, _attribute(key)), str)
        setattr(told.wcs, _attribute(key), "" if is_text else np.nan)
    return told


def _of_all(key: str, moments: Sequence[Any], frames: Sequence[int]) -> Moment | None:
    if len(moments) == 1:
        moment: Moment | None = moments[0]
    elif key in MIDDLES:
        moment = _mean(moments, frames)
    else:
        moment = min(moments) if key in BEGINNINGS else max(moments)
    return moment


def _mean(moments: Sequence[Any], frames: Sequence[int]) -> Moment:
    """About the first, for days are known to their fractions."""
    first = moments[0]
    unit = timedelta(days=1) if isinstance(first, datetime) else 1.0
    since = [(one - first) / unit for one in moments]
    mean: Moment = first + unit * float(np.average(since, weights=np.array(frames, float)))
    return mean


def _date(header: fits.Header, key: str) -> datetime | None:
    """FITS has no zones; of a date that has one, its zone is taken off."""
    try:
        moment = datetime.fromisoformat(str(header[key]).strip())
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError, fits.VerifyError):  # in the year 1 zones may overflow
        return None


def _number(header: fits.Header, key: str) -> float | None:
    number = read_number(header, key)
    return None if np.isnan(number) else number


def _with_those_of(wcs: Any, header: fits.Header) -> fits.Header:
    told = _told_by(wcs, (*CARDS, CLOCK))
    return fits.Header([*told, *((key, header[key]) for key in CARDS if key in header)])


def _told_by(wcs: Any, keys: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """Cards that a WCS has: there a text is empty, or a number NaN, where there is none."""
    for key in keys:
        value = getattr(wcs.wcs, _attribute(key), "")
        if value not in ("", None) and value == value:  # noqa: PLR0124 - NaN is not
            yield key, value


def _attribute(key: str) -> str:
    return key.replace("-", "").lower()


def _written(moment: Moment) -> str | float:
    if not isinstance(moment, datetime):
        return moment
    return moment.isoformat(
        timespec="microseconds" if moment.microsecond % 1000 else "milliseconds"
    )
