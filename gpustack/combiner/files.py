"""`combine`, with the interface of `ccdproc.combine`: from a list of files to one image."""

import math
import os
import sys
from collections.abc import Callable
from copy import deepcopy
from inspect import signature
from typing import Any

import numpy as np
from astropy.nddata import CCDData, StdDevUncertainty
from numpy.typing import DTypeLike, NDArray

from gpustack.checks import did_you_mean, real
from gpustack.combiner.arguments import naming_arguments
from gpustack.combiner.attributes import check_weights, real_dtype
from gpustack.combiner.callables import Statistic, recognise
from gpustack.combiner.core import combiner_of
from gpustack.combiner.images import list_images, open_images, used_kwargs
from gpustack.combiner.recorder import Recorder
from gpustack.combiner.rows import RowsFrame
from gpustack.errors import InputError, OutputError
from gpustack.files.paths import at_home, exists
from gpustack.frames import Frame, check_agree
from gpustack.frames.hdus import quiet
from gpustack.frames.masked import as_function_sees, why_nan
from gpustack.header import without_wcs
from gpustack.plan import parse_memory, plan_bands
from gpustack.writing import check_target, write_whole

_METHODS = ("average", "median", "sum")

#: Arguments of `combine` -> what errors of `Combiner` call them.
_NAMES = {
    "scale": "scaling",
    "minmax_clip_min": "min_clip",
    "minmax_clip_max": "max_clip",
    "sigma_clip_low_thresh": "low_thresh",
    "sigma_clip_high_thresh": "high_thresh",
    "sigma_clip_func": "func",
    "sigma_clip_dev_func": "dev_func",
    "combine_uncertainty_function": "uncertainty_func",
}

#: How many cubes of float64 calling a user's function may take: the samples, a scaled copy,
#: the function's own copy and its intermediate results.
_CUBES = 4

Run = Callable[[list[Frame], NDArray[Any] | None], CCDData]


def combine(
    img_list: Any,
    output_file: str | os.PathLike[str] | None = None,
    method: str = "average",
    weights: NDArray[Any] | None = None,
    scale: Any = None,
    mem_limit: float = 16e9,
    clip_extrema: bool = False,
    nlow: int | None = 1,
    nhigh: int | None = 1,
    minmax_clip: bool = False,
    minmax_clip_min: float | None = None,
    minmax_clip_max: float | None = None,
    sigma_clip: bool = False,
    sigma_clip_low_thresh: float | None = 3,
    sigma_clip_high_thresh: float | None = 3,
    sigma_clip_func: str | Statistic = "mean",
    sigma_clip_dev_func: str | Statistic = "std",
    dtype: DTypeLike | None = None,
    combine_uncertainty_function: Statistic | None = None,
    overwrite_output: bool = False,
    *,
    backend: str = "auto",
    **ccdkwargs: Any,
) -> CCDData:
    """Combine images, from files or in memory, in one call.

    Has the interface of `ccdproc.combine`. Files are read by rows, each row once, so
    that many more frames than fit into memory can be combined.

    Parameters
    ----------
    img_list : list, str, `numpy.ndarray` or iterable
        File names, `~astropy.nddata.CCDData`, or both; a string of file names with
        commas between them; an array of file names; a `ccdproc.ImageFileCollection`; one
        CCDData of three axes, whose planes are the images.
    output_file : str or path, optional
        A FITS file to write the result to when it is complete. The result is held in memory as
        well; `gpustack.stack` with `gpustack.ToFile` avoids that.
    method : {"average", "median", "sum"}
        See `Combiner.average_combine`, `Combiner.median_combine`, `Combiner.sum_combine`.
    weights : `numpy.ndarray`, optional
        See `Combiner.weights`.
    scale : callable or sequence of float, optional
        Factors that multiply the images after clipping: one number per image, or a function that
        returns the number for an image. The function gets a float64 array; for an image with
        invalid samples, a MaskedArray for which numpy's median, percentile and NaN-functions
        leave these out.
    mem_limit : float
        Bytes that rows and buffers may take at once. The result, and images given in
        memory, come on top of it.
    clip_extrema : bool
        Whether to reject the `nlow` lowest and `nhigh` highest samples of every pixel
        first; see `Combiner.clip_extrema`.
    nlow, nhigh : int or None
        How many; None is 0.
    minmax_clip : bool
        Whether to reject samples below `minmax_clip_min` or above `minmax_clip_max` then.
    minmax_clip_min, minmax_clip_max : float or None
        Bounds in the unit of the images; None is no bound.
    sigma_clip : bool
        Whether to reject samples that deviate too far last; see `Combiner.sigma_clipping`.
    sigma_clip_low_thresh, sigma_clip_high_thresh : float or None
        How many spreads below and above the centre a sample may lie; None is no limit.
    sigma_clip_func : {"mean", "median"} or callable
        The centre.
    sigma_clip_dev_func : {"std", "mad_std"} or callable
        The spread.
    dtype : dtype, optional
        Of the samples and of the result; float64 where None.
    combine_uncertainty_function : callable, optional
        Computes the spread for the uncertainty; that of `method` if omitted.
    overwrite_output : bool
        Whether `output_file` may be replaced.
    backend : {"auto", "cpu", "cuda"}
        What computes.
    **ccdkwargs
        Arguments for reading files, as in `CCDData.read`. With `unit`, `hdu` and arguments that
        do not change an image, such as `memmap` and `hdu_uncertainty`, files are read by rows.
        With any other, `CCDData.read` reads them whole, and they are held in memory.

    Returns
    -------
    `~astropy.nddata.CCDData`
        As from the method of `Combiner`, with header and WCS of the first image.

    Raises
    ------
    InputError
        Where an argument is unusable (a ValueError).
    MismatchError
        Where images differ in shape or unit (a TypeError).
    FileNotFoundError
        Where a file is missing.
    OSError
        Where `output_file` exists and may not be replaced; nothing is read then.

    Warns
    -----
    GpustackWarning
        Where neither `combine` nor `CCDData.read` has an argument, which is without effect then.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData
    >>> images = [CCDData(np.full((2, 2), v), unit="adu") for v in (1.0, 2.0, 6.0)]
    >>> combine(images, method="median").data
    array([[2., 2.],
           [2., 2.]])
    """
    ccdkwargs = used_kwargs(ccdkwargs, [*signature(combine).parameters][:-1])
    images = list_images(img_list)
    if method not in _METHODS:
        raise InputError(
            f"unrecognised combine method: expected one of {', '.join(_METHODS)}, got {method!r}"
            f"{did_you_mean(method, _METHODS)}"
        )
    if output_file is not None:
        _check_target(output_file, overwrite_output)
    memory = parse_memory(sys.maxsize if mem_limit == math.inf else mem_limit, "mem_limit")
    frames = open_images(images, ccdkwargs)
    check_agree(frames)
    if weights is not None:
        check_weights(weights, (len(frames), *frames[0].shape))
    factors = _scale_numbers(scale, frames)

    def run(rows: list[Frame], row_weights: NDArray[Any] | None) -> CCDData:
        combiner = combiner_of(Recorder(rows, real_dtype(dtype), backend, memory))
        combiner.weights = row_weights
        combiner.scaling = factors
        if clip_extrema:
            combiner.clip_extrema(nlow, nhigh)
        if minmax_clip:
            combiner.minmax_clipping(minmax_clip_min, minmax_clip_max)
        if sigma_clip:
            combiner.sigma_clipping(
                sigma_clip_low_thresh, sigma_clip_high_thresh, sigma_clip_func, sigma_clip_dev_func
            )
        finish = getattr(combiner, f"{method}_combine")
        return finish(uncertainty_func=combine_uncertainty_function)

    statistics: list[Any] = [combine_uncertainty_function]
    if sigma_clip:
        statistics += [sigma_clip_func, sigma_clip_dev_func]
    with naming_arguments(**_NAMES):
        if any(callable(statistic) and recognise(statistic) is None for statistic in statistics):
            ccd = _run_by_bands(run, frames, weights, memory)
        else:
            ccd = run(frames, weights)
    ccd.header, ccd.wcs = _header(images[0], frames[0])
    if output_file is not None:
        with quiet():
            hdus = ccd.to_hdu()
        write_whole(output_file, hdus, overwrite=overwrite_output)
    return ccd


def _check_target(path: str | os.PathLike[str], overwrite: bool) -> None:
    if exists(at_home(path)) and not overwrite:
        raise OutputError(
            f"{os.fspath(path)} already exists: expected a new file, or overwrite_output=True"
        )
    check_target(path, overwrite)


def _scale_numbers(scale: Any, frames: list[Frame]) -> Any:
    """Return `scale`; if it is a function, its number for each image, read one at a time."""
    if not callable(scale):
        return scale
    return [_scale_number(scale, frame) for frame in frames]


def _scale_number(scale: Callable[[Any], Any], frame: Frame) -> float:
    image = np.ma.asarray(frame.whole(), dtype=np.float64)
    mask = np.ma.getmaskarray(image)
    # Functions written for ccdproc.combine, which passes no masks, may not handle masked arrays.
    answer = scale(as_function_sees(image) if mask.any() else image.data)
    factor = real(answer)
    if not math.isfinite(factor) and not mask.all():
        raise InputError(
            f"scale: expected a finite number, got {answer!r} for {frame.name}"
            f"{why_nan(answer, image)}"
        )
    return factor


def _run_by_bands(
    run: Run, frames: list[Frame], weights: NDArray[Any] | None, memory: int
) -> CCDData:
    """Call `run` band by band, or once if cubes of all samples fit in `memory`."""
    shape = frames[0].shape
    rows, width = math.prod(shape[:-1]), shape[-1]
    bands = plan_bands(rows, _CUBES * 8 * width * len(frames), memory)
    if len(bands) == 1:
        return run(frames, weights)
    parts = []
    for band in bands:
        part: list[Frame] = [
            RowsFrame(frame, frame.dtype, band.start, band.stop) for frame in frames
        ]
        part_weights = weights
        if weights is not None and weights.shape == (len(frames), *shape):
            part_weights = weights.reshape(-1, rows, width)[:, band.start : band.stop]
        parts.append(run(part, part_weights))
    return CCDData(
        np.concatenate([part.data for part in parts]).reshape(shape),
        mask=np.concatenate([part.mask for part in parts]).reshape(shape),
        uncertainty=StdDevUncertainty(
            np.concatenate([part.uncertainty.array for part in parts]).reshape(shape), copy=False
        ),
        unit=parts[0].unit,
    )


def _header(image: Any, frame: Frame) -> tuple[Any, Any]:
    """Return metadata and WCS of the result: those of the first image, as CCDData has them."""
    if isinstance(image, CCDData):
        return deepcopy(image.header), deepcopy(image.wcs)
    wcs = frame.coordinates.wcs
    return without_wcs(frame.header, wcs), wcs
