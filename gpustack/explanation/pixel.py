"""One pixel of all frames, with the pixels around it that the recipe uses; no others are kept."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.base import Outputs, Samples
from gpustack.backends.cpu import CpuBackend
from gpustack.checks import whole_number
from gpustack.errors import FrameError, InputError
from gpustack.frames import Frame
from gpustack.frames.resident import ResidentFrame
from gpustack.frames.variance import inverse_variance
from gpustack.maps import Derived, derived, execute, least_memory, with_row_noise
from gpustack.plan import DEFAULT_MEMORY
from gpustack.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Patch:
    """A rectangle of pixels of all frames, as a source for a backend: a `gpustack.maps.Stack`.

    Parameters
    ----------
    band : sequence of Samples
        One per frame, of shape (rows, width), with weights and variances where they are needed.
    dtype : dtype
        The dtype in which samples are compared and sorted.
    left, top : int
        Column and row of the first pixel in the frames.
    """

    band: Sequence[Samples]
    dtype: np.dtype[Any]
    left: int
    top: int

    @property
    def n(self) -> int:
        """How many frames."""
        return len(self.band)

    @property
    def rows(self) -> int:
        """Rows of each frame."""
        return len(self.band[0].data)

    @property
    def height(self) -> int:
        """Rows of a plane: all, as there is one plane."""
        return self.rows

    @property
    def width(self) -> int:
        """Samples of a row."""
        return int(self.band[0].data.shape[1])

    @property
    def row_bytes(self) -> list[int]:
        """0 for each frame: rows are views."""
        return [0] * self.n

    @property
    def temporary_bytes(self) -> int:
        """0: `read` makes no arrays."""
        return 0

    @property
    def held_bytes(self) -> int:
        """0: all samples are in memory."""
        return 0

    @property
    def stored(self) -> list[np.dtype[Any]]:
        """The dtype of the stored samples of each frame."""
        return [samples.data.dtype for samples in self.band]

    @property
    def masked(self) -> list[bool]:
        """Whether each frame has a mask."""
        return [samples.mask is not None for samples in self.band]

    @property
    def weighted(self) -> bool:
        """Whether each sample has a weight."""
        return self.band[0].weight is not None

    @property
    def variance(self) -> bool:
        """Whether each sample has a variance."""
        return self.band[0].variance is not None

    def read(self, f: int, start: int, stop: int, into: Any = None) -> Samples:
        """Rows ``[start, stop)`` of frame `f`; `into` is not needed."""
        if stop - start == self.rows:
            return self.band[f]
        return _each(self.band[f], lambda array: array[start:stop])

    def read_variance(self, f: int, start: int, stop: int) -> NDArray[np.float64]:
        """The variance of the samples of rows ``[start, stop)`` of frame `f`."""
        variance = self.band[f].variance
        assert variance is not None  # `cut_out` reads it if the recipe needs it
        return variance[start:stop].astype(np.float64)

    @property
    def flags(self) -> list[np.dtype[Any] | None]:
        """None for each frame: the bits of masks are not kept."""
        return [None] * self.n

    def read_flags(self, f: int, start: int, stop: int) -> NDArray[Any]:
        """Not available, see `flags`."""
        raise NotImplementedError

    def empty(self, shape: Sequence[int], dtype: Any) -> NDArray[Any]:
        """An array on the host, not filled."""
        return np.empty(shape, dtype)

    def on_device(self) -> AbstractContextManager[Any]:
        """A context without effect, as all arrays are on the host."""
        return nullcontext()

    def unweighted(self) -> Self:
        """The same without weights."""
        return replace(self, band=[replace(samples, weight=None) for samples in self.band])

    def only(self, x: int, y: int) -> Self:
        """The patch of one of its pixels."""
        row, column = y - self.top, x - self.left
        band = [
            _each(samples, lambda array: array[row : row + 1, column : column + 1])
            for samples in self.band
        ]
        return type(self)(band, self.dtype, x, y)

    def run(self, recipe: Recipe) -> Outputs:
        """Run a recipe on the CPU backend as in a stack, with the reasons of all samples."""
        shape = (self.rows, self.width)
        real = np.dtype(recipe.dtype) if recipe.dtype else self.dtype
        out = Outputs(
            data=np.empty(shape, real),
            uncertainty=None if recipe.spread is None else np.empty(shape, real),
            mask=np.empty(shape, bool),
            reasons=np.empty((self.n, *shape), np.uint8),
        )
        out.count, out.low, out.high = (np.empty(shape, np.intp) for _ in range(3))
        maps = derived(recipe, self, real, ())
        made = list(maps.values())
        execute(CpuBackend(threads=1), self, recipe, out, made, self._memory(recipe, made))
        if recipe.propagates:
            out.uncertainty = maps["uncertainty"].value
        return out

    def with_row_noise(self, recipe: Recipe) -> Recipe:
        """The recipe with the noise of rows that its clips need; then rows must be complete."""
        return with_row_noise(CpuBackend(threads=1), self, recipe, self._memory(recipe, ()))

    def _memory(self, recipe: Recipe, made: Sequence[Derived]) -> int:
        return DEFAULT_MEMORY + 2 * least_memory(self, recipe, Outputs(), made)


def check_pixel(frames: list[Frame], x: Any, y: Any) -> tuple[int, int]:
    """Return a pixel of frames that agree, counted from 0, as whole numbers (x, y).

    Raises
    ------
    InputError
        Where the pixel is outside the frames, or frames do not have two axes.
    FrameError
        Where the frames are cupy arrays.
    """
    first = frames[0]
    if len(first.shape) != 2:
        raise InputError(
            f"explain: expected images of two axes, got shape {first.shape} in {first.name}"
        )
    if isinstance(first, ResidentFrame):
        raise FrameError(
            first.name,
            "explain: expected a file or numpy array, got a cupy array; copy it with .get()",
        )
    rows, width = first.shape
    column, row = (whole_number(name, value, None) for name, value in (("x", x), ("y", y)))
    if not (0 <= column < width and 0 <= row < rows):
        raise InputError(
            f"pixel: expected one inside the image of {width} x {rows} pixels, got x={column}, "
            f"y={row} counted from 0, which is {column + 1}, {row + 1} counted from 1"
        )
    return column, row


def cut_out(
    frames: Sequence[Frame], x: int, y: int, recipe: Recipe, weights: NDArray[Any] | None
) -> Patch:
    """Read a pixel of all frames and the pixels around it that its recipe uses.

    These are the pixels within the radius of `Grow`, and whole rows where clips average over rows.
    The rows of each frame are read once.

    Parameters
    ----------
    frames : sequence of Frame
    x, y : int
        Column and row of the pixel, counted from 0.
    recipe : Recipe
    weights : ndarray, shape (n, *shape of a frame), or None
        The weight of each sample, where the weights of the recipe are ``"sample"``.

    Raises
    ------
    FrameError
        Where a file can no longer be read, or has no variance.
    """
    height, width = frames[0].shape
    radius = 0 if recipe.grow is None else recipe.grow.radius
    reach = int(min(radius, height + width))
    rows = slice(max(y - reach, 0), min(y + reach + 1, height))
    columns = slice(max(x - reach, 0), min(x + reach + 1, width))
    if recipe.averages_rows:
        columns = slice(0, width)
    band = []
    for f, frame in enumerate(frames):
        samples = frame.read(rows.start, rows.stop)
        if recipe.needs_variance:
            variance = frame.read_variance(rows.start, rows.stop)
            samples = replace(samples, variance=variance)
        if weights is not None:
            samples = replace(samples, weight=weights[f, rows])
        elif recipe.weights == "variance":
            scale = 1.0 if recipe.scale is None else recipe.scale[f]
            samples = replace(samples, weight=inverse_variance(variance.copy(), scale))
        # Copies, so that the rest of the rows is not kept in memory.
        band.append(_each(samples, lambda array: array[:, columns].copy()))
    dtype = np.result_type(np.float32, *(frame.dtype for frame in frames))
    return Patch(band, dtype, columns.start, rows.start)


def _each(samples: Samples, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Samples:
    """The samples with `change` applied to each of their arrays."""
    held = {part.name: getattr(samples, part.name) for part in fields(samples)}
    arrays: dict[str, Any] = {
        name: change(value) for name, value in held.items() if isinstance(value, np.ndarray)
    }
    return replace(samples, **arrays)
