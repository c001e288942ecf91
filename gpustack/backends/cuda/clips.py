"""The clips as a kernel reads them: their records, and the tables of numbers that some need."""

from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.cuda import abi
from gpustack.clips import (
    Clip,
    ESDClip,
    ExtremaClip,
    LinearFitClip,
    MADClip,
    NoiseClip,
    PercentileClip,
    PercentileRankClip,
    RangeClip,
    RowSigmaClip,
    SigmaClip,
    SigmaMedianClip,
    VarianceClip,
    WinsorizedClip,
    noise_numbers,
)
from gpustack.combines import NoiseModel
from gpustack.esd_critical import critical_values
from gpustack.recipe import Recipe

_EXTREMA = {
    "valid": abi.CLIP_EXTREMA,
    "all": abi.CLIP_EXTREMA_ALL,
    "share": abi.CLIP_EXTREMA_SHARE,
}


def clipped(recipe: Recipe) -> int:
    """The value of -D CLIPPED: which clips, if any, the kernel has to know."""
    if not recipe.clips:
        return abi.CLIPPED_NOT
    if recipe.clips_by_frame:
        return abi.CLIPPED_BY_FRAME
    return abi.CLIPPED_BASIC if all(map(_is_basic, recipe.clips)) else abi.CLIPPED_ALL


def _is_basic(clip: Clip) -> bool:
    # One that replaces is not among those that a kernel chooses from, but has a name of its own.
    if isinstance(clip, SigmaClip):
        return clip.center != "trimmed_mean" and clip.about == "mean" and clip.keep == 0
    return isinstance(clip, RangeClip | SigmaMedianClip) or (
        isinstance(clip, ExtremaClip) and clip.among != "share"
    )


def asks_for_ranks(recipe: Recipe, spread: str | None) -> bool:
    """Whether a kernel looks at ranks again and again; `spread` is that of the uncertainty.

    Without clips but those of a range, a median is found by some looks at all samples sooner than
    by sorting them, once they are too many for registers.
    """
    looks = any(not isinstance(clip, RangeClip) for clip in recipe.clips)
    return looks or spread == "mad_std"


def told(recipe: Recipe) -> tuple[Clip | NoiseModel, ...]:
    """What of a recipe has a record: the clips, and behind them a noise model."""
    model = (recipe.combine,) if isinstance(recipe.combine, NoiseModel) else ()
    return (*recipe.clips, *model)


def table_bytes(recipe: Recipe, n: int) -> int:
    """The size of what `table` gives."""
    records = max(len(told(recipe)), 1) * abi.CLIP.itemsize
    return records + sum(_numbers(clip, n).nbytes for clip in recipe.clips)


def _numbers(clip: Clip, n: int) -> NDArray[np.float64]:
    """The table of a clip for `n` frames; empty where it has none."""
    if isinstance(clip, ESDClip):
        return critical_values(clip.significance, n)
    return clip.sigmas if isinstance(clip, RowSigmaClip) else np.empty(0)


def table(recipe: Recipe, n: int, address: int, row: int = 0) -> NDArray[np.uint8]:
    """The records of all clips for `n` frames, and behind them the tables that they point to.

    Parameters
    ----------
    recipe : Recipe
        With nothing to tell there is one empty record, so that there is something to point to.
    n : int
    address : int
        Where the result will lie.
    row : int
        Of those that clips have numbers of, the first one of the band.

    Returns
    -------
    ndarray of uint8, shape (table_bytes(recipe, n),)
    """
    records = np.zeros(max(len(told(recipe)), 1), abi.CLIP)
    parts: list[NDArray[Any]] = [records]
    end = address + records.nbytes
    for record, clip in zip(records, told(recipe), strict=False):
        fill(clip, record, n)
        if isinstance(clip, Clip) and recipe.by_frame(clip):
            record["kind"] = abi.CLIP_BY_FRAME
            if isinstance(clip, SigmaClip):
                record["spread"] = abi.SPREAD_POISSON
        if isinstance(clip, ESDClip | RowSigmaClip):
            record["table"] = end + isinstance(clip, RowSigmaClip) * row * 8
            parts.append(_numbers(clip, n))
            end += parts[-1].nbytes
    return np.concatenate([part.view(np.uint8) for part in parts])


@singledispatch
def fill(clip: Any, record: Any, n: int) -> None:
    """Write a clip for `n` frames into its record, all but an address."""
    raise TypeError(f"no record for {clip!r}")


@fill.register
def _(clip: RangeClip, record: Any, n: int) -> None:
    record["kind"] = abi.CLIP_RANGE
    _fill_sides(clip, record)


@fill.register
def _(clip: ExtremaClip, record: Any, n: int) -> None:
    record["kind"] = _EXTREMA[clip.among]
    record["nlow"], record["nhigh"] = clip.nlow, clip.nhigh


@fill.register
def _(clip: ESDClip, record: Any, n: int) -> None:
    record["kind"], record["outliers"] = abi.CLIP_ESD, clip.outliers
    record["keep"] = _held(clip.keep)


@fill.register
def _(clip: SigmaClip, record: Any, n: int) -> None:
    _fill_bounds(clip, record, abi.SPREAD[clip.spread], clip.center)
    record["about"], record["ddof"] = abi.ABOUT[clip.about], _held(clip.ddof)


@fill.register
def _(clip: MADClip, record: Any, n: int) -> None:
    _fill_bounds(clip, record, abi.SPREAD_RAW_MAD)


@fill.register
def _(clip: PercentileClip, record: Any, n: int) -> None:
    _fill_bounds(clip, record, abi.SPREAD_CENTER)


@fill.register
def _(clip: NoiseClip, record: Any, n: int) -> None:
    _fill_bounds(clip, record, abi.SPREAD_NOISE, clip.center)
    _fill_noise(clip, record)


@fill.register
def _(clip: NoiseModel, record: Any, n: int) -> None:
    _fill_noise(clip, record)


@fill.register
def _(clip: PercentileRankClip, record: Any, n: int) -> None:
    _fill_bounds(clip, record, abi.SPREAD_RANK)
    record["rank"] = clip.steps(n)


@fill.register
def _(clip: WinsorizedClip, record: Any, n: int) -> None:
    _fill_bounds(clip, record, abi.SPREAD_WINSORIZED)


@fill.register
def _(clip: SigmaMedianClip, record: Any, n: int) -> None:
    record["kind"] = abi.CLIP_REPLACING
    record["maxiters"] = _passes(clip)
    _fill_sides(clip, record)


@fill.register
def _(clip: VarianceClip, record: Any, n: int) -> None:
    _fill_bounds(clip, record, abi.SPREAD_VARIANCE, clip.center)


@fill.register
def _(clip: RowSigmaClip, record: Any, n: int) -> None:
    _fill_bounds(clip, record, abi.SPREAD_ROW, clip.center)


@fill.register
def _(clip: LinearFitClip, record: Any, n: int) -> None:
    _fill_bounds(clip, record, abi.SPREAD_LINE)


def _fill_bounds(clip: Any, record: Any, spread: int, center: str = "median") -> None:
    """What clips between two bounds share."""
    record["kind"], record["spread"] = abi.CLIP_BOUNDS, spread
    record["center"] = abi.CENTER[center]
    record["maxiters"] = _passes(clip)
    record["keep"] = _held(clip.keep)
    _fill_sides(clip, record)


def _fill_noise(clip: NoiseClip | NoiseModel, record: Any) -> None:
    """What the noise of a CCD is made of."""
    record["rdnoise"], record["gain"], record["snoise"] = noise_numbers(clip)


def _fill_sides(clip: Any, record: Any) -> None:
    """The bound, or threshold, of each side that has one."""
    for side in ("low", "high"):
        bound = getattr(clip, side)
        record[f"has_{side}"] = bound is not None
        record[side] = 0.0 if bound is None else bound


def _passes(clip: Any) -> int:
    """How many passes of a clip there are at most; -1 is no limit."""
    return -1 if clip.maxiters is None else _held(clip.maxiters)


def _held(number: int) -> int:
    """The nearest number that a record can hold: more than there are samples or passes."""
    most = int(np.iinfo(np.int32).max)
    return max(min(number, most), -most)
