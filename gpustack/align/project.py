"""Frames brought onto one pixel grid, by the world coordinates in their headers."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from astropy.io.fits import Header
from astropy.nddata import CCDData
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_area
from numpy.typing import NDArray

from gpustack.errors import InputError
from gpustack.header import without_wcs

#: A reprojected mask is 0 far from every masked pixel; interpolation leaves rounding of
#: about 1e-16 there, and ccdproc calls everything above this masked.
MASK_THRESHOLD = 1e-8


def wcs_project(
    ccd: CCDData,
    target_wcs: WCS,
    target_shape: Sequence[int] | None = None,
    order: str = "bilinear",
) -> CCDData:
    """Resample an image onto the pixel grid of another celestial WCS.

    The values are scaled by the ratio of the pixel areas, so that the counts of a source
    stay what they were. Uncertainty, flags and PSF are not carried over.

    Parameters
    ----------
    ccd : `~astropy.nddata.CCDData`
        A 2-D image with a celestial ``wcs``. Not changed.
    target_wcs : `~astropy.wcs.WCS`
        The celestial WCS of the grid to project onto.
    target_shape : sequence of two int, optional
        Shape (y, x) of the result; that of `ccd` where omitted.
    order : {"nearest-neighbor", "bilinear", "biquadratic", "bicubic"}
        How values between pixels are interpolated.

    Returns
    -------
    `~astropy.nddata.CCDData`
        Data of dtype float64 in the unit of `ccd`, with `target_wcs` and the header of
        `ccd` without its WCS keywords. NaN outside the footprint of `ccd`; the mask is
        True there and wherever a masked pixel contributed, and None where nothing is
        masked.

    Raises
    ------
    InputError
        Where one of the two WCS is missing or not celestial (a ValueError).

    Notes
    -----
    The data and mask are those of `ccdproc.wcs_project`. The mask travels through the
    same resampling call as the data, so that coordinates are transformed once.

    References
    ----------
    `reproject.reproject_interp`.

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
    _check_celestial("ccd.wcs", ccd.wcs)
    _check_celestial("target_wcs", target_wcs)
    shape = tuple(ccd.shape if target_shape is None else target_shape)
    data, mask = _resample(ccd, target_wcs, shape, order)
    # A sample is a surface brightness; a larger target pixel holds more of it.
    data *= proj_plane_pixel_area(target_wcs) / proj_plane_pixel_area(ccd.wcs)
    return CCDData(
        data,
        wcs=target_wcs,
        mask=mask if mask.any() else None,
        header=_header(ccd),
        unit=ccd.unit,
    )


def _header(ccd: CCDData) -> Any:
    """The metadata of `ccd`, copied, without the coordinates that no longer hold."""
    if isinstance(ccd.header, Header):
        return without_wcs(ccd.header, ccd.wcs)
    return deepcopy(ccd.header)


def _check_celestial(name: str, wcs: WCS | None) -> None:
    if wcs is None:
        raise InputError(f"{name}: expected a celestial WCS, got none")
    if not isinstance(wcs, WCS):
        raise InputError(f"{name}: expected an astropy.wcs.WCS, got {type(wcs).__name__}")
    if not wcs.is_celestial:
        raise InputError(
            f"{name}: expected a celestial WCS, got one that is not celestial, "
            f"with axes {', '.join(map(str, wcs.wcs.ctype))}"
        )


def _resample(
    ccd: CCDData, target_wcs: WCS, shape: tuple[int, ...], order: str
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Data on the target grid before any scaling, and the mask that belongs to it."""
    from reproject import reproject_interp

    def resample(array: NDArray[Any]) -> NDArray[np.float64]:
        image, _ = reproject_interp((array, ccd.wcs), target_wcs, shape_out=shape, order=order)
        return np.asarray(image)

    if ccd.mask is None:
        data = resample(ccd.data)
        return data, np.isnan(data)
    data, mask = resample(np.stack([ccd.data, ccd.mask]))
    # copy: a view would keep the plane of the mask alive with the result.
    return data.copy(), np.isnan(data) | (mask > MASK_THRESHOLD)
