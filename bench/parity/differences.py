"""Where gpustack differs from a program, in at most how many pixels, and why.

The reasons were found by experiment: a plain model of the program that has the peculiarity
agrees with it in every pixel, one that lacks it does not.
"""

from typing import NamedTuple


class Difference(NamedTuple):
    """At most so many pixels of a case differ, for this reason."""

    pixels: int
    why: str


STOP = (
    "Siril tests a sample only while more than 4 would be left, but counts what all passes have "
    "rejected against what this pass began with: after the first pass it stops too early. It "
    "tests the lowest first. We keep 4."
)

DIFFERENCES: dict[str, Difference] = {
    "siril-rej_s_2_2.5-even": Difference(23, STOP),
    "siril-rej_s_2_2.5-whole": Difference(23, STOP),
    "siril-rej_s_2_2.5-six": Difference(12, STOP),
}
