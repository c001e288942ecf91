"""How the peers are called: the fastest way that gives the answer, and why it is that one.

The cube, shape (n, y, x), is left as it was; a Combiner is made anew for every call.
"""

import warnings
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data import Data

MAD_TO_STD = np.float32(1.482602218505602)

#: Rows that the hand-written loops take at a time: their temporary arrays stay in cache.
BLOCK = 64


def weighted_mean(data: Data) -> NDArray[Any]:
    """By einsum, which makes no array of samples times weights, as `numpy.average` does."""
    weights = data.weights.astype(data.cube.dtype)
    mean: NDArray[Any] = np.einsum("i,iyx->yx", weights, data.cube)
    mean /= weights.sum()
    return mean


def trimmed_mean(cube: NDArray[Any]) -> NDArray[Any]:
    """Without the extremes: three passes of sums and comparisons, where a sort takes longer."""
    rest: NDArray[Any] = cube.sum(axis=0)
    rest -= cube.min(axis=0)
    rest -= cube.max(axis=0)
    rest /= len(cube) - 2
    return rest


def astropy_clipped_mean(
    cube: NDArray[Any], center: str, spread: str, maxiters: int | None
) -> NDArray[Any]:
    """Clip by `astropy.stats.sigma_clip` and take the mean with bottleneck.

    Statistics are named by words, which takes astropy's compiled loop (functions take a
    slow one), along axis 0 as the cube lies. NaN in place of a mask spares a masked array,
    whose mean is slower; the copy spares the cube.
    """
    import bottleneck
    from astropy.stats import sigma_clip
    from astropy.utils.exceptions import AstropyUserWarning

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Input data contains invalid", AstropyUserWarning)
        clipped = sigma_clip(
            cube, 3, maxiters=maxiters, cenfunc=center, stdfunc=spread, axis=0, masked=False
        )
    mean: NDArray[Any] = bottleneck.nanmean(clipped, axis=0)
    return mean


def loop_clipped_mean(cube: NDArray[Any], center: str, spread: str) -> NDArray[Any]:
    """Clip to convergence with bottleneck's statistics, as one would write it by hand.

    Rejected samples become NaN; after the first pass only the columns that lost a sample
    go on.
    """
    import bottleneck as bn

    image = np.empty(cube.shape[1:], cube.dtype)
    for y in range(0, len(image), BLOCK):
        block = cube[:, y : y + BLOCK]
        values = block.reshape(len(cube), -1).copy()
        part, columns = values, np.arange(values.shape[1])
        while columns.size:
            outside = _outside(part, center, spread, bn)
            part[outside] = np.nan
            if part is not values:
                values[:, columns] = part
            columns = columns[outside.any(axis=0)]
            part = values[:, columns]
        image[y : y + BLOCK] = bn.nanmean(values, axis=0).reshape(block.shape[1:])
    return image


def _outside(values: NDArray[Any], center: str, spread: str, bn: ModuleType) -> NDArray[np.bool_]:
    at = bn.nanmedian(values, axis=0) if center == "median" else bn.nanmean(values, axis=0)
    away = np.abs(values - at)
    if spread == "std":
        unit = bn.nanstd(values, axis=0)
    else:
        unit = MAD_TO_STD * bn.nanmedian(away, axis=0)
    outside: NDArray[np.bool_] = away > 3 * unit
    return outside


def numpy_clipped_mean(cube: NDArray[Any]) -> NDArray[Any]:
    """Clip about the mean by the standard deviation to convergence, in plain numpy.

    For cubes without NaN. Whole columns need neither NaN nor masks, and most stay whole;
    those that do not go on alone, with rejected samples at 0 so that sums pass over them.
    """
    image = np.empty(cube.shape[1:], np.float32 if cube.dtype.itemsize <= 4 else np.float64)
    for y in range(0, len(image), BLOCK):
        block = cube[:, y : y + BLOCK]
        values = block.reshape(len(cube), -1).astype(image.dtype, copy=False)
        mean = values.mean(axis=0)
        outside = np.abs(values - mean) > 3 * values.std(axis=0)
        columns = np.flatnonzero(outside.any(axis=0))
        mean[columns] = _clipped_on(values[:, columns], outside[:, columns])
        image[y : y + BLOCK] = mean.reshape(block.shape[1:])
    return image


def _clipped_on(values: NDArray[Any], outside: NDArray[np.bool_]) -> NDArray[Any]:
    """The clipped mean of columns that have lost samples `outside`; writes into `values`."""
    result = np.empty(values.shape[1], values.dtype)
    columns = np.arange(values.shape[1])
    while columns.size:
        values[outside] = 0
        left = np.count_nonzero(~outside, axis=0).astype(values.dtype)
        mean = values.sum(axis=0) / left
        away = values - mean
        away[outside] = 0
        spread = np.sqrt((away * away).sum(axis=0) / left)
        fresh = np.abs(away) > 3 * spread
        result[columns] = mean
        on = fresh.any(axis=0)
        outside, values, columns = (outside | fresh)[:, on], values[:, on], columns[on]
    return result


def ccdproc_clipped_mean(combiner: Any, center: str, spread: str) -> Any:
    """Clip to convergence with ccdproc.

    `sigma_clipping` makes one pass, takes no `maxiters` and looks at masked samples again
    as if they were not masked, so the loop of ccdproc's manual ends after one pass that
    changed something. Rejected samples are put out of its sight as NaN.
    """
    from astropy.utils.exceptions import AstropyUserWarning

    rejected, before = 0, -1
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Input data contains invalid", AstropyUserWarning)
        while rejected != before:
            before = rejected
            combiner.data_arr.data[combiner.data_arr.mask] = np.nan
            combiner.sigma_clipping(func=center, dev_func=spread)
            rejected = int(np.count_nonzero(combiner.data_arr.mask))
    return combiner.average_combine()
