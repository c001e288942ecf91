"""Weights and scaling of a Combiner: their effect, and when which values are refused."""

import numpy as np
import pytest
from astropy.nddata import CCDData

from ccds import column, sky
from gpustack import Combiner, combine
from gpustack.errors import RecipeError

#: About ten float64 numbers, scaled before or after the sum and summed in another order.
ROUNDING = 1e-12


@pytest.mark.parametrize("shape", [(), (1,), (2, 1, 1)])
def test_weights_of_masked_samples_do_not_count(shape):
    images = [
        CCDData(np.full((1, *shape), float(value)), unit="adu", mask=np.full((1, *shape), out))
        for value, out in ((1, True), (2, False), (4, False))
    ]
    combiner = Combiner(images)
    for weights in (np.ones(3), np.ones((3, 1, *shape), int)):
        combiner.weights = weights
        assert (combiner.average_combine().data == 3).all()
        thirds = combiner.average_combine(sum_func=lambda array, axis: np.nansum(array, axis) / 3)
        assert (thirds.data == 3).all()
        assert (combiner.sum_combine().data == 6).all()


@pytest.mark.parametrize(
    ("weights", "error"),
    [
        ([1, 2, 3], TypeError),
        (1.0, TypeError),
        (np.ones(2), ValueError),
        (np.ones((3, 1)), ValueError),
        (np.ones((1, 1)), ValueError),
        (np.array(["a", "b", "c"]), TypeError),
        (np.ones(3, complex), TypeError),
    ],
)
def test_weights_that_cannot_be(weights, error):
    combiner = Combiner(column(1, 2, 3))
    with pytest.raises(error, match="weights: expected"):
        combiner.weights = weights
    with pytest.raises(error, match="weights: expected"):
        combine(column(1, 2, 3), weights=weights, combine_uncertainty_function=np.ptp)


@pytest.mark.parametrize("least", [-0.5, -np.inf])
def test_negative_weights_are_named_where_they_are_used(least):
    combiner = Combiner(column(1, 2, 3))
    combiner.weights = np.array([1, np.nan, least]).reshape(3, 1, 1)
    assert combiner.median_combine().data == 2
    for method in (combiner.average_combine, combiner.sum_combine):
        with pytest.raises(ValueError, match=f"weights: expected numbers >= 0, got {least} .*ge 2"):
            method()
    combiner.weights = np.array([1, least, 1])
    with pytest.raises(ValueError, match=f"weights: expected .* >= 0, got .*{least}.* index 1"):
        combiner.average_combine()


def test_weights_that_are_masked_or_not_finite_are_0():
    """Maps of 1/variance contain such weights where there is no sample."""
    combiner = Combiner(column(np.nan, 5, 3, 7, masked=[1]))
    shape = (4, 1, 1)
    combiner.weights = np.ma.MaskedArray([np.inf, np.nan, 1, 9], [0, 0, 0, 1]).reshape(shape)
    assert combiner.average_combine().data == 3
    assert combiner.sum_combine().data == 3
    assert combiner.average_combine(sum_func=np.ma.sum).data == 3
    combiner.weights = np.full(shape, np.inf)
    assert combiner.average_combine().mask.all()
    combiner.weights = np.ma.MaskedArray([1.0, 1, 1, 9], [0, 0, 0, 1])
    assert combiner.average_combine().data == 3
    combiner.weights = np.array([1, 1, np.nan, 1])
    with pytest.raises(ValueError, match=r"weights: expected finite .* got .*nan.* index 2"):
        combiner.average_combine()


def test_weights_do_not_enter_a_median():
    combiner = Combiner(column(1, 2, 9))
    combiner.weights = np.array([0, 0, 1])
    assert combiner.median_combine().data == 2


def test_scaling_by_function_sees_the_masked_array_of_what_is_left():
    combiner = Combiner(column(1, 2, 3, masked=[1]), dtype=np.float32)
    seen = []
    combiner.minmax_clipping(max_clip=2.5)
    combiner.scaling = lambda image: seen.append(image) or 1.0
    assert all(isinstance(image, np.ma.MaskedArray) for image in seen)
    assert {image.dtype for image in seen} == {np.dtype(np.float32)}
    assert [bool(image.mask.all()) for image in seen] == [False, True, True]


def test_samples_of_float32_are_scaled_in_float64():
    images = [CCDData(image.data, unit="adu") for image in sky(3)]
    factors = np.array([1 / 3, 0.7, 1.1])
    combiner = Combiner(images, dtype=np.float32)
    combiner.scaling = factors
    samples = np.array([image.data for image in images], np.float32)
    expected = (samples * factors.reshape(3, 1, 1)).mean(axis=0)
    np.testing.assert_array_equal(combiner.average_combine().data, expected.astype(np.float32))


def test_an_image_without_samples_needs_no_factor():
    combiner = Combiner(column(2, 4, 7, masked=[2]))
    combiner.scaling = lambda image: np.nan if image.mask.all() else 1 / image.mean()
    assert combiner.average_combine().data == 1
    combiner.scaling = [1, np.nan, 1]
    with pytest.raises(RecipeError, match=r"scaling: expected .*, got nan for image 1"):
        combiner.average_combine()


@pytest.mark.parametrize(("scaling", "error"), [(5, TypeError), ([5, 5], ValueError)])
def test_scaling_that_cannot_be(scaling, error):
    combiner = Combiner(column(1, 2, 3))
    with pytest.raises(error, match="expected a function or 3 numbers"):
        combiner.scaling = scaling
    with pytest.raises(ValueError, match=r"scale_to: .*to \(3, 1, 1\), got shape \(2,\)"):
        combiner.average_combine(scale_to=[1, 2])


@pytest.mark.parametrize("method", ["average_combine", "median_combine", "sum_combine"])
@pytest.mark.parametrize("weights", [False, True])
def test_a_factor_for_every_sample(method, weights):
    rng = np.random.default_rng(3)
    images = sky()
    scale = rng.uniform(0.5, 2, (12, 5, 6))
    for factors in (scale, scale[:1], scale[0], scale[:, :1], scale[:, :1, :1], scale[:, 0, 0]):
        combiner, expected = Combiner(images), Combiner(images)
        for one in (combiner, expected):
            one.weights = rng.random(12) if weights else None
            one.sigma_clipping(2, 2)
        expected.weights = combiner.weights
        full = factors.reshape(12, 1, 1) if factors.ndim == 1 else factors
        expected.data_arr = expected.data_arr * full
        got, want = getattr(combiner, method)(scale_to=factors), getattr(expected, method)()
        np.testing.assert_array_equal(got.mask, want.mask)
        np.testing.assert_allclose(got.data, want.data, rtol=ROUNDING)
        np.testing.assert_allclose(got.uncertainty.array, want.uncertainty.array, rtol=ROUNDING)


@pytest.mark.parametrize("shape", [(3,), (3, 1, 1)])
def test_weights_that_say_yes_or_no(shape):
    combiner = Combiner(column(1, 2, 6))
    combiner.weights = np.array([True, False, True]).reshape(shape)
    assert combiner.average_combine().data == 3.5


@pytest.mark.parametrize(
    "scaling", [[1j, 1], ["a", "b"], "ab", np.ones((2, 3)), [[1, 2], [3]]], ids=repr
)
def test_scaling_that_is_no_number_an_image(scaling):
    combiner = Combiner(column(1, 2))
    with pytest.raises(ValueError, match="scaling: expected 2 numbers, one per image, got"):
        combiner.scaling = scaling
    assert combiner.scaling is None


@pytest.mark.parametrize("shape", [(3,), (3, 1, 1)])
def test_a_masked_factor_is_none(shape):
    factors = np.ma.array([1.0, 5, 1], mask=[False, True, False]).reshape(shape)
    with pytest.raises(RecipeError, match=r"scale_to: expected .* got nan for image 1"):
        Combiner(column(1, 2, 3)).average_combine(scale_to=factors)


def test_a_sample_whose_factor_is_masked_is_invalid():
    images = [CCDData(np.full((1, 2), value), unit="adu") for value in (1.0, 2.0, 6.0)]
    factors = np.ma.array(np.full((3, 1, 2), 2.0), mask=False)
    factors[2, 0, 1] = np.ma.masked
    ccd = Combiner(images).average_combine(scale_to=factors)
    np.testing.assert_allclose(ccd.data, [[6, 3]], rtol=ROUNDING)


@pytest.mark.parametrize("factors", ["abc", 1j, ["1", "2"], [[1], [1, 2]], {1: 2}], ids=repr)
def test_scale_to_that_is_no_number(factors):
    with pytest.raises(ValueError, match="scale_to: expected numbers, got "):
        Combiner(column(1, 2)).average_combine(scale_to=factors)


def test_an_image_is_not_multiplied_by_0():
    combiner = Combiner(column(1, 2, 7, masked=[2]))
    with pytest.raises(RecipeError, match=r"scale_to: expected .* other than 0, got 0 for image 0"):
        combiner.average_combine(scale_to=0)
    combiner.scaling = [1, 0, 1]
    with pytest.raises(RecipeError, match=r"scaling: expected .* other than 0, got 0 for image 1"):
        combiner.average_combine()
    combiner.scaling = [1, 1, 0]  # of no valid sample
    assert combiner.average_combine().data == 1.5
