"""A stack that grows: frames are added one by one, and a result is available after each.

For `gpustack watch`, which stacks anew after each arrival:

- `input_files`: the files that a run reads besides its frames.
- `watching`: watches a folder.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units
from astropy.io import fits
from numpy.typing import DTypeLike, NDArray

from gpustack.backends.loading import normalize_row
from gpustack.checks import check, dtype_name, real, word
from gpustack.errors import FrameError, GpustackWarning, InputError
from gpustack.files import HduKey
from gpustack.flags import Flags
from gpustack.frames import Frame, check_agree, open_frames, renamed
from gpustack.frames.coordinates import Coordinates
from gpustack.header import ExposureRecord, read_exposure_record, result_header, with_exposure
from gpustack.maps.sums import ExactSum
from gpustack.recipe import Recipe
from gpustack.result import StackResult

#: Combines that can be updated exactly, frame by frame. Medians and clips need all samples at once;
#: `gpustack watch` computes them anew after each frame.
COMBINES = ("mean", "sum", "min", "max")

#: The name that `open_frames` gives to a single array.
_FROM_MEMORY = "frame 0"


@dataclass(frozen=True, slots=True, eq=False)
class _FirstFrame:
    """What the stack takes from the first frame; not its samples, which may be a view of a cube."""

    name: str
    shape: tuple[int, ...]
    unit: units.UnitBase | None
    header: fits.Header
    coordinates: Coordinates

    @classmethod
    def of(cls, frame: Frame) -> "_FirstFrame":
        """Take it from a frame."""
        return cls(frame.name, frame.shape, frame.unit, frame.header, frame.coordinates)


class LiveStack:
    """Mean, sum, minimum or maximum of frames as they arrive; each is read once and not kept.

    The values are those of `gpustack.stack` of the same frames, up to rounding of the last bit.
    Samples are normalised as there, in float32, or in float64 once a frame is wider. Medians, clips
    and uncertainties need all samples at once: ``gpustack watch`` computes them anew after each
    frame.

    Parameters
    ----------
    combine : {"mean", "sum", "min", "max"}
    dtype : {"float32", "float64"} or None
        The dtype of the result; None is float32, or float64 once a frame is wider.
    hdu, unit, flags
        As in `gpustack.stack`. Frames may lack flags; `result` warns if no frame has any.

    Raises
    ------
    RecipeError
        Where `combine` or `dtype` is something else.

    Examples
    --------
    >>> import numpy as np
    >>> from gpustack import LiveStack
    >>> live = LiveStack("mean")
    >>> for level in (1.0, 2.0, 6.0):
    ...     live.add(np.full((2, 2), level))
    >>> len(live), live.result().data.tolist()
    (3, [[3.0, 3.0], [3.0, 3.0]])
    """

    def __init__(
        self,
        combine: str = "mean",
        *,
        dtype: DTypeLike | None = None,
        hdu: HduKey | None = None,
        unit: Any = None,
        flags: Flags | None = None,
    ) -> None:
        self._combine: Any = word("LiveStack combine", combine, COMBINES)
        self._dtype = dtype_name(dtype, ("float32", "float64"))
        self._opening: dict[str, Any] = {"hdu": hdu, "unit": unit, "flags": flags}
        self._first: _FirstFrame | None = None
        self._columns: dict[str, list[Any]] = {}
        self._exposures: list[ExposureRecord] = []
        self._working = np.dtype(np.float32)
        self._accumulator: _Accumulator | None = None
        self._has_flags = flags is None or not flags.given

    def __len__(self) -> int:
        return len(self._exposures)

    def __repr__(self) -> str:
        n = len(self)
        return f"<LiveStack: {self._combine} of {n} frame{'s' * (n != 1)}>"

    def add(
        self, frame: Any, *, scale: float = 1.0, zero: float = 0.0, weight: float = 1.0
    ) -> None:
        """Add a frame: ``x = (d - zero) * scale``.

        Parameters
        ----------
        frame : path, CCDData or array
            A single frame, of the same shape and unit as those before. Samples that are masked or
            not finite are left out.
        scale, zero, weight : float
            `weight` >= 0 is for mean and sum only.

        Raises
        ------
        InputError
            Where the frame or a number cannot be used; then nothing is added.
        """
        scale, zero, weight = self._check_numbers(scale, zero, weight)
        opened = self._open(frame)
        if self._first is not None:
            check_agree([self._first, opened])
        image = opened.whole()
        if self._first is None or self._accumulator is None:
            self._first = _FirstFrame.of(opened)
            self._accumulator = _Accumulator(opened.shape, self._combine)
        valid = ~np.ma.getmaskarray(image)
        working = np.result_type(self._working, opened.dtype)
        values = image.data.astype(working, copy=False)
        if (scale, zero) != (1, 0):  # rounded as the CPU backend does
            with np.errstate(all="ignore"):
                normalize_row(values, 0, Recipe(scale=(scale,), zero=(zero,)))
        self._accumulator.add(values.astype(np.float64), valid & np.isfinite(values), weight)
        self._working = working
        self._has_flags |= opened.flags_dtype is not None
        self._exposures.append(read_exposure_record(opened.header, opened.coordinates))
        row = {"name": opened.name, "scale": scale, "zero": zero, "weight": weight}
        for name, value in (row | {"valid": float(valid.mean())}).items():
            self._columns.setdefault(name, []).append(value)

    def result(self) -> StackResult:
        """Return the stack of the frames added so far; frames added later do not change it.

        Returns
        -------
        StackResult
            With `count`, and without uncertainty.

        Raises
        ------
        InputError
            Where nothing has been added.
        """
        if self._first is None or self._accumulator is None:
            raise InputError("LiveStack.result: expected at least one frame, got none; use add()")
        if not self._has_flags:
            warnings.warn(
                f"flags {self._opening['flags']}: no frame has an integer mask, so they leave out "
                "no sample",
                GpustackWarning,
                stacklevel=2,
            )
        recipe, dtype = self._recipe(), self._dtype or self._working
        data, mask = self._accumulator.value()
        first = with_exposure(self._first.header, self._first.coordinates)
        return StackResult(
            data=data.astype(dtype),
            mask=mask,
            count=self._accumulator.count.copy(),
            recipe=recipe,
            header=result_header(first, recipe, self._columns["name"], self._exposures),
            per_frame={name: list(values) for name, values in self._columns.items()},
            unit=self._first.unit,
            coordinates=self._first.coordinates,
        )

    def _check_numbers(self, scale: Any, zero: Any, weight: Any) -> tuple[float, float, float]:
        given = {"scale": scale, "zero": zero, "weight": weight}
        numbers = {name: real(value) for name, value in given.items()}
        for name, value in numbers.items():
            check(math.isfinite(value), f"{name}: expected a finite number, got {given[name]!r}")
        check(numbers["scale"] != 0, "scale: expected a number other than 0, got 0")
        check(numbers["weight"] >= 0, f"weight: expected a number >= 0, got {weight!r}")
        weighs = self._combine in ("mean", "sum")
        check(weighs or weight == 1, f"weight: expected 1 for {self._combine}, got {weight!r}")
        return numbers["scale"], numbers["zero"], numbers["weight"]

    def _open(self, item: Any) -> Frame:
        """Open one frame; an array is named after its place in the stack, also in errors."""
        name = f"frame {len(self)}"
        try:
            frames = open_frames([item], **self._opening, more_to_come=True)
        except FrameError as err:
            if err.name != _FROM_MEMORY:
                raise
            raise FrameError(name, err.problem) from err
        if len(frames) != 1:
            raise InputError(f"LiveStack: expected one frame, got {len(frames)} from {item!r}")
        (frame,) = frames
        return renamed(frame, name) if frame.name == _FROM_MEMORY else frame

    def _recipe(self) -> Recipe:
        given = {
            name: tuple(values) if any(value != neutral for value in values) else None
            for name, neutral in (("scale", 1.0), ("zero", 0.0), ("weight", 1.0))
            for values in [self._columns[name]]
        }
        given["weights"] = given.pop("weight")
        return Recipe(combine=self._combine, dtype=self._dtype, outputs=("count",), **given)  # type: ignore[arg-type]


class _Accumulator:
    """The running total or extreme, count and weights of each pixel, updated in place.

    They do not depend on the order of the frames.
    """

    def __init__(self, shape: tuple[int, ...], combine: str) -> None:
        self._combine = combine
        if combine in ("min", "max"):
            self._extreme = np.full(shape, np.inf if combine == "min" else -np.inf)
        else:
            self._total = ExactSum(np.zeros(shape))
        self._weights: ExactSum | None = None  # None while all are 1: `count` is their sum
        self.count = np.zeros(shape, np.uint32)

    def add(self, values: NDArray[np.float64], valid: NDArray[np.bool_], weight: float) -> None:
        """Add the valid samples of a frame."""
        if weight != 1 and self._weights is None:
            self._weights = ExactSum(self.count.astype(np.float64))
        np.add(self.count, 1, out=self.count, where=valid)
        if self._combine in ("min", "max"):
            choose = np.minimum if self._combine == "min" else np.maximum
            choose(self._extreme, values, out=self._extreme, where=valid)
            return
        if self._weights is not None:
            self._weights.add(np.where(valid, weight, 0.0))
        with np.errstate(all="ignore"):  # of invalid samples, and sums beyond float64
            self._total.add(np.where(valid, values * weight, 0.0))

    def value(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the combined values and their mask; masked values are NaN, or 0 for a sum."""
        if self._combine in ("min", "max"):
            mask = self.count == 0
            return np.where(mask, np.nan, self._extreme), mask
        total = self._total.value()
        weights = self.count if self._weights is None else self._weights.value()
        mask = weights == 0
        if self._combine == "sum":
            return np.where(mask, 0.0, total), mask
        return np.divide(total, weights, out=np.full(total.shape, np.nan), where=~mask), mask
