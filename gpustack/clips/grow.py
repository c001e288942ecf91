"""The clip that looks around: neighbours in the frame of what other clips rejected."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from gpustack.checks import check, real, tidy
from gpustack.clips.base import BaseClip
from gpustack.clips.basic import RangeClip


@dataclass(frozen=True, slots=True)
class Grow(BaseClip):
    """Reject the neighbours, in the same frame, of every sample that a clip rejected.

    A surviving sample is rejected where ``dx^2 + dy^2 <= radius^2`` from a rejected one, over the
    last two axes of the frame. It comes last. Samples that are masked, without a value, or out of
    a range clip that comes before all other clips do not grow; nor do those that have grown.

    Parameters
    ----------
    radius : float
        In pixels, >= 1: with 1, four neighbours are rejected; with 1.5, eight.

    Raises
    ------
    RecipeError
        Where the radius is no finite number of 1 or more.

    References
    ----------
    IRAF imcombine ``grow``.
    """

    radius: float = 1.0
    name: ClassVar[str] = "grow"

    def __post_init__(self) -> None:
        radius = real(self.radius)
        check(
            1 <= radius < math.inf,
            f"Grow radius: expected a number of pixels >= 1, got {self.radius!r}",
        )
        tidy(self, radius=radius)


def check_grow(clips: Sequence[Any]) -> None:
    """Check that growing stands last, once, after a clip that rejects something to grow.

    Raises
    ------
    RecipeError
        Where it does not.
    """
    if not any(isinstance(clip, Grow) for clip in clips):
        return
    *before, last = clips
    names = ", ".join(clip.name for clip in clips)
    check(
        isinstance(last, Grow) and not any(isinstance(clip, Grow) for clip in before),
        f"Grow: expected it once, after all other clips, got clips {names}",
    )
    check(
        not all(isinstance(clip, RangeClip) for clip in before),
        f"Grow: expected another clip before it, as what ranges reject does not grow, got "
        f"clips {names}",
    )
