"""The recipe: a frozen description of what is done to every column of samples.

A recipe touches no array. It checks itself when it is made, prints as one line,
and turns into JSON and back, so that a result can say how it was made.
"""

import json
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self, get_args

from gpustack import combines
from gpustack.checks import check, dtype_name, some, tidy, word
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
from gpustack.value_texts import stated

ClipOn = Literal["normalized", "raw"]
Uncertainty = Literal["auto", "std", "mad_std", "propagated"]

#: See `gpustack.measures`. Any, not the types: backends index what stands here, as they only see
#: recipes in which measures have become numbers.
MeasureOrText = Any

#: What a run makes beside ``data`` and ``mask``, which it always makes.
OUTPUTS = ("uncertainty", "count", "low", "high", "rejected")

#: Maps that it makes when they are asked for; of the reasons of all samples, see `gpustack.maps`.
MAPS = ("reason", "exposure", "rejections", "flags", "sigma", "coverage", "weight")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is done to every column: normalise, clips in order, combine, wanted outputs.

    Parameters
    ----------
    clips : sequence of clips, see `gpustack.clips`
        Applied in order, each to the survivors of the one before.
    combine : word, NoiseModel or its text
        How the survivors become one value: ``"mean"``, ``"median"``, ``"lower_median"``,
        ``"lmedian"``, ``"sum"``, ``"quadrature"``, ``"min"``, ``"max"``, or by a
        `gpustack.combines.NoiseModel`. Of two middle samples a median takes the mean, a
        ``"lower_median"`` the lower one; ``"lmedian"`` is IRAF's: the lower one where there are
        only two samples, else the median. ``"quadrature"`` takes samples for standard deviations
        and gives that of their mean, ``sqrt(sum (w x)^2) / sum w``; a `NoiseModel` is a
        quadrature whose x are computed.
    scale, zero : sequence of float, measure or its text, or None
        ``x = (d - zero) * scale``, one number per frame, or what it is taken from: see
        `gpustack.measures`.
    weights : sequence of float, measure or its text, "sample", "variance", or None
        One number >= 0 per frame, or what it is taken from; ``"sample"`` where a weight comes
        with every sample. ``"variance"``: each sample by the inverse of its own variance, as its
        frame has it, ``1 / (variance scale^2)``, 0 where that is not a positive number. Not for
        medians, min and max.
    clip_on : {"normalized", "raw"}
        Whether clips see x or d. `RangeClip` always sees d.
    uncertainty : {"auto", "std", "mad_std", "propagated"}
        The spread S of the survivors that the uncertainty is made of:
        ``S / sqrt(count)`` for mean and median, ``S * sqrt(count)`` for a sum.
        ``"auto"``: the standard deviation (ddof 0), for a median 1.4826 MAD, as in
        ccdproc. ``"propagated"``: instead, what follows from the variances of the frames; see
        `gpustack.maps.propagated`. quadrature, a noise model, min and max have none.
    dtype : str or None
        Of the result's data and uncertainty; None is float32 for frames of up to 16
        bits or float32, float64 for wider ones.
    outputs : sequence of words, of `OUTPUTS` and `MAPS`
        What to make beside data and mask: ``"uncertainty"``; ``"count"`` of survivors; how
        many were rejected ``"low"`` and ``"high"``; each frame's ``"rejected"`` fraction. And
        if asked for: ``"reason"``, why samples are out; ``"exposure"``, the EXPTIME of the
        survivors together; ``"rejections"``, which samples of each frame were rejected;
        ``"flags"``, the bits of the survivors' integer masks; ``"sigma"``, their standard
        deviation about the value, of mean and medians; ``"coverage"``, how many samples are
        valid; ``"weight"``, the weights of the survivors together.

    Raises
    ------
    RecipeError
        Where a value is out of its range or contradicts another.
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
        tidy(
            self,
            clips=as_clips(self.clips),
            combine=as_combine(self.combine),
            scale=tidy_numbers("scale", self.scale),
            zero=tidy_numbers("zero", self.zero),
            weights="sample" if per_sample else tidy_numbers("weights", self.weights),
            clip_on=word("clip_on", self.clip_on, get_args(ClipOn)),
            uncertainty=word("uncertainty", self.uncertainty, get_args(Uncertainty)),
            dtype=dtype_name(self.dtype, ("float32", "float64")),
            outputs=some("outputs", self.outputs, (*OUTPUTS, *MAPS)),
        )
        self._check_together()

    def _check_together(self) -> None:
        check(
            self.weights is None or self.method in WEIGHTED,
            f"weights: only {', '.join(WEIGHTED)} have them, got combine={self.method!r}",
        )
        for asked, able, what in (
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
                "RangeClip looks at the values before scale and zero: "
                "expected it before the other clips, got it after one",
            )
        check_grow(self.clips)
        check_replacing(self)

    @property
    def method(self) -> str:
        """The word for `combine`, one of `gpustack.combines.METHODS`."""
        return self.combine.name if isinstance(self.combine, NoiseModel) else self.combine

    @property
    def normalizes(self) -> bool:
        """Whether samples are scaled or shifted at all."""
        return self.scale is not None or self.zero is not None

    @property
    def sees_normalized(self) -> bool:
        """Whether clips see samples that are scaled or shifted."""
        return self.normalizes and self.clip_on == "normalized"

    @property
    def normalizes_late(self) -> bool:
        """Whether samples are scaled or shifted after the clips."""
        return self.normalizes and self.clip_on == "raw"

    @property
    def raw_ranges(self) -> tuple[RangeClip, ...]:
        """The range clips that stand first."""
        ranges = []
        for clip in self.clips:
            if not isinstance(clip, RangeClip):
                break
            ranges.append(clip)
        return tuple(ranges)

    def by_frame(self, clip: Clip) -> bool:
        """Whether a clip judges each sample by its own noise, that of its row, or its own rank.

        All other clips leave an interval of the sorted samples of a column.
        """
        match clip:
            case VarianceClip() | LinearFitClip() | AvgSigmaClip():
                return True
            case NoiseClip():
                return self.sees_normalized
            case SigmaClip():  # of frames as they are the root of the level cancels out
                return clip.poisson and self.sees_normalized
        return False

    @property
    def clips_by_frame(self) -> bool:
        """Whether there are clips that judge each sample, see `by_frame`."""
        return any(map(self.by_frame, self.clips))

    @property
    def averages_rows(self) -> bool:
        """Whether there are clips that look at whole rows."""
        return any(isinstance(clip, AvgSigmaClip) for clip in self.clips)

    @property
    def clips_by_variance(self) -> bool:
        """Whether there are clips that look at the variance of each sample."""
        return any(isinstance(clip, VarianceClip) for clip in self.clips)

    @property
    def propagates(self) -> bool:
        """Whether the uncertainty is made of the frames' variances."""
        return self.uncertainty == "propagated" and "uncertainty" in self.outputs

    @property
    def needs_variance(self) -> bool:
        """Whether every frame has to bring the variances of its samples."""
        return self.clips_by_variance or self.propagates or self.weights == "variance"

    @property
    def per_sample(self) -> bool:
        """Whether each sample has a weight of its own."""
        return self.weights in ("sample", "variance")

    @property
    def grow(self) -> Grow | None:
        """The clip that works on neighbours of what the others reject, if there is one."""
        last = self.clips[-1] if self.clips else None
        return last if isinstance(last, Grow) else None

    @property
    def replaces(self) -> bool:
        """Whether medians stand in the place of samples, those that its last clip rejects."""
        return any(isinstance(clip, SigmaMedianClip) for clip in self.clips)

    @property
    def spread(self) -> Spread | None:
        """The spread that the uncertainty is made of; None where it is made of none."""
        if "uncertainty" not in self.outputs or self.method not in (*AVERAGES, "sum"):
            return None
        if self.uncertainty == "propagated":
            return None
        if self.uncertainty != "auto":
            return self.uncertainty
        return "mad_std" if self.method in MEDIANS else "std"

    def rows(self, start: int, stop: int) -> Self:
        """The recipe for rows ``[start, stop)`` alone, of those that its clips have numbers of."""
        if not any(isinstance(clip, RowSigmaClip) for clip in self.clips):
            return self
        clips = [
            clip.rows(start, stop) if isinstance(clip, RowSigmaClip) else clip
            for clip in self.clips
        ]
        return replace(self, clips=tuple(clips))

    def rejecting(self, clips: tuple[Clip, ...]) -> Self:
        """The recipe that rejects with these clips, and combines as what costs least."""
        return replace(
            self, clips=clips, combine="max", weights=None, uncertainty="auto", outputs=()
        )

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

    def to_record(self) -> dict[str, Any]:
        """The recipe as JSON has it."""
        record = {field.name: _recorded(getattr(self, field.name)) for field in fields(self)}
        record["combine"] = combines.to_record(self.combine)
        record["clips"] = [{"clip": clip.name, **stated(clip)} for clip in self.clips]
        return record

    def to_json(self) -> str:
        """The recipe as compact JSON; `from_json` turns it back."""
        return json.dumps(self.to_record(), separators=(",", ":"), allow_nan=False)

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
            clips = tuple(clip_from_record(item) for item in record.pop("clips", ()))
            if "combine" in record:
                record["combine"] = combines.from_record(record["combine"])
            return cls(clips=clips, **{name: _restored(item) for name, item in record.items()})
        except (ValueError, TypeError, AttributeError, RecursionError) as err:
            raise RecipeError(f"expected the JSON of a recipe, got {text!r:.80}: {err}") from err

    def in_words(self) -> list[str]:
        """What is done, step by step, in sentences."""
        return recipe_words(self)

    def to_html(self) -> str:
        """The steps in words, and in one line, as notebooks show them."""
        steps = items(self.in_words())
        return f"<div><strong>Recipe</strong>{steps}<code>{escape(str(self))}</code></div>"

    _repr_html_ = to_html

    def __str__(self) -> str:
        steps = [
            f"{name}={_series(getattr(self, name))}"
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


def _series(value: tuple[float, ...] | Measure | str) -> str:
    if not isinstance(value, tuple):
        return str(value)
    shown = ",".join(f"{number:g}" for number in value[:3])
    return f"[{shown},...]x{len(value)}" if len(value) > 3 else f"[{shown}]"
