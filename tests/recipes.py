"""Recipes with every option, alone and combined, for stacks with a sky of 100 and noise of 8."""
# Thresholds such as 1.7 are not square roots of simple fractions: in columns with ties, samples
# can be exactly that many sigma from the centre, and rounding would decide.

from dataclasses import replace
from functools import cache

import numpy as np

from gpustack.clips import (
    AvgSigmaClip,
    ESDClip,
    ExtremaClip,
    Grow,
    LinearFitClip,
    MADClip,
    NoiseClip,
    PercentileClip,
    PercentileRankClip,
    RangeClip,
    SigmaClip,
    SigmaMedianClip,
    VarianceClip,
    WinsorizedClip,
)
from gpustack.combines import NoiseModel
from gpustack.recipe import Recipe


def scale(n):
    """One factor per frame, one of them negative."""
    return tuple(1 + 0.013 * i if i != 3 else -0.9 for i in range(n))


def level(n):
    """One factor per frame, all positive and very different."""
    return tuple(0.7 + (i + 1) ** 2 * 0.1931 % 1.1 for i in range(n))


def zero(n):
    """One offset per frame."""
    return tuple(0.3 * i - 1 for i in range(n))


def frame_weights(n):
    """One weight per frame, some of them zero."""
    return tuple(float((i + 2) % 4) for i in range(n))


def _sigma_table():
    pairs = [(c, s) for c in ("mean", "median") for s in ("std", "mad_std")]
    for center, spread in pairs:
        for maxiters in (1, 2, 5, None):
            clip = SigmaClip(1.7, 2.3, center, spread, maxiters)
            yield f"sigma-{center}-{spread}-{maxiters}", Recipe(clips=[clip])


CHAINS = {
    "range": [RangeClip(85, 112)],
    "range-low": [RangeClip(low=93.7)],
    "range-high": [RangeClip(high=101.3)],
    "range-twice": [RangeClip(85, None), RangeClip(80, 110)],
    "range-disjoint": [RangeClip(low=100), RangeClip(high=95)],
    "range-none": [RangeClip()],
    "range-one-value": [RangeClip(100, 100)],
    "extrema": [ExtremaClip(1, 1)],
    "extrema-low": [ExtremaClip(2, 0)],
    "extrema-high": [ExtremaClip(0, 3)],
    "extrema-twice": [ExtremaClip(1, 0), ExtremaClip(1, 1)],
    "extrema-zero": [ExtremaClip(0, 0)],
    "extrema-all": [ExtremaClip(1, 1, "all")],
    "extrema-all-low": [ExtremaClip(2, 1, "all")],
    "extrema-all-twice": [ExtremaClip(1, 1, "all"), ExtremaClip(1, 2, "all")],
    "sigma-ddof": [SigmaClip(1.2, 1.3, "mean", ddof=1)],
    "sigma-ddof-2": [SigmaClip(1.2, 1.3, "median", maxiters=2, ddof=2)],
    "sigma-low-only": [SigmaClip(1.7, None)],
    "sigma-high-only": [SigmaClip(None, 1.7, "mean", "mad_std")],
    "sigma-none": [SigmaClip(None, None)],
    "sigma-infinite": [SigmaClip(np.inf, np.inf)],
    "sigma-tight": [SigmaClip(0.61, 0.37, "mean")],
    "sigma-twice": [SigmaClip(1.9, 2.3, maxiters=1), SigmaClip(1.7, 1.3, "mean", "mad_std", 1)],
    "range-sigma": [RangeClip(70, 130), SigmaClip(1.9, 2.3)],
    "sigma-range": [SigmaClip(1.9, 2.3, "mean"), RangeClip(90, 110)],
    "sigma-extrema": [SigmaClip(1.9, 2.3), ExtremaClip(1, 0)],
    "extrema-sigma": [ExtremaClip(0, 1), SigmaClip(1.9, 1.3, "median", "mad_std")],
    "sigma-extrema-all": [SigmaClip(1.9, 1.3, maxiters=1), ExtremaClip(1, 1, "all")],
    "extrema-all-sigma": [ExtremaClip(1, 1, "all"), SigmaClip(1.9, 1.3, "mean")],
    "extrema-range-sigma": [ExtremaClip(1, 0), RangeClip(75, 120), SigmaClip(1.9, 1.7, "mean")],
}
CHAINS |= {
    "sigma-trimmed": [SigmaClip(1.37, 1.73, "trimmed_mean")],
    "sigma-trimmed-once": [SigmaClip(1.37, 1.73, "trimmed_mean", maxiters=1)],
    "sigma-about-center": [SigmaClip(1.37, 1.73, ddof=1, about="center")],
    "sigma-iraf": [SigmaClip(1.37, 1.73, "trimmed_mean", ddof=1, about="center", keep=2)],
    "sigma-keep": [SigmaClip(0.61, 0.37, keep=3)],
    "sigma-keep-mad": [SigmaClip(0.67, 0.43, spread="mad_std", keep=4)],
    "sigma-keep-many": [SigmaClip(0.61, 0.37, keep=1000)],
    "sigma-lose-two": [SigmaClip(0.61, 0.37, keep=-2)],
    "mad": [MADClip(2.03, 3.37)],
    "mad-once-high": [MADClip(None, 2.03, maxiters=1)],
    "mad-keep": [MADClip(0.37, 0.43, keep=2)],
    "noise": [NoiseClip(1.37, 1.73, rdnoise=5.3, gain=2.1, snoise=0.013)],
    "noise-high-trimmed": [NoiseClip(None, 0.73, rdnoise=3.3, center="trimmed_mean")],
    "noise-keep": [NoiseClip(0.37, 0.43, gain=1.3, keep=2, maxiters=2)],
    "percentile": [PercentileClip(0.0613, 0.0871)],
    "percentile-keep": [PercentileClip(0.0113, 0.0071, keep=2)],
    "percentile-high": [PercentileClip(None, 0.0513)],
    "rank": [PercentileRankClip(1.37, 1.73)],
    "rank-above": [PercentileRankClip(1.37, 1.73, rank=2)],
    "rank-keep": [PercentileRankClip(0.37, 0.43, rank=0.7, keep=3)],
    "winsorized": [WinsorizedClip(1.37, 2.03)],
    "winsorized-once": [WinsorizedClip(1.37, None, maxiters=1)],
    "winsorized-keep": [WinsorizedClip(0.37, 0.43, keep=2)],
    "esd": [ESDClip()],
    "esd-half": [ESDClip(0.5, 0.37)],
    "esd-keep": [ESDClip(0.9, 0.83, keep=4)],
    "esd-lose-one": [ESDClip(0.9, 0.83, keep=-1)],
    "extrema-share": [RangeClip(93, 110), ExtremaClip(1, 2, "share")],
    "noise-winsorized": [NoiseClip(2.3, 1.9, rdnoise=7.1), WinsorizedClip(1.73, 1.37)],
    "mad-esd-extrema": [MADClip(3.13, 2.71), ESDClip(0.3, 0.37), ExtremaClip(1, 0)],
    "replacing": [SigmaMedianClip(1.7, 2.3)],
    "replacing-wide": [SigmaMedianClip(2.53, 2.77)],
    "replacing-twice": [SigmaMedianClip(1.37, 1.73, maxiters=2)],
    "replacing-low": [SigmaMedianClip(1.13, None)],
    "replacing-high": [SigmaMedianClip(None, 1.13)],
    "replacing-tight": [SigmaMedianClip(0.61, 0.37)],
    "replacing-nothing": [SigmaMedianClip(None, None)],
    "range-replacing": [RangeClip(80, 120), SigmaMedianClip(1.37, 1.73)],
    "extrema-replacing": [ExtremaClip(1, 1, "all"), SigmaMedianClip(1.23, 1.17)],
    "esd-replacing": [ESDClip(0.5, 0.37), SigmaMedianClip(1.63, 2.03)],
    "linear-replacing": [LinearFitClip(2.03, 2.37), SigmaMedianClip(1.37, 1.73)],
    "linear": [LinearFitClip(2.03, 2.37)],
    "linear-once": [LinearFitClip(1.37, 1.13, maxiters=1)],
    "linear-low-keep": [LinearFitClip(1.03, None, keep=4)],
    "linear-lose-two": [LinearFitClip(1.07, 1.17, keep=-2)],
    "sigma-poisson": [SigmaClip(1.37, 1.73, poisson=True, ddof=1)],
    "sigma-poisson-mean": [SigmaClip(1.37, None, "mean", poisson=True)],
    "variance": [VarianceClip(1.37, 1.73)],
    "variance-mean-once": [VarianceClip(1.37, None, "mean", maxiters=1)],
    "variance-keep": [VarianceClip(0.37, 0.43, "trimmed_mean", keep=3), ExtremaClip(1, 0)],
    "linear-sigma-extrema": [LinearFitClip(2.03, 2.37), SigmaClip(1.9, 2.3), ExtremaClip(1, 0)],
    "sigma-linear-all": [
        SigmaClip(1.9, 2.3),
        LinearFitClip(1.73, 1.57),
        ExtremaClip(1, 1, "all"),
        LinearFitClip(1.73, 1.57),
    ],
    "esd-rank-sigma": [ESDClip(0.3, 0.37), PercentileRankClip(1.73, 2.03), SigmaClip(1.7, 1.9)],
}
SIGMA = [SigmaClip(1.9, 2.3)]
MODEL = NoiseModel(rdnoise=5.3, gain=2.1, snoise=0.013)
#: Outputs without an uncertainty: then sums of float32 samples need no sorting.
ALONE = ("count", "low", "high", "rejected")


def _unsorted_table():
    for combine in ("mean", "sum", "min", "max", "lower_median", "lmedian", "quadrature"):
        yield combine, Recipe(combine=combine)
    for ddof in (0, 1):
        yield f"sigma-ddof-{ddof}", Recipe(clips=[SigmaClip(1.7, 2.3, "mean", ddof=ddof)])
    yield "sigma-low", Recipe(clips=[SigmaClip(0.61, None, "mean", maxiters=1)])
    yield "sigma-infinite", Recipe(clips=[SigmaClip(np.inf, 1.7, "mean")])
    chain = [RangeClip(80, 120), SigmaClip(1.7, 1.7, "mean"), RangeClip(85, 115)]
    yield "range-sigma-range", Recipe(clips=chain, combine="sum")


EVERYTHING = [RangeClip(70, 140), SigmaClip(2.3, 2.3, maxiters=2), ExtremaClip(1, 1)]

#: Name -> Recipe, or function of the number of frames that returns one.
RECIPES = {
    "mean": Recipe(),
    "median": Recipe(combine="median"),
    "sum": Recipe(combine="sum"),
    "min": Recipe(combine="min"),
    "max": Recipe(combine="max"),
    "lower-median": Recipe(combine="lower_median"),
    "lmedian": Recipe(combine="lmedian"),
    "quadrature": Recipe(combine="quadrature"),
    **{name: Recipe(clips=clips) for name, clips in CHAINS.items()},
    **dict(_sigma_table()),
    "sigma-median": Recipe(clips=SIGMA, combine="median"),
    "sigma-sum": Recipe(clips=SIGMA, combine="sum"),
    "extrema-median": Recipe(clips=[ExtremaClip(1, 1)], combine="median"),
    "extrema-all-median": Recipe(clips=[ExtremaClip(1, 1, "all")], combine="median"),
    "range-min": Recipe(clips=[RangeClip(90, 110)], combine="min"),
    "range-sum": Recipe(clips=[RangeClip(99, 101)], combine="sum"),
    "sigma-max": Recipe(clips=SIGMA, combine="max"),
    "sigma-lower-median": Recipe(clips=SIGMA, combine="lower_median"),
    "lower-median-std": Recipe(combine="lower_median", uncertainty="std"),
    "range-lmedian": Recipe(clips=[RangeClip(97, 103)], combine="lmedian"),
    "tight-lmedian": Recipe(clips=[SigmaClip(0.61, 0.37, keep=2)], combine="lmedian"),
    "sigma-quadrature": Recipe(clips=SIGMA, combine="quadrature"),
    "everything": Recipe(clips=EVERYTHING, combine="median"),
    "median-std": Recipe(combine="median", uncertainty="std"),
    "mean-mad": Recipe(combine="mean", uncertainty="mad_std", clips=SIGMA),
    "sum-mad": Recipe(combine="sum", uncertainty="mad_std"),
    **{f"{name}-alone": replace(entry, outputs=ALONE) for name, entry in _unsorted_table()},
    "float32": Recipe(dtype="float32", clips=SIGMA),
    "float64": Recipe(dtype="float64", clips=SIGMA),
    "float64-median": Recipe(dtype="float64", combine="median"),
    "weighted": lambda n: Recipe(weights=frame_weights(n)),
    "weighted-alone": lambda n: Recipe(
        weights=frame_weights(n), clips=[SigmaClip(1.7, 2.3, "mean")], outputs=ALONE
    ),
    "scale-alone": lambda n: Recipe(
        scale=scale(n), clips=[SigmaClip(1.7, 2.3, "mean")], outputs=ALONE
    ),
    "raw-scale-alone": lambda n: Recipe(
        scale=scale(n), clips=[SigmaClip(1.7, 2.3, "mean")], clip_on="raw", outputs=ALONE
    ),
    "weighted-sum": lambda n: Recipe(weights=frame_weights(n), combine="sum"),
    "weighted-quadrature": lambda n: Recipe(weights=frame_weights(n), combine="quadrature"),
    "weighted-quadrature-clip": lambda n: Recipe(
        weights=frame_weights(n), clips=[SigmaClip(1.7, 2.3, "mean")], combine="quadrature"
    ),
    "nmodel": Recipe(combine=MODEL),
    "nmodel-default": Recipe(combine="nmodel"),
    "sigma-nmodel": Recipe(clips=SIGMA, combine=MODEL),
    "range-nmodel": Recipe(clips=[RangeClip(97, 103)], combine=MODEL),
    "weighted-nmodel": lambda n: Recipe(weights=frame_weights(n), clips=SIGMA, combine=MODEL),
    "sample-nmodel": Recipe(weights="sample", combine=MODEL),
    "scale-nmodel": lambda n: Recipe(scale=scale(n), zero=zero(n), combine=MODEL),
    "scale-nmodel-clip": lambda n: Recipe(
        scale=scale(n), zero=zero(n), clips=[RangeClip(70, 140), *SIGMA], combine=MODEL
    ),
    "raw-nmodel": lambda n: Recipe(scale=scale(n), clips=SIGMA, clip_on="raw", combine=MODEL),
    "weighted-sigma": lambda n: Recipe(weights=frame_weights(n), clips=SIGMA),
    "weighted-extrema": lambda n: Recipe(weights=frame_weights(n), clips=[ExtremaClip(1, 1)]),
    "weighted-scaled": lambda n: Recipe(weights=frame_weights(n), scale=scale(n), clips=SIGMA),
    "sample": Recipe(weights="sample"),
    "sample-sum": Recipe(weights="sample", combine="sum"),
    "sample-quadrature": Recipe(weights="sample", clips=SIGMA, combine="quadrature"),
    "sample-everything": Recipe(weights="sample", clips=EVERYTHING),
    "scale": lambda n: Recipe(scale=scale(n)),
    "zero": lambda n: Recipe(zero=zero(n), combine="median"),
    "scale-zero": lambda n: Recipe(scale=scale(n), zero=zero(n), combine="sum"),
    "scale-ranges": lambda n: Recipe(
        scale=scale(n), clips=[RangeClip(low=100), RangeClip(high=95), *SIGMA]
    ),
    "scale-everything": lambda n: Recipe(scale=scale(n), clips=EVERYTHING, combine="median"),
    "zero-extrema-all": lambda n: Recipe(zero=zero(n), clips=[ExtremaClip(1, 1, "all")]),
    "scale-zero-sigma": lambda n: Recipe(
        scale=scale(n), zero=zero(n), clips=[SigmaClip(1.2, 1.3, "mean")], combine="max"
    ),
    "raw-scale-sigma": lambda n: Recipe(scale=scale(n), clips=SIGMA, clip_on="raw"),
    "raw-zero-median": lambda n: Recipe(zero=zero(n), clips=SIGMA, clip_on="raw", combine="median"),
    "raw-scale-zero-extrema": lambda n: Recipe(
        scale=scale(n), zero=zero(n), clips=[ExtremaClip(1, 1)], clip_on="raw", combine="min"
    ),
    "raw-sigma-range": lambda n: Recipe(
        zero=zero(n), clips=[*SIGMA, RangeClip(90, 110)], clip_on="raw", combine="sum"
    ),
    "scale-quadrature": lambda n: Recipe(scale=scale(n), combine="quadrature"),
    "raw-lmedian": lambda n: Recipe(
        scale=scale(n), clips=[SigmaClip(0.61, 0.37, keep=2)], clip_on="raw", combine="lmedian"
    ),
    "raw-quadrature": lambda n: Recipe(
        scale=scale(n), zero=zero(n), clips=SIGMA, clip_on="raw", combine="quadrature"
    ),
    "raw-weighted": lambda n: Recipe(
        scale=scale(n), weights=frame_weights(n), clips=SIGMA, clip_on="raw"
    ),
    "weighted-esd": lambda n: Recipe(weights=frame_weights(n), clips=[ESDClip(0.5, 0.37)]),
    "scale-winsorized": lambda n: Recipe(
        scale=scale(n), clips=[WinsorizedClip(1.37, 2.03)], combine="median"
    ),
    "scale-noise": lambda n: Recipe(
        scale=scale(n), clips=[NoiseClip(1.37, 1.73, rdnoise=5.3, gain=1.7, snoise=0.021)]
    ),
    "zero-noise-keep": lambda n: Recipe(
        zero=zero(n), clips=[NoiseClip(0.37, 0.43, rdnoise=5.3, keep=-1)], combine="median"
    ),
    "scale-replacing": lambda n: Recipe(
        scale=scale(n), zero=zero(n), clips=[RangeClip(60), SigmaMedianClip(1.37, 1.73)]
    ),
    "replacing-mad": Recipe(clips=[SigmaMedianClip(1.37, 1.73)], uncertainty="mad_std"),
    "replacing-alone": Recipe(clips=[SigmaMedianClip(1.37, 1.73)], outputs=ALONE),
    "replacing-float64": Recipe(clips=[SigmaMedianClip(1.37, 1.73)], dtype="float64"),
    "scale-zero-poisson": lambda n: Recipe(
        scale=level(n),
        zero=zero(n),
        clips=[SigmaClip(1.37, 1.73, "trimmed_mean", ddof=1, about="center", poisson=True)],
    ),
    "scale-poisson-keep": lambda n: Recipe(
        scale=level(n), clips=[SigmaClip(0.61, 0.73, poisson=True, keep=3), *SIGMA]
    ),
    "scale-variance": lambda n: Recipe(
        scale=scale(n), clips=[VarianceClip(1.37, 1.73)], combine="median"
    ),
    "raw-variance": lambda n: Recipe(
        scale=level(n), zero=zero(n), clips=[VarianceClip(1.37, 1.73)], clip_on="raw"
    ),
    "weighted-linear": lambda n: Recipe(
        weights=frame_weights(n), scale=level(n), clips=[LinearFitClip(1.73, 1.57)]
    ),
    "raw-linear": lambda n: Recipe(
        scale=scale(n), clips=[LinearFitClip(1.73, 1.57)], clip_on="raw", combine="median"
    ),
    "raw-noise": lambda n: Recipe(
        zero=zero(n), clips=[NoiseClip(1.37, 1.73, rdnoise=5.3)], clip_on="raw"
    ),
    "raw-unused": Recipe(clips=SIGMA, clip_on="raw"),
}

#: Recipes with `Grow`, which need `gpustack.maps`: a backend alone cannot run them.
GROWN = {
    "sigma": Recipe(clips=[*SIGMA, Grow()]),
    "everything": Recipe(clips=[*EVERYTHING, Grow(1.5)], combine="median"),
    "extrema-sum": Recipe(clips=[ExtremaClip(0, 1), Grow(2)], combine="sum", dtype="float64"),
    "late-range": Recipe(clips=[*SIGMA, RangeClip(90, 110), Grow(1.5)], combine="min"),
    "esd-max": Recipe(clips=[ESDClip(), Grow(5**0.5)], combine="max"),
    "all": Recipe(clips=[ExtremaClip(1, 1, "all"), Grow(3)]),
    "median-std": Recipe(
        clips=[MADClip(4.13, 6.31), Grow(1.2)], combine="median", uncertainty="std"
    ),
    "weighted": lambda n: Recipe(weights=frame_weights(n), clips=[MADClip(5.03, 5.17), Grow()]),
    "sample": Recipe(weights="sample", clips=[MADClip(5.03, 7.13), Grow(1.5)], combine="sum"),
    "scale": lambda n: Recipe(scale=scale(n), clips=[RangeClip(60), *SIGMA, Grow(1.5)]),
    "raw": lambda n: Recipe(
        scale=scale(n), zero=zero(n), clips=[*SIGMA, Grow(1.5)], clip_on="raw", combine="median"
    ),
    "raw-weighted": lambda n: Recipe(
        scale=scale(n), weights=frame_weights(n), clips=[*SIGMA, Grow()], clip_on="raw"
    ),
    "huge": Recipe(clips=[ExtremaClip(0, 1), Grow(1e300)]),
    "nothing-to-grow": Recipe(clips=[SigmaClip(None, None), Grow(2)]),
    "alone": Recipe(clips=[SigmaClip(1.7, 2.3, "mean"), Grow()], outputs=ALONE),
}
#: Recipes that need the noise of whole rows, which `gpustack.maps` computes for backends.
AVERAGED = {
    "median": Recipe(clips=[AvgSigmaClip(1.37, 1.73)]),
    "mean-once": Recipe(clips=[AvgSigmaClip(1.37, None, "mean", maxiters=1)]),
    "trimmed": Recipe(clips=[AvgSigmaClip(None, 1.73, "trimmed_mean")], combine="median"),
    "keep": Recipe(clips=[AvgSigmaClip(0.37, 0.43, keep=4)]),
    "lose-one": Recipe(clips=[AvgSigmaClip(0.37, 0.43, "trimmed_mean", keep=-1)], combine="sum"),
    "nothing": Recipe(clips=[AvgSigmaClip(None, None)]),
    "tight": Recipe(clips=[AvgSigmaClip(0.61, 0.37)], combine="max"),
    "after-others": Recipe(
        clips=[RangeClip(60, 170), ExtremaClip(1, 0), *SIGMA, AvgSigmaClip(1.37, 1.13)]
    ),
    "before-others": Recipe(
        clips=[AvgSigmaClip(1.9, 2.3), LinearFitClip(1.73, 1.57), ExtremaClip(1, 1, "all")]
    ),
    "twice": Recipe(
        clips=[AvgSigmaClip(2.03, 2.37, maxiters=1), ESDClip(), AvgSigmaClip(1.37, 1.73, "mean")]
    ),
    "grow": Recipe(clips=[AvgSigmaClip(2.3, 1.9), Grow(1.5)], combine="median"),
    "float64": Recipe(clips=[AvgSigmaClip(1.37, 1.73)], dtype="float64", combine="lmedian"),
    "scale": lambda n: Recipe(scale=scale(n), clips=[AvgSigmaClip(1.37, 1.73)]),
    "scale-zero": lambda n: Recipe(
        scale=level(n), zero=zero(n), clips=[AvgSigmaClip(1.37, 1.73, "trimmed_mean", keep=2)]
    ),
    "zero": lambda n: Recipe(zero=zero(n), clips=[RangeClip(60), AvgSigmaClip(1.37, 1.73)]),
    "raw": lambda n: Recipe(
        scale=scale(n), zero=zero(n), clips=[AvgSigmaClip(1.37, 1.73, "mean")], clip_on="raw"
    ),
    "raw-grow": lambda n: Recipe(
        scale=level(n), clips=[AvgSigmaClip(1.37, 1.73), Grow()], clip_on="raw", combine="median"
    ),
    "weighted": lambda n: Recipe(weights=frame_weights(n), clips=[AvgSigmaClip(1.37, 1.73)]),
    "sample": Recipe(weights="sample", clips=[AvgSigmaClip(1.37, 1.73)], combine="sum"),
    "variance": Recipe(clips=[VarianceClip(2.3, 2.3), AvgSigmaClip(1.37, 1.73)]),
    "nmodel": Recipe(clips=[AvgSigmaClip(1.37, 1.73)], combine=MODEL),
    "alone": Recipe(clips=[AvgSigmaClip(1.7, 2.3, "mean")], outputs=ALONE),
}
#: One recipe for each route through a backend.
ROUTES = (
    *("median", "range-sigma-range-alone", "range-sum", "range-replacing", "extrema-all-sigma"),
    *("everything", "weighted-extrema", "sample-everything", "scale-everything"),
    *("raw-sigma-range", "scale-nmodel-clip"),
)
#: The same and recipes with clips whose bounds differ from sample to sample.
ON_DEVICES = (*ROUTES, "linear", "sigma-poisson", "variance-keep")


@cache
def recipe(name, n):
    """The recipe of that name in `RECIPES` for `n` frames."""
    return _for(RECIPES[name], n)


@cache
def grown(name, n):
    """The recipe of that name in `GROWN` for `n` frames."""
    return _for(GROWN[name], n)


@cache
def averaged(name, n):
    """The recipe of that name in `AVERAGED` for `n` frames."""
    return _for(AVERAGED[name], n)


def _for(entry, n):
    return entry(n) if callable(entry) else entry
