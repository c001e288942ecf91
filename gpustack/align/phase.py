"""The shift of one frame to another, by phase cross-correlation."""

from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gpustack.align.rotation_check import corner_distance
from gpustack.align.similarity import Similarity
from gpustack.align.star_image import FrameImage, View, view_of
from gpustack.errors import FrameError

#: Sigmas of the noise above which a pixel counts in the search for a match. Below it, patterns that
#: the camera leaves on the same pixels of all frames would match best at a shift of 0.
FLOOR = 3.0
#: The same for measuring the shift, close to the match. Faint stars lie between the two floors. For
#: simulated frames like those of m13_blue, errors are 0.27 pixel with a floor of 3, 0.20 to 0.22
#: with 1 to 2, and 0.23 with 0.5.
MEASURED_FLOOR = 1.5
#: Sigmas above the floor beyond which brightness counts by its logarithm. In the search, many stars
#: should agree, not only the brightest one. In the measurement, each star should count by how well
#: it determines the shift.
SEARCH_KNEE, MEASURE_KNEE = 1.0, 100.0
#: How many times as high as the next peak the highest peak of the correlation has to be. For
#: simulated fields of 1000 x 1000 pixels and 10 to 300 stars the ratio is 2.9 or more where the
#: fields are the same, and 1.5 or less where they are not. In smaller fields few stars decide, and
#: chance reaches higher ratios; see docs/decisions/0015-measured-shifts.md.
LEAST_RATIO = 1.5
#: Largest distance, in pixels, from the highest peak to pixels that belong to it.
PEAK_RADIUS = 32
#: Pixels by which the measured shift may differ from the one that the search found.
MAX_REFINEMENT = 3.0
#: What errors advise where no shift matches. A camera on a mount that flips at the meridian is
#: upside down afterwards, and no shift aligns such frames.
ADVICE = (
    "if frames are rotated, as after a meridian flip, use --align register:by=stars "
    "(align=Register('stars'))"
)
#: The shifts of quarters are measured to ``1 / QUARTER_UPSAMPLE`` pixel.
QUARTER_UPSAMPLE = 20
#: Fraction of the overlap that is faded out towards its edges, because edges do not match.
FADE = 0.1

#: Rows and columns of the reference, then of the frame.
Parts = tuple[tuple[slice, slice], tuple[slice, slice]]


@dataclass(frozen=True)
class Shift:
    """Measures the shifts of frames to a reference.

    Parameters
    ----------
    name : str
        Name of the reference, for errors.
    image : MaskedArray of float, shape (y, x)
        The samples of the reference; overwritten.
    upsample : int
        Shifts are measured to ``1 / upsample`` pixel.

    Raises
    ------
    FrameError
        Where nothing on the reference stands out of the noise.

    References
    ----------
    M. Guizar-Sicairos, S. T. Thurman, J. R. Fienup, "Efficient subpixel image registration
    algorithms", Opt. Lett. 33, 156 (2008); `skimage.registration.phase_cross_correlation`. Particle
    image velocimetry uses the ratio of the peaks as its criterion of a valid match: R. D. Keane,
    R. J. Adrian, Meas. Sci. Technol. 1, 1202 (1990).
    """

    name: str
    image: InitVar[FrameImage]
    upsample: int
    _view: View = field(init=False, repr=False)

    #: Values of a frame without a shift in the columns that say how certain the shift is.
    missing_columns: ClassVar[dict[str, Any]] = dict.fromkeys(
        ("correlation", "peak_ratio", "corners"), np.nan
    )
    #: Values of the reference in these columns.
    reference_columns: ClassVar[dict[str, Any]] = {
        "correlation": 1.0,
        "peak_ratio": np.nan,
        "corners": 0.0,
    }

    def __post_init__(self, image: FrameImage) -> None:
        object.__setattr__(self, "_view", _view(self.name, image))

    def measure(self, name: str, image: FrameImage) -> tuple[Similarity, dict[str, Any]]:
        """Measure the shift of a frame, and how certain it is; `image` is overwritten.

        Raises
        ------
        FrameError
            Where the frame does not match the reference.
        """
        view = _view(name, image)
        offset, ratio = _search(
            _bright(self._view, FLOOR, SEARCH_KNEE), _bright(view, FLOOR, SEARCH_KNEE)
        )
        if ratio < LEAST_RATIO:
            raise FrameError(
                name,
                f"align: expected a frame that matches {self.name}, got a correlation only "
                f"{ratio:.2f} times as high at the best shift as at the next best, where at least "
                f"{LEAST_RATIO} times is needed; {ADVICE}",
            )
        here, there = _overlap(self._view.shape, view.shape, offset)
        pair = (
            _bright(self._view[here], MEASURED_FLOOR, MEASURE_KNEE),
            _bright(view[there], MEASURED_FLOOR, MEASURE_KNEE),
        )
        shift = self._refine(name, offset, *pair)
        return shift, {
            "correlation": _correlation(*pair),
            "peak_ratio": ratio,
            "corners": corner_distance(
                *pair, partial(_shift, upsample=QUARTER_UPSAMPLE), 1 / QUARTER_UPSAMPLE
            ),
        }

    def _refine(self, name: str, offset: tuple[int, int], one: View, two: View) -> Similarity:
        """Refine a whole-pixel `offset` to parts of a pixel, by views of the overlap."""
        y, x = offset
        rest = _shift(one, two, self.upsample)
        if not abs(rest) <= MAX_REFINEMENT:
            raise FrameError(
                name,
                f"align: expected one shift (y, x), got {offset} by all that stands out and "
                f"({y + rest.imag:.2f}, {x + rest.real:.2f}) by what is brightest; {ADVICE}",
            )
        return Similarity(shift=complex(x, y) + rest)


def _shift(one: View, two: View, upsample: int) -> complex:
    """The shift, x + iy, that moves the second view onto the first, to ``1 / upsample`` pixel."""
    from skimage.registration import phase_cross_correlation

    fade = _fade(one.shape)
    # Normalised by its amplitude, each wave would count the same, and most waves are noise.
    shift, _, _ = phase_cross_correlation(  # type: ignore[no-untyped-call]
        one * fade, two * fade, upsample_factor=upsample, normalization=None
    )
    y, x = (round(float(part) * upsample) / upsample for part in shift)  # skimage has float32
    return complex(x, y)


def _view(name: str, image: FrameImage) -> View:
    """What stands out on a frame, in units of its noise.

    Raises
    ------
    FrameError
        Where nothing stands out.
    """
    view = view_of(name, image)
    if not view.max() > FLOOR:
        raise FrameError(
            name, f"align: expected something {FLOOR:g} sigma above the sky, got nothing"
        )
    return view


def _bright(view: View, floor: float, knee: float) -> View:
    """What stands out above `floor`; beyond `knee` above it, compressed to its logarithm."""
    bright: View = view - np.float32(floor)
    np.maximum(bright, 0, out=bright)
    bright /= np.float32(knee)
    np.arcsinh(bright, out=bright)
    return bright


def _search(one: View, two: View) -> tuple[tuple[int, int], float]:
    """The whole-pixel shift (y, x) at which two images agree best, and the ratio of the peaks.

    The images may differ in shape. The correlation is cyclic: it is the same for shifts that differ
    by the length of an axis. Of such shifts, the one whose overlap adds most to it is taken.
    """
    from scipy import fft

    shape = [fft.next_fast_len(max(pair), True) for pair in zip(one.shape, two.shape, strict=True)]
    waves = fft.rfft2(one, shape)
    waves *= fft.rfft2(two, shape).conj()
    sums = fft.irfft2(waves, shape, overwrite_x=True)
    peak = np.unravel_index(int(sums.argmax()), sums.shape)
    ratio = _ratio(sums, peak)
    y, x = map(int, peak)
    same = [(dy, dx) for dy in (y, y - shape[0]) for dx in (x, x - shape[1])]
    shares = [_share(one, two, offset) for offset in same]
    return same[int(np.argmax(shares))], ratio


def _ratio(sums: NDArray[np.floating[Any]], peak: tuple[np.intp, ...]) -> float:
    """The highest peak divided by the highest value elsewhere; `sums` is overwritten."""
    top = float(sums[peak])
    reach = [min(PEAK_RADIUS, length // 8) for length in sums.shape]
    around = [
        np.arange(place - far, place + far + 1) % length
        for place, far, length in zip(peak, reach, sums.shape, strict=True)
    ]
    sums[np.ix_(*around)] = 0
    return top / max(float(sums.max()), np.finfo(float).tiny)


def _share(one: View, two: View, offset: tuple[int, int]) -> float:
    """What the overlap at one offset adds to the cyclic correlation."""
    here, there = _overlap(one.shape, two.shape, offset)
    return float(np.vdot(one[here], two[there]))


def _overlap(one: Sequence[int], two: Sequence[int], offset: tuple[int, int]) -> Parts:
    """The parts of two images, by their shapes, that overlap if the second is moved by `offset`."""
    axes = [
        (max(0, by), max(0, by, min(length, other + by)))
        for length, other, by in zip(one, two, offset, strict=True)
    ]
    here = tuple(slice(*ends) for ends in axes)
    there = tuple(
        slice(start - by, stop - by) for (start, stop), by in zip(axes, offset, strict=True)
    )
    return here, there  # type: ignore[return-value]


def _correlation(one: View, two: View) -> float:
    """The normalised correlation of two views; 1 where they are the same."""
    norm = float(np.vdot(one, one)) * float(np.vdot(two, two))
    return float(np.vdot(one, two)) / norm**0.5 if norm > 0 else 0.0


def _fade(shape: Sequence[int]) -> View:
    y, x = map(_tukey, shape)
    return np.outer(y, x).astype(np.float32)


def _tukey(length: int) -> NDArray[np.float64]:
    """A Tukey window: 1, falling to 0 as a cosine at both ends; shape (length,).

    The same as in `scipy.signal.windows`, whose import takes a second.
    """
    if length == 1:
        return np.ones(1)
    place = np.arange(length)
    ramp = 2 * np.minimum(place, place[::-1]) / (FADE * (length - 1))
    window: NDArray[np.float64] = 0.5 - 0.5 * np.cos(np.pi * np.minimum(ramp, 1))
    return window
