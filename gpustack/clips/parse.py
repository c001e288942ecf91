"""All clips, by the short names that the command line and JSON have for them."""

from contextlib import suppress
from dataclasses import fields
from typing import Any, get_args

from gpustack.checks import check, word
from gpustack.clips.basic import ExtremaClip, RangeClip, SigmaClip
from gpustack.clips.grow import Grow
from gpustack.clips.iraf import NoiseClip, PercentileRankClip
from gpustack.clips.siril import ESDClip, MADClip, PercentileClip, WinsorizedClip

#: Clips that reject what lies outside of two bounds, which follow from the survivors.
BoundClip = SigmaClip | MADClip | WinsorizedClip | NoiseClip | PercentileClip | PercentileRankClip
#: Clips that decide column by column; all that a backend sees.
ColumnClip = RangeClip | ExtremaClip | BoundClip | ESDClip
Clip = ColumnClip | Grow
CLIPS: dict[str, type[Clip]] = {clip.name: clip for clip in get_args(Clip)}


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
