"""The state of a `Combiner`: frames, clips in order, and the cube of samples once it is needed."""

import warnings
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpustack.clips import Clip, SigmaClip
from gpustack.combiner.callables import Masked, Statistic, Word, call, skips_nan
from gpustack.combiner.combination import Combination
from gpustack.combiner.rows import RowsFrame, cast, castable
from gpustack.engine import run
from gpustack.errors import GpustackWarning, InputError
from gpustack.frames import Frame, open_frames
from gpustack.frames.masked import MaskedImage, nan_filled
from gpustack.plan import DEFAULT_MEMORY
from gpustack.recipe import Recipe
from gpustack.result import StackResult

#: Bytes for rows that are cast on their way to the backend; more does not make it faster.
CAST_MEMORY = 256_000_000


class Combined(NamedTuple):
    """The result of a combination: arrays of the shape of a frame."""

    data: NDArray[Any]
    mask: NDArray[np.bool_]
    uncertainty: NDArray[Any]


class Recorder:
    """Records clips and runs them when something is combined, in one pass over the frames.

    Parameters
    ----------
    frames : list of Frame
        Frames that agree in shape and unit.
    dtype : dtype
        The dtype of the cube and of combined data. Samples have the values that a cube of
        this dtype would contain, whether or not it is ever made.
    backend : str
        The name of the backend that executes recipes.
    limit : int or None
        Bytes that a run may take. None is the engine's default for images in memory, and
        about `CAST_MEMORY` for rows that are cast on their way.
    """

    def __init__(
        self, frames: list[Frame], dtype: np.dtype[Any], backend: str, limit: int | None = None
    ) -> None:
        self.frames: list[Frame] = [
            frame if np.can_cast(frame.dtype, dtype) else RowsFrame(frame, dtype)
            for frame in frames
        ]
        self.dtype = dtype
        self.clips: list[Clip] = []
        self._backend = backend
        self._limit = limit
        self._cube: Masked | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, *shape of a frame)."""
        return (len(self.frames), *self.frames[0].shape)

    def clip(self, clip: Clip) -> None:
        """Record a clip; if the cube has been made, run the clip on it at once."""
        Recipe(clips=(clip,)).check_frames(len(self.frames))
        self.clips.append(clip)
        if self._cube is not None:
            self._run_pending(self._cube)

    def clip_by_function(
        self, clip: SigmaClip, center: Word | Statistic, spread: Word | Statistic
    ) -> None:
        """Sigma clip the cube, with `center` and `spread` in place of the statistics of `clip`."""
        values = nan_filled(self.cube()).copy()
        values[~np.isfinite(values)] = np.nan
        for passes in count(1):
            seen = MaskedImage(values, np.isnan(values))
            middle, width = (call(skips_nan(what), seen) for what in (center, spread))
            if passes == 1:
                _warn_undefined(seen, middle, width)
            outside = np.zeros(values.shape, bool)
            if clip.low is not None:
                outside |= values < middle - clip.low * width
            if clip.high is not None:
                outside |= values > middle + clip.high * width
            values[outside] = np.nan
            if passes == clip.maxiters or not outside.any():
                break
        self.cube().mask = np.isnan(values)

    def cube(self) -> Masked:
        """Return the cube of all samples; the first call makes it and runs the pending clips.

        Later calls return the same object, so that edits of the user in place count.
        """
        if self._cube is None:
            data, mask = np.empty(self.shape, self.dtype), np.empty(self.shape, bool)
            for i in range(len(self.frames)):
                whole = self._read(i)
                data[i], mask[i] = whole.data, np.ma.getmaskarray(whole)
            cube = np.ma.MaskedArray(data, mask)
            self._run_pending(cube)
            self._cube = cube
        return self._cube

    def set_cube(self, data: Any, mask: NDArray[np.bool_] | None = None) -> None:
        """Replace frames and pending clips by an array of the user."""
        values = np.ma.getdata(data)
        if values.shape != self.shape:
            raise InputError(f"data_arr: expected shape {self.shape}, got {values.shape}")
        if values.dtype.kind not in "biuf":
            raise InputError(f"data_arr: expected real numbers, got {values.dtype}")
        mask = np.ma.getmaskarray(data) if mask is None else mask
        invalid = mask | ~castable(values, self.dtype)
        self._cube = np.ma.MaskedArray(cast(values, self.dtype), invalid)
        self.clips = []

    def frame_values(self, i: int) -> Masked:
        """Return frame `i` of the cube, without making the cube where no clip is pending."""
        if self._cube is not None or self.clips:
            image: Masked = self.cube()[i]
            return image
        return self._read(i)

    def combine(self, how: Combination) -> Combined:
        """Run the pending clips and combine the survivors."""
        if how.by_function or how.scales_samples:
            self.cube()
        recipe = how.recipe(self.clips, self.dtype)
        frames = self.frames
        if self._cube is not None:
            frames = open_frames(list(how.scaled(self._cube) if how.scales_samples else self._cube))
        result = self._run(
            frames,
            recipe,
            weights=how.sample_weights,
            # ccdproc's scaled samples are float64
            working=np.float64 if recipe.normalizes else np.float32,
        )
        data, uncertainty = result.data, result.uncertainty
        if how.by_function or uncertainty is None:
            data, uncertainty = how.call(self.cube(), result)
            _warn_lost(how.function_name, data, result.mask)
        return Combined(_finish(data, result.mask, self.dtype), result.mask, uncertainty)

    def _run(self, frames: list[Frame], recipe: Recipe, **more: Any) -> StackResult:
        room = self._room(frames)
        return run(frames, recipe, backend=self._backend, memory=room, with_header=False, **more)

    def _room(self, frames: list[Frame]) -> int | None:
        """Return how many bytes rows and buffers may take; no more than makes a run faster."""
        row = sum(frame.row_bytes for frame in frames)
        if not row:
            return self._limit
        if self._limit is None:
            return max(CAST_MEMORY, 4 * row)
        return min(max(DEFAULT_MEMORY, 4 * row), self._limit)

    def _read(self, i: int) -> Masked:
        whole = self.frames[i].whole()
        return np.ma.MaskedArray(cast(whole.data, self.dtype), np.ma.getmaskarray(whole))

    def _run_pending(self, cube: Masked) -> None:
        """Run the recorded clips, and add what they reject to the mask of `cube`."""
        if self.clips:
            recipe = Recipe(clips=tuple(self.clips), clip_on="raw", outputs=())
            result = self._run(open_frames(list(cube)), recipe, reasons=True)
            cube.mask = np.asarray(result.marks)
            self.clips = []


def _warn_undefined(seen: Masked, middle: NDArray[Any], width: NDArray[Any]) -> None:
    """Warn where a user's function returned no number for pixels with two or more valid samples."""
    several = seen.count(axis=0) > 1
    undefined = np.isnan(middle + width) & several
    if undefined.any():
        counts = f"{np.count_nonzero(undefined)} of {np.count_nonzero(several)}"
        warnings.warn(
            f"sigma_clipping: func or dev_func returns no number for {counts} pixels with two or "
            "more samples; nothing is rejected there",
            GpustackWarning,
            stacklevel=4,
        )


def _warn_lost(name: str, data: NDArray[Any], mask: NDArray[np.bool_]) -> None:
    """Warn where a user's function returned no number for pixels that have survivors.

    A function that converts its argument to a plain array gets NaN for masked samples.
    """
    lost = np.isnan(data) & ~mask
    if lost.any():
        warnings.warn(
            f"{name} returns no number for {np.count_nonzero(lost)} of {np.count_nonzero(~mask)} "
            "pixels with samples; masked samples are NaN in its argument",
            GpustackWarning,
            stacklevel=5,
        )


def _finish(data: NDArray[Any], mask: NDArray[np.bool_], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return combined data in the combiner's dtype. Integers have no NaN: 0 where masked."""
    if dtype.kind != "f":
        data = np.where(mask, 0, data)
    return cast(data, dtype)
