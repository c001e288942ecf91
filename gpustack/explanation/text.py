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


def describe(found: Any) -> str:
    """Return the text of an `Explanation`."""
    x, y = found.x, found.y
    lines = [f"Pixel {x + 1}, {y + 1} counted from 1, x first: data[{y}, {x}]", ""]
    lines += _samples(found)
    if found.steps:
        lines += ["", "Clips, each on what the one before left:"]
        lines += [line for k, step in enumerate(found.steps, 1) for line in _step(found, k, step)]
    return "\n".join([*lines, "", _result(found)])


def _samples(found: Any) -> list[str]:
    """The table of samples: a line of column names, and one line per frame."""
    table, recipe = found.samples, found.recipe
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
    columns.append(["fate", *(_fate(found, f) for f in range(len(table)))])
    return ["  ".join(line) for line in zip(*columns, strict=True)]


def _fate(found: Any, f: int) -> str:
    """What became of the sample of frame `f`, and why."""
    fate, k = str(found.samples["fate"][f]), int(found.samples["step"][f])
    if k == 0:
        return _used(found, f) if fate == "used" else f"invalid: {fate}"
    step, number = found.steps[k - 1], int(found.samples["pass"][f])
    by = f"by clip {k}, {step.clip.name}"
    made = step.passes[number - 1]
    if fate == "grown":
        return f"rejected {by}: {_places(made.near[made.grown.index(f)])}"
    where = f", pass {number}" if len(step.passes) > 1 else ""
    return f"rejected {fate} {by}{where}: {_reason(step.clip, made, f, fate)}"


def _used(found: Any, f: int) -> str:
    """The text for a survivor, with the last bounds that a clip had for this sample alone."""
    kept = any(f in made.kept for step in found.steps for made in step.passes)
    said = "used, kept out of bounds" if kept else "used"
    for k, step in reversed([*enumerate(found.steps, 1)]):
        if step.passes and step.passes[-1].bounds:
            bounds = step.passes[-1].bounds[f]
            return f"{said}; bounds of clip {k}: {_interval(bounds)}{_line(step.clip, bounds)}"
    return said


def _places(near: Any) -> str:
    """The nearest of the rejected samples near a sample."""
    shown = ", ".join(f"({x + 1}, {y + 1})" for x, y in near[:MOST_PLACES])
    more = f" and {len(near) - MOST_PLACES} more" if len(near) > MOST_PLACES else ""
    return f"neighbour of rejected {shown}{more}"


def _reason(clip: Clip, made: Any, f: int, side: str) -> str:
    bounds = made.bounds_of(f)
    if bounds is not None:
        word, value = ("below", bounds.lower) if side == "low" else ("above", bounds.upper)
        return f"{word} {number(value)}{_line(clip, bounds)}{_replaced(clip, bounds)}"
    most = "lowest" if side == "low" else "highest"
    match clip:
        case ExtremaClip(among="all"):
            count = clip.nlow if side == "low" else clip.nhigh
            return f"{_so_many(count, most)} of all frames, invalid ones too"
        case ExtremaClip():
            return _so_many(len(getattr(made, side)), most)
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


def _so_many(count: int, most: str) -> str:
    return f"the {most}" if count == 1 else f"among the {count} {most}"


def _step(found: Any, k: int, step: Any) -> Iterator[str]:
    """Yield a line for a clip, and one for each of its passes."""
    yield f"  {k}  {step.clip}"
    if not step.passes:
        yield "       no sample was left"
    for number_, made in enumerate(step.passes, 1):
        title = f"pass {number_}: " if len(step.passes) > 1 else ""
        yield f"       {title}{_limits(found, step.clip, made)}{_rejected(step.clip, made)}"


def _limits(found: Any, clip: Clip, made: Any) -> str:
    """The centre and the bounds of a pass; empty if it has none."""
    if made.lower is None and not made.bounds:
        return ""
    center = "" if made.center is None else f"center {number(made.center)}, "
    bounds = _own(clip, made) if made.bounds else f"bounds {_interval(made)}"
    raw = found.recipe.normalizes and (isinstance(clip, RangeClip) or found.recipe.clip_on == "raw")
    return f"{center}{bounds}{' on raw' if raw else ''}; "


def _own(clip: Clip, made: Any) -> str:
    """The ranges of the own bounds of samples, and of the fitted line."""
    known = [bounds for bounds in made.bounds if bounds is not None]
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


def _rejected(clip: Clip, made: Any) -> str:
    if isinstance(clip, Grow):
        return f"{len(made.grown)} rejected as neighbours"
    said = f"{len(made.low)} rejected low, {len(made.high)} high"
    return f"{said}, {len(made.kept)} kept out of bounds" if made.kept else said


def _result(found: Any) -> str:
    """The line of the result: its value, and the counts of samples."""
    unit = "" if found.unit is None else str(found.unit)
    parts = [f"{found.recipe.method} = {number(found.data)}"]
    if found.uncertainty is not None:
        parts.append(f"+- {number(found.uncertainty)}")
    line = " ".join([*parts, unit]).rstrip()
    grown = sum(len(step.grown) for step in found.steps)
    invalid = len(found.samples) - found.count - found.low - found.high - grown
    near = f"{grown} as neighbours, " if grown else ""
    line += f"{', masked' if found.mask else ''}: {found.count} of {len(found.samples)} samples; "
    return line + f"{found.low} rejected low, {found.high} high, {near}{invalid} invalid"


def _numbers(column: Any) -> list[str]:
    return ["-" if math.isnan(value) else number(value) for value in column]


def number(value: Any) -> str:
    """A number with up to 9 digits; for float32, only those that distinguish it from others."""
    value = float(str(value)) if isinstance(value, np.float32) else float(value)
    return f"{value:.9g}"
