"""The report of the demo: what was measured, as tables of plain text."""

from dataclasses import dataclass

import numpy as np

from gpustack.demo.judge import Check, Expected
from gpustack.demo.simulate import SKY_NOISE


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured in a demo.

    Parameters
    ----------
    frames, size : int
        How many frames, and pixels on a side of each.
    backend : str
        The backend that made the stack.
    seconds : float
        How long the clipped stack took, from files to memory.
    noises : dict of str to tuple of float
        Image -> robust and rms noise of its background, in electrons.
    expected : Expected
        What the clip does to pure noise.
    counts : dict of str to tuple of int
        Kind of sample -> how many, and how many of them were rejected.
    checks : list of Check
        The stack against the truth.
    """

    frames: int
    size: int
    backend: str
    seconds: float
    noises: dict[str, tuple[float, float]]
    expected: Expected
    counts: dict[str, tuple[int, int]]
    checks: list[Check]


def report_lines(outcome: Outcome) -> list[str]:
    """Return the lines of all tables, with an empty line before each."""
    tables = (
        _speed_table(outcome),
        _noise_table(outcome),
        _sample_table(outcome),
        _check_table(outcome),
    )
    return [line for table in tables for line in ("", *table)]


def _speed_table(outcome: Outcome) -> list[str]:
    speed = outcome.frames * outcome.size**2 / 1e6 / outcome.seconds
    row = (
        str(outcome.frames),
        f"{outcome.size} x {outcome.size}",
        outcome.backend,
        f"{outcome.seconds:.2f}",
        f"{speed:.0f}",
    )
    return [
        *_table([("frames", "pixels", "backend", "seconds", "Mpx/s"), row]),
        "Mpx/s: million samples of all frames, from FITS files to the stack in memory",
    ]


def _noise_table(outcome: Outcome) -> list[str]:
    ideal = SKY_NOISE / np.sqrt(outcome.frames)
    expected = (SKY_NOISE, ideal, outcome.expected.noise * ideal)
    rows = [
        (name, f"{robust:.2f}", f"{rms:.2f}", f"{wanted:.2f}")
        for (name, (robust, rms)), wanted in zip(outcome.noises.items(), expected, strict=True)
    ]
    loss = 100.0 * (outcome.expected.noise - 1.0)
    return [
        *_table([("background noise [e]", "robust", "rms", "expected"), *rows]),
        f"expected: sigma / sqrt({outcome.frames}); this clip costs {loss:.1f} % on pure noise",
    ]


def _sample_table(outcome: Outcome) -> list[str]:
    counts = dict(outcome.counts)
    clean, wrong = counts.pop("clean")
    rows = [
        (name, f"{there:,}", f"{found:,}", f"{there - found:,}")
        for name, (there, found) in counts.items()
    ]
    return [
        *_table([("samples above 5 sigma", "injected", "found", "missed"), *rows]),
        f"falsely rejected: {wrong:,} of {clean:,} clean samples, {100.0 * wrong / clean:.2f} %",
    ]


def _check_table(outcome: Outcome) -> list[str]:
    rows = [
        (
            f"{check.name} [{check.unit}]" if check.unit else check.name,
            *map(_number, (check.value, check.low, check.high)),
            "ok" if check.passed else "WRONG",
        )
        for check in outcome.checks
    ]
    return _table([("against the truth", "is", "least", "most", ""), *rows])


def _number(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.3f}"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows as aligned lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    ]
