"""The types of the options and arguments of the command line, and errors about their values."""

import math
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click

from gpustack.checks import did_you_mean
from gpustack.errors import RecipeError
from gpustack.files import HduKey
from gpustack.measures import Role, choices, tidy_numbers


class Parsed(click.ParamType[Any]):
    """A parameter type whose values a function parses; its RecipeError becomes a usage error."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self.parse = parse

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the parsed value, or fail with a usage error."""
        try:
            return self.parse(value)
        except RecipeError as err:
            self.fail(str(err), param, ctx)


class Numbers(click.ParamType[Any]):
    """A parameter type for numbers separated by commas, one per frame, or for a measure."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self.name = "|".join([*choices(role), "N,N,..."])

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return a list of floats, a measure or a word, or fail with a usage error."""
        with suppress(ValueError):
            return [float(part) for part in value.split(",")]
        try:
            return tidy_numbers(self.role, value)
        except RecipeError as err:
            self.fail(str(err), param, ctx)


class Word(click.Choice[str]):
    """A choice of words; an error about a misspelt one suggests it."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Return the message of the error about a value that is none of the words."""
        message = super().get_invalid_choice_message(value, ctx)
        hint = did_you_mean(value, [str(word) for word in self.choices])
        return message.rstrip(".") + hint if hint else message


class WholeNumber(click.IntRange):
    """A whole number in a range, which errors state in words."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the number, or fail with a usage error."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            most = "" if self.max is None else f" and <= {self.max}"
            self.fail(f"expected a whole number >= {self.min}{most}, got {value!r}", param, ctx)


class Seconds(click.FloatRange):
    """Seconds above 0, at most a day, as a float."""

    def __init__(self) -> None:
        super().__init__(min=0, max=86_400, min_open=True)

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the number, or fail with a usage error."""
        try:
            seconds = super().convert(value, param, ctx)
        except click.BadParameter:
            seconds = math.nan
        if math.isnan(seconds):  # also "nan", which click finds in every range
            self.fail(f"expected seconds > 0 and <= {self.max}, got {value!r}", param, ctx)
        return seconds


def number_or_name(text: str) -> int | str:
    """The number that a text of digits is; any other text as it is."""
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else text


def hdu_key(text: str) -> HduKey:
    """The HDU that a text names: ``"0"``, ``"-1"``, ``"SCI"``, or ``"SCI,2"`` with its EXTVER."""
    if re.fullmatch("-[0-9]{1,18}", text):
        return int(text)
    named = re.fullmatch(r"(.*[^ ,]) *, *([0-9]{1,18})", text)
    return (named[1], int(named[2])) if named else number_or_name(text)
