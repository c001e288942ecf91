"""The recipe: a frozen description of what is done to every column of samples.

A recipe touches no array. It checks itself when it is made, prints as one line,
and turns into JSON and back, so that a result can say how it was made.
"""

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, Literal, Self, get_args

from gpustack.errors import RecipeError

Combine = Literal["mean", "median", "sum", "min", "max"]
Spread = Literal["std", "mad_std"]
Statistic = Literal["median", "mean"]

#: Maps that a run can make beside ``data`` and ``mask``, which it always makes.
OUTPUTS = ("uncertainty", "count", "low", "high", "rejected")


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise RecipeError(message)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    """numpy scalars as Python numbers, so that recipes compare and turn into JSON."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value


class _Clip:
    """What all clips share: the short name, one-line text, and plain numbers in fields."""

    name: ClassVar[str]

    def _tidy(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            object.__setattr__(self, field.name, _plain(getattr(self, field.name)))

    def __str__(self) -> str:
        body = ",".join(
            f"{field.name}={_text(getattr(self, field.name))}"
            for field in fields(self)  # type: ignore[arg-type]
        )
        return f"{self.name}:{body}"


def _text(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


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
        self._tidy()
        for side in ("low", "high"):
            value = getattr(self, side)
            _check(
                value is None or (_is_number(value) and not math.isnan(value)),
                f"RangeClip {side}: expected a number or None, got {value!r}",
            )
        if self.low is not None and self.high is not None:
            _check(
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
    among: Literal["valid", "all"] = "valid"
    name: ClassVar[str] = "extrema"

    def __post_init__(self) -> None:
        self._tidy()
        for side in ("nlow", "nhigh"):
            value = getattr(self, side)
            _check(
                _is_whole(value) and value >= 0,
                f"ExtremaClip {side}: expected a whole number >= 0, got {value!r}",
            )
        _check(
            self.among in ("valid", "all"),
            f"ExtremaClip among: expected 'valid' or 'all', got {self.among!r}",
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
    center: Literal["mean", "median"] = "median"
    spread: Spread = "std"
    maxiters: int | None = None
    ddof: int = 0
    name: ClassVar[str] = "sigma"

    def __post_init__(self) -> None:
        self._tidy()
        for side in ("low", "high"):
            value = getattr(self, side)
            _check(
                value is None or (_is_number(value) and value >= 0),
                f"SigmaClip {side}: expected a number >= 0 or None, got {value!r}",
            )
        _check(
            self.center in ("mean", "median"),
            f"SigmaClip center: expected 'mean' or 'median', got {self.center!r}",
        )
        _check(
            self.spread in get_args(Spread),
            f"SigmaClip spread: expected 'std' or 'mad_std', got {self.spread!r}",
        )
        _check(
            self.maxiters is None or (_is_whole(self.maxiters) and self.maxiters >= 1),
            f"SigmaClip maxiters: expected a whole number >= 1 or None, got {self.maxiters!r}",
        )
        _check(
            _is_whole(self.ddof) and self.ddof >= 0,
            f"SigmaClip ddof: expected a whole number >= 0, got {self.ddof!r}",
        )
        _check(
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
    clip_on: Literal["normalized", "raw"] = "normalized"
    uncertainty: Literal["auto", "std", "mad_std"] = "auto"
    dtype: str | None = None
    outputs: tuple[str, ...] = OUTPUTS

    def __post_init__(self) -> None:
        object.__setattr__(self, "clips", tuple(self.clips))
        object.__setattr__(self, "outputs", tuple(name for name in OUTPUTS if name in self.outputs))
        for name in ("scale", "zero", "weights"):
            object.__setattr__(self, name, _numbers(name, getattr(self, name)))
        self._check_words()
        self._check_together()

    def _check_words(self) -> None:
        for clip in self.clips:
            _check(isinstance(clip, Clip), f"clips: expected clip values, got {clip!r}")
        _check(
            self.combine in get_args(Combine),
            f"combine: expected one of {', '.join(get_args(Combine))}, got {self.combine!r}",
        )
        _check(
            self.clip_on in ("normalized", "raw"),
            f"clip_on: expected 'normalized' or 'raw', got {self.clip_on!r}",
        )
        _check(
            self.uncertainty in ("auto", *get_args(Spread)),
            f"uncertainty: expected 'auto', 'std' or 'mad_std', got {self.uncertainty!r}",
        )
        _check(
            self.dtype in (None, "float32", "float64"),
            f"dtype: expected 'float32', 'float64' or None, got {self.dtype!r}",
        )

    def _check_together(self) -> None:
        _check(
            self.weights is None or self.combine in ("mean", "sum"),
            f"weights: only a mean or a sum has them, got combine={self.combine!r}",
        )
        _check(
            not (isinstance(self.scale, str) and isinstance(self.zero, str)),
            f"scale={self.scale!r} and zero={self.zero!r}: one statistic cannot set both; "
            "give numbers for one of them",
        )
        if self.normalizes and self.clip_on == "normalized":
            rest = self.clips[len(self.raw_ranges) :]
            _check(
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
        """This recipe with one more clip at the end."""
        return replace(self, clips=(*self.clips, clip))

    def check_frames(self, n: int) -> None:
        """Raise RecipeError where the recipe does not fit a stack of `n` frames."""
        for name in ("scale", "zero", "weights"):
            value = getattr(self, name)
            _check(
                not isinstance(value, tuple) or len(value) == n,
                f"{name}: expected {n} numbers, one a frame, got "
                f"{len(value) if isinstance(value, tuple) else 0}",
            )
        for clip in self.clips:
            if isinstance(clip, ExtremaClip):
                _check(
                    clip.nlow + clip.nhigh < n,
                    f"ExtremaClip: expected nlow + nhigh < number of frames, got "
                    f"nlow={clip.nlow} + nhigh={clip.nhigh} for {n} frames",
                )

    def to_json(self) -> str:
        """The recipe as compact JSON; `from_json` turns it back."""
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        record["clips"] = [{"clip": clip.name, **asdict(clip)} for clip in self.clips]
        return json.dumps(record, separators=(",", ":"))

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
            clips = tuple(_clip_from_record(item) for item in record.pop("clips"))
            return cls(clips=clips, **record)
        except (ValueError, TypeError, KeyError, AttributeError) as err:
            raise RecipeError(f"expected the JSON of a recipe, got {text[:80]!r}: {err}") from err

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


def _numbers(name: str, value: Any) -> Any:
    """Per-frame numbers as a tuple of floats; a known word or None as it is."""
    words = ("sample",) if name == "weights" else get_args(Statistic)
    if value is None or (isinstance(value, str) and value in words):
        return value
    try:
        numbers = () if isinstance(value, str) else tuple(float(number) for number in value)
    except (TypeError, ValueError):
        numbers = ()
    _check(
        len(numbers) > 0,
        f"{name}: expected numbers, one a frame, or {' or '.join(map(repr, words))}, got {value!r}",
    )
    _check(
        all(math.isfinite(number) for number in numbers),
        f"{name}: expected finite numbers, got {value!r}",
    )
    _check(
        name != "weights" or all(number >= 0 for number in numbers),
        f"weights: expected numbers >= 0, got {value!r}",
    )
    return numbers


def _clip_from_record(record: dict[str, Any]) -> Clip:
    record = dict(record)
    return CLIPS[record.pop("clip")](**record)


def parse_clip(text: str) -> Clip:
    """A clip from its text ``NAME:field=value,...``, the form in which it prints.

    Examples
    --------
    >>> parse_clip("sigma:low=3,high=none,spread=mad_std")
    SigmaClip(low=3, high=None, center='median', spread='mad_std', maxiters=None, ddof=0)

    Raises
    ------
    RecipeError
        Where the name, a field or a value is unknown or out of its range.
    """
    name, _, body = text.partition(":")
    _check(name in CLIPS, f"clip: expected one of {', '.join(CLIPS)}, got {name!r} in {text!r}")
    known = [field.name for field in fields(CLIPS[name])]
    record: dict[str, Any] = {}
    for item in filter(None, body.split(",")):
        field, sign, value = item.partition("=")
        _check(
            bool(sign) and field in known,
            f"clip {name}: expected field=value with field one of {', '.join(known)}, "
            f"got {item!r} in {text!r}",
        )
        record[field] = _parse_value(value)
    return CLIPS[name](**record)


def _parse_value(text: str) -> int | float | str | None:
    if text.lower() == "none":
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
