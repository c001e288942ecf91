"""All clips, by the short names that the command line and JSON have for them."""

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
from gpustack.value_texts import read

#: Clips that reject what lies outside of two bounds, which follow from the survivors.
BoundClip = SigmaClip | MADClip | WinsorizedClip | NoiseClip | PercentileClip | PercentileRankClip
#: Clips that decide column by column; all that a backend sees, where an `AvgSigmaClip` has become
#: a `RowSigmaClip`.
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

#: What IRAF calls them -> the text of the same clip; and what Siril and DRAGONS call others.
THEIRS = {
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
    """A clip from its text ``NAME:field=value,...``, the form in which it prints.

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
    clip = CLIPS[word("clip", name, tuple(CLIPS), THEIRS)]
    value: Clip = read("clip", clip, text)
    return value


def clip_from_record(record: dict[str, Any]) -> Clip:
    """A clip from what JSON has for it: its name as ``"clip"``, and its fields.

    Raises
    ------
    RecipeError, TypeError
        Where the record is that of none.
    """
    return CLIPS[word("clip", record.pop("clip", None), tuple(CLIPS))](**record)


def as_clips(value: Any) -> tuple[Clip, ...]:
    """One clip or several as a tuple of them; a text stands for a clip, see `parse_clip`.

    Raises
    ------
    RecipeError
        Where something is no clip.
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
