"""What a `Combiner` has been told so far: frames, clips in order, and the cube once asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gpustack.callables import Statistic, Word, call, skips_nan
from gpustack.engine import run
from gpustack.errors import InputError
from gpustack.frames import ArrayFrame, Frame
from gpustack.rows import RowsFrame
from gpustack.recipe import Clip, ExtremaClip, Recipe
from gpustack.result import StackResult

#: Room for rows that are cast on their way to the backend, where no limit was given.
CAST_MEMORY = 64_000_000

Method = Literal["mean", "median", "sum"]


@dataclass(frozen=True, slots=True)
class Combination:
    """One way to combine a stack, in ccdproc's terms.

    Parameters
    ----------
    method : {"mean", "median", "sum"}
        Whose uncertainty formula is used.
    main, spread, total : str or callable
        What makes the data; what the uncertainty is made of; how a weighted sum adds up.
        Words go to the engine, functions are called.
    masked : bool
        Whether functions get a MaskedArray; else masked samples come as NaN.
    scale : tuple of float or None
        One number a frame.
    weights : ndarray of float64 or None
        Shape (n,) or that of the stack.
    """

    method: Method
    main: Word | Statistic
    spread: Word | Statistic
    total: Word | Statistic = "sum"
    masked: bool = False
    scale: tuple[float, ...] | None = None
    weights: NDArray[np.float64] | None = None

    @property
    def by_function(self) -> bool:
        """Whether some part is a function that no backend knows."""
        return callable(self.main) or callable(self.spread) or self._total_by_function

    @property
    def _total_by_function(self) -> bool:
        return self.weights is not None and callable(self.total)

    def recipe(self, clips: Sequence[Clip], dtype: np.dtype[Any]) -> Recipe:
        """The recipe that does as much of this as a recipe can."""
        weights: Any = None
        if self.weights is not None and not callable(self.main):
            weights = tuple(self.weights) if self.weights.ndim == 1 else "sample"
        return Recipe(
            clips=tuple(clips),
            combine=self.method if callable(self.main) else self.main,  # type: ignore[arg-type]
            scale=self.scale,
            weights=weights,
            clip_on="raw",
            uncertainty="auto" if callable(self.spread) else self.spread,  # type: ignore[arg-type]
            dtype=dtype.name if dtype.name in ("float32", "float64") else "float64",
            outputs=("count",) if callable(self.spread) else ("uncertainty", "count"),
        )


@dataclass(frozen=True, slots=True)
class Combined:
    """What a combination gives: arrays of the shape of a frame."""

    data: NDArray[Any]
    mask: NDArray[np.bool_]
    uncertainty: NDArray[Any]


class Recorder:
    """Records clips and runs them when something is combined, in one pass over the frames.

    Parameters
    ----------
    frames : list of Frame
        Agreeing in shape and unit.
    dtype : dtype
        That of the cube and of combined data. Samples are what a cube of this dtype
        holds, whether or not it is ever made.
    backend : str
        Who executes.
    memory : int or None
        Limit in bytes for rows that are read; None is the engine's own.
    """

    def __init__(
        self, frames: list[Frame], dtype: np.dtype[Any], backend: str, memory: int | None = None
    ) -> None:
        self.frames = frames
        self.dtype = dtype
        self.clips: list[Clip] = []
        self._backend = backend
        self._memory = memory
        self._cube: np.ma.MaskedArray[Any, Any] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, *shape of a frame)."""
        return (len(self.frames), *self.frames[0].shape)

    def clip(self, clip: Clip) -> None:
        """Record a clip; run it at once where there is a cube, which is the state then."""
        if isinstance(clip, ExtremaClip):
            Recipe(clips=(clip,)).check_frames(len(self.frames))
        self.clips.append(clip)
        if self._cube is not None:
            self._run_pending(self._cube)

    def clip_by_function(
        self,
        low: float | None,
        high: float | None,
        center: Word | Statistic,
        spread: Word | Statistic,
        maxiters: int | None,
    ) -> None:
        """Sigma clip with statistics that only Python functions know, on the cube."""
        values = filled(self.cube())
        for passes in count(1):
            middle = call(skips_nan(center), values)
            width = call(skips_nan(spread), values)
            outside = np.zeros(values.shape, bool)
            if low is not None:
                outside |= values < middle - low * width
            if high is not None:
                outside |= values > middle + high * width
            values[outside] = np.nan
            if passes == maxiters or not outside.any():
                break
        self.cube().mask[...] |= ~np.isfinite(values)

    def cube(self) -> np.ma.MaskedArray[Any, Any]:
        """All samples as they are to be combined; made, and pending clips run, when first asked.

        The same object each time, so that what a user edits in place counts.
        """
        if self._cube is None:
            cube = np.ma.MaskedArray(np.empty(self.shape, self.dtype), np.zeros(self.shape, bool))
            for i in range(len(self.frames)):
                whole = self.frame_values(i)
                cube.data[i] = whole.data
                cube.mask[i] = np.ma.getmaskarray(whole)
            self._run_pending(cube)
            self._cube = cube
        return self._cube

    def set_cube(self, data: Any, mask: Any = np.ma.nomask) -> None:
        """Put an array of the user in the place of frames and pending clips."""
        cube = np.ma.MaskedArray(data, mask, dtype=self.dtype, shrink=False)
        if cube.shape != self.shape:
            raise InputError(f"data_arr: expected shape {self.shape}, got {cube.shape}")
        self._cube = cube
        self.clips = []

    def frame_values(self, i: int) -> np.ma.MaskedArray[Any, Any]:
        """Frame `i` as the cube holds it: of the combiner's dtype, masked where invalid."""
        if self._cube is not None:
            return self._cube[i]
        whole = self.frames[i].whole()
        if whole.dtype != self.dtype:
            whole = RowsFrame(self.frames[i], self.dtype).whole()
        return whole

    def combine(self, how: Combination) -> Combined:
        """Run the pending clips and combine the survivors."""
        if how.by_function:
            self.cube()
        sample_weights = how.weights if how.weights is not None and how.weights.ndim > 1 else None
        recipe = how.recipe(self.clips, self.dtype)
        if recipe.weights is None:
            sample_weights = None
        result = self._run(recipe, self._frames_for(recipe), sample_weights)
        if how.by_function:
            _call_functions(how, self.cube(), result)
        return Combined(self._as_own_dtype(result), result.mask, result.uncertainty)
