"""The reference implementation of the column algebra: one pixel at a time, in Python floats.

It is slow and shares no code with any backend, so agreement of a backend with it is independent
evidence. `test_oracle.py` compares the oracle itself with numpy, astropy and answers written out
by hand.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpustack.clips import (
    AvgSigmaClip,
    Clip,
    ESDClip,
    ExtremaClip,
    RangeClip,
    SigmaMedianClip,
)
from gpustack.reasons import Reason
from gpustack.recipe import Recipe
from oracle_by_frame import clip_one_by_one, judges_each, tell_row_noise
from oracle_clips import (
    Column,
    clip_by_bounds,
    clip_esd,
    clip_extrema,
    clip_range,
    clip_replacing,
)
from oracle_statistics import mad_std, median, std

#: Types whose samples are compared as float32, which represents them exactly; others as float64.
AS_FLOAT32 = ("bool", "int8", "uint8", "int16", "uint16", "float16", "float32")


#: Name -> function of the combines that select one sample, or average two.
CHOICES = {
    "median": median,
    "lower_median": statistics.median_low,
    "lmedian": lambda values: min(values) if len(values) == 2 else median(values),
    "min": min,
    "max": max,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The outputs that a backend must produce.

    `data`, `uncertainty`, `mask`, `count`, `low`, `high` of shape (rows, width); `valid`,
    `rejected` of shape (n,); `reasons` of shape (n, rows, width). `close` is True where rounding
    may change some decision. `size` is the size of the terms of a result: where terms cancel,
    rounding errors are relative to it.
    """

    data: Any
    uncertainty: Any
    mask: Any
    count: Any
    low: Any
    high: Any
    valid: Any
    rejected: Any
    reasons: Any
    close: Any
    size: Any

    @property
    def marks(self) -> Any:
        """Which samples are invalid or rejected, shape (n, rows, width)."""
        return self.reasons != 0


def combined(recipe: Recipe, values: list[float], weights: list[float]) -> tuple[float, float]:
    """The combined value and the size of its terms; NaN (0 for a sum) without a survivor."""
    if not values or math.fsum(weights) == 0:
        return (0.0 if recipe.combine == "sum" else math.nan), 0.0
    if recipe.combine in CHOICES:
        return CHOICES[recipe.combine](values), max(map(abs, values))
    if recipe.method in ("quadrature", "nmodel"):
        terms = [w * v for w, v in zip(weights, values, strict=True)]
        root = math.sqrt(math.fsum(term * term for term in terms)) / math.fsum(weights)
        return root, root
    total = math.fsum(w * v for w, v in zip(weights, values, strict=True))
    size = math.fsum(abs(w * v) for w, v in zip(weights, values, strict=True))
    share = 1.0 if recipe.combine == "sum" else math.fsum(weights)
    return total / share, size / share


def modelled(model: Any, raw: Any, scale: Any) -> Any:
    """The noise of a CCD at these raw values, in units of the scaled values."""
    signal = np.where(raw > 0, raw, 0).astype(np.float64)
    electrons = signal * model.gain
    shot, flat = electrons + model.rdnoise**2, model.snoise * signal
    return np.hypot(np.sqrt(shot) / model.gain, flat) * np.abs(scale)


def uncertainty(recipe: Recipe, values: list[float]) -> float:
    """The standard error of the combined value, from the spread of the survivors."""
    if recipe.spread is None or not values:
        return math.nan
    spread = std(values) if recipe.spread == "std" else mad_std(values)
    root = math.sqrt(len(values))
    return spread * root if recipe.combine == "sum" else spread / root


def frame_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type in which samples of `dtype` are compared."""
    small = dtype.newbyteorder("=").name in AS_FLOAT32
    return np.dtype(np.float32 if small else np.float64)


def decode(samples: Any) -> tuple[Any, Any]:
    """The values of one frame in its working type, blanks as NaN, and which are valid."""
    real = frame_dtype(samples.data.dtype).type
    values = samples.data.astype(real) * real(samples.bscale) + real(samples.bzero)
    values += real(0)  # -0.0 counts as +0.0
    if samples.blank is not None:
        values[samples.data == samples.blank] = math.nan
    valid = np.isfinite(values)
    return values, valid if samples.mask is None else valid & ~samples.mask


def solve(band: Sequence[Any], recipe: Recipe) -> Answer:
    """Run the recipe on the samples of all frames (`gpustack.backends.base.Samples`)."""
    with np.errstate(all="ignore"):
        return _solve(band, recipe)


def _solve(band: Sequence[Any], recipe: Recipe) -> Answer:
    n, shape = len(band), band[0].data.shape
    dtype = np.result_type(*(frame_dtype(samples.data.dtype) for samples in band))
    decoded = [decode(samples) for samples in band]
    raw = np.array([values for values, _ in decoded], dtype)
    valid = np.array([good for _, good in decoded])
    zero = np.array(recipe.zero or [0.0] * n).reshape(n, 1, 1)
    scale = np.array(recipe.scale or [1.0] * n).reshape(n, 1, 1)
    x = ((raw.astype(np.float64) - zero) * scale + 0.0).astype(dtype)
    valid &= np.isfinite(x)  # a sample that normalising makes infinite is invalid too
    values = x if recipe.method != "nmodel" else modelled(recipe.combine, raw, scale)

    answer = _empty(n, shape, np.dtype(recipe.dtype or dtype), valid)
    answer.reasons[~valid] = Reason.NO_VALUE
    for f, samples in enumerate(band):
        if samples.mask is not None:
            answer.reasons[f, samples.mask] = Reason.MASKED
    columns = {}
    for y, pixel in np.ndindex(shape):
        at = (slice(None), y, pixel)
        seen = raw[at] if recipe.clip_on == "raw" else x[at]
        column = columns[y, pixel] = Column(raw[at].tolist(), seen.tolist(), valid[at].tolist())
        _tell(column, band, recipe, y, pixel)
    for k, clip in enumerate(recipe.clips[:-1] if recipe.grow else recipe.clips):
        if isinstance(clip, AvgSigmaClip):
            for y in range(shape[0]):
                tell_row_noise(clip, [columns[y, pixel] for pixel in range(shape[1])])
        ranges = all(isinstance(earlier, RangeClip) for earlier in recipe.clips[: k + 1])
        for (y, pixel), column in columns.items():
            before = column.survivors()
            run_clip(clip, column, dtype)
            rejected = [i for i in before if not column.alive[i]]
            answer.reasons[rejected, y, pixel] = Reason.RANGE if ranges else Reason.CLIP
    if recipe.grow:
        _grow(answer, columns, recipe.grow.radius)
    for (y, pixel), column in columns.items():
        at = (slice(None), y, pixel)
        weights = _weights(band, recipe, y, pixel)
        _put(answer, (y, pixel), column, recipe, values[at].tolist(), weights)
    answer.rejected[:] = answer.marks.sum(axis=(1, 2)) - (~valid).sum(axis=(1, 2))
    return answer


def _tell(column: Column, band: Sequence[Any], recipe: Recipe, y: int, pixel: int) -> None:
    """Store in the column what clips need of the frames beside their samples."""
    n = len(band)
    if recipe.normalizes and recipe.clip_on == "normalized":
        column.scale = list(recipe.scale or [1.0] * n)
        column.zero = list(recipe.zero or [0.0] * n)
    if band[0].variance is not None:
        column.variance = [float(samples.variance[y, pixel]) for samples in band]


def run_clip(clip: Clip, column: Column, dtype: np.dtype[Any]) -> None:
    """Run one clip of the recipe on one column."""
    if isinstance(clip, RangeClip):
        clip_range(clip, column, dtype)
    elif isinstance(clip, ExtremaClip):
        clip_extrema(clip, column)
    elif isinstance(clip, ESDClip):
        clip_esd(clip, column)
    elif isinstance(clip, SigmaMedianClip):
        clip_replacing(clip, column, dtype)
    elif judges_each(clip, column):
        clip_one_by_one(clip, column, dtype)
    else:
        clip_by_bounds(clip, column, dtype)


def _grow(answer: Answer, columns: dict[tuple[int, int], Column], radius: float) -> None:
    """Reject the samples of frames in which a sample within `radius` was clipped.

    If rounding may decide in a neighbour's column, it may in this one.
    """
    clipped = answer.reasons == Reason.CLIP
    doubtful = [at for at, column in columns.items() if column.close]
    for (y, x), column in columns.items():
        near = [(v, u) for v, u in columns if (v - y) ** 2 + (u - x) ** 2 <= radius * radius]
        for i in column.survivors():
            if any(clipped[i, v, u] for v, u in near):
                column.alive[i] = False
                answer.reasons[i, y, x] = Reason.GROW
        answer.close[y, x] = any(at in near for at in doubtful)


def _empty(n: int, shape: tuple[int, int], result: np.dtype[Any], valid: Any) -> Answer:
    maps = {name: np.zeros(shape, result) for name in ("data", "uncertainty")}
    maps |= {name: np.zeros(shape, bool) for name in ("mask", "close")}
    maps |= {name: np.zeros(shape, int) for name in ("count", "low", "high")}
    return Answer(
        **maps,
        valid=valid.sum(axis=(1, 2)),
        rejected=np.zeros(n, int),
        reasons=np.zeros((n, *shape), np.uint8),
        size=np.zeros(shape),
    )


def _weights(band: Sequence[Any], recipe: Recipe, y: int, pixel: int) -> list[float]:
    if recipe.weights == "sample":
        return [float(samples.weight[y, pixel]) for samples in band]
    return list(recipe.weights or [1.0] * len(band))


def _put(
    answer: Answer,
    at: tuple[int, int],
    column: Column,
    recipe: Recipe,
    x: list[float],
    weights: list[float],
) -> None:
    survivors = column.survivors()
    values = [x[i] for i in survivors]
    weights = [weights[i] for i in survivors]
    standing = [*values, *column.stand_ins], weights + [1.0] * len(column.stand_ins)
    answer.data[at], answer.size[at] = combined(recipe, *standing)
    answer.mask[at] = not values or math.fsum(weights) == 0
    answer.uncertainty[at] = math.nan if answer.mask[at] else uncertainty(recipe, values)
    answer.count[at] = len(values)
    answer.low[at], answer.high[at] = column.low, column.high
    answer.close[at] |= column.close
