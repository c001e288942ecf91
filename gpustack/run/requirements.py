"""Checks, before a run, that frames have what the recipe needs besides their samples."""

from collections.abc import Sequence

from gpustack.checks import check
from gpustack.frames import Frame, check_flagged
from gpustack.logs import gathered
from gpustack.measures import Exposure
from gpustack.normalize.given import from_headers
from gpustack.recipe import Recipe


def check_needs(frames: Sequence[Frame], recipe: Recipe) -> None:
    """Raise if frames lack the variances or flags that the recipe needs.

    The variances of each frame are opened, so that a fault in a header is found before the run and
    `Frame.held_bytes` counts them. No variance is read: decoding one compressed tile may take more
    memory than the limit.

    Raises
    ------
    FrameError
        Where a frame has no variance.
    InputError
        Where no frame has flags.
    """
    if recipe.needs_variance:
        with gathered():
            for frame in frames:
                frame.read_variance(0, 0)
    if "flags" in recipe.outputs:
        check_flagged("outputs: flags", frames)


def exposures(frames: Sequence[Frame], recipe: Recipe) -> Sequence[float]:
    """The exposure of each frame, 0 if it is left out; empty if the recipe needs no exposures.

    Raises
    ------
    RecipeError
        Where a frame has no exposure, or one below 0.
    """
    if "exposure" not in recipe.outputs:
        return ()
    key = Exposure().key
    times = from_headers("outputs: exposure", key, frames)
    for frame, time in zip(frames, times, strict=True):
        check(
            time is None or time >= 0,
            f"outputs: exposure: expected {key} >= 0, got {time or 0:g} in {frame.name}",
        )
    return [0.0 if time is None else time for time in times]
