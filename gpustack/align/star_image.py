"""Views of frames: stars and structure without sky, hot pixels and cosmic-ray hits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import MAD_TO_STD
from gpustack.errors import FrameError

#: Side, in pixels, of the boxes in which the sky is measured.
BOX = 64
#: Standard deviation, in pixels, of the Gaussian that views are smoothed by. It is as wide as stars
#: are, and lifts them above the pattern of camera and readout, which does not move with the stars.
SMOOTH = 2.0

#: Samples farther than this from the sky count as this far, as if divided by a flat of nearly 0.
#: Sums of infinities, as float32 would have them, are NaN.
LARGEST = 1e30

View = NDArray[np.float32]
#: A whole frame as `Frame.whole` returns it.
FrameImage = np.ma.MaskedArray[Any, Any]


def view_of(name: str, image: FrameImage) -> View:
    """How far pixels stand out of the sky around them, in units of its noise.

    Invalid samples do not stand out, and do not count in the noise. Hot pixels, and most cosmic-ray
    hits, are removed by the median of 3 x 3 pixels: hot pixels stay where they are when the field
    moves. The view is then smoothed by a Gaussian.

    Parameters
    ----------
    name : str
        Name of the frame, for errors.
    image : MaskedArray of float, shape (y, x)
        The samples of the frame; overwritten.

    Returns
    -------
    ndarray of float32, shape (y, x)

    Raises
    ------
    FrameError
        Where no sample is valid, or all samples are alike.
    """
    from scipy.ndimage import gaussian_filter

    valid = ~np.ma.getmaskarray(image)
    above: View = gaussian_filter(_median9(_above_sky(name, image)), SMOOTH)
    noise = MAD_TO_STD * float(np.median(np.abs(above[valid])))
    if not noise > 0:
        raise FrameError(name, "align: expected an image with noise, got equal samples")
    above /= np.float32(noise)
    return above


def _above_sky(name: str, image: FrameImage) -> View:
    """The samples less the sky, as measured in boxes; 0 where samples are invalid."""
    import sep

    values, invalid = np.asarray(image.data), np.ma.getmaskarray(image)
    if invalid.all():
        raise FrameError(name, "align: expected valid samples, got none")
    # sep computes in float32, in which a level far above the noise would swallow it.
    with np.errstate(over="ignore"):
        values -= np.median(values[~invalid])
    values[invalid] = 0
    np.clip(values, -LARGEST, LARGEST, out=values)
    above = np.ascontiguousarray(values, np.float32)
    sep.Background(above, mask=invalid, bw=BOX, bh=BOX).subfrom(above)
    above[invalid] = 0
    return above


def _median9(image: View) -> View:
    """The median of the 3 x 3 pixels around each pixel, with the edge repeated.

    Each column of three is sorted into low, middle and high. The median is the middle one of the
    largest low, the middle middle and the smallest high value. This takes a fraction of the time
    of `scipy.ndimage.median_filter`.
    """
    padded = np.pad(image, 1, mode="edge")
    one, two, three = padded[:-2], padded[1:-1], padded[2:]
    low = np.minimum(np.minimum(one, two), three)
    high = np.maximum(np.maximum(one, two), three)
    middle = _middle(one, two, three)
    return _middle(
        _across(np.maximum, low),
        _middle(middle[:, :-2], middle[:, 1:-1], middle[:, 2:]),
        _across(np.minimum, high),
    )


def _middle(one: View, two: View, three: View) -> View:
    """The middle one of three values, element by element."""
    return np.maximum(np.minimum(one, two), np.minimum(np.maximum(one, two), three))


def _across(least_or_most: Any, image: View) -> View:
    """The least or most, whichever ufunc is passed, of three neighbours in a row."""
    ends: View = least_or_most(image[:, :-2], image[:, 2:])
    return least_or_most(ends, image[:, 1:-1], out=ends)  # type: ignore[no-any-return]
