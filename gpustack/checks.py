"""Check single values given by callers and convert them to plain Python.

numpy scalars, 0-d arrays and all of numpy's spellings of a dtype are accepted. The results
compare, hash and convert to JSON. `gpustack --help` needs this module but not numpy, so numpy
is imported only where it is used.
"""

import math
import numbers
import sys
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from gpustack.errors import RecipeError
from gpustack.lazy_types import loaded

#: The lowest finite float.
FLOAT_MIN = -sys.float_info.max


def check(condition: bool, message: str) -> None:
    """Raise RecipeError with `message` unless `condition` holds."""
    if not condition:
        raise RecipeError(message)


def unwrap_scalar(value: Any) -> Any:
    """The element of a 0-d array of any library; other values as they are."""
    scalar = loaded("numpy", "generic")
    is_array = getattr(value, "ndim", None) == 0 and not isinstance(value, scalar)
    # The 0.0 in numpy.ma.masked is no value that the caller gave.
    return value.item() if is_array and value is not loaded("numpy.ma", "masked") else value


def real(value: Any) -> float:
    """A real number as a float; NaN for anything else, so that range checks fail."""
    value = unwrap_scalar(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def bound(name: str, given: Any, expected: str, no_bound: float, least: float) -> float | None:
    """A threshold >= `least` as a float; None for None or the infinity `no_bound`."""
    value = no_bound if given is None else real(given)
    check(
        value == no_bound or least <= value < math.inf,
        f"{name}: expected {expected} or None, got {given!r}",
    )
    return None if value == no_bound else value


def whole_number(name: str, given: Any, least: int | None) -> int:
    """A whole number >= `least`; any whole number if `least` is None."""
    value = unwrap_scalar(given)
    is_whole = not isinstance(value, bool) and isinstance(value, numbers.Integral)
    at_least = "" if least is None else f" >= {least}"
    check(
        is_whole and (least is None or value >= least),
        f"{name}: expected a whole number{at_least}, got {given!r}",
    )
    return int(value)


def boolean(name: str, given: Any) -> bool:
    """True or False."""
    value = unwrap_scalar(given)
    check(
        isinstance(value, (bool, loaded("numpy", "bool_"))),
        f"{name}: expected True or False, got {given!r}",
    )
    return bool(value)


def did_you_mean(given: Any, words: Iterable[str]) -> str:
    """The end of an error message about a name: the one of `words` that is most like it.

    Empty where `given` is no text, or like none of them.
    """
    from difflib import get_close_matches

    near = get_close_matches(given.lower(), words, 1) if isinstance(given, str) else []
    return f"; did you mean {near[0]!r}?" if near else ""


def word(
    name: str, given: Any, words: tuple[str, ...], theirs: Mapping[str, str] | None = None
) -> str:
    """One of `words`; an error suggests one for a misspelt word, or another program's name of it.

    `theirs` maps other programs' names to ours.
    """
    known, is_text = ", ".join(map(repr, words)), isinstance(given, str)
    like = {name: name for name in words} | dict(theirs or {})
    ours = like.get(given.lower()) if is_text else None
    hint = f"; here it is {ours!r}" if ours else did_you_mean(given, words)
    check(is_text and given in words, f"{name}: expected one of {known}, got {given!r}{hint}")
    return words[words.index(given)]


def words_in_order(name: str, given: Any, words: tuple[str, ...]) -> tuple[str, ...]:
    """The `words` that are in `given`, each once, in the order of `words`."""
    check(
        isinstance(given, Iterable),
        f"{name}: expected some of {', '.join(map(repr, words))}, got {given!r}",
    )
    wanted = [word(name, item, words) for item in ([given] if isinstance(given, str) else given)]
    return tuple(item for item in words if item in wanted)


def header_key(name: str, given: Any) -> str:
    """A keyword of a FITS header, without blanks around it, in capitals."""
    text = given if isinstance(given, str) and given.isascii() and given.isprintable() else ""
    fits = bool(text.strip()) and not {*",="} & {*text}
    check(fits, f"{name}: expected a keyword of a header, got {given!r}")
    return str(given).strip().upper()


def per_frame(name: str, value: Any, words: tuple[str, ...], least: float) -> Any:
    """Finite numbers >= `least`, one per frame, as a tuple; one of `words` or None as it is."""
    if value is None or (isinstance(value, str) and value in words):
        return value
    unordered = isinstance(value, AbstractSet | Mapping)
    listed = isinstance(value, Iterable) and not (unordered or isinstance(value, (str, bytes)))
    given = list(value) if listed and getattr(value, "ndim", 1) > 0 else []
    choices = " or ".join(["numbers, one per frame,", *map(repr, words)]).removesuffix(",")
    check(len(given) > 0, f"{name}: expected {choices}, got {value!r}")
    at_least = f" >= {least:g}" if math.isfinite(least) else ""
    for index, item in enumerate(given):
        number = real(item)
        shown = item.item() if isinstance(item, loaded("numpy", "generic")) else item
        check(
            math.isfinite(number) and number >= least,
            f"{name}: expected finite numbers{at_least}, got {shown!r} at index {index}",
        )
    return tuple(real(item) for item in given)


def dtype_name(given: Any, names: tuple[str, ...]) -> str | None:
    """The name of a dtype given in any form that numpy accepts; None as it is."""
    if given is None:
        return None
    import numpy as np

    try:
        name = str(np.dtype(given).name)
    except (TypeError, ValueError, SyntaxError):  # the last for text that numpy parses as fields
        name = ""
    check(name in names, f"dtype: expected {', '.join(map(repr, names))} or None, got {given!r}")
    return name


def set_fields(value: Any, **fields: Any) -> None:
    """Replace fields of a frozen dataclass by their checked values."""
    for field, checked in fields.items():
        object.__setattr__(value, field, checked)
