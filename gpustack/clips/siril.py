"""Clips that programs of amateur astronomers made popular: those of Siril and PixInsight."""

from dataclasses import dataclass
from typing import Any, ClassVar

from gpustack.checks import check, real, set_fields
from gpustack.clips.base import SHARE_TOLERANCE, BaseClip, tidy_distances, tidy_keep

#: How far from the median winsorizing leaves samples, in standard deviations.
WINSOR_CUTOFF = 1.5
#: The factor by which this makes the standard deviation of normal noise too small.
WINSOR_FACTOR = 1.134
#: The relative change below which the standard deviation has settled.
WINSOR_SETTLED = 0.0005
#: The most rounds of winsorizing.
WINSOR_ROUNDS = 50


@dataclass(frozen=True, slots=True)
class MADClip(BaseClip):
    """Reject samples further than `low` or `high` MADs from the median, and repeat.

    A sample x survives when ``m - low * MAD <= x <= m + high * MAD``, with m the median of the
    samples still in and ``MAD = median(|x - m|)``, not scaled to stand for a standard deviation:
    of normal noise it is 0.6745 of one, so 3 here is 2.02 in `SigmaClip` with
    ``spread="mad_std"``.

    Parameters
    ----------
    low, high : float or None
        Thresholds in units of the MAD, >= 0; None rejects nothing on that side.
    maxiters : int or None
        The most passes; None repeats until nothing more is rejected.
    keep : int
        At least this many samples survive; see `gpustack.clips`.

    Raises
    ------
    RecipeError
        Where a value is not one of those above; the message says which, and what was expected.

    References
    ----------
    Rousseeuw and Croux, J. Am. Stat. Assoc. 88, 1273 (1993); Siril, ``stack rej mad``.
    """

    low: float | None = 3.0
    high: float | None = 3.0
    maxiters: int | None = None
    keep: int = 0
    name: ClassVar[str] = "mad"

    def __post_init__(self) -> None:
        tidy_distances(self)


@dataclass(frozen=True, slots=True)
class PercentileClip(BaseClip):
    """Reject samples that differ from the median m by more than a share of it.

    A sample x survives when ``m - low * |m| <= x <= m + high * |m|``. One pass. For few frames.

    Parameters
    ----------
    low, high : float or None
        Shares of the median, >= 0: 0.2 is 20%. None rejects nothing on that side.
    keep : int
        At least this many samples survive; see `gpustack.clips`.

    Raises
    ------
    RecipeError
        Where a value is not one of those above; the message says which, and what was expected.

    References
    ----------
    Siril, ``stack rej percentile``, which expects a positive median.
    """

    low: float | None = 0.2
    high: float | None = 0.1
    keep: int = 0
    name: ClassVar[str] = "percentile"
    maxiters: ClassVar[int] = 1

    def __post_init__(self) -> None:
        tidy_distances(self)


@dataclass(frozen=True, slots=True)
class WinsorizedClip(BaseClip):
    """Reject samples by a standard deviation that outliers can hardly enlarge, and repeat.

    The spread of a pass starts as the standard deviation s (ddof 1) of the survivors, whose
    median is m. Samples are pulled in to ``[m - 1.5 s, m + 1.5 s]``, s becomes 1.134 times the
    standard deviation of the result, and the result is pulled in again, until s changes by no
    more than 0.05%, at most 50 times. A sample x survives when
    ``m - low * s <= x <= m + high * s``.

    Parameters
    ----------
    low, high : float or None
        Thresholds in units of the spread, >= 0; None rejects nothing on that side.
    maxiters : int or None
        The most passes; None repeats until nothing more is rejected.
    keep : int
        At least this many samples survive; see `gpustack.clips`.

    Raises
    ------
    RecipeError
        Where a value is not one of those above; the message says which, and what was expected.

    References
    ----------
    Huber and Ronchetti, Robust Statistics, 2009, 1.7; Siril, ``stack rej winsorized``.
    """

    low: float | None = 3.0
    high: float | None = 3.0
    maxiters: int | None = None
    keep: int = 0
    name: ClassVar[str] = "winsorized"

    def __post_init__(self) -> None:
        tidy_distances(self)


@dataclass(frozen=True, slots=True)
class SigmaMedianClip(BaseClip):
    """Replace samples too far from the median by the median, and repeat.

    In every pass m is the median and s the standard deviation (ddof 1) of all values in the
    column, including medians that earlier passes put there. A sample x stays when
    ``m - low * s <= x <= m + high * s``; any other is replaced by m. The middle sample of the
    column, or the two middle ones of an even count, always stay. When nothing is replaced any
    more, the result is the mean of all values in the column.

    A replaced sample counts as rejected: count and uncertainty are those of the samples that stay.

    Parameters
    ----------
    low, high : float or None
        Thresholds in units of the spread, >= 0; None replaces nothing on that side.
    maxiters : int or None
        The most passes; None repeats until nothing more is replaced.

    Raises
    ------
    RecipeError
        Where a value is not one of those above; the message says which, and what was expected.

    Notes
    -----
    This clip comes last, and needs a mean without weights; see `check_replacing`. Medians narrow
    the spread, so it goes on where a sigma clip would have ended: thresholds below 2.5 may leave
    only the middle samples.

    References
    ----------
    Siril, ``stack rej median``, which replaces the middle samples of an even count too.
    """

    low: float | None = 3.0
    high: float | None = 3.0
    maxiters: int | None = None
    name: ClassVar[str] = "sigmamedian"

    def __post_init__(self) -> None:
        tidy_distances(self)


def check_replacing(recipe: Any) -> None:
    """Check that a recipe with `SigmaMedianClip` has nothing that its medians rule out.

    Raises
    ------
    RecipeError
        Where the clip occurs twice or is not the last one, or the recipe combines by anything but
        the mean, or has weights, a scale or zero after the clips, or a propagated uncertainty.
    """
    if not any(isinstance(clip, SigmaMedianClip) for clip in recipe.clips):
        return
    *before, last = recipe.clips
    names = ", ".join(clip.name for clip in recipe.clips)
    check(
        isinstance(last, SigmaMedianClip)
        and not any(isinstance(clip, SigmaMedianClip) for clip in before),
        f"SigmaMedianClip: expected it once and last, as no clip can judge the medians that it "
        f"puts in the place of samples, got clips {names}",
    )
    given = {name: f"{name}={getattr(recipe, name)!r}" for name in ("weights", "uncertainty")}
    for held, expected, why, got in (
        (
            recipe.method == "mean",
            "combine='mean'",
            "a mean takes its medians for samples",
            f"combine={recipe.method!r}",
        ),
        (
            recipe.weights is None,
            "no weights",
            "a median in place of a sample is of no frame",
            given["weights"],
        ),
        (
            not recipe.normalizes_late,
            "clip_on='normalized'",
            "a median in place of a sample is of no frame, and has no scale",
            "clip_on='raw' with scale or zero",
        ),
        (
            recipe.uncertainty != "propagated",
            "another uncertainty",
            "a median in place of a sample has no variance",
            given["uncertainty"],
        ),
    ):
        check(held, f"SigmaMedianClip: expected {expected}, as {why}, got {got}")


@dataclass(frozen=True, slots=True)
class LinearFitClip(BaseClip):
    """Reject samples that lie off a straight line through the sorted samples, and repeat.

    The survivors, sorted, are fitted by least squares with ``a * rank + b``. The spread is the
    mean distance of a sample from the line at its rank; a sample further off than `low` or
    `high` spreads, below or above, is rejected. Where the level drifts from frame to frame, the
    sorted samples form a line, and none is an outlier from it.

    Parameters
    ----------
    low, high : float or None
        Thresholds in units of the spread, >= 0; None rejects nothing on that side.
    maxiters : int or None
        The most passes; None repeats until nothing more is rejected.
    keep : int
        At least this many samples survive, those nearest to the line; see `gpustack.clips`.

    Raises
    ------
    RecipeError
        Where a value is not one of those above; the message says which, and what was expected.

    Notes
    -----
    Equal samples rank by frame. With fewer than three samples none is rejected. An outlier pulls
    the line: with the default thresholds it takes 14 samples to reject a lone one.

    References
    ----------
    Siril, ``stack rej linear``; PixInsight, Linear Fit Clipping.
    """

    low: float | None = 5.0
    high: float | None = 5.0
    maxiters: int | None = None
    keep: int = 0
    name: ClassVar[str] = "linear"

    def __post_init__(self) -> None:
        tidy_distances(self)


@dataclass(frozen=True, slots=True)
class ESDClip(BaseClip):
    """Reject what the generalised extreme Studentised deviate test judges to be outliers.

    Of m samples, the one furthest from the mean is set aside, again and again,
    ``floor(outliers * m)`` times. Each time ``G = |x - mean| / s``, with the mean and the standard
    deviation s (ddof 1) of the samples not yet set aside. If G exceeds its critical value, that
    sample and all set aside before it are rejected. The critical value for n samples is
    ``(n - 1) t / sqrt(n (n - 2 + t^2))`` with t the quantile of Student's distribution of
    ``n - 2`` degrees of freedom at ``1 - significance / (2 n)``.

    Parameters
    ----------
    outliers : float
        The largest share of the samples that may be outliers, 0 to 1.
    significance : float
        The probability that samples without an outlier lose one, between 0 and 1.
    keep : int
        At least this many samples survive; negative: at most ``-keep`` are rejected. It limits
        how many samples are set aside, so it may keep all those that more steps would have shown
        to be outliers. At least two samples always stay. Of two equally distant samples, the
        higher is set aside first.

    Raises
    ------
    RecipeError
        Where a value is not one of those above; the message says which, and what was expected.

    References
    ----------
    Rosner, Technometrics 25, 165 (1983); Siril, ``stack rej generalized``.
    """

    outliers: float = 0.3
    significance: float = 0.05
    keep: int = 0
    name: ClassVar[str] = "esd"

    def __post_init__(self) -> None:
        tidy_keep(self)
        for name in ("outliers", "significance"):
            given = getattr(self, name)
            value = real(given)
            ends = name == "outliers"
            check(
                0 < value < 1 or (ends and 0 <= value <= 1),
                f"ESDClip {name}: expected a number between 0 and 1, got {given!r}",
            )
            set_fields(self, **{name: value})

    def most(self, count: Any) -> Any:
        """Return how many of `count` samples, a number or an array, are set aside at most."""
        import numpy as np

        return np.floor(self.outliers * count + SHARE_TOLERANCE).astype(np.intp)
