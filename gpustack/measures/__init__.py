"""Measures: frozen values that say where the number of each frame comes from.

A measure can be given instead of one number per frame, as `scale`, `zero` or `weights`. It checks
itself when it is made and reads no frame; `gpustack.normalize` computes the numbers.
"""

from gpustack.measures.parse import (
    MEASURES,
    Measure,
    as_measure,
    choices,
    tidy_numbers,
    with_region_and_reference,
)
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
    "section",
    "tidy_numbers",
    "with_region_and_reference",
]
