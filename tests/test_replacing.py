"""`SigmaMedianClip`, which replaces samples by the median, against models and known properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import peculiar
from gpustack import RangeClip, SigmaMedianClip, stack

#: Some tests use few frames, or frames without a valid sample, which causes warnings.
pytestmark = pytest.mark.filterwarnings("ignore::gpustack.errors.GpustackWarning")
#: Pairs (low, high).
THRESHOLDS = [(3, 3), (2, 2.5), (1.1, 1.7), (0.6, 0.4), (0, 0)]
#: Relative tolerance for sums in another order.
ROUNDING = 1e-12


def columns(n, pixels=300):
    """Columns of noise with outliers, shape (n, 1, pixels)."""
    rng = np.random.default_rng(n)
    return np.where(rng.random((n, 1, pixels)) < 0.04, 900, rng.normal(100, 8, (n, 1, pixels)))


@pytest.mark.parametrize("n", [1, 3, 5, 9, 25, 131])
@pytest.mark.parametrize(("low", "high"), THRESHOLDS)
def test_odd_numbers_of_samples_give_the_values_of_siril(low, high, n):
    cube, clip = columns(n), SigmaMedianClip(low, high)
    model = [
        peculiar.siril_replacing(clip, column, False).mean() if n > 1 else column[0]
        for column in np.sort(cube[:, 0], axis=0).T
    ]
    np.testing.assert_allclose(stack(cube, clip).data[0], model, rtol=ROUNDING)


@pytest.mark.parametrize("n", [4, 10, 24])
def test_even_numbers_give_the_values_of_siril_where_the_middle_samples_stay(n):
    cube, clip = columns(n), SigmaMedianClip(1.5, 1.9)
    equal = 0
    for column, value in zip(np.sort(cube[:, 0], axis=0).T, stack(cube, clip).data[0], strict=True):
        standing = peculiar.siril_replacing(clip, column, False)
        if {column[n // 2 - 1], column[n // 2]} <= {*standing}:
            equal += 1
            np.testing.assert_allclose(value, standing.mean(), rtol=ROUNDING)
    assert equal > 10


@given(arrays("f8", (7, 1, 5), elements=st.floats(-100, 100)), st.sampled_from(THRESHOLDS))
def test_the_middle_sample_stays_and_all_places_count(cube, thresholds):
    result = stack(cube, SigmaMedianClip(*thresholds))
    middle = np.median(cube, axis=0)
    assert (result.count >= 1).all()
    assert ((result.count + result.low + result.high) == len(cube)).all()
    # The value is the mean of the surviving samples and, for all others, the median, which stays.
    kept = np.sort(cube, axis=0)
    for x in range(cube.shape[2]):
        low, count = int(result.low[0, x]), int(result.count[0, x])
        samples = kept[low : low + count, 0, x]
        assert low <= 3 < low + count
        expected = (samples.sum() + middle[0, x] * (len(cube) - count)) / len(cube)
        np.testing.assert_allclose(result.data[0, x], expected, rtol=1e-9, atol=1e-9)


def test_uncertainty_and_sigma_are_of_the_samples_that_stay():
    column = np.array([9, 10, 11, 12, 10, 11, 10, 12, 9, 11, 400], float)
    result = stack(
        column[:, None, None], SigmaMedianClip(3, 3), outputs=("uncertainty", "count", "sigma")
    )
    stay = column[:-1]
    assert result.count == 10
    assert result.data == pytest.approx((stay.sum() + np.median(column)) / 11)
    assert result.uncertainty == pytest.approx(stay.std() / np.sqrt(10))
    off = stay - result.data[0, 0]
    assert result.sigma == pytest.approx(np.sqrt((off @ off) / 9))


def test_what_others_rejected_is_not_replaced():
    column = np.array([9, 10, 11, 12, 10, 11, 10, 12, 9, 11, 400, 90000, np.nan], float)
    clips = [RangeClip(high=60000), SigmaMedianClip(3, 3)]
    result = stack(column[:, None, None], clips)
    assert (result.count, result.high) == (10, 2)
    assert result.data == pytest.approx((column[:10].sum() + np.median(column[:11])) / 11)


def test_scaled_samples_are_replaced_by_the_median_of_scaled_ones():
    column = np.array([9, 10, 11, 12, 10, 11, 10, 12, 9, 11, 400], float)
    scale = np.linspace(0.5, 2, len(column))
    plain = stack(column[:, None, None], SigmaMedianClip(3, 3))
    scaled = stack((column / scale)[:, None, None], SigmaMedianClip(3, 3), scale=scale)
    assert scaled.data == pytest.approx(plain.data[0, 0])
    assert scaled.count == plain.count == 10
