"""Convert measures from and to the words and signs that stand for them, and JSON."""

import math
from dataclasses import fields, replace
from typing import Any, get_args

from gpustack.checks import check, did_you_mean, per_frame
from gpustack.errors import RecipeError
from gpustack.measures.values import (
    Exposure,
    FromFile,
    Keyword,
    Kind,
    NCombine,
    Noise,
    Overlap,
    Role,
    Statistic,
)
from gpustack.value_texts import from_text

Measure = Statistic | Exposure | Keyword | FromFile | NCombine | Noise | Overlap
MEASURES: dict[str, type[Measure]] = {kind.name: kind for kind in get_args(Measure)}

#: Words -> the measures that they stand for, with defaults in all other fields.
WORDS: dict[str, Measure] = {
    **{kind: Statistic(kind) for kind in get_args(Kind)},
    **{kind.name: kind() for kind in (Exposure, Overlap, Noise, NCombine)},
}
#: Signs that, before a name, stand for a measure: ``!KEYWORD``, ``@FILE``.
SIGNS: dict[str, type[Keyword | FromFile]] = {"!": Keyword, "@": FromFile}

#: Role -> words that stand for one number per sample instead of one per frame.
PER_SAMPLE: dict[str, tuple[str, ...]] = {"scale": (), "zero": (), "weights": ("variance",)}

#: Role -> the smallest number that a frame can have.
LEAST = {"scale": -math.inf, "zero": -math.inf, "weights": 0.0}


def choices(role: Role) -> tuple[str, ...]:
    """The texts that can be given as `role`, for a measure or for one number per sample."""
    words = tuple(text for text, measure in WORDS.items() if role in measure.roles)
    return (*words, *PER_SAMPLE[role], "!KEYWORD", "@FILE")


def as_measure(role: Role, given: Any) -> Measure:
    """Return the measure that can be given as `role`, from itself or from its text.

    Raises
    ------
    RecipeError
        Where `given` is no measure, or not one for this role.
    """
    measure = given
    if isinstance(given, str):
        sign = SIGNS.get(given[:1])
        measure = sign(given[1:]) if sign else WORDS.get(given)
        if given.startswith(f"{Exposure.name}:"):
            measure = from_text(role, Exposure, given)
    if isinstance(measure, Measure) and role in measure.roles:
        return measure
    words = choices(role)
    raise RecipeError(
        f"{role}: expected numbers, one per frame, or {' or '.join(map(repr, words))}, "
        f"got {given!r}{did_you_mean(given, words)}"
    )


def tidy_numbers(role: Role, given: Any) -> Any:
    """Return numbers, one per frame, as a tuple, and a measure or its text as a measure.

    None, and words for one number per sample, are returned unchanged.

    Raises
    ------
    RecipeError
        Where `given` is none of these, or not valid for this role.
    """
    if given is None or (isinstance(given, str) and given in PER_SAMPLE[role]):
        return given
    if isinstance(given, (str, Measure)):
        return as_measure(role, given)
    return per_frame(role, given, choices(role), LEAST[role])


def with_region_and_reference(
    values: dict[Role, Any], region: Any, reference: Any
) -> dict[Role, Any]:
    """Return the values with a region and a reference set in the measures that have one.

    Raises
    ------
    RecipeError
        Where no measure has the field that is given.
    """
    placed = dict(values)
    for field, value in (("region", region), ("reference", reference)):
        if value is None:
            continue
        having = [role for role in placed if _has(role, placed[role], field)]
        check(
            bool(having),
            f"{field}: expected a scale, zero or weights that use it, such as scale='median', got "
            f"{field}={value!r} alone",
        )
        for role in having:
            placed[role] = replace(placed[role], **{field: value})
    return placed


def _has(role: Role, value: Any, field: str) -> bool:
    """Whether a value is a measure with this field that uses it; weights use no reference."""
    if not isinstance(value, Measure) or (role == "weights" and field == "reference"):
        return False
    return field in {item.name for item in fields(value)}


def to_record(measure: Measure) -> dict[str, Any]:
    """Return a measure as a dict for JSON."""
    values = {item.name: getattr(measure, item.name) for item in fields(measure)}
    return {"measure": measure.name, **values}


def from_record(record: dict[str, Any]) -> Measure:
    """Return the measure of which `to_record` made the record.

    Raises
    ------
    RecipeError, TypeError
        Where the record has the name of no measure, other fields or invalid values.
    """
    values = dict(record)
    kind = MEASURES.get(str(values.pop("measure", None)))
    if kind is None:
        raise RecipeError(f"measure: expected one of {', '.join(MEASURES)}, got {record!r}")
    return kind(**values)
