"""Compute the numbers that measures stand for, and say in words where they come from."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gpustack.checks import check
from gpustack.clips import RangeClip
from gpustack.frames import Frame
from gpustack.measures import (
    Exposure,
    FromFile,
    Keyword,
    Measure,
    NCombine,
    Noise,
    Overlap,
    Role,
    Statistic,
)
from gpustack.normalize.given import Numbers, from_file, from_function, from_headers
from gpustack.normalize.overlap import overlap_offsets
from gpustack.normalize.relative import ratios, shifts, target
from gpustack.normalize.survey import Key, Measured, key_of


@dataclass(eq=False)
class NumberResolver:
    """Determines the numbers of one role after the other; later ones depend on earlier ones.

    Parameters
    ----------
    frames : sequence of Frame
    ranges : sequence of RangeClip
        Samples that these reject are left out.
    found : mapping
        The statistics of the frames, as returned by `survey`.
    numbers : dict
        Role -> the numbers of the frames, filled by `resolve`.
    sources : list of str
        Where the numbers come from, in words, filled by `resolve`.
    """

    frames: Sequence[Frame]
    ranges: Sequence[RangeClip]
    found: Mapping[Key, Measured]
    numbers: dict[Role, Any] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)

    def resolve(self, role: Role, value: Any) -> None:
        """Put the numbers that a value stands for into `numbers`; given numbers stay unchanged.

        Raises
        ------
        RecipeError
            Where a frame has no usable number; names the frame or the file.
        """
        if isinstance(value, Measure):
            numbers, relative = self._measured(role, value)
            self._check(role, value.source, numbers)
            self.sources.append(f"{role} by {value.source}" + relative)
            value = numbers
        elif callable(value):
            value = _or_neutral(role, from_function(role, value, self.frames, self.ranges))
            self._check(role, "a function", value)
            self.sources.append(f"{role} by a function")
        self.numbers[role] = value

    def _measured(self, role: Role, measure: Measure) -> tuple[Numbers, str]:
        """The numbers of a measure, and what they are relative to, in words."""
        if isinstance(measure, Keyword):
            return _or_neutral(role, from_headers(role, measure.key, self.frames)), ""
        if isinstance(measure, FromFile):
            return from_file(role, measure.path, self.frames), ""
        if isinstance(measure, NCombine):
            return _or_neutral(role, from_headers(role, "NCOMBINE", self.frames, default=1.0)), ""
        if isinstance(measure, Noise):
            return self._inverse_variances(measure), ""
        values = self._values(role, measure)
        if role == "weights":
            return _or_neutral(role, values), ""
        level, name = target(role, values, measure.reference, self.frames)
        if role == "scale":
            numbers = ratios(values, level, name, self.frames)
        else:
            numbers = shifts(values, level, self._numbers_of("scale", 1.0))
        return numbers, f", relative to {name}"

    def _values(self, role: Role, measure: Statistic | Exposure | Overlap) -> Measured:
        """The values to compare between frames, with known zeros or scales applied."""
        if isinstance(measure, Exposure):
            return self._exposures(role, measure.key)
        if isinstance(measure, Overlap):
            return overlap_offsets(self.frames, self._numbers_of("scale", 1.0), self.ranges)
        values = self.found[key_of(measure)]
        if role == "weights" or measure.kind == "mad":
            return values
        if role == "scale":
            zeros = self._numbers_of("zero", 0.0)
            return [None if s is None else s - z for s, z in zip(values, zeros, strict=True)]
        scales = self._numbers_of("scale", 1.0)
        return [None if s is None else s * c for s, c in zip(values, scales, strict=True)]

    def _exposures(self, role: Role, key: str) -> Measured:
        """The exposure times of the frames, which have to be above 0 as a scale."""
        times = from_headers(role, key, self.frames)
        for frame, time in zip(self.frames, times, strict=True):
            check(
                role != "scale" or time is None or time > 0,
                f"scale: expected {key} above 0, got {time or 0:g} in {frame.name}",
            )
        return times

    def _numbers_of(self, role: Role, neutral: float) -> Numbers:
        """The numbers of a role that was taken before; neutral ones if it was not."""
        numbers: Numbers | None = self.numbers.get(role)
        return (neutral,) * len(self.frames) if numbers is None else numbers

    def _inverse_variances(self, measure: Noise) -> Numbers:
        """Inverse variances of the scaled frames; 0 for a frame without a valid sample."""
        sigmas = self.found[key_of(measure)]
        for frame, sigma in zip(self.frames, sigmas, strict=True):
            check(
                sigma is None or not math.isnan(sigma),
                "weights: expected a row with five adjacent samples, to measure the noise, got "
                f"none in {measure.region or 'all'} of {frame.name}",
            )
            check(
                sigma is None or sigma > 0,
                f"weights: expected a noise above 0, got {sigma} in {frame.name}",
            )
        scales = self._numbers_of("scale", 1.0)
        weights = [
            None if sigma is None else _inverse_square(scale * sigma)
            for sigma, scale in zip(sigmas, scales, strict=True)
        ]
        return _or_neutral("weights", weights)

    def _check(self, role: Role, source: str, numbers: Numbers) -> None:
        """Raise RecipeError where the number of a frame cannot be used; names the frame."""
        for frame, number in zip(self.frames, numbers, strict=True):
            text = f"{role} by {source}: expected {{}}, got {number:g} in {frame.name}"
            check(math.isfinite(number), text.format("finite numbers"))
            check(role != "scale" or number != 0, text.format("numbers other than 0"))
            check(role != "weights" or number >= 0, text.format("numbers >= 0"))
        check(
            role != "weights" or any(numbers),
            f"weights by {source}: expected one above 0 for some frame, got none",
        )


def _or_neutral(role: Role, measured: Measured) -> Numbers:
    """The numbers that are known, and for a frame without one a number that changes nothing.

    As a weight, this number is 0, or 1 if no frame has a weight.
    """
    unknown = {"scale": 1.0, "zero": 0.0, "weights": float(all(one is None for one in measured))}
    return tuple(unknown[role] if number is None else number for number in measured)


def _inverse_square(value: float) -> float:
    """The number ``value**-2``; infinity where a float cannot hold it."""
    try:
        return value**-2
    except ArithmeticError:  # 0, or too near to it
        return math.inf
