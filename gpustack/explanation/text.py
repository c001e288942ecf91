"""An explanation as text, for a terminal or a file: ASCII, no line depends on its width."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gpustack.clips import Clip, ESDClip, ExtremaClip, RangeClip


def describe(found: Any) -> str:
    """The text of an `Explanation`."""
    x, y = found.x, found.y
    lines = [f"Pixel {x + 1}, {y + 1} counted from 1, x first: data[{y}, {x}]", ""]
    lines += _samples(found)
    if found.steps:
        lines += ["", "Clips, each on what the one before left:"]
        lines += [line for k, step in enumerate(found.steps, 1) for line in _step(found, k, step)]
    return "\n".join([*lines, "", _result(found)])


def _samples(found: Any) -> list[str]:
    """A line a frame, below the names of what is in it."""
    table, recipe = found.samples, found.recipe
    shown = {"frame": [str(name) for name in table["name"]], "raw": _numbers(table["raw"])}
    for name in ("zero", "scale"):
        if getattr(recipe, name) is not None:
            shown[name] = _numbers(table[name])
    if recipe.normalizes:
        shown["value"] = _numbers(table["value"])
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
        kept = any(f in made.kept for step in found.steps for made in step.passes)
        return f"{fate}, kept out of bounds" if kept and fate == "used" else _invalid(fate)
    clip, number = found.steps[k - 1].clip, int(found.samples["pass"][f])
    made = found.steps[k - 1].passes[number - 1]
    where = f", pass {number}" if len(found.steps[k - 1].passes) > 1 else ""
    return f"rejected {fate} by clip {k}, {clip.name}{where}: {_reason(clip, made, fate)}"


def _invalid(fate: str) -> str:
    return fate if fate == "used" else f"invalid: {fate}"


def _reason(clip: Clip, made: Any, side: str) -> str:
    if made.lower is not None:
        return f"below {number(made.lower)}" if side == "low" else f"above {number(made.upper)}"
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


def _so_many(count: int, most: str) -> str:
    return f"the {most}" if count == 1 else f"among the {count} {most}"


def _step(found: Any, k: int, step: Any) -> Iterator[str]:
    """A clip, and a line a pass."""
    yield f"  {k}  {step.clip}"
    if not step.passes:
        yield "       no sample was left"
    for number_, made in enumerate(step.passes, 1):
        title = f"pass {number_}: " if len(step.passes) > 1 else ""
        yield f"       {title}{_limits(found, step.clip, made)}{_rejected(made)}"


def _limits(found: Any, clip: Clip, made: Any) -> str:
    """The centre and the bounds of a pass, where it has them."""
    if made.lower is None:
        return ""
    center = "" if made.center is None else f"center {number(made.center)}, "
    raw = found.recipe.normalizes and (isinstance(clip, RangeClip) or found.recipe.clip_on == "raw")
    bounds = f"bounds {_bound(made.lower)} to {_bound(made.upper)}"
    return f"{center}{bounds}{' on raw' if raw else ''}; "


def _bound(value: float) -> str:
    return "undefined" if math.isnan(value) else "none" if math.isinf(value) else number(value)


def _rejected(made: Any) -> str:
    said = f"{len(made.low)} rejected low, {len(made.high)} high"
    return f"{said}, {len(made.kept)} kept out of bounds" if made.kept else said


def _result(found: Any) -> str:
    """The value and what it is made of."""
    unit = "" if found.unit is None else str(found.unit)
    parts = [f"{found.recipe.combine} = {number(found.data)}"]
    if found.uncertainty is not None:
        parts.append(f"+- {number(found.uncertainty)}")
    line = " ".join([*parts, unit]).rstrip()
    invalid = len(found.samples) - found.count - found.low - found.high
    line += f"{', masked' if found.mask else ''}: {found.count} of {len(found.samples)} samples; "
    return line + f"{found.low} rejected low, {found.high} high, {invalid} invalid"


def _numbers(column: Any) -> list[str]:
    return ["-" if math.isnan(value) else number(value) for value in column]


def number(value: Any) -> str:
    """A number with up to 9 digits, of a float32 no more than tell it from its neighbours."""
    value = float(str(value)) if isinstance(value, np.float32) else float(value)
    return f"{value:.9g}"
