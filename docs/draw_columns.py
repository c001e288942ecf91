"""Draw the pictures of docs/kernels.md, which show what gpustack does to one column.

``python docs/draw_columns.py docs/pictures``
"""

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.nddata import NDData, StdDevUncertainty

from gpustack import ExtremaClip, SigmaClip, VarianceClip, explain
from gpustack.explanation.records import Pass, Step

#: A column of twelve frames, with two cosmic rays, a dark sample and a blank one.
SAMPLES = (103.0, 98.0, 100.0, 131.0, 96.0, 102.0, math.nan, 97.0, 112.0, 101.0, 99.0, 86.0)
#: The values at the bottom and at the top of a panel, in the unit of the samples.
FLOOR, CEILING = 76.0, 134.0
WIDTH, HEIGHT, TOP, BOTTOM, STEP, BAR = 300, 210, 30, 34, 18, 12
INK, IN, OUT, BOUND = "#222222", "#3465a4", "#d08770", "#b48a00"


@dataclass(frozen=True)
class Panel:
    """A column drawn as bars, one for each sample.

    Parameters
    ----------
    title : str
    values : sequence of float
        From left to right; NaN is an invalid sample.
    taken : sequence of bool
        Which samples are drawn full; the others are hollow.
    labels : sequence
        The text below each bar.
    interval : (int, int) or None
        ``[lo, hi)``, drawn below the bars.
    lines : sequence of (float, str)
        Bounds and centres, drawn across all bars, with their names.
    marks : sequence of (float, float) or None
        Bounds of single bars, lower and upper.
    """

    title: str
    values: Sequence[float]
    taken: Sequence[bool]
    labels: Sequence[object]
    interval: tuple[int, int] | None = None
    lines: Sequence[tuple[float, str]] = ()
    marks: Sequence[tuple[float, float] | None] = ()


def height(value: float) -> float:
    """The distance of a value from the top of the picture, in pixels."""
    return TOP + (HEIGHT - TOP - BOTTOM) * (CEILING - value) / (CEILING - FLOOR)


def text(x: float, y: float, said: object, size: int = 11, anchor: str = "middle") -> str:
    """A line of text."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="{INK}">{said}</text>'
    )


def line(x0: float, y0: float, x1: float, y1: float, colour: str, dash: str = "none") -> str:
    """A straight line."""
    return (
        f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{colour}" '
        f'stroke-width="1.5" stroke-dasharray="{dash}"/>'
    )


def left(place: int) -> float:
    """The left edge of the bar at a place, counted from 0."""
    return 10.0 + STEP * place


def bar(place: int, value: float, taken: bool) -> str:
    """A sample: a full bar if it is `taken`, else a hollow one; a cross if it is invalid."""
    if math.isnan(value):
        return text(left(place) + BAR / 2, HEIGHT - BOTTOM - 4, "&#215;", 13)
    top = height(value)
    fill = f'fill="{IN}"' if taken else f'fill="none" stroke="{OUT}" stroke-width="1.5"'
    return (
        f'<rect x="{left(place):.1f}" y="{top:.1f}" width="{BAR}" '
        f'height="{HEIGHT - BOTTOM - top:.1f}" {fill}/>'
    )


def bracket(lo: int, hi: int) -> Iterator[str]:
    """The interval [lo, hi) below the bars."""
    y, x0, x1 = HEIGHT - 14, left(lo) - 2, left(hi) - 4
    yield line(x0, y, x1, y, INK)
    yield line(x0, y - 5, x0, y, INK)
    yield line(x1, y - 5, x1, y, INK)
    yield text((x0 + x1) / 2, HEIGHT - 2, f"lo = {lo}, hi = {hi}", 11)


def drawn(panel: Panel) -> Iterator[str]:
    """The elements of a panel."""
    yield text(left(len(panel.values)) / 2, 14, panel.title, 12)
    for place, (value, taken) in enumerate(zip(panel.values, panel.taken, strict=True)):
        yield bar(place, value, taken)
        yield text(left(place) + BAR / 2, HEIGHT - BOTTOM + 11, panel.labels[place], 8)
    for value, name in panel.lines:
        dash = "none" if name == "centre" else "4 3"
        end = left(len(panel.values))
        yield line(6, height(value), end, height(value), BOUND, dash)
        yield text(end + 3, height(value) + 3, f"{name} {value:.1f}", 9, "start")
    for place, mark in enumerate(panel.marks):
        if mark is not None:
            x = left(place) + BAR / 2
            lower, upper = (height(min(max(end, FLOOR), CEILING)) for end in mark)
            yield line(x, lower, x, upper, BOUND)
            yield line(x - 5, lower, x + 5, lower, BOUND) + line(x - 5, upper, x + 5, upper, BOUND)
    if panel.interval is not None:
        yield from bracket(*panel.interval)


def picture(panels: Sequence[Panel]) -> str:
    """An SVG of panels beside each other."""
    size = f'width="{WIDTH * len(panels)}" height="{HEIGHT + 6}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">',
        f'<rect {size} fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        parts += [f'<g transform="translate({WIDTH * number} 0)">', *drawn(panel), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def steps_of(clip: object) -> tuple[Step, ...]:
    """What `gpustack.explain` says of the column: the steps of the clip, pass by pass."""
    column = np.array(SAMPLES).reshape(-1, 1, 1)
    return explain(column, 0, 0, clip).steps


def sorted_frames() -> list[int]:
    """The frames, counted from 0, in the order of their samples; invalid ones last."""
    return [int(frame) for frame in np.argsort(SAMPLES, kind="stable")]


def ranked(title: str, gone: Iterable[int] = (), **more: object) -> Panel:
    """The sorted column, with the samples of the frames `gone`, all at its ends, as rejected."""
    order, gone = sorted_frames(), set(gone)
    taken = [frame not in gone and not math.isnan(SAMPLES[frame]) for frame in order]
    ends = (taken.index(True), len(taken) - taken[::-1].index(True))
    values = [SAMPLES[frame] for frame in order]
    panel = Panel(title, values, taken, range(len(order)), ends)
    return replace(panel, **more)  # type: ignore[arg-type]


def bounds(made: Pass) -> list[tuple[float, str]]:
    """The bounds and the centre of a pass, as lines."""
    assert made.lower is not None
    assert made.upper is not None
    assert made.center is not None
    return [(made.lower, "lower"), (made.center, "centre"), (made.upper, "upper")]


def sorting() -> list[Panel]:
    """The column in the order of the frames, and sorted."""
    valid = [not math.isnan(value) for value in SAMPLES]
    read = Panel("as read: a bar a frame", SAMPLES, valid, range(len(SAMPLES)))
    return [read, ranked("sorted: a bar a rank")]


def passes() -> list[Panel]:
    """A sigma clip, pass by pass."""
    gone: set[int] = set()
    panels = []
    (step,) = steps_of(SigmaClip(low=2, high=2))
    for number, made in enumerate(step.passes, 1):
        gone |= {*made.low, *made.high}
        panels.append(ranked(f"pass {number}", gone, lines=bounds(made)))
    return panels


def ranks() -> list[Panel]:
    """A clip by rank, and the ranks that a median reads."""
    (step,) = steps_of(ExtremaClip(nlow=1, nhigh=2))
    gone = {*step.low, *step.high}
    clipped = ranked("ExtremaClip(nlow=1, nhigh=2)", gone)
    assert clipped.interval is not None
    lo, hi = clipped.interval
    middle = {(lo + hi - 1) // 2, (lo + hi) // 2}
    median = [rank in middle for rank in range(len(SAMPLES))]
    return [clipped, replace(clipped, title="what its median reads", taken=median)]


def windows() -> list[Panel]:
    """The median absolute deviation as the best window of half of the samples."""
    values = sorted(value for value in SAMPLES if not math.isnan(value))
    count, center = len(values), float(np.median(values))
    half = count // 2 + 1
    costs = [
        max(center - values[i], values[i + half - 1] - center) for i in range(count - half + 1)
    ]
    best = costs.index(min(costs))
    assert min(costs) == np.median(np.abs(np.array(values) - center))
    shown = sorted({0, best, count - half})
    return [
        ranked(
            f"{half} samples from rank {start}: {costs[start]:.0f}",
            interval=(start, start + half),
            taken=[start <= rank < start + half for rank in range(len(SAMPLES))],
            lines=[(center, "centre")],
        )
        for start in shown
    ]


def second_look() -> list[Panel]:
    """The survivors in the sorted column, and found again among the frames."""
    (step,) = steps_of(SigmaClip(low=2, high=2))
    gone = {*step.low, *step.high}
    panel = ranked("the interval", gone)
    kept = [value for value, taken in zip(panel.values, panel.taken, strict=True) if taken]
    lines = [(min(kept), "lowest"), (max(kept), "highest")]
    taken = [f not in gone and not math.isnan(v) for f, v in enumerate(SAMPLES)]
    frames = Panel("the frames once more", SAMPLES, taken, range(len(SAMPLES)), lines=lines)
    return [replace(panel, lines=lines), frames]


def by_frame() -> list[Panel]:
    """A clip with bounds for each sample: two frames are noisier than the others."""
    noise = [{3: 16.0, 8: 6.0}.get(frame, 2.0) for frame in range(len(SAMPLES))]
    frames = [
        NDData(np.full((1, 1), value), uncertainty=StdDevUncertainty(np.full((1, 1), sigma)))
        for value, sigma in zip(SAMPLES, noise, strict=True)
    ]
    found = explain(frames, 0, 0, VarianceClip())
    made = found.steps[0].passes[0]
    own = [made.bounds_of(frame) for frame in range(len(frames))]
    center = next(bounds.center for bounds in own if bounds is not None)
    return [
        Panel(
            "VarianceClip(), pass 1",
            SAMPLES,
            [frame not in {*made.low, *made.high} for frame in range(len(frames))],
            range(len(frames)),
            lines=[(center, "centre")],
            marks=[None if bounds is None else bounds[1:] for bounds in own],
        )
    ]


PICTURES = {
    "column-sorted": sorting,
    "column-sigma": passes,
    "column-ranks": ranks,
    "column-mad": windows,
    "column-frames": second_look,
    "column-by-frame": by_frame,
}


def main(folder: str) -> None:
    """Write all pictures into a folder."""
    for name, panels in PICTURES.items():
        (Path(folder) / f"{name}.svg").write_text(picture(panels()))


if __name__ == "__main__":
    main(*sys.argv[1:])
