"""The clips: frozen values that say which samples of a column are rejected.

A clip checks itself when it is made, and prints in the form in which `parse_clip`
reads it.
"""

import math
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, get_args

from gpustack.checks import FLOAT_MIN, bound, check, tidy, whole, word

Spread = Literal["std", "mad_std"]
Statistic = Literal["median", "mean"]
Among = Literal["valid", "all"]


class _Clip:
    """What all clips share: the short name and one-line text."""

    __slots__ = ()
    name: ClassVar[str]

    def __str__(self) -> str:
        body = ",".join(
            f"{field.name}={_text(getattr(self, field.name))}"
            for field in fields(self)  # type: ignore[arg-type]
        )
        return f"{self.name}:{body}"


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value)


@dataclass(frozen=True, slots=True)
class RangeClip(_Clip):
    """Reject samples outside ``[low, high]``, on the values as they are in the frames.

    Parameters
    ----------
    low, high : float or None
        Samples ``< low`` or ``> high`` are rejected; None is no bound. In the unit
        of the frames, before any scale or zero.

    References
    ----------
    IRAF imcombine ``lthreshold``, ``hthreshold``; ccdproc `Combiner.minmax_clipping`.
    """

    low: float | None = None
    high: float | None = None
    name: ClassVar[str] = "range"

    def __post_init__(self) -> None:
        expected = "a finite number"
        tidy(
            self,
            low=bound("RangeClip low", self.low, expected, -math.inf, FLOAT_MIN),
            high=bound("RangeClip high", self.high, expected, math.inf, FLOAT_MIN),
        )
        if self.low is not None and self.high is not None:
            check(
                self.low <= self.high,
                f"RangeClip: expected low <= high, got low={self.low} and high={self.high}",
            )


@dataclass(frozen=True, slots=True)
class ExtremaClip(_Clip):
    """Reject the `nlow` lowest and the `nhigh` highest samples of every column.

    Equal samples rank by frame: the earlier frame counts as the lower one. A column
    with no more than ``nlow + nhigh`` samples left keeps none.

    Parameters
    ----------
    nlow, nhigh : int
        How many to reject on each side.
    among : {"valid", "all"}
        ``"valid"``: the lowest and highest of the samples that are still in.
        ``"all"``: of all frames, masked samples too, with NaN ranked highest, as
        ccdproc does; a masked sample then uses up one of the `nlow` or `nhigh`.

    References
    ----------
    IRAF imcombine ``reject=minmax``; ccdproc `Combiner.clip_extrema`.
    """

    nlow: int = 1
    nhigh: int = 1
    among: Among = "valid"
    name: ClassVar[str] = "extrema"

    def __post_init__(self) -> None:
        tidy(
            self,
            nlow=whole("ExtremaClip nlow", self.nlow, 0),
            nhigh=whole("ExtremaClip nhigh", self.nhigh, 0),
            among=word("ExtremaClip among", self.among, get_args(Among)),
        )


@dataclass(frozen=True, slots=True)
class SigmaClip(_Clip):
    """Reject samples further than `low` or `high` spreads from the centre, and repeat.

    A sample x survives when ``center - low * spread <= x <= center + high * spread``;
    the statistics are those of the samples still in. Where the spread is undefined
    (no more than `ddof` samples), nothing is rejected.

    Parameters
    ----------
    low, high : float or None
        Thresholds in units of the spread, >= 0; None rejects nothing on that side.
    center : {"median", "mean"}
        What deviations are measured from.
    spread : {"std", "mad_std"}
        ``"std"``: standard deviation about the mean, whatever `center` is.
        ``"mad_std"``: 1.4826 times the median absolute deviation about the median.
    maxiters : int or None
        At most so many passes; None repeats until nothing more is rejected.
    ddof : int
        The standard deviation divides by ``n - ddof``. 0 is astropy's and ccdproc's,
        1 is IRAF's and Siril's.

    References
    ----------
    `astropy.stats.sigma_clip`; IRAF imcombine ``reject=sigclip``;
    ccdproc `Combiner.sigma_clipping`.
    """

    low: float | None = 3.0
    high: float | None = 3.0
    center: Statistic = "median"
    spread: Spread = "std"
    maxiters: int | None = None
    ddof: int = 0
    name: ClassVar[str] = "sigma"

    def __post_init__(self) -> None:
        expected = "a number >= 0"
        tidy(
            self,
            low=bound("SigmaClip low", self.low, expected, math.inf, 0),
            high=bound("SigmaClip high", self.high, expected, math.inf, 0),
            center=word("SigmaClip center", self.center, get_args(Statistic)),
            spread=word("SigmaClip spread", self.spread, get_args(Spread)),
            ddof=whole("SigmaClip ddof", self.ddof, 0),
        )
        if self.maxiters is not None:
            tidy(self, maxiters=whole("SigmaClip maxiters", self.maxiters, 1))
        check(
            self.ddof == 0 or self.spread == "std",
            f"SigmaClip ddof: only spread='std' has one, got ddof={self.ddof} "
            f"with spread={self.spread!r}",
        )


Clip = RangeClip | ExtremaClip | SigmaClip
CLIPS: dict[str, type[Clip]] = {clip.name: clip for clip in (RangeClip, ExtremaClip, SigmaClip)}


def parse_clip(text: str) -> Clip:
    """A clip from its text ``NAME:field=value,...``, the form in which it prints.

    Examples
    --------
    >>> parse_clip("sigma:low=3,high=none,spread=mad_std")
    SigmaClip(low=3.0, high=None, center='median', spread='mad_std', maxiters=None, ddof=0)

    Raises
    ------
    RecipeError
        Where the name, a field or a value is unknown or out of its range.
    """
    name, _, body = text.partition(":")
    clip = CLIPS[word("clip", name, tuple(CLIPS))]
    known = [field.name for field in fields(clip)]
    record: dict[str, Any] = {}
    for item in body.split(",") if body else ():
        field, sign, value = item.partition("=")
        check(
            bool(sign) and field in known,
            f"clip {name}: expected field=value with field one of {', '.join(known)}, "
            f"got {item!r} in {text!r}",
        )
        check(field not in record, f"clip {name}: expected {field} once, got it again in {text!r}")
        record[field] = _parse_value(value)
    return clip(**record)


def _parse_value(text: str) -> int | float | str | None:
    if text.lower() == "none":
        return None
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text
