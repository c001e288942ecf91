"""The recipe: a frozen description of what is done to every column of samples.

A recipe touches no array. It checks its values on creation, prints as one line, and converts to
JSON and back, so that a result can record how it was made.
"""

import json
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self, get_args

from gpustack import combines
from gpustack.checks import check, dtype_name, set_fields, word, words_in_order
from gpustack.clips import (
    AvgSigmaClip,
    Clip,
    ExtremaClip,
    Grow,
    LinearFitClip,
    NoiseClip,
    RangeClip,
    RowSigmaClip,
    SigmaClip,
    SigmaMedianClip,
    Spread,
    VarianceClip,
    as_clips,
    check_grow,
    check_replacing,
    clip_from_record,
)
from gpustack.combines import AVERAGES, MEDIANS, WEIGHTED, Combine, NoiseModel, as_combine
from gpustack.errors import RecipeError
from gpustack.markup import escape, items
from gpustack.measures import Measure, check_pair, tidy_numbers
from gpustack.measures.parse import from_record, to_record
from gpustack.plain_words import recipe_words
from gpustack.value_texts import shown_fields

ClipOn = Literal["normalized", "raw"]
Uncertainty = Literal["auto", "std", "mad_std", "propagated"]

#: A measure or its text; see `gpustack.measures`. The type is Any because backends, which only get
#: recipes whose measures have become numbers, index these fields.
MeasureOrText = Any

#: Outputs that a run makes by default. It always makes ``data`` and ``mask``.
OUTPUTS = ("uncertainty", "count", "low", "high", "rejected")

#: Maps that a run makes on request, from the reasons of all samples; see `gpustack.maps`.
MAPS = ("reason", "exposure", "rejections", "flags", "sigma", "coverage", "weight")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is done to every column (normalise, clip, combine), and which outputs are made.

    Parameters
    ----------
    clips : sequence of clips, see `gpustack.clips`
        Applied in order, each to the survivors of the one before.
    combine : word, NoiseModel or its text
        How the survivors become one value: ``"mean"``, ``"median"``, ``"lower_median"``,
        ``"lmedian"``, ``"sum"``, ``"quadrature"``, ``"min"``, ``"max"``, or by a
        `gpustack.combines.NoiseModel`. For an even count, ``"median"`` is the mean of the two
        middle samples and ``"lower_median"`` the lower one. ``"lmedian"``, as in IRAF, is the lower
        one of two samples, else the median. ``"quadrature"`` treats samples as standard deviations
        and returns that of their mean, ``sqrt(sum (w x)^2) / sum w``. A `NoiseModel` is a
        quadrature whose x are computed.
    scale, zero : sequence of float, measure or its text, or None
        ``x = (d - zero) * scale``, with one number per frame, or a measure that it is taken from;
        see `gpustack.measures`.
    weights : sequence of float, measure or its text, "sample", "variance", or None
        One number >= 0 per frame, or a measure that it is taken from. ``"sample"``: every sample
        comes with its own weight. ``"variance"``: the inverse of the variance of each sample,
        which its frame provides, ``1 / (variance scale^2)``, or 0 where that is not a positive
        number. Medians, min and max take no weights.
    clip_on : {"normalized", "raw"}
        Whether clips see the normalised samples x or the raw samples d. `RangeClip` always sees d.
    uncertainty : {"auto", "std", "mad_std", "propagated"}
        The spread S of the survivors from which the uncertainty is computed:
        ``S / sqrt(count)`` for mean and median, ``S * sqrt(count)`` for a sum. ``"auto"``: the
        standard deviation (ddof 0), for medians 1.4826 MAD, as in ccdproc. ``"propagated"``: the
        uncertainty follows from the variances of the frames instead; see
        `gpustack.maps.propagated`. Quadrature, a noise model, min and max have no uncertainty.
    dtype : str or None
        The dtype of the result's data and uncertainty. None is float32 for frames of up to 16 bits
        or float32, float64 for wider ones.
    outputs : sequence of words, of `OUTPUTS` and `MAPS`
        What to make besides data and mask. By default ``"uncertainty"``; ``"count"``, how many
        samples survive; ``"low"`` and ``"high"``, how many are rejected on each side;
        ``"rejected"``, the rejected fraction of each frame. On request ``"reason"``, why samples
        are out; ``"exposure"``, the sum of the EXPTIME of the survivors; ``"rejections"``, which
        samples of each frame are rejected; ``"flags"``, the bits of the survivors' integer masks;
        ``"sigma"``, the standard deviation of the survivors about the value, for mean and medians;
        ``"coverage"``, how many samples are valid; ``"weight"``, the sum of the weights of the
        survivors.

    Raises
    ------
    RecipeError
        Where a value is out of range or contradicts another.
    """

    clips: tuple[Clip, ...] = ()
    combine: Combine = "mean"
    scale: tuple[float, ...] | MeasureOrText | None = None
    zero: tuple[float, ...] | MeasureOrText | None = None
    weights: tuple[float, ...] | MeasureOrText | Literal["sample"] | None = None
    clip_on: ClipOn = "normalized"
    uncertainty: Uncertainty = "auto"
    dtype: str | None = None
    outputs: tuple[str, ...] = OUTPUTS

    def __post_init__(self) -> None:
        per_sample = isinstance(self.weights, str) and self.weights == "sample"
        set_fields(
            self,
            clips=as_clips(self.clips),
            combine=as_combine(self.combine),
            scale=tidy_numbers("scale", self.scale),
            zero=tidy_numbers("zero", self.zero),
            weights="sample" if per_sample else tidy_numbers("weights", self.weights),
            clip_on=word("clip_on", self.clip_on, get_args(ClipOn)),
            uncertainty=word("uncertainty", self.uncertainty, get_args(Uncertainty)),
            dtype=dtype_name(self.dtype, ("float32", "float64")),
            outputs=words_in_order("outputs", self.outputs, (*OUTPUTS, *MAPS)),
        )
        self._check_together()

    def _check_together(self) -> None:
        for asked, able, what in (
            (self.weights is not None, WEIGHTED, "weights"),
            (self.uncertainty != "auto", (*AVERAGES, "sum"), f"uncertainty={self.uncertainty!r}"),
            ("sigma" in self.outputs, AVERAGES, "outputs: sigma"),
        ):
            check(
                not asked or self.method in able,
                f"{what}: expected combine {', '.join(able)}, got combine={self.method!r}",
            )
        check_pair(self.scale, self.zero)
        if isinstance(self.scale, tuple) and 0 in self.scale:
            index = self.scale.index(0)
            raise RecipeError(f"scale: expected numbers other than 0, got 0 at index {index}")
        if self.sees_normalized:
            rest = self.clips[len(self.raw_ranges) :]
            check(
                not any(isinstance(clip, RangeClip) for clip in rest),
                "RangeClip: expected it before all other clips where scale or zero are given, as "
                "it judges the values before these, got it after another clip",
            )
        check_grow(self.clips)
        check_replacing(self)

    @property
    def method(self) -> str:
        """The word for `combine`, one of `gpustack.combines.METHODS`."""
        return self.combine.name if isinstance(self.combine, NoiseModel) else self.combine

    @property
    def normalizes(self) -> bool:
        """Whether samples are scaled or shifted."""
        return self.scale is not None or self.zero is not None

    @property
    def sees_normalized(self) -> bool:
        """Whether samples are scaled or shifted before the clips."""
        return self.normalizes and self.clip_on == "normalized"

    @property
    def normalizes_late(self) -> bool:
        """Whether samples are scaled or shifted after the clips."""
        return self.normalizes and self.clip_on == "raw"

    @property
    def raw_ranges(self) -> tuple[RangeClip, ...]:
        """The range clips before all other clips."""
        ranges = []
        for clip in self.clips:
            if not isinstance(clip, RangeClip):
                break
            ranges.append(clip)
        return tuple(ranges)

    def by_frame(self, clip: Clip) -> bool:
        """Whether a clip judges each sample by its own noise, the noise of its row, or its rank.

        The survivors of all other clips are an interval of the sorted column.
        """
        match clip:
            case VarianceClip() | LinearFitClip() | AvgSigmaClip():
                return True
            case NoiseClip():
                return self.sees_normalized
            case SigmaClip():  # for raw samples, the root of the level cancels
                return clip.poisson and self.sees_normalized
        return False

    @property
    def clips_by_frame(self) -> bool:
        """Whether any clip is one `by_frame`."""
        return any(map(self.by_frame, self.clips))

    @property
    def averages_rows(self) -> bool:
        """Whether any clip uses averages over whole rows."""
        return any(isinstance(clip, AvgSigmaClip) for clip in self.clips)

    @property
    def clips_by_variance(self) -> bool:
        """Whether any clip uses the variance of each sample."""
        return any(isinstance(clip, VarianceClip) for clip in self.clips)

    @property
    def propagates(self) -> bool:
        """Whether the uncertainty is propagated from the variances of the frames."""
        return self.uncertainty == "propagated" and "uncertainty" in self.outputs

    @property
    def needs_variance(self) -> bool:
        """Whether every frame must have variances."""
        return self.clips_by_variance or self.propagates or self.weights == "variance"

    @property
    def per_sample(self) -> bool:
        """Whether each sample has a weight of its own."""
        return self.weights in ("sample", "variance")

    @property
    def grow(self) -> Grow | None:
        """The clip that rejects neighbours of rejected samples; None if there is none."""
        last = self.clips[-1] if self.clips else None
        return last if isinstance(last, Grow) else None

    @property
    def replaces(self) -> bool:
        """Whether the last clip replaces the samples that it rejects by medians."""
        return bool(self.clips) and isinstance(self.clips[-1], SigmaMedianClip)

    @property
    def spread(self) -> Spread | None:
        """The spread that the uncertainty is computed from; None if it is computed from none."""
        if "uncertainty" not in self.outputs or self.method not in (*AVERAGES, "sum"):
            return None
        if self.uncertainty == "propagated":
            return None
        if self.uncertainty != "auto":
            return self.uncertainty
        return "mad_std" if self.method in MEDIANS else "std"

    def rows(self, start: int, stop: int) -> Self:
        """The recipe for rows ``[start, stop)``: clips keep the numbers of these rows only."""
        if not any(isinstance(clip, RowSigmaClip) for clip in self.clips):
            return self
        clips = [
            clip.rows(start, stop) if isinstance(clip, RowSigmaClip) else clip
            for clip in self.clips
        ]
        return replace(self, clips=tuple(clips))

    def rejecting(self, clips: tuple[Clip, ...]) -> Self:
        """The recipe with these clips, the cheapest combine and no outputs, to find rejections."""
        return replace(
            self, clips=clips, combine="max", weights=None, uncertainty="auto", outputs=()
        )

    def check_frames(self, n: int) -> None:
        """Raise RecipeError if the recipe does not fit a stack of `n` frames."""
        for name in ("scale", "zero", "weights"):
            value = getattr(self, name)
            if isinstance(value, tuple):
                text = f"{name}: expected {n} numbers, one per frame, got {len(value)}"
                check(len(value) == n, text)
        for clip in self.clips:
            if isinstance(clip, ExtremaClip):
                check(
                    clip.nlow + clip.nhigh < n,
                    f"ExtremaClip: expected nlow + nhigh < number of frames, got "
                    f"nlow={clip.nlow} + nhigh={clip.nhigh} for {n} frames",
                )

    def to_record(self) -> dict[str, Any]:
        """The recipe as a dict that can be written as JSON."""
        record = {field.name: _recorded(getattr(self, field.name)) for field in fields(self)}
        record["combine"] = combines.to_record(self.combine)
        record["clips"] = [{"clip": clip.name, **shown_fields(clip)} for clip in self.clips]
        return record

    def to_json(self) -> str:
        """The recipe as compact JSON, which `from_json` reads."""
        return json.dumps(self.to_record(), separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the recipe from the text of `to_json`.

        Raises
        ------
        RecipeError
            Where the text is no JSON, or not the JSON of a recipe.
        """
        try:
            record = json.loads(text)
            check(isinstance(record, dict), f"expected an object, got {type(record).__name__}")
            clips = tuple(clip_from_record(item) for item in record.pop("clips", ()))
            if "combine" in record:
                record["combine"] = combines.from_record(record["combine"])
            return cls(clips=clips, **{name: _restored(item) for name, item in record.items()})
        except (ValueError, TypeError, RecursionError) as err:
            raise RecipeError(f"expected the JSON of a recipe, got {text!r:.80}: {err}") from err

    def in_words(self) -> list[str]:
        """What the recipe does, one sentence per step."""
        return recipe_words(self)

    def to_html(self) -> str:
        """The steps in words, and the recipe in one line, as HTML for notebooks."""
        steps = items(self.in_words())
        return f"<div><strong>Recipe</strong>{steps}<code>{escape(str(self))}</code></div>"

    _repr_html_ = to_html

    def __str__(self) -> str:
        steps = [
            f"{name}={_series(name, getattr(self, name))}"
            for name in ("scale", "zero", "weights")
            if getattr(self, name) is not None
        ]
        steps += [str(clip) for clip in self.clips]
        if self.normalizes_late:
            steps.append("clip_on=raw")
        tail = f"{self.combine} ({self.dtype})" if self.dtype else str(self.combine)
        if self.uncertainty != "auto":
            tail += f", uncertainty={self.uncertainty}"
        return " -> ".join([*steps, tail])


def _recorded(value: Any) -> Any:
    return to_record(value) if isinstance(value, Measure) else value


def _restored(value: Any) -> Any:
    return from_record(value) if isinstance(value, dict) and "measure" in value else value


def _series(role: str, value: tuple[float, ...] | Measure | str) -> str:
    if isinstance(value, Measure) and role == "weights":
        return value.source  # weights use no reference
    if not isinstance(value, tuple):
        return str(value)
    shown = ",".join(f"{number:g}" for number in value[:3])
    return f"[{shown},...]x{len(value)}" if len(value) > 3 else f"[{shown}]"
