"""Data-quality flags: which bits of an integer mask make a sample invalid."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from gpustack.checks import check, set_fields, unwrap_scalar, whole_number

#: Masks are integers of at most 64 bits.
_EVERY = (1 << 64) - 1

#: Bits as an int, as text such as ``"4,8"``, or one by one.
Bits = int | str | Iterable[int] | None


@dataclass(frozen=True, slots=True)
class Flags:
    """Which bits of integer masks make a sample invalid: the bad ones, or all but the good ones.

    A sample is invalid if its mask has one of the `bad` bits, or a bit that is not one of the
    `good` bits. If neither is given, any value but 0 makes the sample invalid.

    Parameters
    ----------
    bad, good : int, str, iterable of int, or None
        Values of bits, not their numbers: the third bit is 4. Either an int with all bits set, as
        4 + 8, or the bits one by one, as ``[4, 8]`` or ``"4,8"``. In text, ``+`` and ``|`` may
        replace the comma, and numbers may be hexadecimal. 0 is no bit. Give at most one of the
        two.

    Raises
    ------
    RecipeError
        Where both are given, or a value is negative, wider than 64 bits, or a list of numbers
        that are not single bits.

    References
    ----------
    `astropy.nddata.bitmask.bitfield_to_boolean_mask`, where `good` is ``ignore_flags``.

    Examples
    --------
    >>> from gpustack import Flags
    >>> Flags(bad="4,8")
    Flags(bad=12, good=None)
    """

    bad: Bits = None
    good: Bits = None

    def __post_init__(self) -> None:
        set_fields(self, bad=parse_bits("bad", self.bad), good=parse_bits("good", self.good))
        check(
            self.bad is None or self.good is None,
            f"flags: expected bad or good bits, got both, bad={self.bad} and good={self.good}",
        )

    @property
    def given(self) -> bool:
        """Whether single bits are selected, which masks of floats or bools do not have."""
        return self.bad is not None or self.good is not None

    def invalid(self, every: int) -> int:
        """The bits that make a sample invalid, among `every`, all bits of the mask's dtype."""
        if isinstance(self.bad, int):
            return self.bad & every
        return every & ~self.good if isinstance(self.good, int) else every

    def __str__(self) -> str:
        bits = f"bad={self.bad}" if self.bad is not None else f"good={self.good}"
        return bits if self.given else "any"


def parse_bits(name: str, given: Any) -> int | None:
    """Bits in any form that `Flags` takes, as one number; None as it is.

    Raises
    ------
    RecipeError
        Where `given` has none of these forms.
    """
    given = unwrap_scalar(given)
    if given is None:
        return None
    items = _items(given)
    bits = [whole_number(name, item, 0) for item in items]
    check(
        len(bits) == 1 or all(number.bit_count() == 1 for number in bits),
        f"{name}: expected one number, or values of single bits (1, 2, 4, 8, ...), got {given!r}",
    )
    result = reduce(or_, bits, 0)
    check(result <= _EVERY, f"{name}: expected at most 64 bits, got {given!r}")
    return result


def _items(given: Any) -> list[Any]:
    if isinstance(given, str):
        return [_number(part) for part in re.split("[,+|]", given)]
    return list(given) if isinstance(given, Iterable) else [given]


def _number(text: str) -> Any:
    """A whole number, decimal or hexadecimal; any other text as it is, for the error message."""
    try:
        return int(text, 0)
    except ValueError:
        return text
