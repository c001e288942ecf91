"""Formats an explanation as text for a terminal or a file, whatever the terminal's width."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gpustack.clips import (
    Clip,
    ESDClip,
    ExtremaClip,
    Grow,
    LinearFitClip,
    RangeClip,
    SigmaMedianClip,
)

#: The most rejected samples that are listed for a sample rejected as their neighbour.
MOST_PLACES = 3


def describe(explanation: Any) -> str:
    """Return the text of an `Explanation`."""
    x, y = explanation.x, explanation.y
    lines = [f"Pixel {x + 1}, {y + 1} counted from 1, x first: data[{y}, {x}]", ""]
    lines += _samples(explanation)
    if explanation.steps:
        lines += ["", "Clips, each on what the one before left:"]
        lines += [
            line
            for k, step in enumerate(explanation.steps, 1)
            for line in _step(explanation, k, step)
        ]
    return "\n".join([*lines, "", _result(explanation)])


def _samples(explanation: Any) -> list[str]:
    """The table of samples: a line of column names, and one line per frame."""
    table, recipe = explanation.samples, explanation.recipe
    shown = {"frame": [str(name) for name in table["name"]], "raw": _numbers(table["raw"])}
    for name in ("zero", "scale"):
        if getattr(recipe, name) is not None:
            shown[name] = _numbers(table[name])
    if recipe.normalizes:
        shown["value"] = _numbers(table["value"])
    if "noise" in table.colnames:
        shown["noise"] = _numbers(table["noise"])
    if recipe.weights is not None:
        shown["weight"] = _numbers(table["weight"])
    columns = []
    for name, texts in shown.items():
        width = max(map(len, (name, *texts)))
        turn = str.ljust if name == "frame" else str.rjust
        columns.append([turn(text, width) for text in (name, *texts)])
    columns.append(["fate", *(_fate(explanation, f) for f in range(len(table)))])
    return ["  ".join(line) for line in zip(*columns, strict=True)]


def _fate(explanation: Any, f: int) -> str:
    """What became of the sample of frame `f`, and why."""
    fate, k = str(explanation.samples["fate"][f]), int(explanation.samples["step"][f])
    if k == 0:
        return _survivor(explanation, f) if fate == "used" else f"invalid: {fate}"
    step, number = explanation.steps[k - 1], int(explanation.samples["pass"][f])
    by = f"by clip {k}, {step.clip.name}"
    pass_ = step.passes[number - 1]
    if fate == "grown":
        return f"rejected {by}: {_places(pass_.near[pass_.grown.index(f)])}"
    where = f", pass {number}" if len(step.passes) > 1 else ""
    return f"rejected {fate} {by}{where}: {_reason(step.clip, pass_, f, fate)}"


def _survivor(explanation: Any, f: int) -> str:
    """The text for a survivor, with the last bounds that a clip had for this sample alone."""
    kept = any(f in pass_.kept for step in explanation.steps for pass_ in step.passes)
    said = "used, kept out of bounds" if kept else "used"
    for k, step in reversed([*enumerate(explanation.steps, 1)]):
        if step.passes and step.passes[-1].bounds:
            bounds = step.passes[-1].bounds[f]
            return f"{said}; bounds of clip {k}: {_interval(bounds)}{_line(step.clip, bounds)}"
    return said


def _places(near: Any) -> str:
    """The nearest of the rejected samples near a sample."""
    shown = ", ".join(f"({x + 1}, {y + 1})" for x, y in near[:MOST_PLACES])
    more = f" and {len(near) - MOST_PLACES} more" if len(near) > MOST_PLACES else ""
    return f"neighbour of rejected {shown}{more}"


def _reason(clip: Clip, pass_: Any, f: int, side: str) -> str:
    bounds = pass_.bounds_of(f)
    if bounds is not None:
        word, value = ("below", bounds.lower) if side == "low" else ("above", bounds.upper)
        return f"{word} {number(value)}{_line(clip, bounds)}{_replaced(clip, bounds)}"
    most = "lowest" if side == "low" else "highest"
    match clip:
        case ExtremaClip(among="all"):
            count = clip.nlow if side == "low" else clip.nhigh
            return f"{_among(count, most)} of all frames, invalid ones too"
        case ExtremaClip():
            return _among(len(getattr(pass_, side)), most)
        case ESDClip():
            return "an outlier by the test"
        case _:
            return f"too {side}"


def _line(clip: Clip, bounds: Any) -> str:
    """The value of the fitted line at the rank of the sample; empty without a line."""
    line = isinstance(clip, LinearFitClip) and not math.isnan(bounds.center)
    return f", line at {number(bounds.center)}" if line else ""


def _replaced(clip: Clip, bounds: Any) -> str:
    """The median that replaces the sample; empty if the clip replaces none."""
    replaced = isinstance(clip, SigmaMedianClip)
    return f", replaced by {number(bounds.center)}" if replaced else ""


def _among(count: int, most: str) -> str:
    return f"the {most}" if count == 1 else f"among the {count} {most}"


def _step(explanation: Any, k: int, step: Any) -> Iterator[str]:
    """Yield a line for a clip, and one for each of its passes."""
    yield f"  {k}  {step.clip}"
    if not step.passes:
        yield "       no sample was left"
    for p, pass_ in enumerate(step.passes, 1):
        title = f"pass {p}: " if len(step.passes) > 1 else ""
        yield f"       {title}{_limits(explanation, step.clip, pass_)}{_rejected(step.clip, pass_)}"


def _limits(explanation: Any, clip: Clip, pass_: Any) -> str:
    """The centre and the bounds of a pass; empty if it has none."""
    if pass_.lower is None and not pass_.bounds:
        return ""
    center = "" if pass_.center is None else f"center {number(pass_.center)}, "
    bounds = _own_bounds(clip, pass_) if pass_.bounds else f"bounds {_interval(pass_)}"
    raw = explanation.recipe.normalizes and (
        isinstance(clip, RangeClip) or explanation.recipe.clip_on == "raw"
    )
    return f"{center}{bounds}{' on raw' if raw else ''}; "


def _own_bounds(clip: Clip, pass_: Any) -> str:
    """The ranges of the own bounds of samples, and of the fitted line."""
    known = [bounds for bounds in pass_.bounds if bounds is not None]
    center, lower, upper = (_span(values) for values in zip(*known, strict=True))
    line = f"line {center}, " if isinstance(clip, LinearFitClip) else ""
    return f"{line}lower bounds {lower}, upper bounds {upper}"


def _interval(bounds: Any) -> str:
    if math.isnan(bounds.lower) and math.isnan(bounds.upper):
        return "undefined"
    return f"{_bound(bounds.lower)} to {_bound(bounds.upper)}"


def _span(values: Sequence[float]) -> str:
    """The range of the values, undefined ones left out, as text."""
    known = [value for value in values if not math.isnan(value)] or values
    texts = [_bound(value) for value in (min(known), max(known))]
    return " to ".join(dict.fromkeys(texts))


def _bound(value: float) -> str:
    return "undefined" if math.isnan(value) else "none" if math.isinf(value) else number(value)


def _rejected(clip: Clip, pass_: Any) -> str:
    if isinstance(clip, Grow):
        return f"{len(pass_.grown)} rejected as neighbours"
    said = f"{len(pass_.low)} rejected low, {len(pass_.high)} high"
    return f"{said}, {len(pass_.kept)} kept out of bounds" if pass_.kept else said


def _result(explanation: Any) -> str:
    """The line of the result: its value, and the counts of samples."""
    unit = "" if explanation.unit is None else str(explanation.unit)
    parts = [f"{explanation.recipe.method} = {number(explanation.data)}"]
    if explanation.uncertainty is not None:
        parts.append(f"+- {number(explanation.uncertainty)}")
    value = " ".join([*parts, unit]).rstrip() + ", masked" * bool(explanation.mask)
    n, low, high = len(explanation.samples), explanation.low, explanation.high
    grown = sum(len(step.grown) for step in explanation.steps)
    invalid = n - explanation.count - low - high - grown
    near = f"{grown} as neighbours, " if grown else ""
    counts = f"{low} rejected low, {high} high, {near}{invalid} invalid"
    return f"{value}: {explanation.count} of {n} samples; {counts}"


def _numbers(column: Any) -> list[str]:
    return ["-" if math.isnan(value) else number(value) for value in column]


def number(value: Any) -> str:
    """A number with up to 9 digits; for float32, only those that distinguish it from others."""
    value = float(str(value)) if isinstance(value, np.float32) else float(value)
    return f"{value:.9g}"
