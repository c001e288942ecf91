"""Growing: the clip that rejects neighbours, in the frame, of what other clips rejected."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from gpustack.checks import check, real, set_fields
from gpustack.clips.base import BaseClip
from gpustack.clips.basic import RangeClip


@dataclass(frozen=True, slots=True)
class Grow(BaseClip):
    """Reject the neighbours, in the same frame, of every sample that a clip rejected.

    A surviving sample is rejected if a rejected one has ``dx^2 + dy^2 <= radius^2`` from it, over
    the last two axes of the frame. This clip comes last. Samples that are masked, have no value,
    or are out of a range clip before all other clips do not grow; nor do samples that this clip
    itself rejects.

    Parameters
    ----------
    radius : float
        In pixels, >= 1: with 1, four neighbours are rejected; with 1.5, eight.

    Raises
    ------
    RecipeError
        Where the radius is not a finite number >= 1.

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
        set_fields(self, radius=radius)


def check_grow(clips: Sequence[Any]) -> None:
    """Check that `Grow` is last, occurs once, and follows a clip whose rejections can grow.

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
