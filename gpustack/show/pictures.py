"""The pictures of a stack: itself, the plain mean, how many samples survived, what was rejected."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.drawing import (
    Colours,
    Panel,
    brightness,
    counted,
    rejected,
    signed_rejections,
    stretched,
)
from gpustack.kept_samples import Cut, CutSamples, Look
from gpustack.recipe import Recipe
from gpustack.show.stacked import plain, stacked


@dataclass(frozen=True, slots=True)
class PanelGroup:
    """Panels that show the same pixels.

    Parameters
    ----------
    what : str
        In words, which pixels these are.
    panels : list of Panel
        The stack, the plain mean, the count, the rejections.
    """

    what: str
    panels: list[Panel]


def pictures(look: Look, n: int) -> list[PanelGroup]:
    """Return the panels of the whole plane, and those of its middle if the first skip pixels.

    Parameters
    ----------
    look : Look
    n : int
        How many frames are combined: those of `look` that are not left out.
    """
    whole = _panels(look.overview, look.recipe, n, None)
    shown = [PanelGroup(_of_whole(look), whole)]
    if look.overview.cut.step > 1:
        # The same colours, so that the middle can be found in the whole.
        middle = _panels(look.middle, look.recipe, n, whole[0].colours)
        shown.append(PanelGroup(_of_middle(look.middle.cut), middle))
    return shown


def _panels(kept: CutSamples, recipe: Recipe, n: int, colours: Colours | None) -> list[Panel]:
    made, without = stacked(kept, recipe), stacked(kept, plain(recipe))
    word = plain(recipe).method
    colours = brightness(made.data) if colours is None else colours
    valid = max(int(made.valid.sum()), 1)
    low, high = (100.0 * float(side.sum()) / valid for side in (made.low, made.high))
    note = f"{recipe.method}, {_which(kept.cut)}{_without(made.data)}"
    return [
        Panel("Stack", note, made.data, colours),
        Panel(f"Plain {word}", f"nothing rejected{_as_drawn(made.data)}", without.data, colours),
        Panel("Count", f"{made.count.mean():.4g} of {n}", made.count, counted(made.count, n)),
        Panel(
            "Rejected",
            f"{low:.2g} % low, {high:.2g} % high",
            signed_rejections(made.low, made.high),
            rejected(),
        ),
    ]


def _which(cut: Cut) -> str:
    return "every pixel" if cut.step == 1 else f"every {_nth(cut.step)} pixel"


def _without(image: NDArray[Any]) -> str:
    return "" if np.isfinite(image).all() else "; violet: no value"


def _as_drawn(image: NDArray[Any]) -> str:
    stretch = stretched(image)
    return stretch and f"; {stretch}"


def _of_whole(look: Look) -> str:
    return f"The whole field, {_which(look.overview.cut)}"


def _of_middle(cut: Cut) -> str:
    ends = [f"{axis[0] + 1}:{axis[-1] + 1}" for axis in (cut.columns, cut.rows)]
    return f"Its middle, every pixel: [{','.join(ends)}]"


def _nth(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
