"""Explains one pixel of a stack: what became of each sample of its column, and in which step.

Modules, each importing only those before it: `text` formats an explanation, `records` defines its
parts, `pixel` cuts a pixel out of frames, `column` runs clips on its column, `follow` finds what
each clip did. The public function is `explain`.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from astropy.table import Table
from numpy.typing import DTypeLike

from gpustack.align import align_frames
from gpustack.align.base import GridFrame
from gpustack.alignments import Alignment
from gpustack.clips import Clip
from gpustack.combines import Combine
from gpustack.explanation.column import Column, is_blank, load_column, survivors
from gpustack.explanation.follow import follow
from gpustack.explanation.pixel import check_pixel, cut_out
from gpustack.explanation.records import Bounds, Explanation, Pass, Step
from gpustack.files import HduKey
from gpustack.flags import Flags
from gpustack.frames import Frame, open_frames
from gpustack.normalize import PerFrame
from gpustack.recipe import OUTPUTS, Recipe, Uncertainty
from gpustack.result import per_frame
from gpustack.run.arguments import fill_in

__all__ = ["Bounds", "Explanation", "Pass", "Step", "explain"]


def explain(
    frames: Any,
    x: int,
    y: int,
    clips: Clip | str | Iterable[Clip | str] | Recipe = (),
    combine: Combine | str = "mean",
    *,
    scale: PerFrame = None,
    zero: PerFrame = None,
    weights: PerFrame = None,
    clip_on: Literal["normalized", "raw"] = "normalized",
    uncertainty: Uncertainty = "auto",
    dtype: DTypeLike | None = None,
    hdu: HduKey | None = None,
    unit: Any = None,
    flags: Flags | None = None,
    align: Alignment | str | None = None,
) -> Explanation:
    """Explain one pixel of a stack: what became of each of its samples, and in which step.

    One row of each frame is read, with `Grow` also those within its radius, and whole frames where
    scale, zero or weights are measured on them. The CPU backend computes the pixel, with the same
    bits as in a whole stack. In a stack that was made on a GPU, means and sums may differ by
    rounding.

    Parameters
    ----------
    frames : path, glob, Image, CCDData, array, or an iterable of them
        As for `gpustack.stack`, but images with two axes, and no cupy arrays.
    x, y : int
        The pixel ``data[y, x]`` of the stack, counted from 0 as numpy, photutils and astropy's
        pixel coordinates do. ds9 and the command line count from 1.
    clips, combine, scale, zero, weights, clip_on, uncertainty, dtype, hdu, unit, flags, align
        As for `gpustack.stack`.

    Returns
    -------
    Explanation
        ``print`` shows it as text; its `samples` and `steps` contain the same as numbers.

    Raises
    ------
    InputError
        Where the pixel is outside the frames, the frames do not have two axes, or frames or recipe
        are unusable.

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
    opened = align_frames(opened, align, max_bytes=math.inf).frames
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
    asked = replace(recipe, outputs=OUTPUTS)  # the uncertainty is always shown
    column = load_column(cut_out(opened, x, y, asked, per_sample), x, y, asked)
    steps = tuple(follow(column))
    samples = _samples(opened, column, steps)
    return _explained(recipe, column, samples, steps, opened[0].unit)


def _explained(
    recipe: Recipe, column: Column, samples: Table, steps: tuple[Step, ...], unit: Any
) -> Explanation:
    result = column.after(column.recipe.clips)
    numbers: dict[str, Any] = {"uncertainty": None}
    for name in ("data", "uncertainty", "mask", "count", "low", "high"):
        map_ = getattr(result, name)
        if map_ is not None:
            real = name in ("data", "uncertainty")
            numbers[name] = map_[0, 0] if real else map_[0, 0].item()
    return Explanation(
        x=column.x,
        y=column.y,
        recipe=recipe,
        samples=samples,
        steps=steps,
        unit=unit,
        **numbers,
    )


def _samples(frames: Sequence[Frame], column: Column, steps: Sequence[Step]) -> Table:
    """The table of `Explanation.samples`."""
    names = [frame.name for frame in frames]
    table = Table(per_frame(names, column.recipe, 1, None, None))
    if column.alone.weighted:
        table["weight"] = [samples.weight.item() for samples in column.samples]  # type: ignore[union-attr]
    valid, nan = survivors(column.after(())), column.value.dtype.type(np.nan)
    lacking = ["" if good else _lacks(frames[f], column) for f, good in enumerate(valid)]
    raw = np.where([bool(lack) for lack in lacking], nan, column.raw)
    table.add_column(raw, index=1, name="raw")
    table["value"] = np.where(valid, column.value, nan)
    if column.noise is not None:
        table["noise"] = np.where(valid, column.noise, nan)
    fate = ["used" if good else lacking[f] or _invalid(column, f) for f, good in enumerate(valid)]
    step, number = np.zeros((2, len(names)), int)
    for k, did in enumerate(steps, 1):
        for p, pass_ in enumerate(did.passes, 1):
            for side in ("low", "high", "grown"):
                for f in getattr(pass_, side):
                    fate[f], step[f], number[f] = side, k, p
    table["fate"], table["step"], table["pass"] = fate, step, number
    return table


def _lacks(frame: Frame, column: Column) -> str:
    """Why an aligned frame has no sample at the pixel; an empty text if it has one."""
    return frame.lacks(column.y, column.x) if isinstance(frame, GridFrame) else ""


def _invalid(column: Column, f: int) -> str:
    """Why the sample of frame `f` is invalid."""
    samples = column.samples[f]
    if samples.mask is not None and samples.mask[0, 0]:
        return "masked"
    if is_blank(samples):
        return "blank"
    return "not finite when normalised" if np.isfinite(column.raw[f]) else "not finite"
