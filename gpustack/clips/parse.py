"""All clips, by the short names that the command line and JSON have for them."""

from typing import get_args

from gpustack.checks import word
from gpustack.clips.basic import ExtremaClip, RangeClip, SigmaClip
from gpustack.clips.grow import Grow
from gpustack.clips.iraf import NoiseClip, PercentileRankClip, VarianceClip
from gpustack.clips.siril import ESDClip, LinearFitClip, MADClip, PercentileClip, WinsorizedClip
from gpustack.texts import read

#: Clips that reject what lies outside of two bounds, which follow from the survivors.
BoundClip = SigmaClip | MADClip | WinsorizedClip | NoiseClip | PercentileClip | PercentileRankClip
#: Clips that decide column by column; all that a backend sees.
ColumnClip = RangeClip | ExtremaClip | BoundClip | VarianceClip | LinearFitClip | ESDClip
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
    name = text.partition(":")[0]
    clip = CLIPS[word("clip", name, tuple(CLIPS))]
    value: Clip = read("clip", clip, text)
    return value
