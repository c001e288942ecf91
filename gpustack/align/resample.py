"""Resample planes of an image from one pixel grid onto another, with invalid samples.

Interpolation does not skip invalid samples. They are replaced before it, and a mask that is
resampled beside the samples then says where they contribute.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, get_args

import numpy as np
from astropy.wcs.wcsapi import HighLevelWCSWrapper, SlicedLowLevelWCS
from numpy.typing import NDArray

from gpustack.alignments import Flux, Method, Order

#: Pixels of a resampled mask above this are masked, as in ccdproc. Far from masked pixels the
#: resampled mask is 0, but for rounding errors of about 1e-16.
MASK_THRESHOLD = 1e-8
#: The weight that a masked pixel may have where splines interpolate, as their weights never end;
#: beyond 3 pixels the weight is smaller. The masked pixel then counts with the value of its nearest
#: valid neighbour.
SPLINE_THRESHOLD = 1e-2

#: Order -> pixels that interpolation reaches to. Those of biquadratic and bicubic splines have
#: weights below 1e-9 beyond.
_REACH = {"nearest-neighbor": 1, "bilinear": 1, "biquadratic": 16, "bicubic": 16}
#: Half of the width at which the kernel of the adaptive method is cut off, in pixels of the grid,
#: or of the frame where those are larger.
_KERNEL = 2


@dataclass(frozen=True)
class Resampling:
    """How an image is resampled; see `gpustack.Reproject` for the fields."""

    method: Method = "interp"
    order: Order = "bilinear"
    flux: Flux = "ratio"

    @property
    def is_spline(self) -> bool:
        """Whether each pixel contributes to the whole image, by weights that decay as waves."""
        return self.order in ("biquadratic", "bicubic")

    def margin(self, scale: float) -> int:
        """Pixels that contribute beyond the one that the centre of a grid pixel lies on.

        Parameters
        ----------
        scale : float
            Frame pixels across a grid pixel.
        """
        if self.method == "interp":
            return _REACH[self.order] + 1
        # Kernels are cut off at a rectangle, which reaches further along its diagonals if rotated.
        return ceil(1.5 * _KERNEL * max(scale, 1)) + 2


def resample(
    planes: NDArray[Any],
    wcs: Any,
    target_wcs: Any,
    shape: Sequence[int],
    how: Resampling,
    round_trip: bool = False,
) -> NDArray[np.float64]:
    """Resample planes onto another grid, as surface brightness: values are not scaled.

    Parameters
    ----------
    planes : ndarray of float, shape (..., y, x)
        Coordinates are transformed once for all planes.
    wcs, target_wcs : APE 14 WCS
        World coordinates of the planes, and of the grid.
    shape : sequence of two int
        (y, x) of the grid.
    how : Resampling
        Its `flux` is ignored.
    round_trip : bool
        Leave out pixels of the grid that do not transform back to themselves, such as those on
        the other side of the sky.

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
    """Interpolate planes at places between their pixels, as `reproject.reproject_interp` does.

    Results are the same bit for bit, except for splines of float32, which reproject rounds to
    float32. Each call of reproject makes a folder and parses units, which takes longer than
    interpolating a block of a band.

    Parameters
    ----------
    planes : ndarray of float, shape (..., y, x)
    places : ndarray of float64, shape (2, rows, columns)
        y, x on the planes; overwritten.
    how : Resampling
        Only its `order` is used.

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


def fill_invalid(values: NDArray[Any], invalid: NDArray[np.bool_], how: Resampling) -> NDArray[Any]:
    """Replace invalid values by 0, or for splines by those of their nearest valid neighbours."""
    if not how.is_spline or invalid.all():
        return np.where(invalid, 0, values)
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(invalid, return_distances=False, return_indices=True)
    filled: NDArray[Any] = values[tuple(nearest)]
    return filled


def contributes(mask: NDArray[Any], how: Resampling) -> NDArray[np.bool_]:
    """Where masked pixels contribute, according to a resampled mask."""
    limit = SPLINE_THRESHOLD if how.is_spline else MASK_THRESHOLD
    reaches: NDArray[np.bool_] = np.abs(mask) > limit  # weights of splines may be negative
    return reaches


def with_mask_plane(
    values: NDArray[Any], invalid: NDArray[np.bool_], how: Resampling
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Two planes to resample: the values with invalid ones replaced, and the invalid mask."""
    return fill_invalid(values, invalid, how), invalid.astype(values.dtype)


def nan_where_masked(image: NDArray[Any], marks: NDArray[Any], how: Resampling) -> NDArray[Any]:
    """Set resampled values to NaN where invalid ones contribute, and return them.

    Parameters
    ----------
    image, marks : ndarray
        The two planes of `with_mask_plane`, resampled. `image` is overwritten.
    how : Resampling
    """
    image[contributes(marks, how)] = np.nan
    return image


def unusable_variance(
    variance: NDArray[np.float64], invalid: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Where a variance is unusable: of an invalid sample, or NaN, infinite or negative.

    Interpolated, it would make the variances of its neighbours too small, or infinite.
    """
    return invalid | ~((variance >= 0) & np.isfinite(variance))


def sliced(wcs: Any, part: tuple[slice, slice]) -> Any:
    """The WCS of a part of an image; a copy, as threads must not share wcslib's objects."""
    copy = wcs.deepcopy() if hasattr(wcs, "deepcopy") else wcs
    return HighLevelWCSWrapper(SlicedLowLevelWCS(copy, list(part)))
