"""Frozen values written as texts ``NAME:field=value,...``, and read back."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from typing import Any

from gpustack.checks import check, did_you_mean
from gpustack.errors import RecipeError

#: A comma before the next ``field=``. Other commas belong to a value, such as a section
#: ``[x1:x2,y1:y2]`` or the name of a file.
_COMMA = r",(?=\s*\w+\s*=)"


def size_words(shape: Sequence[int]) -> str:
    """The size of an image, x first as in FITS: "1024 x 2048"."""
    return " x ".join(map(str, reversed(shape)))


def unit_words(unit: Any) -> str:
    """A unit as text; "no unit" for None."""
    return "no unit" if unit is None else str(unit) or "dimensionless"


def to_text(value: Any) -> str:
    """Return the text of a frozen dataclass that has a `name`; `from_text` reads it."""
    body = ",".join(f"{name}={_text(item)}" for name, item in shown_fields(value).items())
    return f"{value.name}:{body}"


def shown_fields(value: Any) -> dict[str, Any]:
    """The fields of a frozen dataclass that its text contains: those that ``repr`` shows."""
    return {part.name: getattr(value, part.name) for part in fields(value) if part.repr}


def from_text(what: str, kind: Any, text: str) -> Any:
    """Return a frozen dataclass `kind` from its text, in which fields may be left out.

    A text field, such as the name of a file, takes the text as it is, without blanks around it; it
    may contain digits, commas and equals signs. A comma before ``WORD=`` ends the field; it is an
    error if WORD is no field.

    Raises
    ------
    RecipeError
        Where a field is unknown, or a value is out of range. The message begins with `what`.
    """
    name, _, body = text.partition(":")
    known = {field.name: field.type in (str, Any) for field in fields(kind)}
    record: dict[str, Any] = {}
    for item in re.split(_COMMA, body) if body else ():
        field, sign, value = (part.strip() for part in item.partition("="))
        if not sign or field not in known:
            raise RecipeError(
                f"{what} {name}: expected field=value with field one of {', '.join(known)}, "
                f"got {item!r} in {text!r}{did_you_mean(field, known)}"
            )
        check(
            field not in record, f"{what} {name}: expected {field} once, got it again in {text!r}"
        )
        record[field] = value if known[field] else _value(value)
    return kind(**record)


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return str(value)


def _value(text: str) -> int | float | str | bool | None:
    if text.lower() == "none":
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text
