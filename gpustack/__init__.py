"""gpustack: combine astronomical images, correct at every pixel, and fast.

Two interfaces share one engine: `Combiner` and `combine` keep the interface of ccdproc;
`stack`, with clips such as `SigmaClip`, is the native one.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# For type checkers, which cannot follow `_HOMES`; the tests compare the two.
if TYPE_CHECKING:
    from gpustack.align.project import wcs_project as wcs_project
    from gpustack.alignments import Offsets as Offsets
    from gpustack.alignments import Register as Register
    from gpustack.alignments import Reproject as Reproject
    from gpustack.clips import AvgSigmaClip as AvgSigmaClip
    from gpustack.clips import ESDClip as ESDClip
    from gpustack.clips import ExtremaClip as ExtremaClip
    from gpustack.clips import Grow as Grow
    from gpustack.clips import LinearFitClip as LinearFitClip
    from gpustack.clips import MADClip as MADClip
    from gpustack.clips import NoiseClip as NoiseClip
    from gpustack.clips import PercentileClip as PercentileClip
    from gpustack.clips import PercentileRankClip as PercentileRankClip
    from gpustack.clips import RangeClip as RangeClip
    from gpustack.clips import SigmaClip as SigmaClip
    from gpustack.clips import SigmaMedianClip as SigmaMedianClip
    from gpustack.clips import VarianceClip as VarianceClip
    from gpustack.clips import WinsorizedClip as WinsorizedClip
    from gpustack.combiner import Combiner as Combiner
    from gpustack.combiner import combine as combine
    from gpustack.combines import NoiseModel as NoiseModel
    from gpustack.engine import stack as stack
    from gpustack.errors import BackendError as BackendError
    from gpustack.errors import ClusterError as ClusterError
    from gpustack.errors import FrameError as FrameError
    from gpustack.errors import GpustackError as GpustackError
    from gpustack.errors import GpustackWarning as GpustackWarning
    from gpustack.errors import InputError as InputError
    from gpustack.errors import MemoryLimitError as MemoryLimitError
    from gpustack.errors import MismatchError as MismatchError
    from gpustack.errors import MissingFileError as MissingFileError
    from gpustack.errors import MissingPackageError as MissingPackageError
    from gpustack.errors import OutOfMemoryError as OutOfMemoryError
    from gpustack.errors import OutputError as OutputError
    from gpustack.errors import RecipeError as RecipeError
    from gpustack.errors import WriteError as WriteError
    from gpustack.explanation import Explanation as Explanation
    from gpustack.explanation import explain as explain
    from gpustack.flags import Flags as Flags
    from gpustack.images import Image as Image
    from gpustack.live import LiveStack as LiveStack
    from gpustack.measures import Exposure as Exposure
    from gpustack.measures import FromFile as FromFile
    from gpustack.measures import Keyword as Keyword
    from gpustack.measures import NCombine as NCombine
    from gpustack.measures import Noise as Noise
    from gpustack.measures import Overlap as Overlap
    from gpustack.measures import Statistic as Statistic
    from gpustack.recipe import Recipe as Recipe
    from gpustack.result import StackResult as StackResult
    from gpustack.show import write_page as write_page
    from gpustack.show import write_preview as write_preview
    from gpustack.streaming import ToFile as ToFile

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
    "MissingFileError": "errors",
    "MismatchError": "errors",
    "OutputError": "errors",
    "WriteError": "errors",
    "OutOfMemoryError": "errors",
    "MissingPackageError": "errors",
    "BackendError": "errors",
    "ClusterError": "errors",
    "GpustackWarning": "errors",
}

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604


if not TYPE_CHECKING:  # with it, type checkers would accept any name

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'gpustack' has no attribute {name!r}")
        return getattr(import_module(f"gpustack.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
