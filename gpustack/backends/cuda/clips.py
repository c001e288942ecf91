"""Clips in the form that a kernel reads: a record each, and the tables that some need."""

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
from gpustack.clips.esd_critical import critical_values
from gpustack.combines import NoiseModel
from gpustack.recipe import Recipe

_EXTREMA = {
    "valid": abi.CLIP_EXTREMA,
    "all": abi.CLIP_EXTREMA_ALL,
    "share": abi.CLIP_EXTREMA_SHARE,
}


def clipped_macro(recipe: Recipe) -> int:
    """The value of -D CLIPPED: which kinds of clips, if any, the kernel has to support."""
    if not recipe.clips:
        return abi.CLIPPED_NOT
    if recipe.clips_by_frame:
        return abi.CLIPPED_BY_FRAME
    return abi.CLIPPED_BASIC if all(map(_is_basic, recipe.clips)) else abi.CLIPPED_ALL


def _is_basic(clip: Clip) -> bool:
    # SigmaMedianClip, which replaces samples, is compiled in by -D REPLACES, whatever CLIPPED is.
    if isinstance(clip, SigmaClip):
        return clip.center != "trimmed_mean" and clip.about == "mean" and clip.keep == 0
    return isinstance(clip, RangeClip | SigmaMedianClip) or (
        isinstance(clip, ExtremaClip) and clip.among != "share"
    )


def asks_for_ranks(recipe: Recipe, spread: str | None) -> bool:
    """Whether a kernel looks up ranks repeatedly; `spread` is what the uncertainty is made of.

    Without clips, or with range clips alone, few ranks are needed. Where a column is too long for
    registers, a few passes over all samples then find its median faster than sorting.
    """
    looks = any(not isinstance(clip, RangeClip) for clip in recipe.clips)
    return looks or spread == "mad_std"


def recorded_parts(recipe: Recipe) -> tuple[Clip | NoiseModel, ...]:
    """The parts of a recipe that have a record: the clips and, after them, a noise model."""
    model = (recipe.combine,) if isinstance(recipe.combine, NoiseModel) else ()
    return (*recipe.clips, *model)


def table_bytes(recipe: Recipe, n: int) -> int:
    """The size in bytes of what `table` returns."""
    records = max(len(recorded_parts(recipe)), 1) * abi.CLIP.itemsize
    return records + sum(_numbers(clip, n).nbytes for clip in recipe.clips)


def _numbers(clip: Clip, n: int) -> NDArray[np.float64]:
    """The numbers in the table of a clip for `n` frames; empty where it has no table."""
    if isinstance(clip, ESDClip):
        return critical_values(clip.significance, n)
    return clip.sigmas if isinstance(clip, RowSigmaClip) else np.empty(0)


def table(recipe: Recipe, n: int, address: int, row: int = 0) -> NDArray[np.uint8]:
    """The records of all clips for `n` frames, followed by the tables that they point to.

    Parameters
    ----------
    recipe : Recipe
        Without clips and noise model there is one empty record, so that its address is valid.
    n : int
    address : int
        Where the result will lie on the device.
    row : int
        The first row of the band, as an index into the numbers of `RowSigmaClip`.

    Returns
    -------
    ndarray of uint8, shape (table_bytes(recipe, n),)
    """
    records = np.zeros(max(len(recorded_parts(recipe)), 1), abi.CLIP)
    parts: list[NDArray[Any]] = [records]
    end = address + records.nbytes
    for record, clip in zip(records, recorded_parts(recipe), strict=False):
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
    """Write a clip for `n` frames into its record, except the address of its table."""
    raise TypeError(f"expected a clip with a record for kernels, got {clip!r}")


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
    record["keep"] = _as_int32(clip.keep)


@fill.register
def _(clip: SigmaClip, record: Any, n: int) -> None:
    _fill_bounds(clip, record, abi.SPREAD[clip.spread], clip.center)
    record["about"], record["ddof"] = abi.ABOUT[clip.about], _as_int32(clip.ddof)


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
    """Write the fields that all clips between two bounds have."""
    record["kind"], record["spread"] = abi.CLIP_BOUNDS, spread
    record["center"] = abi.CENTER[center]
    record["maxiters"] = _passes(clip)
    record["keep"] = _as_int32(clip.keep)
    _fill_sides(clip, record)


def _fill_noise(clip: NoiseClip | NoiseModel, record: Any) -> None:
    """Write the fields of a CCD's noise: read noise, gain, sensitivity noise."""
    record["rdnoise"], record["gain"], record["snoise"] = noise_numbers(clip)


def _fill_sides(clip: Any, record: Any) -> None:
    """Write whether each side has a bound, or threshold, and its value."""
    for side in ("low", "high"):
        bound = getattr(clip, side)
        record[f"has_{side}"] = bound is not None
        record[side] = 0.0 if bound is None else bound


def _passes(clip: Any) -> int:
    """The most passes that a clip makes; -1 = no limit."""
    return -1 if clip.maxiters is None else _as_int32(clip.maxiters)


def _as_int32(number: int) -> int:
    """The nearest int32; its limits are beyond any number of samples or passes."""
    most = int(np.iinfo(np.int32).max)
    return max(min(number, most), -most)
