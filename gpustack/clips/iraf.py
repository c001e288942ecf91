"""Clips of IRAF and DRAGONS, by the noise of a CCD, a rank, given variances, or a whole row."""

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Self

from gpustack.checks import check, real, set_fields
from gpustack.clips.base import (
    SHARE_TOLERANCE,
    BaseClip,
    Center,
    tidy_distances,
    tidy_noise,
)
from gpustack.value_texts import shown_fields

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class NoiseClip(BaseClip):
    """Reject samples further from the centre than the noise of a CCD explains, and repeat.

    With c the centre, a frame has the level ``max(0, c / scale + zero)``, and the spread is
    ``|scale| * sqrt((rdnoise / gain)^2 + level / gain + (snoise * level)^2)``. With
    ``clip_on="raw"``, a scale of 1 and a zero of 0 stand here for those of the recipe; then, and
    without scale and zero, the spread is the same for all frames. The clip needs only the centre of
    the samples, so it works for few frames. With ``low=None`` it rejects only high samples, such
    as cosmic rays.

    Parameters
    ----------
    low, high : float or None
        Thresholds in units of the spread, >= 0; None rejects nothing on that side.
    rdnoise : float or "!KEYWORD"
        Read-out noise in electrons, >= 0; or the keyword that holds it in the headers of all
        frames, which must agree.
    gain : float or "!KEYWORD"
        Electrons per unit of the samples, > 0.
    snoise : float or "!KEYWORD"
        Sensitivity noise, a fraction of the value, >= 0: 0.01 is a flat field good to 1%.
    center : {"median", "mean", "trimmed_mean"}
        What distances are measured from. ``"trimmed_mean"`` is the mean without the lowest and
        the highest, in every pass with three samples or more; otherwise it is the mean.
    maxiters : int or None
        The most passes; None repeats until nothing more is rejected.
    keep : int
        At least this many samples survive; see `gpustack.clips`.

    Raises
    ------
    RecipeError
        Where a value is not one of those above; the message says which, and what was expected.

    Notes
    -----
    Samples have to be counts as the detector gave them, before scale and zero.

    References
    ----------
    IRAF imcombine ``reject=ccdclip``; ``crreject`` is ``low=None``.
    """

    low: float | None = 3.0
    high: float | None = 3.0
    rdnoise: float | str = 0.0
    gain: float | str = 1.0
    snoise: float | str = 0.0
    center: Center = "median"
    maxiters: int | None = None
    keep: int = 0
    name: ClassVar[str] = "noise"

    def __post_init__(self) -> None:
        tidy_distances(self)
        tidy_noise(self)


@dataclass(frozen=True, slots=True)
class PercentileRankClip(BaseClip):
    """Reject samples at least `low` or `high` times as far from the median as one of a given rank.

    The spread s is the distance from the median m to the sample that lies `rank` samples from it.
    A sample x survives when ``m - low * s < x < m + high * s``. One pass; samples **on** a bound
    are rejected, unlike with other clips. Where the spread is 0 nothing is rejected.

    Parameters
    ----------
    low, high : float or None
        Thresholds in units of the spread, >= 0; None rejects nothing on that side.
    rank : float
        How many samples from the median that one is; below the median if negative. A number
        between -1 and 1 is a share of half the frames. Decimals are cut off, but it is at least
        1 sample. With an even count, it is counted from the middle sample on that side. Where
        fewer samples are left on that side, it is the last of these.
    keep : int
        At least this many samples survive; see `gpustack.clips`.

    Raises
    ------
    RecipeError
        Where a value is not one of those above; the message says which, and what was expected.

    References
    ----------
    IRAF imcombine ``reject=pclip``, ``pclip``.
    """

    low: float | None = 3.0
    high: float | None = 3.0
    rank: float = -0.5
    keep: int = 0
    name: ClassVar[str] = "rank"
    maxiters: ClassVar[int] = 1

    def __post_init__(self) -> None:
        tidy_distances(self)
        value = real(self.rank)
        check(
            math.isfinite(value) and value != 0,
            f"PercentileRankClip rank: expected a finite number other than 0, got {self.rank!r}",
        )
        set_fields(self, rank=value)

    def steps(self, frames: int) -> int:
        """Return how many samples from the median the rank is; negative is below the median."""
        share = self.rank * (frames // 2) if abs(self.rank) < 1 else self.rank
        whole = int(abs(share) + SHARE_TOLERANCE)
        return int(math.copysign(max(1, min(whole, frames // 2)), self.rank))


@dataclass(frozen=True, slots=True)
class VarianceClip(BaseClip):
    """Reject samples further from the centre than their own uncertainty explains, and repeat.

    A sample x of variance v, which comes with its frame, survives when
    ``c - low * s <= x <= c + high * s``, with c the centre and ``s = sqrt(v) * |scale|``, or
    ``s = sqrt(v)`` with ``clip_on="raw"``. The clip works for few frames, and for frames of
    different noise. A sample whose variance is NaN, infinite or negative is not rejected.

    Parameters
    ----------
    low, high : float or None
        Thresholds in units of the spread, >= 0; None rejects nothing on that side.
    center : {"median", "mean", "trimmed_mean"}
        What distances are measured from, as in `SigmaClip`.
    maxiters : int or None
        The most passes; None repeats until nothing more is rejected.
    keep : int
        At least this many samples survive, the nearest in units of their spread; see
        `gpustack.clips`.

    Raises
    ------
    RecipeError
        Where a value is not one of those above; the message says which, and what was expected.

    References
    ----------
    DRAGONS ``NDStacker.varclip``.
    """

    low: float | None = 3.0
    high: float | None = 3.0
    center: Center = "median"
    maxiters: int | None = None
    keep: int = 0
    name: ClassVar[str] = "variance"

    def __post_init__(self) -> None:
        tidy_distances(self)


@dataclass(frozen=True, slots=True)
class AvgSigmaClip(BaseClip):
    """Reject samples further from the centre than the average noise of their row, and repeat.

    The noise of a sample grows as the root of its level: with c the centre of its column, it is
    ``s * u`` with ``u = sqrt(max(1, c))``, or where clips see scaled or shifted samples,
    ``u = sqrt(max(1, (c + zero * scale) * scale))``. Each row of the frames has one factor
    ``s = sqrt(sum ((x - c) / u)^2 / (N - 1))``, over the N samples of all columns of the row that
    have three or more. It is measured before the clip rejects anything, and stays the same. So
    columns with few samples are judged by those of the whole row.

    Parameters
    ----------
    low, high : float or None
        Thresholds in units of the noise, >= 0; None rejects nothing on that side.
    center : {"median", "mean", "trimmed_mean"}
        What distances are measured from, as in `SigmaClip`; s is about the centre of the first
        pass.
    maxiters : int or None
        The most passes; None repeats until nothing more is rejected.
    keep : int
        At least this many samples survive; see `gpustack.clips`.

    Raises
    ------
    RecipeError
        Where a value is not one of those above; the message says which, and what was expected.

    Notes
    -----
    With fewer than three samples none is rejected, nor where s is 0. Rows run along the last axis.
    For each clip of this kind frames are read twice, or three times where a sample is out before
    it, or may be by scale or zero with ``clip_on="raw"``; and once more to be combined.

    References
    ----------
    IRAF imcombine ``reject=avsigclip``; the unit with scale and zero is that of ``sigscale``.
    """

    low: float | None = 3.0
    high: float | None = 3.0
    center: Center = "median"
    maxiters: int | None = None
    keep: int = 0
    name: ClassVar[str] = "avgsigma"

    def __post_init__(self) -> None:
        tidy_distances(self)

    def measured(self, sigmas: "NDArray[np.float64]") -> "RowSigmaClip":
        """Return the same clip with the s of every row; see `RowSigmaClip`."""
        return RowSigmaClip(**shown_fields(self), sigmas=sigmas)


@dataclass(frozen=True, slots=True)
class RowSigmaClip(AvgSigmaClip):
    """An `AvgSigmaClip` whose s is known: the form that backends see.

    It prints like the clip that it was made from.

    Parameters
    ----------
    sigmas : ndarray of float64, shape (rows,)
        The s of each row of the samples that it is applied to; NaN rejects nothing.
    """

    sigmas: "NDArray[np.float64]" = field(kw_only=True, repr=False, compare=False)

    def plain(self) -> AvgSigmaClip:
        """Return the clip that it was made from."""
        return AvgSigmaClip(**shown_fields(self))

    def rows(self, start: int, stop: int) -> Self:
        """Return the clip for rows ``[start, stop)`` only."""
        return replace(self, sigmas=self.sigmas[start:stop])
