"""Finds what each clip of a recipe did to a column, pass by pass.

The samples that a pass rejects are found by running the engine with the clips up to that pass. The
bounds are computed by the backend's functions for the same survivors.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Outputs
from gpustack.backends.bounds import around, bounds
from gpustack.backends.columns import Floats
from gpustack.backends.frame_clips import FrameClip, measured
from gpustack.backends.sigma_median import Replacing
from gpustack.clips import (
    BoundClip,
    Clip,
    Grow,
    LinearFitClip,
    RangeClip,
    RowSigmaClip,
    SigmaMedianClip,
)
from gpustack.explanation.column import Column, survivors
from gpustack.explanation.records import Bounds, Pass, Step

Flags = NDArray[np.bool_]


def follow(column: Column) -> Iterator[Step]:
    """Yield what each clip of the recipe did, in order."""
    clips, before = column.recipe.clips, column.after(())
    for k, clip in enumerate(clips):
        after = column.after(clips[: k + 1])
        if isinstance(clip, RangeClip):
            passes = [_by_range(column, clip, before, after)]
        elif isinstance(clip, Grow):
            passes = [_by_growing(column, clip, before, after)]
        elif isinstance(clip, BoundClip) or column.recipe.by_frame(clip):
            passes = list(_by_bounds(column, clips[:k], clip, survivors(before)))
        elif isinstance(clip, SigmaMedianClip):
            passes = list(_by_replacing(column, clips[:k], clip, survivors(before)))
        else:
            passes = [_by_count(column, before, after)]
        yield Step(clip.plain() if isinstance(clip, RowSigmaClip) else clip, tuple(passes))
        before = after


def _by_range(column: Column, clip: RangeClip, before: Outputs, after: Outputs) -> Pass:
    """The pass of a range clip, whose bounds are given."""
    lower = -np.inf if clip.low is None else clip.low
    upper = np.inf if clip.high is None else clip.high
    seen = column.seen(raw=True)
    pass_ = _between(
        seen, survivors(before), survivors(after), np.float64(lower), np.float64(upper)
    )
    return replace(pass_, lower=lower, upper=upper)


def _by_growing(column: Column, clip: Grow, before: Outputs, after: Outputs) -> Pass:
    """The pass of `Grow`, which rejects neighbours of rejected samples."""
    grown = _frames(survivors(before) & ~survivors(after))
    near = column.clipped_near(clip.radius)
    return Pass(grown=grown, near=tuple(tuple(near[f]) for f in grown))


def _by_bounds(
    column: Column, earlier: tuple[Clip, ...], clip: Any, before: Flags
) -> Iterator[Pass]:
    """The passes of a clip whose bounds are computed from the survivors."""
    done = 0
    while before.any() and done != clip.maxiters:
        seen, *limits = _limits(column, clip, before, done == 0)
        after = column.left_by((*earlier, _with_passes(clip, done + 1)))
        pass_ = _between(seen, before, after, *limits[1:])
        if column.recipe.by_frame(clip):
            pass_ = _with_own_bounds(pass_, clip, column.seen(raw=False), before, seen, limits)
        else:
            center, lower, upper = (part[0].item() for part in limits)
            pass_ = replace(pass_, center=center, lower=lower, upper=upper)
        yield pass_
        if not pass_.low + pass_.high or pass_.kept:
            return
        before, done = after, done + 1


def _by_replacing(
    column: Column, earlier: tuple[Clip, ...], clip: SigmaMedianClip, before: Flags
) -> Iterator[Pass]:
    """The passes of `SigmaMedianClip`, whose bounds also depend on the medians that it put in."""
    if not before.any():
        return
    done, seen, replacing = 0, column.seen(raw=False), Replacing(column.ragged(before))
    while done != clip.maxiters:
        with np.errstate(all="ignore"):  # as in the backend: one sample has no spread
            found, _ = replacing.step(clip, np.zeros(1, np.intp))
        after = column.left_by((*earlier, _with_passes(clip, done + 1)))
        center, lower, upper = (
            np.ravel(part)[0] for part in (found.center, found.lower, found.upper)
        )
        pass_ = _between(seen, before, after, lower, upper)
        yield replace(pass_, center=center.item(), lower=lower.item(), upper=upper.item())
        if not pass_.low + pass_.high:
            return
        before, done = after, done + 1


def _with_passes(clip: Any, passes: int) -> Any:
    """The clip with at most so many passes; unchanged if it only ever has one."""
    return clip if clip.maxiters == 1 else replace(clip, maxiters=passes)


def _limits(
    column: Column, clip: BoundClip | FrameClip | LinearFitClip, before: Flags, first: bool
) -> tuple[Floats, ...]:
    """Return the samples as they are compared, and centre, lower and upper bound of each.

    Each is of shape (n,). For a `LinearFitClip` the samples are their distances above the line.
    """
    n, seen = len(before), column.seen(raw=False)
    with np.errstate(all="ignore"):  # as in the backend: few samples have no spread
        if isinstance(clip, LinearFitClip):
            seen, spread = column.off_line(before)
            found = around(clip, np.zeros(1), spread)
        elif column.recipe.by_frame(clip):
            columns = column.by_frame(before)
            seen = columns.values[:, 0].astype(np.float64)
            found = around(clip, *measured(clip, columns, column.sorted(before), first))
        else:
            found = bounds(clip, column.sorted(before), first, n)
    parts = (found.center, found.lower, found.upper)
    return seen, *(np.broadcast_to(np.ravel(part), n) for part in parts)


def _with_own_bounds(
    pass_: Pass, clip: Clip, values: Floats, before: Flags, seen: Floats, limits: list[Floats]
) -> Pass:
    """Return the pass with the own bounds of each sample.

    Parameters
    ----------
    pass_ : Pass
    clip : Clip
    values : ndarray, shape (n,)
        The samples as the clip sees them.
    before : ndarray of bool, shape (n,)
        Which samples survived so far.
    seen : ndarray, shape (n,)
        What is compared with `limits`: the samples, or their distances above a line, which is then
        added to the limits.
    limits : list of ndarray, each of shape (n,)
        Centre, lower and upper bound.
    """
    with np.errstate(all="ignore"):  # rejected and invalid samples may be infinite
        own = np.array(limits) + (values - seen)
    bounds = tuple(
        Bounds(*each) if left else None for each, left in zip(own.T.tolist(), before, strict=True)
    )
    center = None if isinstance(clip, LinearFitClip) else limits[0][0].item()
    return replace(pass_, center=center, bounds=bounds)


def _between(
    seen: Floats, before: Flags, after: Flags, lower: Floats | Any, upper: Floats | Any
) -> Pass:
    """Return the pass of a clip with bounds in float64: one for all samples, or one for each."""
    below, above = seen < lower, seen > upper
    rejected = before & ~after
    return Pass(
        low=_frames(rejected & below),
        high=_frames(rejected & ~below),
        kept=_frames(after & (below | above)),
    )


def _by_count(column: Column, before: Outputs, after: Outputs) -> Pass:
    """Return the pass of a clip without bounds, with the engine's count of samples rejected low.

    These are the lowest of the rejected samples; among equal ones, those of the earlier frames.
    """
    rejected = np.flatnonzero(survivors(before) & ~survivors(after))
    order = rejected[np.argsort(column.seen(raw=False)[rejected], kind="stable")]
    nlow = int(after.low[0, 0]) - int(before.low[0, 0])  # type: ignore[index]
    low, high = (tuple(sorted(some.tolist())) for some in (order[:nlow], order[nlow:]))
    return Pass(low, high)


def _frames(which: Flags) -> tuple[int, ...]:
    return tuple(np.flatnonzero(which).tolist())
