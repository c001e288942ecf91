"""The common clips: by value, by rank, by distance in standard deviations."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from gpustack.checks import FLOAT_MIN, boolean, bound, check, set_fields, whole_number, word
from gpustack.clips.base import (
    BaseClip,
    Center,
    Spread,
    count,
    tidy_distances,
)

Among = Literal["valid", "all", "share"]
About = Literal["mean", "center"]


@dataclass(frozen=True, slots=True)
class RangeClip(BaseClip):
    """Reject samples outside ``[low, high]``, by their values in the frames.

    Parameters
    ----------
    low, high : float or None
        Samples ``< low`` or ``> high`` are rejected; None is no bound. Bounds are in the unit
        of the frames, before any scale or zero. For resampled frames, they apply after
        resampling, to values as `Reproject.flux` makes them.

    Raises
    ------
    RecipeError
        Where a bound is not a finite number, or `low` is above `high`.

    References
    ----------
    IRAF imcombine ``lthreshold``, ``hthreshold``; ccdproc `Combiner.minmax_clipping`.
    """

    low: float | None = None
    high: float | None = None
    name: ClassVar[str] = "range"

    def __post_init__(self) -> None:
        expected = "a finite number"
        set_fields(
            self,
            low=bound("RangeClip low", self.low, expected, -math.inf, FLOAT_MIN),
            high=bound("RangeClip high", self.high, expected, math.inf, FLOAT_MIN),
        )
        if self.low is not None and self.high is not None:
            check(
                self.low <= self.high,
                f"RangeClip: expected low <= high, got low={self.low} and high={self.high}",
            )


@dataclass(frozen=True, slots=True)
class ExtremaClip(BaseClip):
    """Reject the `nlow` lowest and the `nhigh` highest samples of every column.

    Equal samples rank by frame: the sample of the earlier frame counts as lower.

    Parameters
    ----------
    nlow, nhigh : int
        How many to reject on each side.
    among : {"valid", "all", "share"}
        ``"valid"``: the lowest and highest of the samples that are still in.
        ``"all"``: the lowest and highest of all frames, masked samples too, with NaN ranked
        highest, as ccdproc does; a masked sample then uses up one of the `nlow` or `nhigh`.
        ``"share"``: where m samples of n frames are still in, the
        ``floor(m * nlow / n + 0.001)`` lowest and likewise the highest, as IRAF does: fewer
        are rejected where samples are already out.

    Raises
    ------
    RecipeError
        Where `nlow` or `nhigh` is not a whole number >= 0, or `among` is another word.

    References
    ----------
    IRAF imcombine ``reject=minmax``; ccdproc `Combiner.clip_extrema`.
    """

    nlow: int = 1
    nhigh: int = 1
    among: Among = "valid"
    name: ClassVar[str] = "extrema"

    def __post_init__(self) -> None:
        set_fields(
            self,
            nlow=whole_number("ExtremaClip nlow", self.nlow, 0),
            nhigh=whole_number("ExtremaClip nhigh", self.nhigh, 0),
            among=word("ExtremaClip among", self.among, get_args(Among)),
        )


@dataclass(frozen=True, slots=True)
class SigmaClip(BaseClip):
    """Reject samples further than `low` or `high` spreads from the centre, and repeat.

    A sample x survives when ``center - low * spread <= x <= center + high * spread``. The
    standard deviation is ``sqrt(sum (x - a)^2 / (n - ddof))``, with a the mean or the centre.
    Statistics are computed from the samples still in. Where the spread is undefined (no more than
    `ddof` samples), nothing is rejected.

    Parameters
    ----------
    low, high : float or None
        Thresholds in units of the spread, >= 0; None rejects nothing on that side.
    center : {"median", "mean", "trimmed_mean"}
        What distances are measured from. ``"trimmed_mean"`` is the mean without the lowest and
        the highest, in the first pass and with three samples or more; otherwise it is the mean.
    spread : {"std", "mad_std"}
        ``"std"``: standard deviation about the mean or the centre, see `about`.
        ``"mad_std"``: 1.4826 times the median absolute deviation about the median.
    maxiters : int or None
        The most passes; None repeats until nothing more is rejected.
    ddof : int
        The standard deviation divides by ``n - ddof``. 0 is astropy's and ccdproc's,
        1 is IRAF's and Siril's.
    about : {"mean", "center"}
        What squared deviations are summed about: the mean, as in astropy, ccdproc and Siril,
        or the centre, as in IRAF.
    poisson : bool
        Whether the noise of a frame grows as the root of its level before scale and zero.
        Deviations are then summed, and thresholds applied, in units of
        ``sqrt(max(1, (c + zero * scale) * scale))``, with c the centre. This is IRAF's correction,
        which frames of different scales need where ``clip_on="normalized"``. It makes no
        difference for frames without scale and zero, nor with ``clip_on="raw"``.
    keep : int
        At least this many samples survive; see `gpustack.clips`.

    Raises
    ------
    RecipeError
        Where a value is not one of those above; the message says which, and what was expected.

    References
    ----------
    `astropy.stats.sigma_clip`; IRAF imcombine ``reject=sigclip``, ``sigscale``;
    ccdproc `Combiner.sigma_clipping`.
    """

    low: float | None = 3.0
    high: float | None = 3.0
    center: Center = "median"
    spread: Spread = "std"
    maxiters: int | None = None
    ddof: int = 0
    about: About = "mean"
    poisson: bool = False
    keep: int = 0
    name: ClassVar[str] = "sigma"

    def __post_init__(self) -> None:
        tidy_distances(self)
        set_fields(
            self,
            spread=word("SigmaClip spread", self.spread, get_args(Spread)),
            ddof=count("SigmaClip ddof", self.ddof, 0),
            about=word("SigmaClip about", self.about, get_args(About)),
        )
        set_fields(self, poisson=boolean("SigmaClip poisson", self.poisson))
        for field, default in (("ddof", 0), ("about", "mean"), ("poisson", False)):
            value = getattr(self, field)
            check(
                value == default or self.spread == "std",
                f"SigmaClip {field}: expected spread='std', which alone uses it, got "
                f"{field}={value!r} with spread={self.spread!r}",
            )
