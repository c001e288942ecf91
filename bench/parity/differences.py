"""The cases in which gpustack differs from a program, in how many pixels at most, and why.

The reasons were found by experiment. `tests/peculiar.py` models the programs by what these reasons
say, and `tests/test_peculiar.py` finds such a model equal to the program in every pixel.
"""

from typing import NamedTuple


class Difference(NamedTuple):
    """The most pixels of a case that differ, and the reason."""

    pixels: int
    why: str


WALK = (
    "`nkeep`: IRAF goes outwards from what is left by residuals that are each in units of the pass "
    "in which the sample was rejected, so it may bring back one that an earlier pass rejected. We "
    "bring back the nearest of those that the last pass rejected."
)
EQUAL = (
    "`nkeep`: IRAF takes residuals within 0.001 spreads as equal, and brings back all of them. We "
    "do so for those that are exactly equally far."
)
ENDS = (
    "IRAF looks from the ends of the sorted samples inwards, and no further than to the first that "
    "is within its bounds. One behind it, of a frame of less noise, may be out of its own: we "
    "reject it."
)
SUM = (
    "With `mclip=no` IRAF subtracts what it rejects from a sum in float32. Where one sample is "
    "left of several large ones, it is off by 2e-6; the counts are equal."
)
GROWN = (
    "With `mclip=yes` IRAF sorts a column once, and puts the last sample in the place of each that "
    "has grown out; `combine=median` then takes the middle of what is no longer sorted. The "
    "counts are equal, and with `mclip=no` so are the medians."
)
STOP = (
    "Siril tests a sample only while more than 4 are left, but counts what all passes have "
    "rejected against what this pass began with, so later passes stop too early; and the "
    "highest samples are tested last. We keep 4, the nearest ones."
)
WINSOR = f"{STOP} Of 16-bit frames, it rounds the samples that it pulls in."
MAD = (
    "Siril takes the MAD about the median of the pass before. Of floats it interpolates it in a "
    "histogram of N - 1 bins; of 16-bit frames it rounds that median. Ours is the MAD. And as "
    "for `sigma`, it stops too early."
)
MIDDLE = (
    "Siril replaces the middle samples of an even count too, and what it has put in the place of "
    "others, until medians alone are left. With us the middle samples stay."
)
CUT = f"{MIDDLE} Of 16-bit frames, it cuts decimals off the medians that it puts in."
LINE = (
    "Siril fits the line of a later pass with the mean and the variance of the ranks of the first, "
    "of which there were more. Ours is the line of least squares. And as for `sigma`, it stops "
    "too early."
)
ESD = (
    "Siril rejects the first two candidates whether they are outliers or not (of 6 samples, the "
    "only one), and may take a neighbour for the second. Where every column has two outliers or "
    "more (`mild`), no pixel differs."
)


def _siril(pixels: dict[str, int], why: str) -> dict[str, Difference]:
    return {f"siril-{name}": Difference(number, why) for name, number in pixels.items()}


DIFFERENCES: dict[str, Difference] = {
    "iraf-sigclip_mclip=yes_lsigma=0.9_hsigma=0.8_nkeep=4-even": Difference(98, WALK),
    "iraf-ccdclip_mclip=yes_nkeep=5_lsigma=1.0_hsigma=1.0_rdnoise=10.0_gain=2.0_snoise=0.0-whole": (
        Difference(1, WALK)
    ),
    "iraf-sigclip_mclip=no_lsigma=0.9_hsigma=0.8_nkeep=4-even": Difference(4, EQUAL),
    "iraf-sigclip_scale=median_lsigma=2.0_hsigma=2.5_sigscale=0.1-levels": Difference(1, ENDS),
    "iraf-sigclip_scale=mean_lsigma=2.0_hsigma=2.5_sigscale=0.1-levels": Difference(3, ENDS),
    "iraf-ccdclip_mclip=no_rdnoise=5.0_gain=1.5_snoise=0.01-even": Difference(2, SUM),
    "iraf-ccdclip_mclip=no_rdnoise=5.0_gain=1.5_snoise=0.01-masked": Difference(1, SUM),
    "iraf-sigclip_combine=median_lsigma=2.0_hsigma=2.5_grow=1.5-even": Difference(936, GROWN),
    **_siril({f"rej_s_2_2.5-{on}": n for on, n in (("even", 23), ("whole", 23))}, STOP),
    **_siril({f"rej_s_2_2.5-{on}": n for on, n in (("six", 12), ("mild", 3))}, STOP),
    **_siril({f"rej_w_3_3-{on}": n for on, n in (("even", 7), ("six", 32))}, STOP),
    **_siril({f"rej_w_2_2.5-{on}": n for on, n in (("even", 39), ("six", 77))}, STOP),
    **_siril({f"rej_w_3_3-{on}": n for on, n in (("whole", 14), ("mild", 1))}, WINSOR),
    **_siril({f"rej_w_2_2.5-{on}": n for on, n in (("whole", 49), ("mild", 12))}, WINSOR),
    **_siril({f"rej_a_5_4-{on}": n for on, n in (("even", 159), ("six", 170))}, MAD),
    **_siril({f"rej_a_5_4-{on}": n for on, n in (("whole", 116), ("mild", 67))}, MAD),
    **_siril({f"rej_a_3_3-{on}": n for on, n in (("even", 374), ("six", 271))}, MAD),
    **_siril({f"rej_a_3_3-{on}": n for on, n in (("whole", 286), ("mild", 146))}, MAD),
    **_siril({"rej_m_2_2.5-even": 6}, MIDDLE),
    **_siril({"rej_m_2_2.5-whole": 399}, CUT),
    **_siril({f"rej_l_2_1.5-{on}": n for on, n in (("even", 1088), ("six", 339))}, LINE),
    **_siril({f"rej_l_2_1.5-{on}": n for on, n in (("whole", 1084), ("mild", 381))}, LINE),
    **_siril({"rej_l_5_5-mild": 3}, LINE),
    **_siril({f"rej_g_0.3_0.05-{on}": n for on, n in (("even", 990), ("whole", 994))}, ESD),
    **_siril({"rej_g_0.3_0.05-six": 507}, ESD),
}
