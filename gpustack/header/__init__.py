"""The header of a result: cards of the first frame, coordinates, and how the result was made.

The dates of its exposures are in `dates`.
"""

import json
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from gpustack import __version__
from gpustack.cards import wcs_keywords
from gpustack.cards.names import NAME_CARD, name_cards, printable
from gpustack.cards.numbers import read_number
from gpustack.errors import FrameError, GpustackWarning, InputError
from gpustack.frames.coordinates import Coordinates
from gpustack.frames.hdus import quiet
from gpustack.header.dates import DATE_KEYS, read_dates, set_dates
from gpustack.lazy_types import loaded
from gpustack.recipe import Recipe

#: Cards that describe the file of the first frame, and not the result. BPM, a card of IRAF, names
#: the mask of that one frame.
STRUCTURE = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|PCOUNT|GCOUNT|GROUPS|BSCALE|BZERO|BLANK|BUNIT"
    r"|BPM|TFIELDS|EXTNAME|EXTVER|EXTLEVEL|INHERIT|CHECKSUM|DATASUM|DATAMIN|DATAMAX"
    rf"|{NAME_CARD.pattern}"
    r"|Z(IMAGE|SIMPLE|TENSION|BITPIX|NAXIS\d*|EXTEND|PCOUNT|GCOUNT|TILE\d+|CMPTYPE|NAME\d+"
    r"|VAL\d+|MASKCMP|QUANTIZ|DITHER0|BLANK|SCALE|ZERO|HECKSUM|DATASUM|BLOCKED)"
)

#: The attributes of an `astropy.wcs.WCS` that are lookup tables, or None.
_TABLES_OF_A_WCS = ("cpdis1", "cpdis2", "det2im1", "det2im2")

#: Cards that are computed for a result.
_MADE = {"NCOMBINE", "DATE", "EXPTIME", "EXPTOT", "EXPMEAN"}

#: Other keywords by which cameras repeat EXPTIME.
SAME_AS_EXPTIME = ("EXPOSURE", "EXPOSED", "XPOSURE")

#: Exposures count as equal where the shortest is at least this part of the longest: shutters are
#: not more accurate.
SAME_EXPOSURE = 0.98

#: A larger NCOMBINE is no count: numbers of 300 digits would overflow when divided by.
_MOST_FRAMES = 2**63

MARK = "recipe "


def result_header(
    first: fits.Header,
    recipe: Recipe,
    names: Sequence[str],
    exposures: Sequence["ExposureRecord"],
    origins: Sequence[str] = (),
    date: str | None = None,
    present: Sequence[int] | None = None,
) -> fits.Header:
    """Return the header of a result.

    It has the cards of the first frame, except those that describe its file; NCOMBINE; the names
    of the frames (IMCMB001 and on as in IRAF; from 1000 frames on IMCM0001, and so forth);
    EXPTIME, EXPTOT and EXPMEAN in seconds, if every frame has an EXPTIME; DATE; and as HISTORY
    where the numbers of the recipe come from, and the recipe. Frames that are stacks themselves
    count as the frames they were made of in NCOMBINE, EXPTOT and EXPMEAN. For cards that say when
    an exposure began or ended see `gpustack.header.dates`.

    Parameters
    ----------
    first : Header
        The header of the first frame.
    recipe : Recipe
    names : sequence of str
        Anything but printable ASCII, which FITS requires, is escaped as in Python.
    exposures : sequence of ExposureRecord
        One per frame.
    origins : sequence of str
        In words, where the numbers of the recipe come from.
    date : str or None
        DATE; None is now.
    present : sequence of int or None
        The indices in the recipe of the frames in `names` and `exposures`; None is all.

    Raises
    ------
    FrameError
        Where `first` has a card that cannot be written.
    """
    try:
        with quiet():
            header = _without(first, {key for key in first if _is_left_out(key)})
            ncombine = sum(one.frames for one in exposures)
            header["NCOMBINE"] = (ncombine, "number of frames combined")
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
            header["DATE"] = (now if date is None else date, "UTC, file written")
            _add_exposure(header, recipe, exposures, present)
            set_dates(header, [one.dates for one in exposures], [one.frames for one in exposures])
            # Added one by one, each card would search for its place among all the others.
            header.extend([*name_cards(names), *_history_cards(recipe, origins)], end=True)
            header.tostring()  # finds a fault before the work is done
    except (fits.VerifyError, ValueError) as err:
        raise FrameError(names[0], f"expected a header that can be written, got: {err}") from err
    return header


def _is_left_out(key: str) -> bool:
    """Whether a card of the first frame is left out of the header of a result.

    Cards that are computed for results are left out: a frame that is a stack may have them, and
    more than once. Only EXPTIME stays, for results whose exposures are not all known.
    astropy reads a card with a value such as ``'EXTVER: 1'`` as one with a keyword and a field,
    ``EXTEND.EXTVER``, which would stay beside the card EXTEND: such cards are judged by keyword.
    """
    keyword, field, _ = key.partition(".")
    is_made = keyword in _MADE and (bool(field) or keyword != "EXPTIME")
    return is_made or bool(STRUCTURE.fullmatch(keyword))


def _history_cards(recipe: Recipe, origins: Sequence[str]) -> Iterator[fits.Card]:
    history = fits.Header()
    for line in (f"gpustack {__version__}: {recipe}", *origins, MARK + recipe.to_json()):
        history.add_history(printable(line))
    yield from history.cards


def _add_exposure(
    header: fits.Header,
    recipe: Recipe,
    exposures: Sequence["ExposureRecord"],
    present: Sequence[int] | None,
) -> None:
    """Set EXPTOT and EXPMEAN, and EXPTIME to the exposure that the pixel values correspond to.

    Where an exposure is not known, or the sum overflows, EXPTIME stays that of the first frame, and
    its comment says so.
    """
    times = np.array([np.nan if one.seconds is None else one.seconds for one in exposures])
    with np.errstate(all="ignore"):
        total = float(np.sum([one.total for one in exposures]))
        combined = _combined_exposure(recipe, times, present)
    if not np.isfinite([total, combined]).all():
        if np.isfinite(read_number(header, "EXPTIME")):
            header.comments["EXPTIME"] = "[s] of the first frame; not all have one"
        return
    for key in ("EXPTIME", *SAME_AS_EXPTIME):
        while key in header and header.count(key) > 1:
            del header[key, 1]
    for key in SAME_AS_EXPTIME:
        if key in header and header.get(key) == header.get("EXPTIME"):
            header[key] = combined
    header["EXPTIME"] = combined
    header["EXPTOT"] = (total, "[s] EXPTIME of all frames together")
    header["EXPMEAN"] = (total / header["NCOMBINE"], "[s] mean EXPTIME of the frames")


def _combined_exposure(
    recipe: Recipe, times: NDArray[np.float64], present: Sequence[int] | None
) -> float:
    """The exposures combined as the pixel values are, with the weights and scales of the frames.

    Scales count only where exposures differ; equal ones are scaled for another reason.

    References
    ----------
    IRAF imcombine, ``expname`` in its help.
    """
    scales, weights = (
        np.array(given)[slice(None) if present is None else list(present)]
        if isinstance(given, tuple)
        else np.ones(len(times))
        for given in (recipe.scale, recipe.weights)
    )
    if times.min() >= SAME_EXPOSURE * times.max():
        scales = np.ones(len(times))
    combined = (times * scales * weights).sum()
    if recipe.combine != "sum":
        combined /= weights.sum()  # 0 / 0 is NaN where no frame counts
    return float(f"{combined:.12g}")  # 60 s, without the rounding errors of 60 / 30 * 30


@dataclass(frozen=True, slots=True)
class ExposureRecord:
    """When and how long a frame was exposed, and how many exposures it is made of.

    Parameters
    ----------
    seconds : float or None
        EXPTIME, to which the values of the frame correspond; None where it is not known.
    total : float
        EXPTOT of a frame that is a stack, else the same as `seconds`, or 0 where not known.
    frames : int
        NCOMBINE of a frame that is a stack, else 1.
    dates : dict
        See `gpustack.header.dates.read_dates`.
    """

    seconds: float | None
    total: float
    frames: int = 1
    dates: Mapping[str, Any] = field(default_factory=dict)


def read_exposure_record(
    header: fits.Header, coordinates: Coordinates | None = None
) -> ExposureRecord:
    """Read a record from a header, and from the WCS of an image in memory; see `read_dates`."""
    seconds, frames = read_exposure(header), read_number(header, "NCOMBINE")
    from_memory = coordinates if coordinates is not None and coordinates.in_memory else None
    wcs = None if from_memory is None else fits_wcs(from_memory.wcs)
    dates = read_dates(header, wcs)
    if not 1 <= frames <= _MOST_FRAMES:  # NaN too
        return ExposureRecord(seconds, seconds or 0.0, dates=dates)
    total = read_number(header, "EXPTOT")
    return ExposureRecord(seconds, total if total >= 0 else seconds or 0.0, int(frames), dates)


def read_exposure(header: fits.Header) -> float | None:
    """EXPTIME in seconds; None if it is missing, no finite number, or negative (-1: not known)."""
    seconds = read_number(header, "EXPTIME")
    return seconds if 0 <= seconds < np.inf else None


def read_recipe(header: fits.Header) -> Recipe:
    """The recipe that made the image with this `header`.

    Raises
    ------
    InputError
        Where the header has no recipe, or not all of one.
    """
    lines = [str(line) for line in header.get("HISTORY", [])]
    starts = [i for i, line in enumerate(lines) if line.startswith(MARK + "{")]
    if not starts:
        raise InputError("header: expected HISTORY with a gpustack recipe, found none")
    text = "".join(lines[starts[-1] :]).removeprefix(MARK)
    try:
        record, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError) as err:
        raise InputError(f"header: expected a complete gpustack recipe, got {text!r:.80}") from err
    return Recipe.from_json(json.dumps(record))


def without_wcs(header: fits.Header, wcs: Any) -> fits.Header:
    """A copy of `header` without the cards of coordinates that `wcs` replaces.

    Cards of the exposure stay, such as MJD-AVG and OBSGEO-X, although `wcs` may have these too.
    """
    cards = _wcs_cards(wcs)
    if cards is None:
        return header.copy()
    replaced = set(filter(wcs_keywords.ANY.fullmatch, cards))
    return _without(
        header,
        replaced | {key for key in header if wcs_keywords.REWRITTEN_BY_ASTROPY.fullmatch(key)},
    )


def with_exposure(header: fits.Header, coordinates: Coordinates) -> fits.Header:
    """`header` with cards that `CCDData.read` moved to the WCS, such as MJD-AVG and OBSGEO-X."""
    if not coordinates.in_memory:
        return header
    cards, changed = _wcs_cards(coordinates.wcs), header.copy()
    if cards is not None:
        added = [card for card in cards.cards if not wcs_keywords.ANY.fullmatch(card.keyword)]
        changed.extend([card for card in added if card.keyword not in changed], end=True)
    return changed


def with_wcs(header: fits.Header, coordinates: Coordinates) -> fits.Header:
    """A copy of `header` that describes `coordinates`, by its own cards where these are right.

    The header of an image in memory may describe another image: `~astropy.nddata.CCDData` keeps
    its cards when it is cut out. Then all cards of coordinates are replaced, alternative ones too.
    Coordinates for which FITS has no cards are left out with a warning.
    """
    has_cards = any(key.startswith("CTYPE") for key in header)
    if (coordinates.of_file and has_cards) or (wcs := coordinates.wcs) is None:
        return header.copy()
    if has_cards and _describes(header, wcs):
        return header.copy()
    cards = _wcs_cards(wcs)
    if cards is None:
        warn_without_wcs(wcs, "FITS")
        return _without(header, filter(wcs_keywords.ANY.fullmatch, header))
    changed = _without(without_wcs(header, wcs), filter(wcs_keywords.ANY.fullmatch, header))
    added = [card for card in cards.cards if card.keyword not in (*changed, *DATE_KEYS)]
    if coordinates.of_grid:  # its other cards are of another exposure
        added = [card for card in added if wcs_keywords.ANY.fullmatch(card.keyword)]
    changed.extend(added, end=True)
    return changed


def _describes(header: fits.Header, wcs: Any) -> bool:
    """Whether the cards of a header describe `wcs`, or may approximate one that has no cards."""
    if _is_sliced(wcs):
        return False
    cards = _wcs_cards(wcs)
    if cards is None or not any(key.startswith("CTYPE") for key in cards):
        return True
    from astropy.wcs import WCS

    try:
        with quiet():
            own = WCS(_without(header, filter(wcs_keywords.OF_TABLES.fullmatch, header)))
    except Exception:  # noqa: BLE001 - wcslib raises errors of many kinds
        return False
    one, other = (dict(each) for each in (cards, _wcs_cards(own) or {}))
    keys = filter(wcs_keywords.ANY.fullmatch, {*one, *other})
    return all(one.get(key) == other.get(key) for key in keys)


def _is_sliced(wcs: Any) -> bool:
    """Whether a WCS is a slice of another one, whose cards describe the whole."""
    plain = getattr(wcs, "low_level_wcs", wcs)
    return isinstance(plain, loaded("astropy.wcs.wcsapi", "SlicedLowLevelWCS"))


def with_tables(header: fits.Header, coordinates: Coordinates) -> tuple[fits.Header, list[Any]]:
    """A header with the cards of the lookup tables of `coordinates`, and the HDUs that hold these.

    The header of a frame numbers the HDUs of its own file, so the cards are written anew. They are
    left out where the coordinates no longer have tables.
    """
    cards = {key for key in header if wcs_keywords.OF_TABLES.fullmatch(key)}
    if coordinates.of_file and not cards:
        return header, []
    changed, wcs = _without(header, cards), fits_wcs(coordinates.wcs)
    if wcs is None or not lookup_tables(wcs):
        return changed, []
    first, *tables = _in_hdus(wcs)
    changed.extend(
        [card for card in first.header.cards if wcs_keywords.OF_TABLES.fullmatch(card.keyword)]
    )
    return changed, tables


def _in_hdus(wcs: Any) -> list[Any]:
    """The HDUs of a WCS with lookup tables; without tables, and a warning, where they are unusable.

    astropy writes a table for only one of two axes, but cannot read it back.
    """
    from astropy.wcs import WCS

    try:
        with quiet():
            hdus = wcs.to_fits(relax=True)
            WCS(hdus[0].header, hdus)
    except Exception:  # noqa: BLE001 - astropy raises errors of many kinds
        message = "lookup tables of coordinates not written: astropy could not read them back"
        warnings.warn(message, GpustackWarning, stacklevel=3)
        return [fits.PrimaryHDU()]
    return list(hdus)


def warn_without_wcs(wcs: Any, where: str) -> None:
    """Warn that `where` cannot hold these world coordinates."""
    warnings.warn(
        f"coordinates left out: {where} cannot hold this {type(wcs).__name__}",
        GpustackWarning,
        stacklevel=3,
    )


def fits_wcs(wcs: Any) -> Any:
    """The `~astropy.wcs.WCS` that `wcs` is or wraps; None if it is of another kind."""
    plain = getattr(wcs, "low_level_wcs", wcs)
    return plain if isinstance(plain, loaded("astropy.wcs", "WCS")) else None


def lookup_tables(wcs: Any) -> dict[str, Any]:
    """The distortion tables that a `~astropy.wcs.WCS` has, by the names of their attributes."""
    tables = {name: getattr(wcs, name) for name in _TABLES_OF_A_WCS}
    return {name: table for name, table in tables.items() if table is not None}


def _wcs_cards(wcs: Any) -> fits.Header | None:
    """The FITS cards of a WCS with its distortions; None where FITS has none for it."""
    plain = fits_wcs(wcs)
    try:
        with quiet():
            return None if plain is None else plain.to_header(relax=True)
    except ValueError:  # from wcslib: a singular matrix, an unknown projection
        return None


def _without(header: fits.Header, keywords: Iterable[str]) -> fits.Header:
    """A copy of `header` without any card of `keywords`."""
    gone = set(keywords)
    return fits.Header([copy(card) for card in header.cards if card.keyword not in gone])
