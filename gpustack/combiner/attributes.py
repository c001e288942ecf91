"""The attributes of a `Combiner`: the images, their samples, weights and scaling."""

from typing import Any

import numpy as np
from astropy.nddata import CCDData
from astropy.units import UnitBase
from numpy.typing import DTypeLike, NDArray

from gpustack.combiner.callables import Masked
from gpustack.combiner.recorder import Recorder
from gpustack.errors import InputError, RecipeError
from gpustack.frames.masked import as_function_sees, why_nan


class Attributes:
    """The base class of `Combiner`, with its attributes."""

    def __init__(self, ccd_list: list[CCDData], recorder: Recorder) -> None:
        self.ccd_list = ccd_list
        self._recorder = recorder
        self._weights: NDArray[Any] | None = None
        self._scaling: NDArray[Any] | None = None

    @property
    def unit(self) -> UnitBase | None:
        """The unit of the images and of the result."""
        return self._recorder.frames[0].unit

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the samples and of the combined data."""
        return self._recorder.dtype

    @property
    def data_arr(self) -> Masked:
        """All samples, a MaskedArray of shape (n, ...) and the combiner's dtype.

        Reading it copies the images and runs the clips recorded so far. From then on, later
        clips and combinations work on it, and changes made in place count. Its mask is True
        for rejected and for invalid samples. Assigning an array of the same shape replaces
        it.
        """
        return self._recorder.cube()

    @data_arr.setter
    def data_arr(self, value: Any) -> None:
        self._recorder.set_cube(value)

    @property
    def data(self) -> NDArray[Any]:
        """The values of `data_arr`, including masked ones. Assigning keeps the mask."""
        return self.data_arr.data

    @data.setter
    def data(self, value: Any) -> None:
        self._recorder.set_cube(np.asarray(value), self.mask)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The mask of `data_arr`, shape (n, ...): True = rejected or invalid."""
        return np.ma.getmaskarray(self.data_arr)

    @mask.setter
    def mask(self, value: Any) -> None:
        shape = self._recorder.shape
        if np.shape(value) not in ((), shape):
            raise InputError(f"mask: expected shape {shape}, got {np.shape(value)}")
        self.data_arr.mask = value

    @property
    def weights(self) -> NDArray[Any] | None:
        """Weights of the images when averaging or summing, or None.

        A `numpy.ndarray` of numbers >= 0: one for each image, shape (n,), or one for
        each sample, shape (n, ...). The weight of a rejected or invalid sample does not
        count. A masked weight is 0, and so is a weight of a sample that is not finite, as
        in maps of 1/variance. Any other type raises TypeError, and any other shape
        ValueError. A negative weight raises ValueError when it is used.
        """
        return self._weights

    @weights.setter
    def weights(self, value: NDArray[Any] | None) -> None:
        if value is not None:
            check_weights(value, self._recorder.shape)
        self._weights = value

    @property
    def scaling(self) -> NDArray[Any] | None:
        """Factors that multiply the images when they are combined, after clipping; or None.

        Assign one number for each image, or a function that returns the number for an image.
        The function gets a MaskedArray, for which numpy's median and percentiles leave out
        masked samples too. Kept with shape (n, 1, ...), ready to broadcast.
        A value without a length raises TypeError, another length ValueError. A number that is 0 or
        not finite raises ValueError when it is used, unless its image has no valid sample.
        """
        return self._scaling

    @scaling.setter
    def scaling(self, value: Any) -> None:
        n = len(self._recorder.frames)
        if value is None:
            self._scaling = None
            return
        if callable(value):
            images = (as_function_sees(self._recorder.frame_values(i)) for i in range(n))
            value = [value(image) for image in images]
        try:
            length = len(value)
        except TypeError as err:
            raise TypeError(
                f"scaling: expected a function or {n} numbers, one per image, got {value!r}"
            ) from err
        if length != n:
            raise RecipeError(
                f"scaling: expected a function or {n} numbers, one per image, got {length}"
            )
        self._scaling = _numbers(value, n).reshape(n, *(1 for _ in self._recorder.shape[1:]))

    def _usable_weights(self) -> NDArray[Any] | None:
        """Return the weights as they are now, checked, as they may have been changed in place."""
        if self._weights is None:
            return None
        weights = np.asarray(np.ma.filled(self._weights, 0))
        if weights.dtype == bool:
            weights = weights.astype(np.float32)
        if weights.ndim == 1 or (weights.min() >= 0 and weights.max() < np.inf):
            return weights  # the recipe checks weights of whole images
        negative = np.argwhere(weights < 0)
        if len(negative):
            value, image = weights[tuple(negative[0])], negative[0][0]
            raise InputError(f"weights: expected numbers >= 0, got {value} for image {image}")
        return np.where(np.isfinite(weights), weights, 0)

    def _factors(self, scale_to: Any) -> tuple[float, ...] | NDArray[Any] | None:
        """Return the factors of images or samples: `scale_to` if given, else `scaling`."""
        shape = self._recorder.shape
        given = self._scaling if scale_to is None else _sample_factors(scale_to)
        if given is None:
            return None
        one_an_image = shape[:1] + (1,) * (given.ndim - 1)
        if given.size != 1 and given.shape != one_an_image:
            return _broadcast("scale_to", given, shape)
        factors = np.broadcast_to(given.reshape(-1), shape[0]).astype(np.float64)
        name = "scaling" if scale_to is None else "scale_to"
        for i in np.flatnonzero(~np.isfinite(factors) | (factors == 0)).tolist():
            # A function may return no number, or 0, for an image without a valid sample, of which
            # nothing counts whatever its factor.
            image = self._recorder.frame_values(i)
            if not np.ma.getmaskarray(image).all():
                raise RecipeError(
                    f"{name}: expected a finite number other than 0, got {factors[i]:g} for image "
                    f"{i}{why_nan(factors[i], image)}"
                )
            factors[i] = 1.0
        return tuple(factors)


def _numbers(value: Any, n: int) -> NDArray[Any]:
    """Return factors as an array, one per image; NaN where a function returned a masked value."""
    expected = f"scaling: expected {n} numbers, one per image, got"
    try:
        given = np.array([np.nan if item is np.ma.masked else item for item in value])
    except (TypeError, ValueError) as err:
        raise RecipeError(f"{expected}: {err}") from err
    if given.dtype.kind not in "biuf" or given.size != n:
        raise RecipeError(f"{expected} {given.dtype} of shape {given.shape}")
    return given


def _sample_factors(scale_to: Any) -> NDArray[np.float64]:
    """Return `scale_to` as an array, NaN where it is masked."""
    try:
        given = np.ma.asarray(scale_to)
    except (TypeError, ValueError) as err:
        raise RecipeError(f"scale_to: expected numbers, got {scale_to!r:.60}") from err
    if given.dtype.kind not in "biuf":
        raise RecipeError(f"scale_to: expected numbers, got {scale_to!r:.60}")
    return np.asarray(np.ma.filled(given.astype(np.float64), np.nan))


def check_weights(weights: Any, shape: tuple[int, ...]) -> None:
    """Raise unless `weights` is an array of numbers, one per image or one per sample.

    Raises
    ------
    TypeError
        Where `weights` is not an array of real numbers.
    InputError
        Where its shape is neither `shape`, that of the stack, nor (n,).
    """
    if not isinstance(weights, np.ndarray):
        raise TypeError(f"weights: expected a numpy.ndarray, got {type(weights).__name__}")
    if weights.dtype.kind not in "biuf":
        raise TypeError(f"weights: expected real numbers, got dtype {weights.dtype}")
    if weights.shape not in (shape, shape[:1]):
        raise InputError(f"weights: expected shape {shape[:1]} or {shape}, got {weights.shape}")


def _broadcast(name: str, given: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    try:
        return np.broadcast_to(given, shape)
    except ValueError as err:
        raise InputError(
            f"{name}: expected one number, {shape[0]}, or an array that broadcasts to {shape}, "
            f"got shape {given.shape}"
        ) from err


def real_dtype(dtype: DTypeLike | None) -> np.dtype[Any]:
    """Return the dtype of samples: float64 for None; TypeError unless of floats or integers."""
    real = np.dtype(np.float64 if dtype is None else dtype)
    if real.kind not in "fiu":
        raise TypeError(f"dtype: expected floats or integers, got {real}")
    return real
