"""How each library is called: the calls that the cases in `bench.cases` consist of."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData, VarianceUncertainty
from numpy.typing import NDArray

from bench import in_python
from bench.data import SKY, Data, frame_scales
from gpustack import SigmaClip, stack

#: The libraries that have a Combiner.
DOORS = ("ccdproc", "gpustack")

cube, files = attrgetter("cube"), attrgetter("files")


def whole(data: Data) -> Data:
    """The data themselves."""
    return data


@dataclass(frozen=True, slots=True)
class Call:
    """How one library is called.

    Parameters
    ----------
    run : callable
        What is timed; its argument is what `setup` returned.
    setup : callable
        Makes the argument of `run` from `Data`; not timed.
    readmits : bool
        Whether the library readmits rejected samples; see `Truth`.
    """

    run: Callable[[Any], Any]
    setup: Callable[[Data], Any] = cube
    readmits: bool = False


def library(name: str) -> str:
    """The library of a call: the first word of its name."""
    return re.split(r"[ .]", name)[0]


def is_gpustack(name: str) -> bool:
    """Whether a call is one of gpustack."""
    return library(name) == "gpustack"


def missing(name: str) -> str | None:
    """Why a call cannot be made here, or None. Calls of astropy take the mean with bottleneck."""
    needed = {"astropy": "bottleneck"}.get(library(name), library(name))
    return None if find_spec(needed) else f"{needed} is not installed"


def image_of(answer: Any) -> NDArray[Any]:
    """The combined image in what a call returned."""
    if isinstance(answer, Path):
        image: NDArray[Any] = fits.getdata(answer)
        return image
    return answer if isinstance(answer, np.ndarray) else answer.data


def native(weighted: bool = False, **recipe: Any) -> dict[str, Call]:
    """Calls of `gpustack.stack` for the image alone, as numpy makes it, and for all its maps."""

    def run(data: Data, **outputs: Any) -> Any:
        weights = data.weights if weighted else None
        return stack(data.cube, **recipe, weights=weights, **outputs)

    return {
        "gpustack.stack, image only": Call(partial(run, outputs=()), whole),
        "gpustack.stack, all maps": Call(run, whole),
    }


def door(finish: Callable[[Any], Any], weighted: bool = False) -> dict[str, Call]:
    """The same lines for both libraries with a Combiner: make one, then `finish` it."""

    def run(library: str, data: Data) -> Any:
        combiner = import_module(library).Combiner(data.ccds)
        combiner.weights = data.weights if weighted else None
        return finish(combiner)

    return {f"{name}.Combiner": Call(partial(run, name), whole) for name in DOORS}


def made_door(finish: Callable[[Any], Any], what: str) -> dict[str, Call]:
    """Like `door`, but making the Combiner, for which ccdproc copies all samples, is not timed."""

    def setup(library: str, data: Data) -> Any:
        return import_module(library).Combiner(data.ccds)

    return {f"{name} {what} alone": Call(finish, partial(setup, name)) for name in DOORS}


def bottleneck(statistic: str, dtype: str | None = None) -> dict[str, Call]:
    """A function of bottleneck. It has no loops for small integers, so these are cast first."""

    def run(samples: NDArray[Any]) -> Any:
        function = getattr(import_module("bottleneck"), statistic)
        return function(samples if dtype is None else samples.astype(dtype), axis=0)

    return {f"bottleneck.{statistic}": Call(run)}


def numpy(statistic: str, **more: Any) -> dict[str, Call]:
    """A function of numpy."""
    function = getattr(np, statistic)
    return {f"numpy.{statistic}": Call(lambda samples: function(samples, axis=0, **more))}


def clipped(center: str, spread: str, maxiters: int | None) -> dict[str, Call]:
    """Calls of astropy and `stack` that clip at three spreads and take the mean."""
    clip = SigmaClip(3, 3, center=center, spread=spread, maxiters=maxiters)
    astropy = partial(
        in_python.astropy_clipped_mean, center=center, spread=spread, maxiters=maxiters
    )
    return {"astropy.sigma_clip": Call(astropy, readmits=True), **native(clips=clip)}


def by_variance(clip: Any) -> dict[str, Call]:
    """Calls that clip by the variance of each sample: a loop by hand, and `stack` of CCDData."""

    def by_hand(data: Data) -> Any:
        def beside(y: int, block: NDArray[Any], bn: Any) -> NDArray[Any]:
            rows = data.variances[:, y : y + block.shape[1]]
            return rows.reshape(len(rows), -1)

        return in_python.loop_mean_by(data.cube, in_python.outside_noise, beside)

    def images(data: Data) -> list[CCDData]:
        return [
            CCDData(frame, unit="adu", uncertainty=VarianceUncertainty(variance))
            for frame, variance in zip(data.cube, data.variances, strict=True)
        ]

    def variances(data: Data) -> Data:
        _ = data.variances  # computed here, so that making them is not timed
        return data

    return {
        "bottleneck in a loop": Call(by_hand, variances),
        "gpustack.stack, image only": Call(partial(stack, clips=clip, outputs=()), images),
        "gpustack.stack, all maps": Call(partial(stack, clips=clip), images),
    }


def masked(**recipe: Any) -> dict[str, Call]:
    """A call of `stack` with CCDData whose masks mark what is NaN in the cube."""

    def images(data: Data) -> list[CCDData]:
        return [
            CCDData(np.nan_to_num(frame, nan=SKY), unit="adu", mask=np.isnan(frame))
            for frame in data.cube
        ]

    return {"gpustack.stack, image only, masks": Call(partial(stack, **recipe, outputs=()), images)}


def by_poisson(clip: Any) -> dict[str, Call]:
    """Calls that clip scaled frames in units of the square root of their level."""

    def by_hand(cube: NDArray[Any]) -> Any:
        scales = frame_scales(len(cube))

        def beside(y: int, block: NDArray[Any], bn: Any) -> NDArray[Any]:
            return np.broadcast_to(scales[:, None], (len(cube), block[0].size))

        return in_python.loop_mean_by(cube, in_python.outside_poisson, beside, scales)

    def ours(cube: NDArray[Any], **outputs: Any) -> Any:
        return stack(cube, clip, scale=frame_scales(len(cube)), **outputs)

    return {
        "bottleneck in a loop": Call(by_hand),
        "gpustack.stack, image only": Call(partial(ours, outputs=())),
        "gpustack.stack, all maps": Call(ours),
    }


def by_loop(outside: in_python.Outside, once: bool = False) -> dict[str, Call]:
    """The loop around bottleneck that one would write by hand."""
    return {
        "bottleneck in a loop": Call(
            partial(in_python.loop_clipped_mean, outside=outside, once=once)
        )
    }


def clip_once(combiner: Any) -> Any:
    """The mean after one pass of a clip, the most that `sigma_clipping` of ccdproc makes."""
    combiner.sigma_clipping(func="median", dev_func="mad_std")
    return combiner.average_combine()


def clip_to_convergence(combiner: Any) -> Any:
    """The mean after clipping to convergence, in the way that works with each library."""
    if type(combiner).__module__.startswith("ccdproc"):
        return in_python.ccdproc_clipped_mean(combiner, "mean", "std")
    combiner.sigma_clipping(func="mean", dev_func="std", maxiters=None)
    return combiner.average_combine()


def without_extremes(combiner: Any) -> Any:
    """The mean without the lowest and the highest sample."""
    combiner.clip_extrema(nlow=1, nhigh=1)
    return combiner.average_combine()


def file_to_file(
    clips: Any, combine: str, by_hand: Callable[[NDArray[Any]], Any], **arguments: Any
) -> dict[str, Call]:
    """Calls from FITS files to a FITS file: `combine` of both libraries, and `stack`.

    `by_hand` makes the image from the cube of all frames, for a script with astropy.
    """

    def by_script(paths: list[str]) -> Path:
        out = Path(paths[0]).with_name("by_hand.fits")
        fits.writeto(out, by_hand(in_python.read_cube(paths)), overwrite=True)
        return out

    def by_combine(library: str, paths: list[str]) -> Path:
        out = Path(paths[0]).with_name("combined.fits")
        import_module(library).combine(paths, str(out), overwrite_output=True, **arguments)
        return out

    def by_stack(paths: list[str], **more: Any) -> Path:
        out = Path(paths[0]).with_name("stacked.fits")
        stack(paths, clips, combine, **more).write(out, overwrite=True)
        return out

    return {
        "bottleneck in a script": Call(by_script, files),
        "ccdproc.combine": Call(partial(by_combine, "ccdproc"), files),
        "gpustack.combine": Call(partial(by_combine, "gpustack"), files),
        "gpustack.stack": Call(by_stack, files),
        "gpustack.stack, memory=64 MB": Call(partial(by_stack, memory="64MB"), files),
    }
