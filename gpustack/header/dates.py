"""Dates of exposures: read from each frame, and set in the header of a stack for all its frames."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from astropy.io import fits

from gpustack.cards.numbers import read_number
from gpustack.cards.texts import read_text

#: Keywords of the beginning, middle and end of an exposure, in FITS, HST and JWST, and Siril.
BEGINNINGS = ("DATE-BEG", "MJD-BEG", "EXPSTART")
MIDDLES = ("DATE-AVG", "MJD-AVG", "EXPMID")
ENDS = ("DATE-END", "MJD-END", "EXPEND")

#: Keywords of the seconds from beginning to end, and of the time scale of the other dates.
ELAPSED, CLOCK = "TELAPSE", "TIMESYS"

#: Keyword of the effective exposure time in seconds, at most TELAPSE.
EFFECTIVE = "XPOSURE"

#: Keywords that keep the values of the first frame.
KEPT_KEYS = ("DATE-OBS", "MJD-OBS")

#: Keywords that `set_dates` makes true of all frames. Only the header of a result has these dates:
#: they are removed from its WCS.
DATE_KEYS = (*BEGINNINGS, *MIDDLES, *ENDS, ELAPSED)

#: A date and time, or a number: a (modified) Julian date, or the seconds of TELAPSE.
Moment = datetime | float


def read_dates(header: fits.Header, wcs: Any = None) -> dict[str, Any]:
    """The dates of a frame by keyword: a `Moment`, or None where the card cannot be read as one.

    If there is any, the time scale is added as `CLOCK`. `wcs` is the `~astropy.wcs.WCS` of an image
    in memory: `CCDData.read` moves most of these cards from the header to the WCS.
    """
    cards = header if wcs is None else _with_wcs_dates(wcs, header)
    found: dict[str, Any] = {}
    for key in DATE_KEYS:
        if key in cards:
            found[key] = _date(cards, key) if key.startswith("DATE") else _number(cards, key)
    if found:
        found[CLOCK] = read_text(cards, CLOCK, "UTC").upper()
    return found


def set_dates(
    header: fits.Header, dates: Sequence[Mapping[str, Any]], frames: Sequence[int]
) -> None:
    """Make the dates of the first frame true of all frames: first beginning, last end.

    A card is removed if not all frames have it, or if their time scales differ. TELAPSE is removed
    too where there are several frames: it would include the time between exposures, and follows
    from beginning and end. DATE-OBS and MJD-OBS stay those of the first frame, as in IRAF.

    Parameters
    ----------
    header : Header
        The header of the first frame; changed.
    dates : sequence of dict
        What `read_dates` returns for each frame.
    frames : sequence of int
        How many exposures each frame is made of: its weight in the mean of the middles.

    References
    ----------
    A. H. Rots et al., "Representations of time coordinates in FITS", A&A 574, A36 (2015), 4.4.
    """
    one_clock = len({one.get(CLOCK) for one in dates}) == 1
    for key in filter(dates[0].__contains__, DATE_KEYS):
        moments: list[Any] = [one.get(key) for one in dates]
        known = one_clock and all(moment is not None for moment in moments)
        if len(dates) > 1 and (not known or key == ELAPSED):
            header.remove(key, ignore_missing=True, remove_all=True)
            continue
        moment = _combined(key, moments, frames)
        if moment is not None and (key not in header or moment != moments[0]):
            header[key] = _written(moment)


def without_dates(wcs: Any) -> Any:
    """A `~astropy.wcs.WCS` without the dates of the image that it comes from.

    `CCDData` would write the dates of its WCS over those of its header.
    """
    keys = [key for key, _ in _dates_of_wcs(wcs, (*DATE_KEYS, CLOCK, EFFECTIVE, *KEPT_KEYS))]
    changed = wcs.deepcopy() if keys else wcs
    for key in keys:
        is_text = isinstance(getattr(changed.wcs, _attribute(key)), str)
        setattr(changed.wcs, _attribute(key), "" if is_text else np.nan)
    return changed


def _combined(key: str, moments: Sequence[Any], frames: Sequence[int]) -> Moment | None:
    if len(moments) == 1:
        moment: Moment | None = moments[0]
    elif key in MIDDLES:
        moment = _mean(moments, frames)
    else:
        moment = min(moments) if key in BEGINNINGS else max(moments)
    return moment


def _mean(moments: Sequence[Any], frames: Sequence[int]) -> Moment:
    """The weighted mean; computed about the first moment, so that fractions of a day are kept."""
    first = moments[0]
    unit = timedelta(days=1) if isinstance(first, datetime) else 1.0
    since = [(one - first) / unit for one in moments]
    mean: Moment = first + unit * float(np.average(since, weights=np.array(frames, float)))
    return mean


def _date(header: fits.Header, key: str) -> datetime | None:
    """A date; one with a time zone is converted to UTC, as FITS has no zones."""
    try:
        moment = datetime.fromisoformat(str(header[key]).strip())
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError, fits.VerifyError):  # a zone can overflow in the year 1
        return None


def _number(header: fits.Header, key: str) -> float | None:
    number = read_number(header, key)
    return None if np.isnan(number) else number


def _with_wcs_dates(wcs: Any, header: fits.Header) -> fits.Header:
    of_wcs = _dates_of_wcs(wcs, (*DATE_KEYS, CLOCK))
    return fits.Header([*of_wcs, *((key, header[key]) for key in DATE_KEYS if key in header)])


def _dates_of_wcs(wcs: Any, keys: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """Dates that a WCS has, with their keywords; a date that it lacks is an empty text or NaN."""
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
