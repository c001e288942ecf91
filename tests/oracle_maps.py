"""Derived maps, computed one sample at a time from the reasons of the oracle; see `oracle`."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpustack.reasons import Reason
from gpustack.recipe import Recipe
from oracle import decode, frame_dtype


def reason(reasons: Any) -> Any:
    """The bitwise OR of the reasons of all samples of each pixel."""
    found = np.zeros(reasons.shape[1:], np.uint8)
    for _, y, x in np.argwhere(reasons):
        found[y, x] = 0
        for value in reasons[:, y, x].tolist():
            found[y, x] = int(found[y, x]) | value
    return found


def exposure(reasons: Any, exposures: Sequence[float]) -> Any:
    """The total exposure of the surviving samples of each pixel."""
    found = np.zeros(reasons.shape[1:])
    for y, x in np.ndindex(found.shape):
        found[y, x] = math.fsum(
            seconds for f, seconds in enumerate(exposures) if reasons[f, y, x] == 0
        )
    return found


def rejections(reasons: Any) -> Any:
    """Which samples a clip or a grow step rejected; masked and non-finite ones do not count."""
    found = np.zeros(reasons.shape, bool)
    for at in np.ndindex(reasons.shape):
        found[at] = reasons[at] in (Reason.RANGE, Reason.CLIP, Reason.GROW)
    return found


def flags(reasons: Any, bits: Sequence[Any], dtype: Any) -> Any:
    """The bitwise OR of the flags of the surviving samples, or of all samples if none survives.

    A frame without flags is None in `bits`.
    """
    found = np.zeros(reasons.shape[1:], dtype)
    size = 8 * found.itemsize
    for y, x in np.ndindex(found.shape):
        counted = [f for f, why in enumerate(reasons[:, y, x]) if why == 0] or range(len(bits))
        union = 0
        for f in counted:
            if bits[f] is not None:
                union |= int(bits[f][y, x]) % 2 ** (8 * bits[f].itemsize)
        signed = found.dtype.kind == "i" and union >= 2 ** (size - 1)
        found[y, x] = union - 2**size if signed else union
    return found


def sigma(band: Sequence[Any], recipe: Recipe, want: Any) -> Any:
    """The standard deviation of the surviving samples about the combined value of the oracle."""
    x, found = normalised(band, recipe), np.full(want.data.shape, math.nan)
    for y, pixel in np.argwhere(~want.mask).tolist():
        survivors = np.flatnonzero(want.reasons[:, y, pixel] == 0).tolist()
        weights = _weights(band, recipe, survivors, y, pixel)
        value = float(want.data[y, pixel])
        terms = [
            w * (float(x[f, y, pixel]) - value) ** 2
            for f, w in zip(survivors, weights, strict=True)
        ]
        n = len(survivors)
        share = math.fsum(terms) / math.fsum(weights)
        found[y, pixel] = math.sqrt(share * n / (n - 1)) if n > 1 else 0.0
    return found


def coverage(reasons: Any) -> Any:
    """The number of valid samples: neither masked nor without a value."""
    found = np.zeros(reasons.shape[1:], int)
    for _, y, x in np.argwhere((reasons != Reason.MASKED) & (reasons != Reason.NO_VALUE)):
        found[y, x] += 1
    return found


def weight(band: Sequence[Any], recipe: Recipe, want: Any) -> Any:
    """The sum of the weights of the surviving samples."""
    found = np.zeros(want.data.shape)
    for y, x in np.ndindex(found.shape):
        survivors = np.flatnonzero(want.reasons[:, y, x] == 0).tolist()
        found[y, x] = math.fsum(_weights(band, recipe, survivors, y, x))
    return found


def propagated(band: Sequence[Any], recipe: Recipe, want: Any) -> Any:
    """The standard deviation of the combined value, propagated from the variances of samples."""
    found = np.full(want.data.shape, math.nan)
    for y, pixel in np.argwhere(~want.mask).tolist():
        survivors = np.flatnonzero(want.reasons[:, y, pixel] == 0).tolist()
        weights = _weights(band, recipe, survivors, y, pixel)
        sigmas = []
        for f, weight in zip(survivors, weights, strict=True):
            variance = float(band[f].variance[y, pixel])
            factor = abs(recipe.scale[f]) if recipe.scale else 1.0
            if weight > 0:
                sigmas.append(weight * factor * math.sqrt(variance) if variance >= 0 else math.nan)
        found[y, pixel] = _together(recipe.method, sigmas, math.fsum(weights))
    return found


def _together(method: str, sigmas: list[float], weights: float) -> float:
    """The standard deviation of a sum of terms, or of that sum divided by the sum of weights."""
    root = math.hypot(*sigmas) if not any(map(math.isnan, sigmas)) else math.nan
    if method == "sum":
        return root
    is_mean = method == "mean" or len(sigmas) == 1 or (method == "median" and len(sigmas) == 2)
    return root / weights * (1.0 if is_mean else math.sqrt(math.pi / 2))


def _weights(
    band: Sequence[Any], recipe: Recipe, survivors: list[int], y: int, x: int
) -> list[float]:
    if recipe.weights == "sample":
        return [float(band[f].weight[y, x]) for f in survivors]
    return [recipe.weights[f] if recipe.weights else 1.0 for f in survivors]


def normalised(band: Sequence[Any], recipe: Recipe) -> Any:
    """The decoded and normalised samples of all frames, as they are combined."""
    n, dtype = len(band), np.result_type(*(frame_dtype(samples.data.dtype) for samples in band))
    with np.errstate(all="ignore"):
        raw = np.array([decode(samples)[0] for samples in band], dtype).astype(np.float64)
        zero = np.array(recipe.zero or [0.0] * n).reshape(n, 1, 1)
        scale = np.array(recipe.scale or [1.0] * n).reshape(n, 1, 1)
        return ((raw - zero) * scale).astype(dtype)
