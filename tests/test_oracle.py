"""The oracle against independent implementations: numpy, astropy and SciPy."""

import math
import warnings
from functools import partial

import numpy as np
import pytest
from astropy.stats import mad_std, sigma_clip
from scipy.ndimage import binary_dilation

from gpustack.backends.base import Samples
from gpustack.clips import ExtremaClip, Grow, SigmaClip
from gpustack.reasons import Reason
from gpustack.recipe import Recipe
from oracle import solve
from oracle_statistics import mad_std as oracle_mad_std
from oracle_statistics import std as oracle_std
from stacks import plain, sky, some

#: The oracle and its peers compute in float64, but sum in different orders.
FLOAT64 = 1e-13


def std_of_mean(sigmas):
    """The standard deviation of a mean of numbers with these sigmas; NaN are left out."""
    return np.sqrt(np.nanmean(sigmas * sigmas, axis=0) / np.isfinite(sigmas).sum(axis=0))


@pytest.mark.parametrize("n", [1, 2, 5, 8])
@pytest.mark.parametrize(
    ("combine", "truth"),
    [
        ("mean", np.nanmean),
        ("median", np.nanmedian),
        ("sum", np.nansum),
        ("min", np.nanmin),
        ("max", np.nanmax),
        ("lower_median", partial(np.nanpercentile, q=50, method="lower")),
        ("quadrature", lambda data, axis: std_of_mean(data)),
    ],
)
def test_combines_are_those_of_numpy(combine, truth, n):
    data, masks = sky(n), some(n)
    masks[0, 1:] = False
    answer = solve(plain(data, masks), Recipe(combine=combine))
    data[masks] = np.nan
    expected = truth(data[:, 1:], axis=0)
    np.testing.assert_allclose(answer.data[1:], expected, rtol=FLOAT64)
    np.testing.assert_array_equal(answer.count, (~masks).sum(axis=0))
    assert answer.mask[0, 0]
    assert np.isnan(answer.data[0, 0]) != (combine == "sum")


def test_uncertainty_is_spread_over_root_count():
    data = sky(9)
    root = math.sqrt(9)
    spread, robust = data.std(axis=0), mad_std(data, axis=0)
    expected = {
        ("mean", "auto"): spread / root,
        ("median", "auto"): robust / root,
        ("sum", "auto"): spread * root,
        ("mean", "mad_std"): robust / root,
        ("median", "std"): spread / root,
        ("sum", "mad_std"): robust * root,
    }
    for (combine, uncertainty), truth in expected.items():
        answer = solve(plain(data), Recipe(combine=combine, uncertainty=uncertainty))
        np.testing.assert_allclose(answer.uncertainty, truth, rtol=FLOAT64)


@pytest.mark.parametrize("n", [3, 8, 25])
def test_spreads_are_those_of_numpy_and_astropy(n):
    for values in sky(n).reshape(n, -1).T[:10]:
        assert oracle_std(values.tolist()) == pytest.approx(values.std(), rel=FLOAT64)
        assert oracle_std(values.tolist(), 1) == pytest.approx(values.std(ddof=1), rel=FLOAT64)
        assert oracle_mad_std(values.tolist()) == pytest.approx(mad_std(values), rel=FLOAT64)


CENTERS = {"mean": np.nanmean, "median": np.nanmedian}
SPREADS = {"std": np.nanstd, "mad_std": partial(mad_std, ignore_nan=True)}


def astropy_marks(data, center, spread, maxiters):
    """The samples that astropy rejects with thresholds 1.7 and 2.3; NaN are invalid samples."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy warns about NaN and empty columns
        clipped = sigma_clip(data, 3, 1.7, 2.3, maxiters, center, spread, axis=0)
    return np.ma.getmaskarray(clipped)


@pytest.mark.parametrize("n", [7, 12, 25])
@pytest.mark.parametrize("maxiters", [1, 2, 5, None])
@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("center", CENTERS)
def test_sigma_clip_is_that_of_astropy(center, spread, maxiters, n):
    data, masks = sky(n), some(n)
    clip = SigmaClip(1.7, 2.3, center, spread, maxiters)
    answer = solve(plain(data, masks), Recipe(clips=[clip]))
    data[masks] = np.nan
    expected = astropy_marks(data, CENTERS[center], SPREADS[spread], maxiters)
    np.testing.assert_array_equal(answer.marks, expected)
    np.testing.assert_array_equal(answer.rejected, expected.sum((1, 2)) - masks.sum((1, 2)))
    assert answer.rejected.sum() > 0
    assert not answer.close.any()


@pytest.mark.parametrize("maxiters", [1, None])
@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("center", CENTERS)
def test_sigma_clip_is_that_of_astropy_by_name(center, spread, maxiters):
    # With names, astropy uses compiled code. It applies the last bounds to all samples, which may
    # restore samples that an earlier pass rejected; in gpustack these stay rejected. Only a MAD can
    # become larger when samples are rejected.
    data = sky(25)
    clip = SigmaClip(1.7, 2.3, center, spread, maxiters)
    marks = solve(plain(data), Recipe(clips=[clip])).marks
    expected = astropy_marks(data, center, spread, maxiters)
    assert marks[expected].all()
    restored = marks & ~expected
    assert restored.any() == (spread == "mad_std" and maxiters is None)
    assert restored.mean() < 0.05


@pytest.mark.parametrize(("nlow", "nhigh"), [(1, 1), (2, 0), (0, 3)])
def test_extrema_are_those_of_a_stable_sort(nlow, nhigh):
    data = (sky(9) / 8).round()
    order = np.argsort(data, axis=0, kind="stable")
    expected = np.zeros(data.shape, bool)
    np.put_along_axis(expected, order[:nlow], True, axis=0)
    np.put_along_axis(expected, order[9 - nhigh :], True, axis=0)
    for among in ("valid", "all"):
        answer = solve(plain(data), Recipe(clips=[ExtremaClip(nlow, nhigh, among)]))
        np.testing.assert_array_equal(answer.marks, expected)
        assert (answer.low == nlow).all()
        assert (answer.high == nhigh).all()


@pytest.mark.parametrize("combine", ["mean", "sum"])
def test_weights_are_those_of_numpy_ma(combine):
    data, masks = sky(6), some(6)
    weights = np.random.default_rng(1).uniform(0, 2, data.shape)
    band = [Samples(*parts) for parts in zip(data, masks, weights, strict=True)]
    answer = solve(band, Recipe(combine=combine, weights="sample"))
    values = np.ma.masked_array(data, masks)
    if combine == "mean":
        expected = np.ma.average(values, axis=0, weights=weights).filled(np.nan)
    else:
        expected = (values * weights).sum(axis=0).filled(0)
    np.testing.assert_allclose(answer.data, expected, rtol=FLOAT64)
    np.testing.assert_allclose(  # weights do not enter the uncertainty
        answer.uncertainty[1:],
        solve(band, Recipe(combine=combine)).uncertainty[1:],
        rtol=0,
    )


@pytest.mark.parametrize("radius", [1, 1.5, 2, 3.7])
def test_what_grows_is_what_scipy_dilates(radius):
    data, masks = sky(6, (13, 17)), some(6, (13, 17))
    clips = (ExtremaClip(0, 1), SigmaClip(1.7, 2.3))
    clipped = solve(plain(data, masks), Recipe(clips=clips)).reasons
    grown = solve(plain(data, masks), Recipe(clips=[*clips, Grow(radius)]))
    y, x = np.mgrid[-4:5, -4:5]
    for before, after in zip(clipped, grown.reasons, strict=True):
        near = binary_dilation(before == Reason.CLIP, np.hypot(x, y) <= radius)
        np.testing.assert_array_equal(after, before + Reason.GROW * (near & (before == 0)))
    left = np.where(grown.marks, np.nan, data)
    np.testing.assert_array_equal(grown.count, np.isfinite(left).sum(axis=0))
    some_left = ~grown.mask
    expected = np.nanmean(left[:, some_left], axis=0)
    np.testing.assert_allclose(grown.data[some_left], expected, rtol=FLOAT64)
