"""Which sums of float32 samples are exact in float64, in any order.

A float32 sample is a multiple of the last bit of the smallest one in its column. If the largest
sample is less than 2^29 / n times the smallest, every partial sum in float64 is exact. Sums then
depend neither on the order of the samples nor on samples that were added and subtracted again.
This holds for nearly all columns of real frames.
"""

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.columns import Floats

#: The last bit of x is more than 2^-24 x, and float64 holds 53 bits: the largest partial
#: sum may be 2^29 times the smallest sample, and no more.
SPARE_BITS = 53 - 24


def may_round(n: int, lowest: Floats, highest: Floats, least: Floats) -> NDArray[np.bool_]:
    """The columns whose sum float64 might round.

    Parameters
    ----------
    n : int
        How many samples each of them has.
    lowest, highest, least : ndarray of float32, shape (pixels,)
        The ends of the columns, and their least ``|x|`` other than 0; 0 if all samples are 0.
    """
    largest = np.maximum(np.abs(lowest), np.abs(highest))
    exact: NDArray[np.bool_] = least >= largest * np.float32(n * 2.0**-SPARE_BITS)
    return ~exact | ~(largest < np.inf)


def least_size(values: Floats) -> Floats:
    """The least ``|x|`` other than 0 of each column of shape (n, pixels); 0 if there is none.

    The bits of ``|x|``, read as unsigned integers, have the same order as the values. After
    subtracting 1, those of 0 are the largest.
    """
    bits = values.view(np.uint32) & np.uint32(0x7FFFFFFF)
    bits -= np.uint32(1)
    least = np.minimum.reduce(bits, axis=0)
    least += np.uint32(1)
    result: Floats = least.view(np.float32)
    return result
