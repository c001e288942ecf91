"""How to combine a stack, in ccdproc's terms: by words that the engine knows, or by functions.

Functions of users that no backend knows are called; see `gpustack.combiner.callables`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from gpustack.clips import Clip, RangeClip
from gpustack.combiner.callables import Masked, Statistic, Word, call
from gpustack.frames.masked import MaskedImage, nan_filled
from gpustack.recipe import Recipe, Uncertainty
from gpustack.result import StackResult

Method = Literal["mean", "median", "sum"]

#: By method, the argument that takes a function to compute the data with.
MAIN_ARGUMENTS: dict[Method, str] = {
    "mean": "scale_func",
    "median": "median_func",
    "sum": "sum_func",
}


@dataclass(frozen=True, slots=True, eq=False)
class Combination:
    """One call of `Combiner.average_combine`, `median_combine` or `sum_combine`.

    Parameters
    ----------
    method : {"mean", "median", "sum"}
        Which uncertainty formula is used.
    main, spread, total : str or callable
        What computes the data, what the uncertainty is computed from, and what adds up a weighted
        mean or sum.
    scale : tuple of float, ndarray or None
        One number per frame, or an array of the shape of the stack.
    weights : ndarray or None
        Shape (n,) or that of the stack.
    """

    method: Method
    main: Word | Statistic
    spread: Word | Statistic
    total: Word | Statistic
    scale: tuple[float, ...] | NDArray[Any] | None
    weights: NDArray[Any] | None

    @property
    def by_function(self) -> bool:
        """Whether some part is a function that no backend knows."""
        return callable(self.main) or callable(self.spread) or self._total_by_function

    @property
    def _total_by_function(self) -> bool:
        return self.weights is not None and callable(self.total)

    @property
    def function_name(self) -> str:
        """The method and the argument with the user's function for the data, for warnings."""
        method = {"mean": "average"}.get(self.method, self.method)
        argument = MAIN_ARGUMENTS[self.method] if callable(self.main) else "sum_func"
        return f"{method}_combine: {argument}"

    @property
    def sample_weights(self) -> NDArray[Any] | None:
        """The weights where there is one for every sample, else None."""
        return self.weights if self.weights is not None and self.weights.ndim > 1 else None

    @property
    def scales_samples(self) -> bool:
        """Whether there is a factor for every sample, which a recipe cannot express."""
        return isinstance(self.scale, np.ndarray)

    def scaled(self, cube: Masked) -> Masked:
        """The samples multiplied by `scale`."""
        if self.scale is None:
            return cube
        factors = np.asarray(self.scale)
        if factors.ndim == 1:
            factors = factors.reshape(-1, *(1 for _ in cube.shape[1:]))
        product: Masked = np.ma.multiply(cube, factors)
        return product

    def recipe(self, clips: Sequence[Clip], dtype: np.dtype[Any]) -> Recipe:
        """The recipe that does as much of this as a recipe can express."""
        weights: Any = "sample"
        if self.sample_weights is None:
            weights = None if self.weights is None else tuple(self.weights)
        return Recipe(
            clips=tuple(clips),
            combine=self.method if callable(self.main) else cast(Method, self.main),
            scale=self.scale if isinstance(self.scale, tuple) else None,
            weights=weights,
            # Where no clip compares samples, both settings reject the same; this one is faster.
            clip_on="normalized" if all(isinstance(c, RangeClip) for c in clips) else "raw",
            uncertainty="auto" if callable(self.spread) else cast(Uncertainty, self.spread),
            dtype=dtype.name if dtype.name in ("float32", "float64") else "float64",
            outputs=("count",) if callable(self.spread) else ("uncertainty",),
        )

    def call(self, cube: Masked, result: StackResult) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return data and uncertainty: functions are called, the rest is taken from `result`.

        Parameters
        ----------
        cube : MaskedArray, shape (n, ...)
            The samples, with all clips run.
        result : StackResult
            The engine's result for the same samples. It has the mask and the parts that are words,
            and the count where the spread is a function.
        """
        samples = self.scaled(cube)
        given = MaskedImage(nan_filled(samples), np.ma.getmaskarray(samples))
        data = result.data
        if callable(self.main):
            data = call(self.main, given)
        elif self._total_by_function:
            data = self._weighted(given)
        data = np.where(result.mask, 0.0 if self.method == "sum" else np.nan, data)
        return data, self._uncertainty(given, result)

    def _uncertainty(self, given: MaskedImage, result: StackResult) -> NDArray[Any]:
        if result.uncertainty is not None:
            return result.uncertainty
        count = cast(NDArray[Any], result.count)
        root = np.sqrt(np.where(count > 0, count, np.nan))
        spread = call(cast(Statistic, self.spread), given)
        error: NDArray[Any] = spread * root if self.method == "sum" else spread / root
        return error.astype(result.data.dtype, copy=False)

    def _weighted(self, given: MaskedImage) -> NDArray[Any]:
        """Return the weighted mean or sum, added up by the user's function."""
        total = cast(Statistic, self.total)
        weights = np.asarray(self.weights, np.float64)
        if weights.ndim == 1:
            weights = weights.reshape(-1, *(1 for _ in given.shape[1:]))
        summed = call(total, given * weights)
        if self.method == "sum":
            return summed
        # Weights of masked samples must not count: `given * 0` keeps the mask, and NaN under it.
        with np.errstate(invalid="ignore", divide="ignore"):
            mean: NDArray[Any] = summed / call(total, given * 0 + weights)
        return mean
