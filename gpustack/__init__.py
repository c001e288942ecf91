"""gpustack: combine astronomical images, each pixel right and fast.

Two doors lead to one engine. `Combiner` and `combine` keep the interface of ccdproc;
`stack` with clip values such as `SigmaClip` is the native one.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0.dev0"

#: Public name -> module. Modules load on first use, so that the CLI starts fast and
#: the backends work where astropy is not installed.
_HOMES = {
    "Combiner": "combiner",
    "combine": "combiner",
    "wcs_project": "align.project",
    "stack": "engine",
    "StackResult": "result",
    "ToFile": "streaming",
    "write_preview": "show",
    "write_page": "show",
    "LiveStack": "live",
    "explain": "explanation",
    "Explanation": "explanation",
    "Recipe": "recipe",
    "RangeClip": "clips",
    "ExtremaClip": "clips",
    "SigmaClip": "clips",
    "MADClip": "clips",
    "WinsorizedClip": "clips",
    "SigmaMedianClip": "clips",
    "ESDClip": "clips",
    "PercentileClip": "clips",
    "PercentileRankClip": "clips",
    "NoiseClip": "clips",
    "VarianceClip": "clips",
    "AvgSigmaClip": "clips",
    "LinearFitClip": "clips",
    "Grow": "clips",
    "Flags": "flags",
    "Image": "images",
    "Reproject": "alignments",
    "Offsets": "alignments",
    "Register": "alignments",
    "NoiseModel": "combines",
    "Statistic": "measures",
    "Exposure": "measures",
    "Keyword": "measures",
    "FromFile": "measures",
    "NCombine": "measures",
    "Noise": "measures",
    "Overlap": "measures",
    "GpustackError": "errors",
    "InputError": "errors",
    "RecipeError": "errors",
    "MemoryLimitError": "errors",
    "FrameError": "errors",
    "OutputError": "errors",
    "WriteError": "errors",
    "OutOfMemoryError": "errors",
    "BackendError": "errors",
    "GpustackWarning": "errors",
}

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gpustack' has no attribute {name!r}")
    return getattr(import_module(f"gpustack.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
