"""Charts as SVG, drawn in the colours of the page that contains them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gpustack.markup import escape
from gpustack.show.noise import NoiseCurve
from gpustack.show.residuals import EDGES, FAR, Residuals

#: The size of a chart, in units of which a letter is 14 high, and the margins around its axes. The
#: left margin has room for the title, and for numbers of up to six characters: 100000, 0.0001,
#: 1e+100.
WIDTH, HEIGHT = 480, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 12, 12, 46


@dataclass(frozen=True, slots=True)
class Axis:
    """The scale along one side of a chart.

    Parameters
    ----------
    low, high : float
        The numbers at its ends.
    at : tuple of float
        The coordinates of its ends in the drawing.
    log : bool
        Whether the scale is logarithmic.
    """

    low: float
    high: float
    at: tuple[float, float]
    log: bool = False

    def __call__(self, value: float) -> float:
        """The coordinate at which a number is drawn; one beyond an end is drawn at the end."""
        low, high, number = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, number = (math.log10(x) for x in (low, high, number))
        share = (number - low) / (high - low)
        return round(self.at[0] + share * (self.at[1] - self.at[0]), 1)

    @classmethod
    def across(cls, low: float, high: float, log: bool = False) -> "Axis":
        """A scale from left to right."""
        return cls(low, high, (_LEFT, WIDTH - _RIGHT), log)

    @classmethod
    def up(cls, low: float, high: float, log: bool = False) -> "Axis":
        """A scale from the bottom to the top."""
        return cls(low, high, (HEIGHT - _BOTTOM, _TOP), log)


def histogram(found: Residuals) -> str:
    """Draw the histogram of residuals and the normal curve, with logarithmic counts."""
    total = found.kept + found.rejected
    x = Axis.across(-FAR, FAR)
    y = Axis.up(0.7, 2.0 * max(float(total.max()), float(found.normal.max())), log=True)
    parts = [*_grid(x, y, range(-10, 11, 5), _decades(y)), *_titles("sigma", "samples")]
    for k, (kept, gone) in enumerate(
        zip(found.kept.tolist(), found.rejected.tolist(), strict=True)
    ):
        left, right = x(EDGES[k]), x(EDGES[k + 1])
        if gone:
            parts.append(_bar("gone", left, right, y(kept + gone), y(max(kept, y.low))))
        if kept:
            parts.append(_bar("kept", left, right, y(kept), y(y.low)))
    middle = (EDGES[:-1] + EDGES[1:]) / 2
    curve = [(x(m), y(n)) for m, n in zip(middle, found.normal, strict=True) if n > y.low]
    parts.append(_line("normal", curve))
    return _svg("Histogram of normalised residuals against the normal curve", parts)


def noise_curve(curve: NoiseCurve) -> str:
    """Draw the noise of stacks of more and more frames, and sigma / sqrt(n); both axes are log."""
    numbers = [*curve.noise, *curve.expected]
    x = Axis.across(0.9, curve.counts[-1] * 1.15, log=True)
    y = Axis.up(min(numbers) / 1.25, max(numbers) * 1.25, log=True)
    marks = _thinned(curve.counts)
    parts = [*_grid(x, y, marks, _between(y)), *_titles("frames", "noise")]
    places = [x(count) for count in curve.counts]
    parts.append(_line("normal", list(zip(places, map(y, curve.expected), strict=True))))
    parts.append(_line("reached", list(zip(places, map(y, curve.noise), strict=True))))
    parts += [
        f'<circle class="point" cx="{a}" cy="{y(noise)}" r="4.5"/>'
        for a, noise in zip(places, curve.noise, strict=True)
    ]
    return _svg("Noise of the stack of the first frames against sigma over the root of n", parts)


def _thinned(counts: Sequence[int]) -> list[int]:
    """The counts to write below the axis: the last one, and those far enough from it."""
    return [count for count in counts if count == counts[-1] or 1.6 * count < counts[-1]]


def _decades(axis: Axis) -> list[float]:
    return [10.0**k for k in range(math.ceil(math.log10(axis.low)), _floor10(axis.high) + 1)]


def _floor10(value: float) -> int:
    return math.floor(math.log10(value))


def _between(axis: Axis) -> list[float]:
    """Round numbers within an axis, at most six."""
    for steps in ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        decades = range(_floor10(axis.low), _floor10(axis.high) + 1)
        found = [float(f"{step}e{k}") for k in decades for step in steps]
        inside = [number for number in found if axis.low <= number <= axis.high]
        if len(inside) <= 6:
            return inside
    return inside[:: -(-len(inside) // 6)]


def _grid(x: Axis, y: Axis, across: Any, up: Any) -> Iterator[str]:
    """Grid lines, and the numbers beside the axes."""
    for value in up:
        place = y(value)
        yield f'<path class="grid" d="M{x.at[0]} {place}H{x.at[1]}"/>'
        yield f'<text x="{x.at[0] - 7}" y="{place + 5}" text-anchor="end">{value:g}</text>'
    for value in across:
        place = x(value)
        yield f'<path class="grid" d="M{place} {y.at[0]}V{y.at[1]}"/>'
        yield f'<text x="{place}" y="{y.at[0] + 18}" text-anchor="middle">{value:g}</text>'


def _titles(across: str, up: str) -> Iterator[str]:
    """The titles of both axes."""
    middle = (_LEFT + WIDTH - _RIGHT) / 2, (_TOP + HEIGHT - _BOTTOM) / 2
    yield f'<text x="{middle[0]}" y="{HEIGHT - 6}" text-anchor="middle">{escape(across)}</text>'
    yield (
        f'<text transform="translate(14 {middle[1]}) rotate(-90)" text-anchor="middle">'
        f"{escape(up)}</text>"
    )


def _bar(kind: str, left: float, right: float, top: float, bottom: float) -> str:
    width, height = round(right - left, 1), round(max(bottom - top, 0.0), 1)
    return f'<rect class="{kind}" x="{left}" y="{top}" width="{width}" height="{height}"/>'


def _line(kind: str, points: Sequence[tuple[float, float]]) -> str:
    return f'<polyline class="{kind}" points="{" ".join(f"{a},{b}" for a, b in points)}"/>'


def _svg(title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )
