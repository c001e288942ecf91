"""What all clips share: their one-line text, and the words and checks of their fields."""

from dataclasses import fields
from typing import Any, ClassVar, Literal, get_args

from gpustack.checks import bound, tidy, whole, word

Spread = Literal["std", "mad_std"]
Center = Literal["median", "mean", "trimmed_mean"]


class BaseClip:
    """A step that rejects samples of a column, chosen by its short `name`."""

    __slots__ = ()
    name: ClassVar[str]

    def __str__(self) -> str:
        body = ",".join(
            f"{field.name}={_text(getattr(self, field.name))}"
            for field in fields(self)  # type: ignore[arg-type]
        )
        return f"{self.name}:{body}"


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value)


def tidy_thresholds(clip: Any, most: float) -> None:
    """Check `low` and `high`, numbers >= 0 in units of a spread, or None; `most` is no bound."""
    kind = type(clip).__name__
    tidy(
        clip,
        low=bound(f"{kind} low", clip.low, "a number >= 0", most, 0),
        high=bound(f"{kind} high", clip.high, "a number >= 0", most, 0),
    )


def tidy_passes(clip: Any) -> None:
    """Check `maxiters`, a whole number >= 1 or None."""
    if clip.maxiters is not None:
        tidy(clip, maxiters=whole(f"{type(clip).__name__} maxiters", clip.maxiters, 1))


def tidy_keep(clip: Any) -> None:
    """Check `keep`, a whole number of either sign."""
    tidy(clip, keep=whole(f"{type(clip).__name__} keep", clip.keep, None))


def tidy_center(clip: Any) -> None:
    """Check `center`, one of `Center`."""
    tidy(clip, center=word(f"{type(clip).__name__} center", clip.center, get_args(Center)))
