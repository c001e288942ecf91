"""Why a pixel is as it is: its column, step by step, as the engine works on it.

Modules, each importing only those before it: `text` prints, `records` are what is found,
`pixel` cuts one out of frames, `column` runs clips on it, `follow` tells what each clip did.
This is their door.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from astropy.table import Table
from numpy.typing import DTypeLike, NDArray

from gpustack.arguments import fill_in
from gpustack.checks import check
from gpustack.clips import Clip
from gpustack.combines import Combine
from gpustack.explanation.column import Column, is_blank, load_column, survivors
from gpustack.explanation.follow import follow
from gpustack.explanation.pixel import check_pixel, cut_out
from gpustack.explanation.records import Explanation, Pass, Step
from gpustack.flags import Flags
from gpustack.frames import check_agree, open_frames
from gpustack.normalize import PerFrame
from gpustack.recipe import Recipe
from gpustack.result import frame_table

__all__ = ["Explanation", "Pass", "Step", "explain"]


def explain(
    frames: Any,
    x: int,
    y: int,
    clips: Clip | Iterable[Clip] | Recipe = (),
    combine: Combine | str = "mean",
    *,
    scale: PerFrame = None,
    zero: PerFrame = None,
    weights: PerFrame = None,
    clip_on: Literal["normalized", "raw"] = "normalized",
    uncertainty: Literal["auto", "std", "mad_std"] = "auto",
    dtype: DTypeLike | None = None,
    hdu: int | str | None = None,
    unit: Any = None,
    flags: Flags | None = None,
) -> Explanation:
    """Say why one pixel of a stack is as it is: what became of each sample, and by which step.

    One row of each frame is read, and the whole frames where scale, zero or weights are
    measured on them. The CPU backend does what is explained, with the same bits as in a
    whole stack; of one that a GPU made, means and sums may differ by rounding.

    Parameters
    ----------
    frames : path, glob, CCDData, array, or an iterable of them
        As for `gpustack.stack`, images of two axes; not on a device.
    x, y : int
        The pixel ``data[y, x]``, counted from 0 as numpy, photutils and astropy's pixel
        coordinates do. ds9 and the command line count from 1.
    clips, combine, scale, zero, weights, clip_on, uncertainty, dtype, hdu, unit, flags
        As for `gpustack.stack`.

    Returns
    -------
    Explanation
        ``print`` shows it; its `samples` and `steps` hold the same as numbers.

    Raises
    ------
    InputError
        Where the pixel is not inside of the frames, they have not two axes, or frames or
        recipe are unusable.

    Examples
    --------
    >>> import numpy as np
    >>> from gpustack import SigmaClip, explain
    >>> cube = np.full((5, 2, 3), 10.0)
    >>> cube[:, 0, 2] = 9, 11, 10, 10, 500
    >>> found = explain(cube, x=2, y=0, clips=SigmaClip(spread="mad_std"))
    >>> found.samples["fate"].tolist()
    ['used', 'used', 'used', 'used', 'high']
    >>> first, last = found.steps[0].passes
    >>> round(first.upper, 3), first.high, last.high
    (14.448, (4,), ())
    """
    opened = open_frames(frames, hdu=hdu, unit=unit, flags=flags)
    check_agree(opened)
    x, y = check_pixel(opened, x, y)
    recipe, _, per_sample = fill_in(
        opened,
        clips,
        combine,
        scale=scale,
        zero=zero,
        weights=weights,
        clip_on=clip_on,
        uncertainty=uncertainty,
        dtype=dtype,
    )
    check(
        recipe.grow is None,
        f"explain: expected clips that decide pixel by pixel, got {recipe.grow}, which looks at "
        "neighbours; without it, what it grows from is explained",
    )
    here = None if per_sample is None else per_sample[:, y : y + 1, x : x + 1]
    column = load_column(
        [cut_out(frame, x, y, recipe.needs_variance) for frame in opened], recipe, here
    )
    return _explained(column, x, y)


def _explained(column: Column, x: int, y: int) -> Explanation:
    result, steps = column.after(column.recipe.clips), tuple(follow(column))
    spread = result.uncertainty
    return Explanation(
        x=x,
        y=y,
        recipe=column.recipe,
        samples=_samples(column, steps),
        steps=steps,
        data=result.data[0, 0],
        uncertainty=None if spread is None else spread[0, 0],
        mask=bool(result.mask[0, 0]),
        count=int(result.count[0, 0]),  # type: ignore[index]
        low=int(result.low[0, 0]),  # type: ignore[index]
        high=int(result.high[0, 0]),  # type: ignore[index]
        unit=result.unit,
    )


def _samples(column: Column, steps: Sequence[Step]) -> Table:
    """The table of `Explanation.samples`."""
    names = [frame.name for frame in column.frames]
    table = frame_table(names, column.recipe, 1, None, None)
    if column.weights is not None:
        table["weight"] = column.weights[:, 0, 0]
    valid = survivors(column.after(()))
    table.add_column(column.raw, index=1, name="raw")
    table["value"] = np.where(valid, column.value, column.value.dtype.type(np.nan))
    fate = ["used" if good else _invalid(column, f) for f, good in enumerate(valid)]
    step, number = np.zeros((2, len(names)), int)
    for k, did in enumerate(steps, 1):
        for p, made in enumerate(did.passes, 1):
            for side in ("low", "high"):
                for f in getattr(made, side):
                    fate[f], step[f], number[f] = side, k, p
    table["fate"], table["step"], table["pass"] = fate, step, number
    return table


def _invalid(column: Column, f: int) -> str:
    """Why the sample of frame `f` is invalid."""
    mask: NDArray[np.bool_] | None = column.frames[f].samples.mask
    if mask is not None and mask[0, 0]:
        return "masked"
    if is_blank(column.frames[f]):
        return "blank"
    return "not finite when normalised" if np.isfinite(column.raw[f]) else "not finite"
