"""The measures: frozen values that say what a number of a frame comes from.

A measure stands where numbers can, one a frame: as `scale`, `zero` or `weights`. It checks
itself when it is made and touches no frame; `gpustack.normalize` takes the numbers.
"""

from gpustack.measures.parse import MEASURES, Measure, as_measure, choices, place, tidy_numbers
from gpustack.measures.region import section
from gpustack.measures.values import (
    Exposure,
    FromFile,
    Keyword,
    NCombine,
    Noise,
    Overlap,
    Reference,
    Role,
    Statistic,
    check_pair,
)

__all__ = [
    "MEASURES",
    "Exposure",
    "FromFile",
    "Keyword",
    "Measure",
    "NCombine",
    "Noise",
    "Overlap",
    "Reference",
    "Role",
    "Statistic",
    "as_measure",
    "check_pair",
    "choices",
    "place",
    "section",
    "tidy_numbers",
]
