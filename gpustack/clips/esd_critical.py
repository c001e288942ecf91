"""Critical values of the generalised ESD test for outliers, for `gpustack.clips.ESDClip`."""

import numpy as np
from numpy.typing import NDArray


def critical_values(significance: float, n: int) -> NDArray[np.float64]:
    """The largest accepted distance from the mean, in standard deviations, by number of samples.

    Parameters
    ----------
    significance : float
        The probability that samples without an outlier exceed the value, between 0 and 1.
    n : int
        The largest number of samples, >= 0.

    Returns
    -------
    ndarray of float64, shape (n + 1,)
        Index i is for i samples. Infinite below 3: two samples are equally far from their mean.

    References
    ----------
    Rosner, Technometrics 25, 165 (1983), equation 2.5.
    """
    # Imported here: backends are also imported, and most of their tests run, without SciPy.
    from scipy.special import stdtrit

    values = np.full(n + 1, np.inf)
    count = np.arange(3, n + 1, dtype=np.float64)
    t = -stdtrit(count - 2, significance / (2 * count))  # 1 - p would lose digits
    values[3:] = (count - 1) / np.sqrt(count * (1 + (count - 2) / t / t))
    return values
