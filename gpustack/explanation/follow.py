"""What each clip of a recipe did to a column, pass by pass.

Which samples a pass rejects is what the engine leaves of the column: it is run with the clips
up to there. Bounds are those that the backend works out for the same survivors.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.bounds import bounds
from gpustack.backends.by_frame import ByFrame, FrameClip, rejected_by
from gpustack.backends.off_line import in_frames, rejected_ranks
from gpustack.clips import BoundClip, Clip, LinearFitClip, RangeClip
from gpustack.explanation.column import Column, survivors
from gpustack.explanation.records import Pass, Step
from gpustack.result import StackResult

Flags = NDArray[np.bool_]


def follow(column: Column) -> Iterator[Step]:
    """The steps of the recipe's clips, in order."""
    clips, before = column.recipe.clips, column.after(())
    for k, clip in enumerate(clips):
        after = column.after(clips[: k + 1])
        if isinstance(clip, RangeClip):
            passes = [_by_range(column, clip, before, after)]
        elif column.recipe.by_frame(clip):
            passes = list(_by_frame(column, clip, survivors(before)))  # type: ignore[arg-type]
        elif isinstance(clip, BoundClip):
            passes = list(_by_bounds(column, clips[:k], clip, survivors(before)))
        else:
            passes = [_by_count(column, before, after)]
        yield Step(clip, tuple(passes))
        before = after


def _by_range(column: Column, clip: RangeClip, before: StackResult, after: StackResult) -> Pass:
    """The pass of a clip whose bounds are given."""
    lower = -np.inf if clip.low is None else clip.low
    upper = np.inf if clip.high is None else clip.high
    seen = column.seen(raw=True)
    return _between(seen, survivors(before), survivors(after), (None, lower, upper))


def _by_bounds(
    column: Column, earlier: tuple[Clip, ...], clip: BoundClip, before: Flags
) -> Iterator[Pass]:
    """The passes of a clip whose bounds follow from the survivors."""
    n, seen, done = len(before), column.seen(raw=False), 0
    while before.any() and done != clip.maxiters:
        with np.errstate(all="ignore"):  # as the backend does: few samples have no spread
            found = bounds(clip, column.sorted(before), done == 0, n)
        limits = (np.ravel(part)[0].item() for part in (found.center, found.lower, found.upper))
        after = column.left_by((*earlier, _only(clip, done + 1)))
        made = _between(seen, before, after, tuple(limits))
        yield made
        if not made.low + made.high or made.kept:
            return
        before, done = after, done + 1


def _by_frame(column: Column, clip: FrameClip, before: Flags) -> Iterator[Pass]:
    """The passes of a clip whose bounds differ from sample to sample."""
    done, known = 0, Pass((), ())
    while done != clip.maxiters:
        with np.errstate(all="ignore"):  # as the backend does: few samples have no spread
            low, high = _rejected(_only(clip, done + 1), column.by_frame(before))
        made = Pass(_frames(low), _frames(high))
        fresh = [set(made.low) - set(known.low), set(made.high) - set(known.high)]
        yield Pass(*(tuple(sorted(side)) for side in fresh))  # type: ignore[arg-type]
        if not any(fresh):
            return
        known, done = made, done + 1


def _rejected(clip: FrameClip | LinearFitClip, columns: ByFrame) -> tuple[Flags, Flags]:
    """Which samples of one column a clip rejects, low and high."""
    if not isinstance(clip, LinearFitClip):
        found = rejected_by(clip, columns)
        return found.low[:, 0], found.high[:, 0]
    ordered, values = columns.ordered(), np.where(columns.inside, columns.values, np.inf)
    ranks = rejected_ranks(clip, ordered)
    low, high = (in_frames(side, ordered, values)[:, 0] for side in ranks)
    return low, high


def _only(clip: Any, passes: int) -> Any:
    """The clip with so many passes at most; one that never has more, as it is."""
    return clip if clip.maxiters == 1 else replace(clip, maxiters=passes)


def _between(
    seen: NDArray[np.floating],
    before: Flags,
    after: Flags,
    limits: tuple[float | None, ...],
) -> Pass:
    """A pass of a clip between bounds: the centre, the lower and the upper one."""
    center, lower, upper = limits
    below, above = seen < np.float64(lower), seen > np.float64(upper)
    rejected = before & ~after
    return Pass(
        low=_frames(rejected & below),
        high=_frames(rejected & ~below),
        kept=_frames(after & (below | above)),
        center=center,
        lower=lower,
        upper=upper,
    )


def _by_count(column: Column, before: StackResult, after: StackResult) -> Pass:
    """The pass of a clip without bounds: how many it rejected low is what the engine counts.

    Of the rejected those are the lowest; of equal samples those of the earlier frames.
    """
    rejected = np.flatnonzero(survivors(before) & ~survivors(after))
    order = rejected[np.argsort(column.seen(raw=False)[rejected], kind="stable")]
    nlow = int(after.low[0, 0]) - int(before.low[0, 0])  # type: ignore[index]
    low, high = (tuple(sorted(some.tolist())) for some in (order[:nlow], order[nlow:]))
    return Pass(low, high)


def _frames(which: Flags) -> tuple[int, ...]:
    return tuple(np.flatnonzero(which).tolist())
