"""Warnings about clips that cannot reject a lone outlier, or anything, among so few frames."""

import math
from collections.abc import Iterator

from gpustack.backends.columns import MAD_TO_STD
from gpustack.clips import (
    WINSOR_CUTOFF,
    WINSOR_FACTOR,
    WINSOR_ROUNDS,
    AvgSigmaClip,
    Clip,
    ESDClip,
    LinearFitClip,
    MADClip,
    PercentileRankClip,
    SigmaClip,
    SigmaMedianClip,
    WinsorizedClip,
)
from gpustack.recipe import Recipe

#: Clips that reject nothing among fewer than three samples.
_NEED_THREE = ESDClip, LinearFitClip, AvgSigmaClip, SigmaMedianClip

#: Advice for two frames. Both samples lie equally far from their middle, so a lower threshold
#: rejects both or, with `keep`, either of them. A useful clip has a noise from elsewhere, and only
#: one side.
_ADVICE_FOR_TWO = (
    "noise:low=none with the rdnoise and gain of the camera, which rejects only samples too bright "
    'for that noise, or combine="min" (--combine min)'
)

#: Factor that allows for rounding, or for the scatter of the others, where an outlier lies exactly
#: on a threshold.
_ROUNDING = 1 + 1e-9


def useless_clip_warnings(recipe: Recipe, n: int, of: str = "") -> Iterator[str]:
    """Yield a warning for each clip that rejects nothing of `n` samples, or no lone outlier.

    `of` describes these samples in words, where they are not those of `n` frames.
    """
    of = of or f"{n} frames"
    for clip in recipe.clips:
        keep = getattr(clip, "keep", 0)
        if keep >= n:
            yield f"{clip}: rejects nothing of {of}, as keep={keep} keeps them all"
        elif isinstance(clip, _NEED_THREE) and n < 3:
            yield f"{clip}: rejects nothing of {of}, which are too few; use {_ADVICE_FOR_TWO}"
        elif isinstance(clip, ESDClip):
            if clip.outliers and clip.most(n) < 1:
                yield f"{clip}: rejects nothing of {of}; use a larger share of outliers"
        else:
            yield from _lone_outlier_warning(clip, n, of)


def _lone_outlier_warning(clip: Clip, n: int, of: str) -> Iterator[str]:
    farthest, unit, use = _farthest(clip, n)
    given = (getattr(clip, side, None) for side in ("low", "high"))
    threshold = min((value for value in given if value is not None), default=0.0)
    if threshold >= farthest:
        yield (
            f"{clip}: a lone outlier among {of}, far from all others, is only {farthest:.2g} "
            f"{unit} out and is not rejected; use {_ADVICE_FOR_TWO if n == 2 else use}"
        )


def _farthest(clip: Clip, n: int) -> tuple[float, str, str]:
    """Return the distance of an outlier far from `n` - 1 other samples, its unit, and advice.

    An outlier enlarges the spread as well, so its distance in units of the spread tends to a limit.
    In standard deviations (ddof 0) it is sqrt(n - 1) from the mean, and n / sqrt(n - 1) from the
    median, which with ddof 1 is sqrt(n). With deviations about the median it is sqrt(n - ddof).
    The limit from the median with deviations about the mean may be exceeded, by the scatter of the
    others; the other limits in standard deviations are never exceeded.
    """
    use = "a lower threshold or an extrema clip"
    if isinstance(clip, LinearFitClip):
        return _farthest_from_line(n), "mean distances from the line", use
    if isinstance(clip, SigmaMedianClip):
        return _ROUNDING * math.sqrt(n), "standard deviations", use
    if isinstance(clip, WinsorizedClip) and n > 2:
        return _farthest_winsorized(n), "winsorized standard deviations", use
    if not isinstance(clip, SigmaClip) or clip.spread != "std":
        return _farthest_of_two(clip) if n == 2 else (math.inf, "", "")
    is_mean = clip.center == "mean" or n == 2
    farthest = math.sqrt(n - 1) if is_mean else n / math.sqrt(n - 1)
    if clip.about == "center" and not is_mean:
        farthest = math.sqrt(n)
    farthest *= math.sqrt(max(n - clip.ddof, 0) / n)
    if clip.center == "median" and clip.about == "mean":
        farthest *= _ROUNDING
    return farthest, "standard deviations", f"spread=mad_std, {use}"


def _farthest_of_two(clip: Clip) -> tuple[float, str, str]:
    """As `_farthest`, for two samples: each is one MAD from their middle, however far apart.

    Winsorizing leaves both as they are: they lie 1 / sqrt(2) standard deviations (ddof 1) out.
    """
    if isinstance(clip, SigmaClip):
        return _ROUNDING / MAD_TO_STD, "robust standard deviations", ""
    if isinstance(clip, MADClip):
        return _ROUNDING, "MAD", ""
    if isinstance(clip, PercentileRankClip):
        return _ROUNDING, "distance of the sample of its rank", ""
    if isinstance(clip, WinsorizedClip):
        return _ROUNDING / math.sqrt(2) / WINSOR_FACTOR, "winsorized standard deviations", ""
    return math.inf, "", ""


def _farthest_winsorized(n: int) -> float:
    """The distance of an outlier far from n - 1 > 1 other samples, in winsorized deviations.

    The standard deviation of all samples is 1 / sqrt(n) of its distance. Each round multiplies that
    by the same factor: 0.98 for three samples, so that the last round still leaves a wide spread.
    An outlier that is less far out, where the scatter of the others ends the rounds, is further out
    in these units.
    """
    round_ = WINSOR_CUTOFF * WINSOR_FACTOR / math.sqrt(n)
    return _ROUNDING * math.sqrt(n) / round_**WINSOR_ROUNDS


def _farthest_from_line(n: int) -> float:
    """The distance of an outlier from the line fitted to the sorted samples, in mean distances.

    This is the limit for an outlier that is much further out than the others scatter. With a
    threshold of just this distance the scatter decides; with a higher one it is not rejected.
    """
    middle = (n - 1) / 2
    squares = n * (n * n - 1) / 12  # of all ranks about the middle one
    pulled = [1 / n + (rank - middle) * middle / squares for rank in range(n)]
    pulled[-1] -= 1
    return _ROUNDING * n * abs(pulled[-1]) / sum(map(abs, pulled))
