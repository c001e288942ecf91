"""Clips whose bounds differ from sample to sample, in plain Python floats; see `oracle`."""

import math
from typing import Any

import numpy as np

from gpustack.clips import (
    AvgSigmaClip,
    Clip,
    LinearFitClip,
    NoiseClip,
    SigmaClip,
    VarianceClip,
)
from oracle_clips import CLOSE, CLOSE_DISTANCE, Column, center_of, least_of
from oracle_statistics import is_close, mean

#: The distance of a sample from the centre, for sorting: in units of its noise, then absolute.
#: The first is infinite where the noise is zero, so that such samples are further than all others.
Away = tuple[float, float]

#: A line fits exactly where the mean distance from it is at most this fraction of the samples'
#: range: what remains is rounding.
EXACT_FIT = 2.0**-40


def judges_each(clip: Clip, column: Column) -> bool:
    """Whether the bounds of a clip differ from sample to sample."""
    if isinstance(clip, VarianceClip | LinearFitClip | AvgSigmaClip):
        return True
    own = isinstance(clip, NoiseClip) and bool(column.scale)
    return own or (isinstance(clip, SigmaClip) and clip.poisson)


def clip_one_by_one(clip: Any, column: Column, dtype: np.dtype[Any]) -> None:
    """Reject samples outside their own bounds, until nothing changes."""
    least, passes = least_of(clip, len(column.survivors())), 0
    while column.survivors() and (clip.maxiters is None or passes < clip.maxiters):
        before = column.survivors()
        ended = _pass(clip, column, dtype, least, first=passes == 0)
        passes += 1
        if ended or column.survivors() == before:
            break


def _pass(clip: Any, column: Column, dtype: np.dtype[Any], least: int, *, first: bool) -> bool:
    """Do one pass; return whether it was the last because `least` samples must survive."""
    survivors = column.survivors()
    values = [column.seen[i] for i in survivors]
    named = getattr(clip, "center", "mean") != "mean" or len(set(values)) == 1
    outside = []
    for i, center, unit in _centers_and_units(clip, column, survivors, first):
        v = column.seen[i]
        if math.isnan(unit):
            continue
        low = -math.inf if clip.low is None else center - clip.low * unit
        high = math.inf if clip.high is None else center + clip.high * unit
        rounding = max(CLOSE_DISTANCE * max(abs(center), unit), CLOSE * unit)
        # A sample that equals the centre is within any bounds.
        for bound in () if named and v == center else (low, high):
            near = is_close(v, bound, dtype) or abs(v - bound) <= rounding
            column.close |= near and math.isfinite(bound)
        if v < low or v > high:
            away = abs(v - center)
            outside.append(((away / unit, 0.0) if unit else (math.inf, away), i, v < low))
    short = len(survivors) - len(outside) < least
    if short:
        outside.sort()
        reach = outside[least - (len(survivors) - len(outside)) - 1][0]
        ties = [d for d, _, _ in outside if _are_close(d, reach, column)]
        # Equal samples of equal noise have the same distance; distances from a line are rounded.
        rounded = isinstance(clip, LinearFitClip) and len(ties) > 1
        column.close |= rounded or any(d != reach for d in ties)
        outside = [entry for entry in outside if entry[0] > reach]
    for _, i, low in outside:
        column.reject(i, low=low)
    return short


def _are_close(one: Away, other: Away, column: Column) -> bool:
    """Whether rounding may decide which of two samples is further away."""
    far = max(abs(column.seen[i]) for i in column.survivors())
    return one == other or (
        abs(one[0] - other[0]) <= CLOSE * other[0]
        if math.isfinite(other[0])
        else one[0] == other[0] and abs(one[1] - other[1]) <= CLOSE_DISTANCE * far
    )


def _centers_and_units(
    clip: Any, column: Column, survivors: list[int], first: bool
) -> list[tuple[int, float, float]]:
    """For every survivor: its index, the centre and the unit of its distance.

    A sample whose unit is NaN is not rejected.
    """
    values = [column.seen[i] for i in survivors]
    if isinstance(clip, LinearFitClip):
        return _line(column, survivors)
    trims = first or isinstance(clip, NoiseClip)
    center = center_of(clip.center, values, trims)
    units = [_unit(clip, column, i, center) for i in survivors]
    if isinstance(clip, SigmaClip):
        about = center if clip.about == "center" else mean(values)
        squares = [((v - about) / unit) ** 2 for v, unit in zip(values, units, strict=True)]
        degrees = len(values) - clip.ddof
        spread = math.sqrt(math.fsum(squares) / degrees) if degrees > 0 else math.nan
        units = [spread * unit for unit in units]
    if isinstance(clip, AvgSigmaClip):
        spread = column.row_noise if len(values) >= 3 else math.nan
        units = [spread * unit for unit in units]
    return [(i, center, unit) for i, unit in zip(survivors, units, strict=True)]


def _unit(clip: Any, column: Column, i: int, center: float) -> float:
    scale = column.scale[i] if column.scale else 1.0
    zero = column.zero[i] if column.zero else 0.0
    if isinstance(clip, VarianceClip):
        v = column.variance[i]
        return math.sqrt(v) * abs(scale) if v >= 0 else math.nan
    if isinstance(clip, SigmaClip | AvgSigmaClip):
        return math.sqrt(max(1.0, (center + zero * scale) * scale))
    level = max(0.0, center / scale + zero)
    electrons = (clip.rdnoise / clip.gain) ** 2 + level / clip.gain
    return abs(scale) * math.sqrt(electrons + (clip.snoise * level) ** 2)


def tell_row_noise(clip: AvgSigmaClip, row: list[Column]) -> None:
    """Compute the noise by which the clip judges a row, and store it in the columns of the row.

    If rounding may decide in one of the columns, it may in all of them.
    """
    terms = []
    for column in row:
        survivors = column.survivors()
        if len(survivors) >= 3:
            center = center_of(clip.center, [column.seen[i] for i in survivors], True)
            terms += [
                ((column.seen[i] - center) / _unit(clip, column, i, center)) ** 2 for i in survivors
            ]
    total, doubt = math.fsum(terms), any(column.close for column in row)
    for column in row:
        column.row_noise = math.sqrt(total / (len(terms) - 1)) if total > 0 else math.nan
        column.close |= doubt


def _line(column: Column, survivors: list[int]) -> list[tuple[int, float, float]]:
    """The least-squares line through the sorted samples, and their mean distance from it."""
    order = sorted(survivors, key=lambda i: (column.seen[i], i))
    values = [column.seen[i] for i in order]
    n = len(values)
    if n < 3:
        return [(i, column.seen[i], math.nan) for i in order]
    middle, level = (n - 1) / 2, mean(values)
    slope = math.fsum((r - middle) * (v - values[0]) for r, v in enumerate(values))
    slope /= math.fsum((r - middle) ** 2 for r in range(n))
    fitted = [level + slope * (rank - middle) for rank in range(n)]
    spread = math.fsum(abs(v - f) for v, f in zip(values, fitted, strict=True)) / n
    # Subtracting the line from large values leaves few significant digits.
    column.close |= 0 < spread <= CLOSE * max(map(abs, values))
    if spread <= EXACT_FIT * (values[-1] - values[0]):
        spread = math.nan
    return [(i, f, spread) for i, f in zip(order, fitted, strict=True)]
