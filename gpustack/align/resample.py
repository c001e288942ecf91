"""One call of reproject: planes of one image from one pixel grid onto another."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, get_args

import numpy as np
from astropy.wcs.wcsapi import HighLevelWCSWrapper, SlicedLowLevelWCS
from numpy.typing import NDArray

from gpustack.alignments import Flux, Method, Order

#: A reprojected mask is 0 far from every masked pixel; interpolation leaves rounding of
#: about 1e-16 there, and ccdproc calls everything above this masked.
MASK_THRESHOLD = 1e-8
#: What a masked pixel may contribute by way of a spline, which never ends: beyond 3 pixels it is
#: less. It contributes what its nearest valid neighbour holds.
SPLINE_THRESHOLD = 1e-2

#: Pixels that the spline of an order reaches to: further away, those of the higher ones have
#: fallen below 1e-9.
_REACH = {"nearest-neighbor": 1, "bilinear": 1, "biquadratic": 16, "bicubic": 16}
#: Half of the region that the kernel of the adaptive method is cut off at, in pixels of the grid,
#: or of the frame where those are larger.
_KERNEL = 2


@dataclass(frozen=True)
class Resampling:
    """How an image is resampled; as in `gpustack.Reproject`."""

    method: Method = "interp"
    order: Order = "bilinear"
    flux: Flux = "ratio"

    @property
    def is_spline(self) -> bool:
        """Whether a pixel reaches, in falling waves, over the whole image."""
        return self.order in ("biquadratic", "bicubic")

    def margin(self, scale: float) -> int:
        """Pixels that contribute, beyond the one that the centre of a grid pixel lies on.

        Parameters
        ----------
        scale : float
            Pixels of the frame across one of the grid.
        """
        if self.method == "interp":
            return _REACH[self.order] + 1
        # Kernels are cut off at a rectangle around them: a turned one reaches to its corners.
        return ceil(1.5 * _KERNEL * max(scale, 1)) + 2


def resample(
    planes: NDArray[Any],
    wcs: Any,
    target_wcs: Any,
    shape: Sequence[int],
    how: Resampling,
    round_trip: bool = False,
) -> NDArray[np.float64]:
    """Planes on another grid, as surface brightness: no value is scaled.

    Parameters
    ----------
    planes : ndarray of float, shape (..., y, x)
        Coordinates are transformed once for all of them.
    wcs, target_wcs : APE 14 WCS
        Of the planes, and of the grid.
    shape : sequence of two int
        (y, x) of the grid.
    how : Resampling
        `flux` is not for here.
    round_trip : bool
        Leave out pixels of the grid that do not come back to where they started, as on the other
        side of the sky.

    Returns
    -------
    ndarray of float64, shape (..., *shape)
        NaN outside of the planes, and wherever a NaN contributes.
    """
    import reproject

    function = getattr(reproject, f"reproject_{how.method}")
    options: dict[str, Any] = {} if how.method == "exact" else {"roundtrip_coords": round_trip}
    if how.method == "interp":
        options["order"] = how.order
    image = function(
        (planes, wcs),
        target_wcs,
        shape_out=(*planes.shape[:-2], *shape),
        return_footprint=False,
        **options,
    )
    return np.asarray(image)


def interpolate(
    planes: NDArray[Any], places: NDArray[np.float64], how: Resampling
) -> NDArray[np.float64]:
    """Planes at places between their pixels, as `reproject.reproject_interp` has it.

    Bit for bit, but for splines of float32, which that rounds to float32. It makes a folder and
    parses units each time, which takes longer than to interpolate a block of a band.

    Parameters
    ----------
    planes : ndarray of float, shape (..., y, x)
    places : ndarray of float64, shape (2, rows, columns)
        y, x on the planes. Written to.
    how : Resampling
        By its `order`.

    Returns
    -------
    ndarray of float64, shape (..., rows, columns)
        NaN more than half a pixel outside of the centres of the planes, where a place is NaN, and
        wherever a NaN contributes.
    """
    from scipy.ndimage import map_coordinates

    outside = np.zeros(places.shape[1:], bool)
    for axis, length in zip(places, planes.shape[-2:], strict=True):
        if not (axis.min() >= 0 and axis.max() <= length - 1):  # NaN is neither
            outside |= ~((axis >= -0.5) & (axis < length - 0.5))
            np.clip(axis, 0, length - 1, out=axis)
    some_outside = outside.any()
    if some_outside:
        places[:, outside] = 0
    image = np.empty((*planes.shape[:-2], *places.shape[1:]))
    degree = get_args(Order).index(how.order)
    for index in np.ndindex(planes.shape[:-2]):
        map_coordinates(planes[index], places, image[index], degree, "constant", np.nan)
    if some_outside:
        image[..., outside] = np.nan
    return image


def without(values: NDArray[Any], invalid: NDArray[np.bool_], how: Resampling) -> NDArray[Any]:
    """Values in which invalid ones can be interpolated: 0, or for splines those next to them."""
    if not how.is_spline or invalid.all():
        return np.where(invalid, 0, values)
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(invalid, return_distances=False, return_indices=True)
    filled: NDArray[Any] = values[tuple(nearest)]
    return filled


def contributes(mask: NDArray[Any], how: Resampling) -> NDArray[np.bool_]:
    """Where a mask that was resampled says that masked pixels contribute."""
    limit = SPLINE_THRESHOLD if how.is_spline else MASK_THRESHOLD
    reaches: NDArray[np.bool_] = np.abs(mask) > limit  # waves of splines go below 0
    return reaches


def marked(
    values: NDArray[Any], invalid: NDArray[np.bool_], how: Resampling
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Two planes to resample: values without invalid ones, and which these are."""
    return without(values, invalid, how), invalid.astype(values.dtype)


def cleared(image: NDArray[Any], marks: NDArray[Any], how: Resampling) -> NDArray[Any]:
    """Of two planes that were resampled, the values: NaN where an invalid one contributes.

    Written to.
    """
    image[contributes(marks, how)] = np.nan
    return image


def unknown(variance: NDArray[np.float64], invalid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where a variance says nothing: of invalid samples, and where it is none, as NaN or below 0.

    Interpolated, it would make those of its neighbours too small, or infinite.
    """
    return invalid | ~((variance >= 0) & np.isfinite(variance))


def sliced(wcs: Any, part: tuple[slice, slice]) -> Any:
    """The WCS of a part of an image; its own copy, as wcslib's are not for several threads."""
    copy = wcs.deepcopy() if hasattr(wcs, "deepcopy") else wcs
    return HighLevelWCSWrapper(SlicedLowLevelWCS(copy, list(part)))
