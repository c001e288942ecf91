"""All clips by the short names that the command line and JSON use, and clips from their texts."""

from collections.abc import Iterable
from typing import Any, get_args

from gpustack.checks import check, word
from gpustack.clips.basic import ExtremaClip, RangeClip, SigmaClip
from gpustack.clips.grow import Grow
from gpustack.clips.iraf import AvgSigmaClip, NoiseClip, PercentileRankClip, VarianceClip
from gpustack.clips.siril import (
    ESDClip,
    LinearFitClip,
    MADClip,
    PercentileClip,
    SigmaMedianClip,
    WinsorizedClip,
)
from gpustack.value_texts import from_text

#: Clips that reject samples outside two bounds that follow from the survivors.
BoundClip = SigmaClip | MADClip | WinsorizedClip | NoiseClip | PercentileClip | PercentileRankClip
#: Clips that decide column by column: all that a backend sees, once every `AvgSigmaClip` has
#: become a `RowSigmaClip`.
ColumnClip = (
    RangeClip
    | ExtremaClip
    | BoundClip
    | SigmaMedianClip
    | VarianceClip
    | AvgSigmaClip
    | LinearFitClip
    | ESDClip
)
Clip = ColumnClip | Grow
CLIPS: dict[str, type[Clip]] = {clip.name: clip for clip in get_args(Clip)}

#: Names that IRAF, DRAGONS and Siril have for clips -> the text of the same clip, for errors.
NAMES_ELSEWHERE = {
    "minmax": "extrema:among=share",
    "sigclip": "sigma:ddof=1,about=center,keep=1",
    "avsigclip": "avgsigma:keep=1",
    "ccdclip": "noise:keep=1",
    "crreject": "noise:low=none,keep=1",
    "pclip": "rank:keep=1",
    "varclip": "variance",
    "median": "sigmamedian",
    "generalized": "esd",
}


def parse_clip(text: str) -> Clip:
    """Return the clip of a text ``NAME:field=value,...``, the form in which clips print.

    Examples
    --------
    >>> parse_clip("sigma:low=3,high=none,spread=mad_std")
    SigmaClip(low=3.0, high=None, center='median', spread='mad_std', maxiters=None, ...)

    Raises
    ------
    RecipeError
        Where the name, a field or a value is unknown or out of its range.
    """
    check(
        isinstance(text, str) and "=" not in text.partition(":")[0],
        f"clip: expected a text NAME:field=value,..., such as sigma:low=3,high=3, got {text!r}",
    )
    name = text.partition(":")[0]
    clip = CLIPS[word("clip", name, tuple(CLIPS), NAMES_ELSEWHERE)]
    value: Clip = from_text("clip", clip, text)
    return value


def clip_from_record(record: Any) -> Clip:
    """Return the clip of a JSON record, a dict with its name as ``"clip"``, and its fields.

    Raises
    ------
    RecipeError, TypeError
        Where the record is no dict, or has another name, other fields or invalid values.
    """
    check(isinstance(record, dict), f"clip: expected an object, got {record!r}")
    values = dict(record)
    return CLIPS[word("clip", values.pop("clip", None), tuple(CLIPS))](**values)


def as_clips(value: Any) -> tuple[Clip, ...]:
    """Return one clip or several as a tuple; a text stands for a clip, see `parse_clip`.

    Raises
    ------
    RecipeError
        Where an item is not a clip.
    """
    if isinstance(value, Clip | str):
        value = (value,)
    check(
        isinstance(value, Iterable),
        f"clips: expected clip values, such as SigmaClip(), got {value!r}",
    )
    clips = tuple(parse_clip(clip) if isinstance(clip, str) else clip for clip in value)
    for clip in clips:
        check(
            isinstance(clip, Clip),
            f"clips: expected clip values, such as SigmaClip(), got {clip!r}",
        )
    return clips
