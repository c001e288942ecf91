"""What clips share: the text that they print as, and the checks of their fields."""

import math
from dataclasses import fields
from typing import Any, ClassVar, Literal, get_args

from gpustack.checks import bound, check, header_key, real, set_fields, whole_number, word
from gpustack.errors import RecipeError
from gpustack.value_texts import to_text

#: The largest number of samples: an int64 holds it, with room for additions.
MOST_SAMPLES = 2**62

#: Added to a share of a number of samples before it is rounded down, which corrects rounding:
#: 0.29 * 100 is a little less than 29. `kernels/esd.h` has the same number.
SHARE_TOLERANCE = 1e-9

#: The fields that describe the noise of a CCD.
CCD_NOISE = ("rdnoise", "gain", "snoise")

Spread = Literal["std", "mad_std"]
Center = Literal["median", "mean", "trimmed_mean"]


class BaseClip:
    """A step that rejects samples of a column; texts refer to it by its `name`."""

    __slots__ = ()
    name: ClassVar[str]

    def __str__(self) -> str:
        return to_text(self)


def tidy_distances(clip: Any) -> None:
    """Check `low` and `high` of a clip, and `center`, `maxiters` and `keep` where it has them.

    `low` and `high`, in units of a spread, are numbers >= 0 or None. `maxiters` is a whole number
    >= 1 or None.
    """
    kind, names = type(clip).__name__, [field.name for field in fields(clip)]
    set_fields(
        clip,
        low=bound(f"{kind} low", clip.low, "a number >= 0", math.inf, 0),
        high=bound(f"{kind} high", clip.high, "a number >= 0", math.inf, 0),
    )
    if "center" in names:
        set_fields(clip, center=word(f"{kind} center", clip.center, get_args(Center)))
    if "maxiters" in names and clip.maxiters is not None:
        set_fields(clip, maxiters=whole_number(f"{kind} maxiters", clip.maxiters, 1))
    if "keep" in names:
        tidy_keep(clip)


def tidy_keep(clip: Any) -> None:
    """Check `keep`, a whole number of either sign."""
    set_fields(clip, keep=count(f"{type(clip).__name__} keep", clip.keep, None))


def count(name: str, given: Any, least: int | None) -> int:
    """Check a number of samples and return it as an int, at most `MOST_SAMPLES` in size."""
    value = whole_number(name, given, least)
    check(abs(value) <= MOST_SAMPLES, f"{name}: expected a number of samples, got {given!r}")
    return value


def tidy_noise(value: Any) -> None:
    """Check the noise of a CCD: finite numbers >= 0, a gain > 0, or ``"!KEYWORD"`` instead."""
    for name in CCD_NOISE:
        given, which = getattr(value, name), f"{type(value).__name__} {name}"
        if isinstance(given, str) and given.startswith("!"):
            set_fields(value, **{name: f"!{header_key(which, given[1:])}"})
            continue
        number, least = real(given), "> 0" if name == "gain" else ">= 0"
        check(
            0 <= number < math.inf and (number > 0 or name != "gain"),
            f"{which}: expected a number {least} or '!KEYWORD', got {given!r}",
        )
        set_fields(value, **{name: number})


def noise_keys(value: Any) -> dict[str, str]:
    """Return the header keywords that stand for numbers of the noise of a CCD, by field."""
    given = {name: getattr(value, name) for name in CCD_NOISE}
    return {name: text[1:] for name, text in given.items() if isinstance(text, str)}


def noise_numbers(value: Any) -> tuple[float, float, float]:
    """Return read-out noise, gain and sensitivity noise of a CCD, which must be numbers.

    Raises
    ------
    RecipeError
        Where one is still a keyword, which has to be read from the headers of the frames.
    """
    for name, key in noise_keys(value).items():
        where = f"{type(value).__name__} {name}"
        raise RecipeError(f"{where}: expected a number, got {key}, a keyword that was not read")
    rdnoise, gain, snoise = (getattr(value, name) for name in CCD_NOISE)
    return rdnoise, gain, snoise
