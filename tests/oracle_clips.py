"""Each clip on one column, in plain Python floats; see `oracle`."""

import math
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from gpustack.clips import (
    ESDClip,
    ExtremaClip,
    MADClip,
    NoiseClip,
    PercentileClip,
    PercentileRankClip,
    RangeClip,
    SigmaClip,
    SigmaMedianClip,
    WinsorizedClip,
)
from oracle_statistics import (
    is_close,
    mad,
    mad_std,
    mean,
    median,
    spread_about,
    std,
    student_quantile,
)

#: How Siril winsorizes: samples are pulled in to `CUTOFF` standard deviations from the median, and
#: the standard deviation of the result, times `FACTOR`, is the next one; at most `ROUNDS` times, or
#: until it changes by no more than the fraction `SETTLED`.
CUTOFF, FACTOR, ROUNDS, SETTLED = 1.5, 1.134, 50, 0.0005

#: Relative accuracy of values after many roundings: the winsorized spread, G of the ESD test.
CLOSE = 1e-9
#: Accuracy of a distance in float64, relative to the larger of sample and centre.
CLOSE_DISTANCE = 4 * 2.0**-52


@dataclass(slots=True)
class Column:
    """The n samples of a pixel: `raw` as decoded, `seen` by clips; `alive`: not rejected yet.

    `close` is True if rounding may change a decision.
    """

    raw: list[float]
    seen: list[float]
    alive: list[bool]
    low: int = 0
    high: int = 0
    close: bool = False
    #: The scale and zero of each frame with which `seen` was normalised; the variance of `raw`.
    scale: list[float] = field(default_factory=list)
    zero: list[float] = field(default_factory=list)
    variance: list[float] = field(default_factory=list)
    #: The noise averaged over the row of the pixel, in units of the root of the level.
    row_noise: float = math.nan
    #: Values that a replacing clip put in the place of rejected samples.
    stand_ins: list[float] = field(default_factory=list)

    def survivors(self) -> list[int]:
        """The indices of the frames whose sample is not rejected."""
        return [i for i, alive in enumerate(self.alive) if alive]

    def reject(self, i: int, *, low: bool) -> None:
        """Reject the sample of frame `i` as too low or too high."""
        self.alive[i] = False
        self.low += low
        self.high += not low


def clip_range(clip: RangeClip, column: Column, dtype: np.dtype[Any]) -> None:
    """Reject samples whose raw value is below `low` or above `high`."""
    low = -math.inf if clip.low is None else clip.low
    high = math.inf if clip.high is None else clip.high
    # Rounding cannot decide about a bound that the working type represents exactly.
    rounded = [bound for bound in (low, high) if float(dtype.type(bound)) != bound]
    for i in column.survivors():
        value = column.raw[i]
        column.close |= any(is_close(value, bound, dtype) for bound in rounded)
        if value < low or value > high:
            column.reject(i, low=value < low)


def least_of(clip: Any, count: int) -> int:
    """The number of `count` samples that must survive."""
    return min(clip.keep, count) if clip.keep >= 0 else max(count + clip.keep, 0)


def clip_by_bounds(clip: Any, column: Column, dtype: np.dtype[Any]) -> None:
    """Reject samples outside bounds about a centre, until nothing changes."""
    least, passes = least_of(clip, len(column.survivors())), 0
    while column.survivors() and (clip.maxiters is None or passes < clip.maxiters):
        before = column.survivors()
        ended = bounds_pass(clip, column, dtype, least, first=passes == 0)
        passes += 1
        if ended or len(column.survivors()) == len(before):
            break


def bounds_pass(
    clip: Any, column: Column, dtype: np.dtype[Any], least: int, *, first: bool
) -> bool:
    """Do one pass; return whether it was the last because `least` samples must survive."""
    survivors = column.survivors()
    values = [column.seen[i] for i in survivors]
    center, unit = center_and_unit(clip, column, values, first)
    if math.isnan(unit):
        return False
    low = -math.inf if clip.low is None else center - clip.low * unit
    high = math.inf if clip.high is None else center + clip.high * unit
    strict = isinstance(clip, PercentileRankClip)
    inside = [low < v < high if strict else low <= v <= high for v in values]
    # Without spread the bounds equal the centre, which is exact if it is one of the samples.
    exact = unit == 0 and (center in values or len(set(values)) == 1) and not strict
    slack = CLOSE * unit if isinstance(clip, WinsorizedClip) else 0.0
    # A bound near zero has the rounding error of its terms.
    rounding = CLOSE_DISTANCE * max(abs(center), unit)
    # A sample that equals the centre is within any bounds.
    is_sample = named_center(clip) != "mean" or len(set(values)) == 1
    for v in values:
        if is_sample and v == center and not strict:
            continue
        near = is_close(v, low, dtype) or is_close(v, high, dtype)
        near |= min(abs(v - low), abs(v - high)) <= slack
        near |= abs(v - low) <= rounding or abs(v - high) <= rounding
        column.close |= near and not exact
    short = sum(inside) < least
    if short:
        inside, near_tie = brought_back(values, center, inside, least)
        # Every backend computes the same median bit for bit, and the same distances from it.
        column.close |= near_tie and named_center(clip) != "median"
    for i, v, keeps in zip(survivors, values, inside, strict=True):
        if not keeps:
            column.reject(i, low=v < low or (strict and v == low))
    return short


def named_center(clip: Any) -> str:
    """The name of the centre of a clip; the median unless the clip has an option for it."""
    return str(getattr(clip, "center", "median"))


def brought_back(
    values: list[float], center: float, inside: list[bool], least: int
) -> tuple[list[bool], bool]:
    """Which samples survive if the nearest ones out of bounds are kept, until `least` survive.

    The second value is True if another sample is so nearly as far as the last one kept that
    rounding may decide.
    """
    away = [abs(v - center) for v in values]
    out = sorted(d for d, keeps in zip(away, inside, strict=True) if not keeps)
    reach = out[least - sum(inside) - 1]
    near_tie = any(
        d != reach and abs(d - reach) <= CLOSE_DISTANCE * max(abs(v), abs(center))
        for v, d in zip(values, away, strict=True)
    )
    return [keeps or d <= reach for d, keeps in zip(away, inside, strict=True)], near_tie


def center_and_unit(  # noqa: PLR0911 - one return for each clip
    clip: Any, column: Column, values: list[float], first: bool
) -> tuple[float, float]:
    """The centre from which distances are measured, and their unit; NaN rejects nothing."""
    middle = median(values)
    match clip:
        case SigmaClip():
            center = center_of(clip.center, values, first)
            if clip.spread == "mad_std":
                return center, mad_std(values)
            about_center = clip.about == "center"
            spread = spread_about(values, center, clip.ddof)
            return center, spread if about_center else std(values, clip.ddof)
        case NoiseClip():
            center = center_of(clip.center, values, True)
            level = max(center, 0.0)
            electrons = (clip.rdnoise / clip.gain) ** 2 + level / clip.gain
            return center, math.sqrt(electrons + (clip.snoise * level) ** 2)
        case MADClip():
            return middle, mad(values)
        case PercentileClip():
            return middle, abs(middle)
        case PercentileRankClip():
            return middle, distance_at_rank(clip, values, len(column.seen)) or math.nan
    return middle, winsorized_std(values, middle, column)


def center_of(center: str, values: list[float], trims: bool) -> float:
    """The median, the mean, or if `trims` the mean without the lowest and highest sample."""
    if center == "median":
        return median(values)
    if center == "trimmed_mean" and trims and len(values) >= 3:
        return mean(sorted(values)[1:-1])
    return mean(values)


def distance_at_rank(clip: PercentileRankClip, values: list[float], frames: int) -> float:
    """The distance from the median to the sample at the rank that the clip names."""
    ordered, steps, n = sorted(values), clip.steps(frames), len(values)
    rank = max((n - 1) // 2 + steps, 0) if steps < 0 else min(n // 2 + steps, n - 1)
    return abs(ordered[rank] - median(values))


def winsorized_std(values: list[float], middle: float, column: Column) -> float:
    """The standard deviation after pulling outlying samples in repeatedly, until it settles."""
    spread = std(values, 1)
    for _ in range(ROUNDS):
        if math.isnan(spread):
            break
        low, high = middle - CUTOFF * spread, middle + CUTOFF * spread
        values = [min(max(v, low), high) for v in values]
        fresh = FACTOR * std(values, 1)
        change, least = abs(fresh - spread), SETTLED * spread
        column.close |= spread > 0 and abs(change - least) <= CLOSE * spread
        spread = fresh
        if change <= least:
            break
    return spread


def clip_replacing(clip: SigmaMedianClip, column: Column, dtype: np.dtype[Any]) -> None:
    """Replace samples outside bounds by the median, until nothing changes.

    Medians that replaced samples count in later medians and standard deviations as samples do.
    """
    standing, passes = {i: column.seen[i] for i in column.survivors()}, 0
    ordered = sorted(standing.values())
    stays = ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1]
    while len(standing) > 1 and (clip.maxiters is None or passes < clip.maxiters):
        values = list(standing.values())
        center, unit = median(values), std(values, 1)
        low = -math.inf if clip.low is None else center - clip.low * unit
        high = math.inf if clip.high is None else center + clip.high * unit
        rounding = CLOSE_DISTANCE * max(abs(center), unit)
        outside = []
        for i, v in standing.items():
            if stays[0] <= v <= stays[-1]:
                continue
            column.close |= is_close(v, low, dtype) or is_close(v, high, dtype)
            column.close |= abs(v - low) <= rounding or abs(v - high) <= rounding
            if not low <= v <= high and not math.isnan(unit):
                outside.append(i)
        for i in outside:
            column.reject(i, low=standing[i] < low)
            standing[i] = center
            column.stand_ins.append(center)
        passes += 1
        if not outside:
            break


def clip_esd(clip: ESDClip, column: Column) -> None:
    """The generalised ESD test."""
    left = sorted(column.survivors(), key=lambda i: (column.seen[i], i))
    steps = min(int(clip.most(len(left))), len(left) - least_of(clip, len(left)))
    middle = abs(column.seen[left[len(left) // 2]]) if left else 0.0
    aside: list[tuple[int, bool]] = []
    outliers = 0
    while len(aside) < steps and len(left) >= 3:
        lowest, highest = column.seen[left[0]], column.seen[left[-1]]
        if lowest == highest:
            break
        values = [column.seen[i] for i in left]
        center = mean(values)
        above, below = highest - center, center - lowest
        column.close |= above != below and abs(above - below) <= CLOSE * max(above, below)
        spread = std(values, 1)
        # Squares may underflow, and a spread far below the first median has few exact digits.
        if spread <= CLOSE * middle:
            column.close = True
            break
        deviation = max(above, below) / spread
        critical = critical_value(clip.significance, len(left))
        column.close |= abs(deviation - critical) <= CLOSE * critical
        aside.append((left.pop(), False) if above >= below else (left.pop(0), True))
        if deviation > critical:
            outliers = len(aside)
    for i, low in aside[:outliers]:
        column.reject(i, low=low)


@cache
def critical_value(significance: float, n: int) -> float:
    """The critical value of Rosner's test for `n` samples."""
    t = student_quantile(1 - significance / (2 * n), n - 2)
    return (n - 1) * t / math.sqrt(n * (n - 2 + t * t))


def clip_extrema(clip: ExtremaClip, column: Column) -> None:
    """Reject the `nlow` lowest and `nhigh` highest by (value, frame), with NaN last."""

    def order(i: int) -> tuple[bool, float, int]:
        value = column.seen[i]
        return (True, 0.0, i) if math.isnan(value) else (False, value, i)

    frames = range(len(column.seen)) if clip.among == "all" else column.survivors()
    ranked = sorted(frames, key=order)
    nlow, nhigh = clip.nlow, clip.nhigh
    if clip.among == "share":
        nlow, nhigh = (int(len(ranked) * k / len(column.seen) + 0.001) for k in (nlow, nhigh))
    for rank, i in enumerate(ranked):
        if column.alive[i] and (rank < nlow or rank >= len(ranked) - nhigh):
            column.reject(i, low=rank < nlow)
