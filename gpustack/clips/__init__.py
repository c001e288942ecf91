"""The clips: frozen values that say which samples of a column are rejected.

A clip checks its fields when it is created, and prints in the form that `parse_clip` reads.

`keep` means the same in all clips that have it, except in `ESDClip`, whose docstring explains it:

- Positive: at least this many samples of a column survive, if it has as many. Where a pass would
  leave fewer, those of its rejected samples that are nearest to the centre are kept, equally near
  ones together, and the clip has ended for that column. Where a clip judges each sample by its own
  noise, the distance is in units of that noise.
- Negative: at most ``-keep`` samples are rejected.
- 0: no limit.
"""

from gpustack.clips.base import Center, Spread, noise_keys, noise_numbers
from gpustack.clips.basic import ExtremaClip, RangeClip, SigmaClip
from gpustack.clips.grow import Grow, check_grow
from gpustack.clips.iraf import (
    AvgSigmaClip,
    NoiseClip,
    PercentileRankClip,
    RowSigmaClip,
    VarianceClip,
)
from gpustack.clips.parse import (
    CLIPS,
    BoundClip,
    Clip,
    ColumnClip,
    as_clips,
    clip_from_record,
    parse_clip,
)
from gpustack.clips.siril import (
    WINSOR_CUTOFF,
    WINSOR_FACTOR,
    WINSOR_ROUNDS,
    WINSOR_SETTLED,
    ESDClip,
    LinearFitClip,
    MADClip,
    PercentileClip,
    SigmaMedianClip,
    WinsorizedClip,
    check_replacing,
)

__all__ = [
    "CLIPS",
    "WINSOR_CUTOFF",
    "WINSOR_FACTOR",
    "WINSOR_ROUNDS",
    "WINSOR_SETTLED",
    "AvgSigmaClip",
    "BoundClip",
    "Center",
    "Clip",
    "ColumnClip",
    "ESDClip",
    "ExtremaClip",
    "Grow",
    "LinearFitClip",
    "MADClip",
    "NoiseClip",
    "PercentileClip",
    "PercentileRankClip",
    "RangeClip",
    "RowSigmaClip",
    "SigmaClip",
    "SigmaMedianClip",
    "Spread",
    "VarianceClip",
    "WinsorizedClip",
    "as_clips",
    "check_grow",
    "check_replacing",
    "clip_from_record",
    "noise_keys",
    "noise_numbers",
    "parse_clip",
]
