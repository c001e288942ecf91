"""Calls of the peers' libraries: the fastest way to the answer of each, and why it is that one.

A cube has shape (n, y, x) and is not changed. A Combiner is made anew for every call.
"""

import warnings
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.rows import BLOCK, nanmedian, sorted_columns, sorted_rows

if TYPE_CHECKING:  # it loads astropy.nddata, which would slow the start of whole programs
    from bench.data import Data

MAD_TO_STD = np.float32(1.482602218505602)

#: Marks the samples to reject; its second argument is bottleneck, for all statistics but medians.
Outside = Callable[[NDArray[Any], ModuleType], NDArray[np.bool_]]
#: The same, with an array of something known of each sample or column besides.
OutsideBy = Callable[[NDArray[Any], ModuleType, NDArray[Any]], NDArray[np.bool_]]
#: Makes that array from y and a block of rows that begins there, shape (n, rows, width); its last
#: axis is over all columns of the block.
Beside = Callable[[int, NDArray[Any], ModuleType], NDArray[Any]]


def read_cube(paths: Sequence[str]) -> NDArray[np.float32]:
    """The frames of FITS files as one cube of float32."""
    from astropy.io import fits

    first = fits.getdata(paths[0])
    cube = np.empty((len(paths), *first.shape), np.float32)
    for path, frame in zip(paths, cube, strict=True):
        frame[...] = fits.getdata(path)
    return cube


def weighted_mean(data: "Data") -> NDArray[Any]:
    """The weighted mean as a product of BLAS.

    It makes no array of products, as `numpy.average` does, and takes less time than `numpy.einsum`.
    """
    weights = data.weights.astype(data.cube.dtype)
    mean: NDArray[Any] = np.tensordot(weights, data.cube, 1)
    mean /= weights.sum()
    return mean


def trimmed_mean(cube: NDArray[Any]) -> NDArray[Any]:
    """The mean without the extremes, by three passes of sums and comparisons; a sort is slower."""
    rest: NDArray[Any] = cube.sum(axis=0)
    rest -= cube.min(axis=0)
    rest -= cube.max(axis=0)
    rest /= len(cube) - 2
    return rest


def astropy_clipped_mean(
    cube: NDArray[Any], center: str, spread: str, maxiters: int | None
) -> NDArray[Any]:
    """Clip by `astropy.stats.sigma_clip`, and take the mean with bottleneck.

    Statistics are given by name, for which astropy has a compiled loop (for functions it has a
    slow one), along axis 0 as the cube lies. NaN instead of a mask avoids a masked array, whose
    mean is slower. astropy clips a copy, so the cube stays as it is.
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


def loop_clipped_mean(cube: NDArray[Any], outside: Outside, once: bool = False) -> NDArray[Any]:
    """Clip with statistics of numpy and bottleneck, to convergence or `once`, as one would by hand.

    Rejected samples become NaN. Each further pass is only on the columns that lost a sample in the
    pass before.
    """
    import bottleneck as bn

    image = np.empty(cube.shape[1:], cube.dtype)
    for y in range(0, len(image), BLOCK):
        block = cube[:, y : y + BLOCK]
        values = block.reshape(len(cube), -1).copy()
        part, columns = values, np.arange(values.shape[1])
        while columns.size:
            rejected = outside(part, bn)
            part[rejected] = np.nan
            if part is not values:
                values[:, columns] = part
            columns = columns[rejected.any(axis=0)] if not once else columns[:0]
            part = values[:, columns]
        image[y : y + BLOCK] = bn.nanmean(values, axis=0).reshape(block.shape[1:])
    return image


def loop_mean_by(
    cube: NDArray[Any],
    outside: OutsideBy,
    beside: Beside,
    scales: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """The loop of `loop_clipped_mean` with more known than the samples, which `beside` makes.

    Samples are multiplied by the `scales` of their frames first, where there are any.
    """
    import bottleneck as bn

    image = np.empty(cube.shape[1:], cube.dtype)
    for y in range(0, len(image), BLOCK):
        block = cube[:, y : y + BLOCK]
        block = block.copy() if scales is None else block * scales[:, None, None]
        values, known = block.reshape(len(cube), -1), beside(y, block, bn)
        part, columns = values, np.arange(values.shape[1])
        while columns.size:
            rejected = outside(part, bn, known[..., columns])
            part[rejected] = np.nan
            if part is not values:
                values[:, columns] = part
            columns = columns[rejected.any(axis=0)]
            part = values[:, columns]
        image[y : y + BLOCK] = bn.nanmean(values, axis=0).reshape(block.shape[1:])
    return image


def outside_noise(values: NDArray[Any], bn: ModuleType, noise: NDArray[Any]) -> NDArray[np.bool_]:
    """Samples more than 3 times their own noise from the median; `noise` has their variances."""
    return beyond(values, nanmedian(values), np.sqrt(noise))


def outside_poisson(
    values: NDArray[Any], bn: ModuleType, scales: NDArray[Any]
) -> NDArray[np.bool_]:
    """Samples beyond 3 standard deviations, in units of the root of each frame's level."""
    centers = nanmedian(values)
    unit = np.sqrt(np.maximum(np.float32(1), centers * scales))
    off = (values - bn.nanmean(values, axis=0)) / unit
    off *= off
    return beyond(values, centers, unit * np.sqrt(bn.nanmean(off, axis=0)))


def outside_row_noise(
    values: NDArray[Any], bn: ModuleType, noise: NDArray[Any]
) -> NDArray[np.bool_]:
    """Samples beyond 3 times a number of each column, in units of the root of its level."""
    centers = nanmedian(values)
    return beyond(values, centers, noise * np.sqrt(np.maximum(np.float32(1), centers)))


def row_noise(y: int, block: NDArray[Any], bn: ModuleType) -> NDArray[Any]:
    """The number of each column in `outside_row_noise`, the same in a row; for rows without NaN."""
    centers = nanmedian(block.reshape(len(block), -1)).reshape(block.shape[1:])
    off = block - centers
    off *= off
    off /= np.maximum(np.float32(1), centers)
    squares = off.sum(axis=(0, 2), dtype=np.float64)
    noise = np.sqrt(squares / (block.shape[0] * block.shape[2] - 1)).astype(block.dtype)
    return np.repeat(noise, block.shape[2])


def sorted_line_mean(cube: NDArray[Any], times: float) -> NDArray[Any]:
    """The mean after clipping about a line through the sorted samples, to convergence.

    Uses numpy's sort.
    """
    n, image = len(cube), np.empty(cube.shape[1:], cube.dtype)
    for y in range(0, len(image), BLOCK):
        ordered = sorted_columns(cube[:, y : y + BLOCK].reshape(n, -1))
        result, columns = np.empty(ordered.shape[1], cube.dtype), np.arange(ordered.shape[1])
        while columns.size:
            count = np.count_nonzero(~np.isnan(ordered), axis=0).astype(cube.dtype)
            off = np.arange(n, dtype=cube.dtype)[:, None] - (count - 1) / 2
            off[np.isnan(ordered)] = 0
            level = np.nansum(ordered, axis=0) / count
            away = ordered - level
            slope = np.nansum(off * away, axis=0) / (off * off).sum(axis=0)
            away = np.abs(away - slope * off)
            rejected = away > times * np.nansum(away, axis=0) / count
            result[columns] = level
            on = rejected.any(axis=0)
            ordered[rejected] = np.nan
            ordered, columns = sorted_columns(ordered[:, on]), columns[on]
        image[y : y + BLOCK] = result.reshape(image[y : y + BLOCK].shape)
    return image


def beyond(values: NDArray[Any], centers: NDArray[Any], unit: NDArray[Any]) -> NDArray[np.bool_]:
    """Samples further than 3 times `unit` from `centers`."""
    rejected: NDArray[np.bool_] = np.abs(values - centers) > 3 * unit
    return rejected


def outside_sigma(center: str, spread: str) -> Outside:
    """Samples beyond 3 standard deviations, computed as such or from the MAD."""

    def outside(values: NDArray[Any], bn: ModuleType) -> NDArray[np.bool_]:
        centers = nanmedian(values) if center == "median" else bn.nanmean(values, axis=0)
        if spread == "std":
            return beyond(values, centers, bn.nanstd(values, axis=0))
        return beyond(values, centers, MAD_TO_STD * nanmedian(np.abs(values - centers)))

    return outside


def outside_mad(values: NDArray[Any], bn: ModuleType) -> NDArray[np.bool_]:
    """Samples beyond 3 MADs of the median."""
    centers = nanmedian(values)
    return beyond(values, centers, nanmedian(np.abs(values - centers)))


def outside_ccd_noise(rdnoise: float, gain: float) -> Outside:
    """Samples beyond 3 times the noise of a CCD, about the median."""

    def outside(values: NDArray[Any], bn: ModuleType) -> NDArray[np.bool_]:
        centers = nanmedian(values)
        return beyond(values, centers, np.sqrt(np.float32((rdnoise / gain) ** 2) + centers / gain))

    return outside


def outside_shares(low: float, high: float) -> Outside:
    """Samples that differ from the median by more than shares of it."""

    def outside(values: NDArray[Any], bn: ModuleType) -> NDArray[np.bool_]:
        centers = nanmedian(values)
        rejected: NDArray[np.bool_] = values < centers * (1 - low)
        rejected |= values > centers * (1 + high)
        return rejected

    return outside


def outside_rank(share: float) -> Outside:
    """Samples beyond 3 times the distance of a sample below the median; for columns without NaN."""

    def outside(values: NDArray[Any], bn: ModuleType) -> NDArray[np.bool_]:
        n, rows = len(values), sorted_rows(values)
        centers = (rows[:, (n - 1) // 2] + rows[:, n // 2]) / 2
        sample = rows[:, (n - 1) // 2 - int(share * (n // 2))]
        return beyond(values, centers, centers - sample)

    return outside


def outside_winsorized(values: NDArray[Any], bn: ModuleType) -> NDArray[np.bool_]:
    """Samples beyond 3 winsorized standard deviations: of samples pulled in until they settle."""
    centers, spread = nanmedian(values), bn.nanstd(values, axis=0, ddof=1)
    pulled, m, s, columns = values, centers, spread.copy(), np.arange(len(centers))
    while columns.size:
        pulled = np.clip(pulled, m - np.float32(1.5) * s, m + np.float32(1.5) * s)
        fresh = np.float32(1.134) * bn.nanstd(pulled, axis=0, ddof=1)
        spread[columns] = fresh
        on = np.abs(fresh - s) > 0.0005 * s
        pulled, m, s, columns = pulled[:, on], m[on], fresh[on], columns[on]
    return beyond(values, centers, spread)


def loop_esd_mean(cube: NDArray[Any], outliers: float, significance: float) -> NDArray[Any]:
    """The mean after the generalised ESD test, with bottleneck; for cubes without NaN."""
    import bottleneck as bn
    from scipy.stats import t as student

    n, image = len(cube), np.empty(cube.shape[1:], cube.dtype)
    m = np.arange(n, n - int(outliers * n + 1e-9), -1)
    t = student.ppf(1 - significance / (2 * m), m - 2)
    limits = (m - 1) * t / np.sqrt(m * (m - 2 + t * t))
    for y in range(0, len(image), BLOCK):
        block = cube[:, y : y + BLOCK]
        left = block.reshape(n, -1).copy()
        mean, column = bn.nanmean(left, axis=0), np.arange(left.shape[1])
        result = mean.copy()
        for limit in limits:
            away = np.abs(left - mean)
            furthest = bn.nanargmax(away, axis=0), column
            beyond_it = away[furthest] / bn.nanstd(left, axis=0, ddof=1)
            left[furthest] = np.nan
            mean = bn.nanmean(left, axis=0)
            np.copyto(result, mean, where=beyond_it > limit)
        image[y : y + BLOCK] = result.reshape(block.shape[1:])
    return image


def sorted_replaced_mean(cube: NDArray[Any]) -> NDArray[Any]:
    """The mean with medians in the place of samples beyond 3 deviations, to convergence.

    Uses numpy's sort, for cubes without NaN. A column is done with the first pass that changes
    nothing in it.
    """
    n, image = len(cube), np.empty(cube.shape[1:], cube.dtype)
    for y in range(0, len(image), BLOCK):
        block = cube[:, y : y + BLOCK]
        values = sorted_columns(block.reshape(n, -1))
        result, columns = values.mean(axis=0), np.arange(values.shape[1])
        while columns.size:
            centers = (values[(n - 1) // 2] + values[n // 2]) / 2
            reach = 3 * values.std(axis=0, ddof=1)
            # Columns are sorted: if none of the ends is outside, no sample is.
            on = (centers - values[0] > reach) | (values[-1] - centers > reach)
            values, centers, reach, columns = values[:, on], centers[on], reach[on], columns[on]
            values = sorted_columns(np.where(np.abs(values - centers) > reach, centers, values))
            result[columns] = values.mean(axis=0)
        image[y : y + BLOCK] = result.reshape(block.shape[1:])
    return image


def sorted_share_mean(cube: NDArray[Any], nlow: int, nhigh: int) -> NDArray[Any]:
    """The mean without the extremes, of which fewer where a column has NaN; by numpy's sort."""
    n, image = len(cube), np.empty(cube.shape[1:], cube.dtype)
    rank = np.arange(n)[:, None, None]
    for y in range(0, len(image), BLOCK):
        block = cube[:, y : y + BLOCK]
        ordered = sorted_columns(block.reshape(n, -1)).reshape(block.shape)
        count = n - np.isnan(ordered).sum(axis=0)
        low, high = (np.floor(count * k / n + 0.001).astype(int) for k in (nlow, nhigh))
        inside = (rank >= low) & (rank < count - high)
        sums = np.where(inside, ordered, 0).sum(axis=0)
        image[y : y + BLOCK] = sums / (count - high - low)
    return image


def numpy_clipped_mean(cube: NDArray[Any]) -> NDArray[Any]:
    """Clip about the mean by the standard deviation, to convergence, in plain numpy.

    For cubes without NaN. Most columns lose no sample and need neither NaN nor masks. Only those
    that do go on, with rejected samples set to 0 so that sums ignore them.
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
    """The clipped mean of columns that have lost the samples `outside`; changes `values`."""
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

    `sigma_clipping` makes one pass, has no `maxiters` and treats masked samples as if they were
    not masked, so the loop in ccdproc's manual ends after one pass that changes something. Setting
    rejected samples to NaN hides them from it.
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
