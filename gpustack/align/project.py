"""Resample one image onto the pixel grid of another, with the function that ccdproc has for it."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, get_args

import numpy as np
from astropy.io.fits import Header
from astropy.nddata import CCDData, VarianceUncertainty
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_area
from numpy.typing import NDArray

from gpustack.align.base import without_pixel_cards
from gpustack.align.brightness import is_brightness, warn_scaled
from gpustack.align.footprint import transform_between, window
from gpustack.align.pixel_map import PixelMap, middle_area
from gpustack.align.resample import (
    Resampling,
    contributes,
    fill_invalid,
    nan_where_masked,
    resample,
    sliced,
    unusable_variance,
    with_mask_plane,
)
from gpustack.align.target import check_celestial
from gpustack.alignments import Flux, Method, Order, Reproject
from gpustack.checks import check, whole_number
from gpustack.frames.variance import variance_of

#: Pixels that are resampled at once; the coordinates of each take about 150 bytes.
_AT_ONCE = 1 << 20


def wcs_project(
    ccd: CCDData,
    target_wcs: WCS,
    target_shape: Sequence[int] | None = None,
    order: Order | int = "bilinear",
    *,
    add_keyword: Mapping[str, Any] | bool | None = None,
    method: Method = "interp",
    flux: Flux = "ratio",
) -> CCDData:
    """Resample an image onto the pixel grid of another celestial WCS.

    By default values are scaled by the ratio of the pixel areas, so that the counts of a source
    stay what they were.

    Parameters
    ----------
    ccd : `~astropy.nddata.CCDData`
        A 2-D image with a celestial ``wcs``. Not changed.
    target_wcs : `~astropy.wcs.WCS`
        The celestial WCS of the grid to project onto.
    target_shape : sequence of two int, optional
        Shape (y, x) of the result; by default that of `ccd`.
    order : {"nearest-neighbor", "bilinear", "biquadratic", "bicubic"}, or 0 to 3
        How values between pixels are interpolated.
    add_keyword : mapping, optional
        Cards to add to the header of the result. Unlike ccdproc, nothing is added by default.
    method, flux
        As in `gpustack.Reproject`.

    Returns
    -------
    `~astropy.nddata.CCDData`
        Data of dtype float64 in the unit of `ccd`, with `target_wcs`. The data are NaN outside the
        footprint of `ccd`. The mask is True there and wherever a masked pixel contributed, and None
        if nothing is masked. The uncertainty is of the same kind as that of `ccd`, in the unit of
        the data; None if `ccd` has none, or one of unknown kind. The header is that of `ccd`
        without its WCS keywords, alternative ones too, and without those that say which pixels of a
        detector it was (CCDSEC, LTV and the like). Flags and PSF are not carried over.

    Raises
    ------
    InputError
        Where the image does not have two axes, one of the two WCS is missing or not celestial, the
        uncertainty does not fit the data, or another argument is not one of those above. It is a
        ValueError.

    Warns
    -----
    GpustackWarning
        Where `ccd` has a unit of surface brightness, and `flux` scales its values.

    Notes
    -----
    With the defaults of `order`, `method` and `flux`, data and mask are those of
    `ccdproc.wcs_project`, bit for bit. With ``"biquadratic"`` and ``"bicubic"``, every pixel
    contributes to the whole image, by weights of either sign that decay as waves, and ccdproc masks
    where the weight of a masked pixel is positive. Here, masked pixels are filled from their
    nearest neighbours, and the mask is True where one would contribute with a weight of more than
    0.01.

    Variances are resampled in the same way as the samples. A single resampled sample is less noisy
    than its variance says, but it is correlated with its neighbours: for sums over many samples the
    variance is right. The uncertainty is NaN where a pixel contributes that is masked or not
    finite, or whose variance is NaN, infinite (an InverseVariance of 0) or negative.

    References
    ----------
    `reproject.reproject_interp`, `reproject.reproject_adaptive`, `reproject.reproject_exact`.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.nddata import CCDData
    >>> from astropy.wcs import WCS
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    >>> wcs.wcs.cdelt = [-0.001, 0.001]
    >>> target = wcs.deepcopy()
    >>> target.wcs.crpix = [1, 0]
    >>> ccd = CCDData(np.arange(6.0).reshape(2, 3), unit="adu", wcs=wcs)
    >>> wcs_project(ccd, target).data.round(6)
    array([[nan,  0.,  1.],
           [nan,  3.,  4.]])
    """
    check(ccd.data.ndim == 2, f"ccd: expected an image of two axes, got shape {ccd.shape}")
    check_celestial("ccd.wcs", ccd.wcs)
    check_celestial("target_wcs", target_wcs)
    word: Any = order
    if isinstance(order, int | np.integer) and not isinstance(order, bool):
        word = dict(enumerate(get_args(Order))).get(int(order), order)  # degrees of splines
    asked = Reproject(order=word, method=method, flux=flux)  # checks them
    how = Resampling(asked.method, asked.order, asked.flux)
    shape: Any = ccd.shape if target_shape is None else target_shape
    shape = tuple(shape) if np.iterable(shape) else ()
    check(len(shape) == 2, f"target_shape: expected two numbers, (y, x), got {target_shape!r}")
    shape = tuple(whole_number("target_shape", length, 1) for length in shape)
    if is_brightness(ccd.unit):
        factor = _factor(ccd, target_wcs, shape, how)
        warn_scaled([("ccd", ccd.unit, factor)], how.flux, stacklevel=2)
    header = _header(ccd)
    header.update(_added(add_keyword))
    found = _on_grid(ccd, target_wcs, shape, how)
    data = found["data"]
    mask = np.isnan(data)
    if "mask" in found:
        mask |= contributes(found["mask"], how)
    # Samples are resampled as surface brightness, of which a larger target pixel collects more.
    area = _area(ccd.wcs, target_wcs, shape, how)
    data *= area
    return CCDData(
        data,
        uncertainty=_uncertainty(ccd, found, area, how),
        wcs=target_wcs,
        mask=mask if mask.any() else None,
        header=header,
        unit=ccd.unit,
    )


def _added(keywords: Any) -> Mapping[str, Any]:
    """The cards to add to a header; none for True and False, which ccdproc accepts too."""
    check(
        keywords is None or isinstance(keywords, bool | Mapping),
        f"add_keyword: expected a mapping or None, got {keywords!r}",
    )
    return keywords if isinstance(keywords, Mapping) else {}


def _on_grid(
    ccd: CCDData, target_wcs: WCS, shape: tuple[int, ...], how: Resampling
) -> dict[str, NDArray[np.float64]]:
    """The planes of an image resampled onto the grid, not scaled."""
    held = _planes(ccd, how)
    planes = np.stack(list(held.values())) if len(held) > 1 else ccd.data[np.newaxis]
    image = np.empty((len(held), *shape))
    for rows in _bands(shape, how):
        grid = sliced(target_wcs, (rows, slice(0, shape[1])))
        size = (rows.stop - rows.start, shape[1])
        image[:, rows] = resample(planes, ccd.wcs, grid, size, how, round_trip=True)
    found = dict(zip(held, image, strict=True))
    if len(held) > 1:
        found["data"] = image[0].copy()  # a view would keep the other planes alive with the result
    return found


def _planes(ccd: CCDData, how: Resampling) -> dict[str, NDArray[Any]]:
    """Data, mask, variance and where the variance is unknown, as far as the image has them."""
    invalid = np.zeros(ccd.shape, bool) if ccd.mask is None else np.asarray(ccd.mask, bool)
    # ccdproc interpolates masked samples as they are; splines would carry them far.
    filled = how.is_spline and ccd.mask is not None
    held = {"data": fill_invalid(ccd.data, invalid, how) if filled else ccd.data}
    if ccd.mask is not None:
        held["mask"] = ccd.mask
    given = variance_of("ccd", ccd, ccd.shape, ccd.unit)
    if given is not None:
        variance = given.read(0, ccd.shape[0])
        lost = unusable_variance(variance, invalid | ~np.isfinite(ccd.data))
        held["variance"] = variance
        if lost.any():
            held["variance"], held["unknown"] = with_mask_plane(variance, lost, how)
    return held


def _uncertainty(
    ccd: CCDData, found: dict[str, NDArray[np.float64]], area: Any, how: Resampling
) -> Any:
    """The uncertainty on the grid, of the kind that the image has; None where it has none."""
    if "variance" not in found:
        return None
    variance = found["variance"]
    if "unknown" in found:
        variance = nan_where_masked(variance, found["unknown"], how)
    # Splines overshoot beside a step, also below 0.
    spread = VarianceUncertainty(np.maximum(variance, 0) * area**2)
    with np.errstate(divide="ignore"):  # the inverse of 0
        return spread.represent_as(type(ccd.uncertainty))


def _bands(shape: tuple[int, ...], how: Resampling) -> Iterator[slice]:
    """Yield the rows of the grid that are resampled at once.

    For splines and ``"exact"`` these are all rows: splines are filtered and areas on the sky are
    transformed for the whole image, however few rows are resampled.
    """
    whole = how.method == "exact" or how.is_spline
    step = shape[0] if whole else max(1, _AT_ONCE // shape[1])
    for start in range(0, shape[0], step):
        yield slice(start, min(start + step, shape[0]))


def _area(wcs: WCS, target_wcs: WCS, shape: tuple[int, ...], how: Resampling) -> Any:
    """The factor on values: how many pixels of the image a target pixel covers."""
    if how.flux != "local":
        return _one_area(wcs, target_wcs, how)
    rows, columns = (slice(0, length) for length in shape)
    return PixelMap.of(transform_between(target_wcs, wcs), rows, columns).area(rows, columns)


def _factor(ccd: CCDData, target_wcs: WCS, shape: tuple[int, ...], how: Resampling) -> float:
    """The factor on values as one number: where it varies, in the middle of the image."""
    if how.flux != "local":
        return _one_area(ccd.wcs, target_wcs, how)
    touched = window(transform_between(ccd.wcs, target_wcs), ccd.shape, shape)
    # An image that does not touch the grid has no pixel there to warn about.
    return 1.0 if touched is None else middle_area(transform_between(target_wcs, ccd.wcs), *touched)


def _one_area(wcs: WCS, target_wcs: WCS, how: Resampling) -> float:
    """The ratio of the pixel areas at the reference points; 1 where no value is scaled."""
    if how.flux == "unscaled":
        return 1.0
    return float(proj_plane_pixel_area(target_wcs) / proj_plane_pixel_area(wcs))


def _header(ccd: CCDData) -> Any:
    """A copy of the header of `ccd` without the coordinates, which no longer hold."""
    if isinstance(ccd.header, Header):
        return without_pixel_cards(ccd.header, ccd.wcs)
    return deepcopy(ccd.header)
