"""What a `Combiner` holds: the images, their samples, weights and scaling."""

from typing import Any

import numpy as np
from astropy.nddata import CCDData
from astropy.units import UnitBase
from numpy.typing import DTypeLike, NDArray

from gpustack.combiner.callables import Masked
from gpustack.combiner.recorder import Recorder
from gpustack.errors import InputError, RecipeError
from gpustack.frames.masked import as_function_sees, why_nan


class Holdings:
    """The attributes of a `Combiner`; what they mean is said there."""

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

        Reading it runs the clips recorded so far and copies the images; from then on it
        is what later clips and combinations work on, changes made in place included.
        Its mask is True for rejected and for invalid samples. Assigning an array of the
        same shape puts that in its place.
        """
        return self._recorder.cube()

    @data_arr.setter
    def data_arr(self, value: Any) -> None:
        self._recorder.set_cube(value)

    @property
    def data(self) -> NDArray[Any]:
        """The values of `data_arr`, masked ones too. Assigning keeps the mask."""
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
        each sample, shape (n, ...). A rejected or invalid sample takes its weight with
        it; a masked weight is 0, and so is that of a sample where it is not finite, as
        in maps of 1/variance. Any other type is a TypeError, any other shape a
        ValueError; so is a negative weight, when it is used.
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

        Assign one number for each image, or a function that makes the number from the
        MaskedArray of an image, on which numpy's median and percentiles, too, leave out what is
        masked. Kept with shape (n, 1, ...), ready to broadcast.
        Something without a length is a TypeError, another length a ValueError.
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
                f"scaling: expected a function or {n} numbers, one an image, got {value!r}"
            ) from err
        if length != n:
            raise InputError(
                f"scaling: expected a function or {n} numbers, one an image, got {length}"
            )
        self._scaling = _numbers(value, n).reshape(n, *(1 for _ in self._recorder.shape[1:]))

    def _usable_weights(self) -> NDArray[Any] | None:
        """The weights as they are now, for they may have been changed in place."""
        if self._weights is None:
            return None
        weights = np.asarray(np.ma.filled(self._weights, 0))
        if weights.dtype == bool:
            weights = weights.astype(np.float32)
        if weights.ndim == 1 or (weights.min() >= 0 and weights.max() < np.inf):
            return weights  # a recipe checks those of images
        negative = np.argwhere(weights < 0)
        if len(negative):
            value, image = weights[tuple(negative[0])], negative[0][0]
            raise InputError(f"weights: expected numbers >= 0, got {value} for image {image}")
        return np.where(np.isfinite(weights), weights, 0)

    def _factors(self, scale_to: Any) -> tuple[float, ...] | NDArray[Any] | None:
        """What every image or sample is multiplied by, `scale_to` before `scaling`."""
        shape = self._recorder.shape
        given = self._scaling if scale_to is None else np.asarray(scale_to, np.float64)
        if given is None:
            return None
        one_an_image = shape[:1] + (1,) * (given.ndim - 1)
        if given.size != 1 and given.shape != one_an_image:
            return _broadcast("scale_to", given, shape)
        factors = np.broadcast_to(given.reshape(-1), shape[0]).astype(np.float64)
        name = "scaling" if scale_to is None else "scale_to"
        for i in np.flatnonzero(~np.isfinite(factors)).tolist():
            # A function finds no number in an image without a valid sample, which counts
            # for nothing whatever its factor.
            image = self._recorder.frame_values(i)
            if not np.ma.getmaskarray(image).all():
                raise RecipeError(
                    f"{name}: expected a finite number, got {factors[i]} for image {i}"
                    f"{why_nan(factors[i], image)}"
                )
            factors[i] = 1.0
        return tuple(factors)


def _numbers(value: Any, n: int) -> NDArray[Any]:
    """Factors, one an image: NaN where a function found none, as in one without valid samples."""
    expected = f"scaling: expected {n} numbers, one an image, got"
    try:
        given = np.array([np.nan if item is np.ma.masked else item for item in value])
    except (TypeError, ValueError) as err:
        raise InputError(f"{expected}: {err}") from err
    if given.dtype.kind not in "biuf" or given.size != n:
        raise InputError(f"{expected} {given.dtype} of shape {given.shape}")
    return given


def check_weights(weights: Any, shape: tuple[int, ...]) -> None:
    """Raise unless `weights` are an array, of numbers for n images or for all samples.

    Raises
    ------
    TypeError
        Where they are no array of real numbers.
    InputError
        Where their shape is neither `shape`, that of the stack, nor (n,).
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
    """The dtype of samples: float64 where None; TypeError where it is not one of numbers."""
    real = np.dtype(np.float64 if dtype is None else dtype)
    if real.kind not in "fiu":
        raise TypeError(f"dtype: expected floats or integers, got {real}")
    return real
