"""Frames, a recipe and a comparison for tests that reach the cuda backend through the API."""

import numpy as np

from gpustack import RangeClip, SigmaClip

SHAPE = (24, 17)
CLIPS = [RangeClip(high=5000), SigmaClip(low=2, high=2, spread="mad_std")]
MAPS = ("data", "uncertainty", "mask", "count", "low", "high")


def frames():
    """A cube of float32, with outliers and NaN."""
    rng = np.random.default_rng(7)
    cube = rng.normal(100, 5, (9, *SHAPE)).astype(np.float32)
    cube[rng.random(cube.shape) < 0.02] += 300
    cube[rng.random(cube.shape) < 0.02] = np.nan
    return cube


def same(one, other, names=MAPS):
    """Assert that two results agree: decisions bit for bit, sums within 1e-6 relative."""
    for name in names:
        first, second = (getattr(result, name) for result in (one, other))
        assert first.dtype == second.dtype, name
        assert first.shape == second.shape, name
        if name in ("data", "uncertainty"):
            np.testing.assert_allclose(first, second, rtol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(first, second, err_msg=name)
    for name in ("valid", "rejected"):
        np.testing.assert_array_equal(one.frames[name], other.frames[name], err_msg=name)
