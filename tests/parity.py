"""Images, and how closely the answers of ccdproc and gpustack on them must agree."""

import warnings

import numpy as np
import pytest
from astropy.nddata import CCDData
from astropy.utils.exceptions import AstropyUserWarning

import gpustack

ccdproc = pytest.importorskip("ccdproc", reason="the peer of these tests")

#: Both packages sum about ten float64 numbers, in different orders.
FLOAT64 = 1e-12
#: ccdproc sums float32 in float32, gpustack in float64: ten roundings of 6e-8.
FLOAT32 = 1e-6
#: The spread is a fifth of the level here, so a rounding of the level weighs five times as
#: much in a float32 spread; an almost constant column loses more.
FLOAT32_SPREAD = 1e-4

N, SHAPE = 9, (6, 7)

SCALES = {
    "numbers": [1.5, 0.9, 1.1, 1, 2, 0.4, 1.3, 1, 0.8],
    "function": lambda image: 100 / np.ma.average(image),
}


def images(seed=0, *, n=N, shape=SHAPE, dtype=float, masked=0.0, nan=0.0):
    """Images of level 100 and scatter 20; `masked` and `nan` are fractions of their samples."""
    rng = np.random.default_rng(seed)
    data = rng.normal(100, 20, (n, *shape))
    if np.dtype(dtype).kind in "iu":
        data = data.round()
    data = data.astype(dtype)
    if nan:
        data[rng.random(data.shape) < nan] = np.nan
    mask = rng.random(data.shape) < masked
    return [
        CCDData(plane, unit="adu", mask=plane_mask if masked else None)
        for plane, plane_mask in zip(data, mask, strict=True)
    ]


def both(ccds, work, dtype=None):
    """The results of `work` on a Combiner of gpustack and on one of ccdproc."""
    ours = work(gpustack.Combiner(ccds, dtype=dtype))
    with warnings.catch_warnings():
        # ccdproc does not suppress warnings about NaN and columns without a sample.
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", AstropyUserWarning)
        theirs = work(ccdproc.Combiner(ccds, dtype=dtype))
    return ours, theirs


def answer(work, package):
    """The result of `work`, or the exception that it raises."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # ccdproc does not suppress those of numpy and astropy
        try:
            return work(package)
        except Exception as err:  # noqa: BLE001 - whatever it raises is the answer
            return err


def assert_same(ours, theirs, data=FLOAT64, spread=FLOAT64):
    """Assert that two CCDData are the same, except for rounding."""
    assert ours.shape == theirs.shape
    assert ours.data.dtype == theirs.data.dtype
    assert ours.unit == theirs.unit
    assert ours.meta["NCOMBINE"] == theirs.meta["NCOMBINE"]
    assert ours.uncertainty.uncertainty_type == theirs.uncertainty.uncertainty_type
    np.testing.assert_array_equal(ours.mask, theirs.mask)
    np.testing.assert_allclose(ours.data, theirs.data, rtol=data)
    np.testing.assert_allclose(
        ours.uncertainty.array, theirs.uncertainty.array, rtol=spread, atol=spread
    )
