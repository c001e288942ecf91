"""The definition of the column algebra: one pixel at a time, in plain Python floats.

It is slow and shares no code with any backend, so that a backend which agrees with it is
right for a reason. `test_oracle.py` in turn holds it against numpy, astropy and answers
written out by hand.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpustack.clips import Clip, ExtremaClip, RangeClip, SigmaClip
from gpustack.recipe import Recipe

#: Types whose samples are compared as float32, which holds them exactly; others as float64.
AS_FLOAT32 = ("bool", "int8", "uint8", "int16", "uint16", "float16", "float32")
#: 1 / (quantile of the normal distribution at 3/4): MAD to standard deviation.
MAD_TO_STD = 1.482602218505602
#: A sample so near to a bound may fall either way: the bound itself is rounded.
CLOSE_ULP = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """What a backend must give.

    `data`, `uncertainty`, `mask`, `count`, `low`, `high` of shape (rows, width); `valid`,
    `rejected` of shape (n,); `marks` of shape (n, rows, width). `close` is True where some
    decision was too close to call; `size` is how large the terms of a result are, which
    is what rounding errors are relative to where the terms cancel.
    """

    data: Any
    uncertainty: Any
    mask: Any
    count: Any
    low: Any
    high: Any
    valid: Any
    rejected: Any
    marks: Any
    close: Any
    size: Any


@dataclass(slots=True)
class Column:
    """The n samples of one pixel: `raw` as decoded, `seen` by clips, `alive` = still in."""

    raw: list[float]
    seen: list[float]
    alive: list[bool]
    low: int = 0
    high: int = 0
    close: bool = False

    def survivors(self) -> list[int]:
        """The frames whose sample is still in."""
        return [i for i, alive in enumerate(self.alive) if alive]

    def reject(self, i: int, *, low: bool) -> None:
        """Take the sample of frame `i` out, as too low or too high."""
        self.alive[i] = False
        self.low += low
        self.high += not low


def mean(values: list[float]) -> float:
    """The arithmetic mean, with one correction step that rounds it to the nearest float."""
    rough = math.fsum(values) / len(values)
    return rough + math.fsum([*values, *[-rough] * len(values)]) / len(values)


def median(values: list[float]) -> float:
    """The middle value; of an even number, the mean of the two middle ones."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def std(values: list[float], ddof: int = 0) -> float:
    """The standard deviation about the mean; NaN where ``n <= ddof``."""
    if len(values) <= ddof:
        return math.nan
    center = mean(values)
    return math.sqrt(math.fsum((v - center) * (v - center) for v in values) / (len(values) - ddof))


def mad_std(values: list[float]) -> float:
    """The standard deviation of normal noise with this median absolute deviation."""
    center = median(values)
    return MAD_TO_STD * median([abs(v - center) for v in values])


def ulp(value: float, dtype: np.dtype[Any]) -> float:
    """The spacing of the numbers of `dtype` at `value`."""
    digits, smallest = (24, -149) if dtype == np.float32 else (53, -1074)
    return math.ldexp(1.0, max(math.frexp(value)[1] - digits, smallest))


def is_close(value: float, bound: float, dtype: np.dtype[Any]) -> bool:
    """Whether `value` is too near to a rounded `bound` to say on which side it lies."""
    if not math.isfinite(bound):
        return False
    return abs(value - bound) <= CLOSE_ULP * ulp(max(abs(value), abs(bound)), dtype)


def clip_range(clip: RangeClip, column: Column, dtype: np.dtype[Any]) -> None:
    """Samples below `low` or above `high`, as they are in the frames."""
    low = -math.inf if clip.low is None else clip.low
    high = math.inf if clip.high is None else clip.high
    # A bound that the working type holds exactly leaves no doubt.
    rounded = [bound for bound in (low, high) if float(dtype.type(bound)) != bound]
    for i in column.survivors():
        value = column.raw[i]
        column.close |= any(is_close(value, bound, dtype) for bound in rounded)
        if value < low or value > high:
            column.reject(i, low=value < low)


def clip_sigma(clip: SigmaClip, column: Column, dtype: np.dtype[Any]) -> None:
    """Samples too many spreads from the centre, until nothing changes."""
    passes = 0
    while clip.maxiters is None or passes < clip.maxiters:
        passes += 1
        if not sigma_pass(clip, column, dtype):
            break


def sigma_pass(clip: SigmaClip, column: Column, dtype: np.dtype[Any]) -> bool:
    """One pass; whether it rejected anything."""
    survivors = column.survivors()
    values = [column.seen[i] for i in survivors]
    if len(values) <= clip.ddof:
        return False
    center = median(values) if clip.center == "median" else mean(values)
    spread = std(values, clip.ddof) if clip.spread == "std" else mad_std(values)
    low = -math.inf if clip.low is None else center - clip.low * spread
    high = math.inf if clip.high is None else center + clip.high * spread
    # Without spread the bounds are the centre itself: no rounding where that is a sample.
    exact = spread == 0 and (clip.center == "median" or len(set(values)) == 1)
    for i, value in zip(survivors, values, strict=True):
        column.close |= not exact and (is_close(value, low, dtype) or is_close(value, high, dtype))
        if value < low or value > high:
            column.reject(i, low=value < low)
    return len(column.survivors()) < len(survivors)


def clip_extrema(clip: ExtremaClip, column: Column) -> None:
    """The `nlow` lowest and `nhigh` highest by (value, frame), NaN last."""

    def order(i: int) -> tuple[bool, float, int]:
        value = column.seen[i]
        return (True, 0.0, i) if math.isnan(value) else (False, value, i)

    frames = column.survivors() if clip.among == "valid" else range(len(column.seen))
    ranked = sorted(frames, key=order)
    for rank, i in enumerate(ranked):
        if column.alive[i] and (rank < clip.nlow or rank >= len(ranked) - clip.nhigh):
            column.reject(i, low=rank < clip.nlow)


def run_clip(clip: Clip, column: Column, dtype: np.dtype[Any]) -> None:
    """One step of the recipe on one column."""
    if isinstance(clip, RangeClip):
        clip_range(clip, column, dtype)
    elif isinstance(clip, SigmaClip):
        clip_sigma(clip, column, dtype)
    else:
        clip_extrema(clip, column)


def combined(recipe: Recipe, values: list[float], weights: list[float]) -> tuple[float, float]:
    """The value of a column and the size of its terms; NaN (0 for a sum) where there is none."""
    if not values or math.fsum(weights) == 0:
        return (0.0 if recipe.combine == "sum" else math.nan), 0.0
    if recipe.combine in ("median", "min", "max"):
        choose = {"median": median, "min": min, "max": max}[recipe.combine]
        return choose(values), max(map(abs, values))
    total = math.fsum(w * v for w, v in zip(weights, values, strict=True))
    size = math.fsum(abs(w * v) for w, v in zip(weights, values, strict=True))
    share = 1.0 if recipe.combine == "sum" else math.fsum(weights)
    return total / share, size / share


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
    """The answer for the samples of all frames (`gpustack.backends.base.Samples` or alike)."""
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
    valid &= np.isfinite(x)  # what normalising makes infinite is as good as lost

    answer = _empty(n, shape, np.dtype(recipe.dtype or dtype), valid)
    for y, pixel in np.ndindex(shape):
        at = (slice(None), y, pixel)
        seen = raw[at] if recipe.clip_on == "raw" else x[at]
        column = Column(raw[at].tolist(), seen.tolist(), valid[at].tolist())
        for clip in recipe.clips:
            run_clip(clip, column, dtype)
        _put(answer, (y, pixel), column, recipe, x[at].tolist(), _weights(band, recipe, y, pixel))
    answer.rejected[:] = answer.marks.sum(axis=(1, 2)) - (~valid).sum(axis=(1, 2))
    return answer


def _empty(n: int, shape: tuple[int, int], result: np.dtype[Any], valid: Any) -> Answer:
    maps = {name: np.zeros(shape, result) for name in ("data", "uncertainty")}
    maps |= {name: np.zeros(shape, bool) for name in ("mask", "close")}
    maps |= {name: np.zeros(shape, int) for name in ("count", "low", "high")}
    return Answer(
        **maps,
        valid=valid.sum(axis=(1, 2)),
        rejected=np.zeros(n, int),
        marks=np.ones((n, *shape), bool),
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
    answer.data[at], answer.size[at] = combined(recipe, values, weights)
    answer.mask[at] = not values or math.fsum(weights) == 0
    answer.uncertainty[at] = math.nan if answer.mask[at] else uncertainty(recipe, values)
    answer.count[at] = len(values)
    answer.low[at], answer.high[at], answer.close[at] = column.low, column.high, column.close
    answer.marks[(survivors, *at)] = False
