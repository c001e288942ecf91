"""Critical values of the test for outliers that `gpustack.clips.ESDClip` does."""

import numpy as np
from numpy.typing import NDArray


def critical_values(significance: float, n: int) -> NDArray[np.float64]:
    """How far from the mean, in standard deviations, the furthest of some samples may be.

    Parameters
    ----------
    significance : float
        The probability that samples without an outlier exceed it, between 0 and 1.
    n : int
        The largest number of samples, >= 0.

    Returns
    -------
    ndarray of float64, shape (n + 1,)
        By the number of samples. Below 3 it is infinite: two are equally far from their mean.

    References
    ----------
    Rosner, Technometrics 25, 165 (1983), equation 2.5.
    """
    # Backends are imported, and their other tests run, where SciPy is not installed.
    from scipy.special import stdtrit

    values = np.full(n + 1, np.inf)
    count = np.arange(3, n + 1, dtype=np.float64)
    t = -stdtrit(count - 2, significance / (2 * count))  # next to 1 digits would be lost
    values[3:] = (count - 1) / np.sqrt(count * (1 + (count - 2) / t / t))
    return values
