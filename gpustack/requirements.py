"""What a recipe needs of frames beside their samples; looked at before the work."""

from collections.abc import Sequence

from gpustack.checks import check
from gpustack.frames import Frame, check_flagged
from gpustack.logs import gathered
from gpustack.measures import Exposure
from gpustack.normalize.given import from_headers
from gpustack.recipe import Recipe


def check_needs(frames: Sequence[Frame], recipe: Recipe) -> None:
    """Raise where frames lack what the recipe needs.

    The variances of each are opened, so that a fault in a header is found before the work, and
    `Frame.held_bytes` counts them. None is read: decoding a tile of them may take more than the
    limit.

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
    """Each frame's exposure where the recipe's outputs need it; 0 for one that is left out.

    Raises
    ------
    RecipeError
        Where a frame has none, or one below 0.
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
