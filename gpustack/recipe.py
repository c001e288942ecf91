"""The recipe: a frozen description of what is done to every column of samples.

A recipe touches no array. It checks itself when it is made, prints as one line,
and turns into JSON and back, so that a result can say how it was made.
"""

import json
import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, Literal, Self, get_args

from gpustack.checks import FLOAT_MIN, bound, check, dtype_name, per_frame, some, whole, word
from gpustack.errors import RecipeError

Combine = Literal["mean", "median", "sum", "min", "max"]
Spread = Literal["std", "mad_std"]
Statistic = Literal["median", "mean"]
Among = Literal["valid", "all"]
ClipOn = Literal["normalized", "raw"]
Uncertainty = Literal["auto", "std", "mad_std"]

#: Maps that a run can make beside ``data`` and ``mask``, which it always makes.
OUTPUTS = ("uncertainty", "count", "low", "high", "rejected")


def _tidy(recipe: Any, **values: Any) -> None:
    """Put checked values in the place of the given ones."""
    for field, value in values.items():
        object.__setattr__(recipe, field, value)


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
        _tidy(
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
        _tidy(
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
        _tidy(
            self,
            low=bound("SigmaClip low", self.low, expected, math.inf, 0),
            high=bound("SigmaClip high", self.high, expected, math.inf, 0),
            center=word("SigmaClip center", self.center, get_args(Statistic)),
            spread=word("SigmaClip spread", self.spread, get_args(Spread)),
            ddof=whole("SigmaClip ddof", self.ddof, 0),
        )
        if self.maxiters is not None:
            _tidy(self, maxiters=whole("SigmaClip maxiters", self.maxiters, 1))
        check(
            self.ddof == 0 or self.spread == "std",
            f"SigmaClip ddof: only spread='std' has one, got ddof={self.ddof} "
            f"with spread={self.spread!r}",
        )


Clip = RangeClip | ExtremaClip | SigmaClip
CLIPS: dict[str, type[Clip]] = {clip.name: clip for clip in (RangeClip, ExtremaClip, SigmaClip)}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is done to every column: normalise, clips in order, combine, wanted outputs.

    Parameters
    ----------
    clips : sequence of RangeClip, ExtremaClip, SigmaClip
        Applied in order, each to the survivors of the one before.
    combine : {"mean", "median", "sum", "min", "max"}
        How the survivors become one value.
    scale, zero : sequence of float, {"median", "mean"}, or None
        ``x = (d - zero) * scale``, one number a frame. A statistic is measured on each
        frame and brings it to the first: ``scale = s_0 / s_i``, ``zero = s_i - s_0``.
    weights : sequence of float, "sample", or None
        One number >= 0 a frame; ``"sample"`` where a weight comes with every sample.
        Only a mean or a sum has weights.
    clip_on : {"normalized", "raw"}
        Whether clips see x or d. `RangeClip` always sees d.
    uncertainty : {"auto", "std", "mad_std"}
        The spread S of the survivors that the uncertainty is made of:
        ``S / sqrt(count)`` for mean and median, ``S * sqrt(count)`` for a sum.
        ``"auto"``: the standard deviation (ddof 0), for a median 1.4826 MAD, as
        ccdproc. min and max have none.
    dtype : str or None
        Of the result's data and uncertainty; None is float32 for frames of up to 16
        bits or float32, float64 for wider ones.
    outputs : sequence of {"uncertainty", "count", "low", "high", "rejected"}
        What to make beside data and mask: the uncertainty, the number of survivors,
        how many were rejected low and high, and each frame's rejected fraction.

    Raises
    ------
    RecipeError
        Where a value is out of its range or contradicts another.
    """

    clips: tuple[Clip, ...] = ()
    combine: Combine = "mean"
    scale: tuple[float, ...] | Statistic | None = None
    zero: tuple[float, ...] | Statistic | None = None
    weights: tuple[float, ...] | Literal["sample"] | None = None
    clip_on: ClipOn = "normalized"
    uncertainty: Uncertainty = "auto"
    dtype: str | None = None
    outputs: tuple[str, ...] = OUTPUTS

    def __post_init__(self) -> None:
        statistics = get_args(Statistic)
        _tidy(
            self,
            clips=_clips(self.clips),
            combine=word("combine", self.combine, get_args(Combine)),
            scale=per_frame("scale", self.scale, statistics, -math.inf),
            zero=per_frame("zero", self.zero, statistics, -math.inf),
            weights=per_frame("weights", self.weights, ("sample",), 0),
            clip_on=word("clip_on", self.clip_on, get_args(ClipOn)),
            uncertainty=word("uncertainty", self.uncertainty, get_args(Uncertainty)),
            dtype=dtype_name(self.dtype, ("float32", "float64")),
            outputs=some("outputs", self.outputs, OUTPUTS),
        )
        self._check_together()

    def _check_together(self) -> None:
        check(
            self.weights is None or self.combine in ("mean", "sum"),
            f"weights: only a mean or a sum has them, got combine={self.combine!r}",
        )
        check(
            not (isinstance(self.scale, str) and isinstance(self.zero, str)),
            f"scale={self.scale!r} and zero={self.zero!r}: one statistic cannot set both; "
            "give numbers for one of them",
        )
        if self.normalizes and self.clip_on == "normalized":
            rest = self.clips[len(self.raw_ranges) :]
            check(
                not any(isinstance(clip, RangeClip) for clip in rest),
                "RangeClip looks at the values before scale and zero: "
                "expected it before the other clips, got it after one",
            )

    @property
    def normalizes(self) -> bool:
        """Whether samples are scaled or shifted at all."""
        return self.scale is not None or self.zero is not None

    @property
    def raw_ranges(self) -> tuple[RangeClip, ...]:
        """The range clips that stand first."""
        ranges = []
        for clip in self.clips:
            if not isinstance(clip, RangeClip):
                break
            ranges.append(clip)
        return tuple(ranges)

    @property
    def spread(self) -> Spread | None:
        """The spread that the uncertainty is made of; None where there is none."""
        if "uncertainty" not in self.outputs or self.combine in ("min", "max"):
            return None
        if self.uncertainty != "auto":
            return self.uncertainty
        return "mad_std" if self.combine == "median" else "std"

    def then(self, clip: Clip) -> Self:
        """A copy of the recipe with one more clip at the end."""
        return replace(self, clips=(*self.clips, clip))

    def check_frames(self, n: int) -> None:
        """Raise RecipeError where the recipe does not fit a stack of `n` frames."""
        for name in ("scale", "zero", "weights"):
            value = getattr(self, name)
            if isinstance(value, tuple):
                text = f"{name}: expected {n} numbers, one a frame, got {len(value)}"
                check(len(value) == n, text)
        for clip in self.clips:
            if isinstance(clip, ExtremaClip):
                check(
                    clip.nlow + clip.nhigh < n,
                    f"ExtremaClip: expected nlow + nhigh < number of frames, got "
                    f"nlow={clip.nlow} + nhigh={clip.nhigh} for {n} frames",
                )

    def to_json(self) -> str:
        """The recipe as compact JSON; `from_json` turns it back."""
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        record["clips"] = [{"clip": clip.name, **asdict(clip)} for clip in self.clips]
        return json.dumps(record, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The recipe that `to_json` wrote.

        Raises
        ------
        RecipeError
            Where the text is no JSON, or not that of a recipe.
        """
        try:
            record = json.loads(text)
            check(isinstance(record, dict), f"expected an object, got {type(record).__name__}")
            clips = tuple(_clip_from_record(item) for item in record.pop("clips", ()))
            return cls(clips=clips, **record)
        except (ValueError, TypeError, AttributeError) as err:
            raise RecipeError(f"expected the JSON of a recipe, got {text!r:.80}: {err}") from err

    def __str__(self) -> str:
        steps = [
            f"{name}={_series(getattr(self, name))}"
            for name in ("scale", "zero", "weights")
            if getattr(self, name) is not None
        ]
        steps += [str(clip) for clip in self.clips]
        if self.normalizes and self.clip_on == "raw":
            steps.append("clip_on=raw")
        tail = f"{self.combine} ({self.dtype})" if self.dtype else self.combine
        return " -> ".join([*steps, tail])


def _series(value: tuple[float, ...] | str) -> str:
    if isinstance(value, str):
        return value
    shown = ",".join(f"{number:g}" for number in value[:3])
    return f"[{shown},...]x{len(value)}" if len(value) > 3 else f"[{shown}]"


def _clips(value: Any) -> tuple[Clip, ...]:
    check(
        isinstance(value, Iterable) and not isinstance(value, str),
        f"clips: expected a sequence of clip values, got {value!r}",
    )
    clips = tuple(value)
    for clip in clips:
        check(isinstance(clip, Clip), f"clips: expected clip values, got {clip!r}")
    return clips


def _clip_from_record(record: dict[str, Any]) -> Clip:
    return CLIPS[word("clip", record.pop("clip", None), tuple(CLIPS))](**record)


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
