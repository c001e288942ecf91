"""Chains of clips in which an earlier clip rejects some of several equal samples."""

from gpustack.clips import (
    ESDClip,
    ExtremaClip,
    MADClip,
    NoiseClip,
    PercentileClip,
    PercentileRankClip,
    SigmaClip,
    WinsorizedClip,
)

#: Where several samples equal the lowest or the highest, it rejects one of them, by frame.
CUT = ExtremaClip(1, 1)

CHAINS = {
    "trimmed": [CUT, SigmaClip(1.2, 1.3, "trimmed_mean", about="center", ddof=1)],
    "trimmed-noise": [CUT, NoiseClip(1.1, 1.3, 4, 2, 0.01, "trimmed_mean")],
    "rank": [CUT, PercentileRankClip(1.3, 0.7, 1.4)],
    "winsorized": [CUT, WinsorizedClip(1.2, 1.3), CUT],
    "esd": [CUT, ESDClip(0.6, 0.9), CUT],
    "esd-keep": [CUT, ESDClip(1, 0.99, keep=2)],
    "esd-few": [ESDClip(1, 0.99, keep=-1), ESDClip(1, 0.99, keep=-1)],
    "share": [CUT, ExtremaClip(2, 1, "share"), MADClip(1.9, 1.3)],
    "share-all": [ExtremaClip(2, 1, "share"), ExtremaClip(1, 1, "all")],
    "keep": [CUT, SigmaClip(0.13, 0.17, "mean", keep=3)],
    "keep-none-inside": [CUT, SigmaClip(0.001, 0.001, "mean", keep=2), CUT],
    "keep-one-side": [CUT, PercentileClip(None, 0.001, keep=-2)],
    "keep-all": [CUT, MADClip(0.3, 0.3, keep=1000)],
    "keep-rank": [CUT, PercentileRankClip(0.2, 0.1, -0.9, keep=4)],
    "keep-winsorized": [CUT, WinsorizedClip(0.2, 0.1, keep=-1), ESDClip(0.5, 0.9)],
}
