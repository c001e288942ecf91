"""Functions that users pass to a Combiner: known ones become words, others are called."""

import bottleneck
import numpy as np
import pytest
from astropy.nddata import CCDData
from astropy.stats import (
    biweight_location,
    biweight_scale,
    mad_std,
    median_absolute_deviation,
)

from ccds import column, forbid_cubes, rejected, sky
from gpustack import Combiner
from gpustack.combiner.callables import recognise
from gpustack.errors import GpustackWarning, InputError

KNOWN = {
    "mean": [np.mean, np.average, np.nanmean, np.ma.mean, np.ma.average, bottleneck.nanmean],
    "median": [np.median, np.nanmedian, np.ma.median, bottleneck.nanmedian, bottleneck.median],
    "std": [np.std, np.nanstd, np.ma.std, bottleneck.nanstd],
    "sum": [np.sum, np.nansum, np.ma.sum, bottleneck.nansum],
    "mad_std": [mad_std],
}


@pytest.mark.parametrize("word", KNOWN)
def test_functions_are_known_by_what_they_are(word):
    assert [recognise(function) for function in KNOWN[word]] == [word] * len(KNOWN[word])
    assert recognise(lambda array, axis: np.mean(array, axis) / 1) is None


def test_astropys_own_nan_functions_are_known():
    functions = pytest.importorskip("astropy.stats.nanfunctions", reason="newer than this astropy")
    names = ["nanmean", "nanmedian", "nanstd", "nansum", "nanmadstd"]
    words = [recognise(getattr(functions, name)) for name in names]
    assert words == ["mean", "median", "std", "sum", "mad_std"]


def test_ccdprocs_function_is_known():
    assert recognise(pytest.importorskip("ccdproc").sigma_func) == "mad_std"


def test_known_functions_go_to_the_engine(monkeypatch):
    forbid_cubes(monkeypatch)
    combiner = Combiner(sky())
    for center in KNOWN["mean"] + KNOWN["median"]:
        for spread in KNOWN["std"] + KNOWN["mad_std"]:
            combiner.sigma_clipping(3, 3, func=center, dev_func=spread)
    combiner.average_combine(np.ma.median, uncertainty_func=mad_std, sum_func=np.ma.sum)
    combiner.median_combine(np.nanmedian, uncertainty_func=np.ma.std)
    combiner.sum_combine(bottleneck.nansum, uncertainty_func=np.nanstd)


def test_other_functions_are_called_with_masked_samples():
    combiner = Combiner(sky())
    seen = []

    def function(array, axis):
        seen.append((np.ma.isMaskedArray(array), axis))
        return array.max(axis=axis)

    combiner.average_combine(scale_func=function)
    combiner.median_combine(median_func=function, uncertainty_func=function)
    combiner.sum_combine(sum_func=function)
    combiner.sum_combine(uncertainty_func=function)
    assert seen == [(True, 0)] * 5


@pytest.mark.parametrize(
    ("method", "name", "function", "expected"),
    [
        ("average_combine", "scale_func", np.ma.average, 7 / 3),
        ("average_combine", "uncertainty_func", np.ma.std, (14 / 27) ** 0.5),
        ("median_combine", "median_func", np.median, 2),
        pytest.param("median_combine", "median_func", np.ma.median, 2, id="numpy.ma.median"),
        ("median_combine", "median_func", bottleneck.nanmedian, 2),
        ("median_combine", "uncertainty_func", np.nanstd, (14 / 27) ** 0.5),
        ("sum_combine", "sum_func", np.ma.sum, 7),
        ("sum_combine", "sum_func", bottleneck.nansum, 7),
    ],
)
def test_known_functions_say_the_same_by_another_name(method, name, function, expected):
    """Masked samples are excluded, whether a function is recognised or not."""
    for given in (function, lambda array, axis: function(array, axis=axis)):
        result = getattr(Combiner(column(1, 2, 4, 1e6, masked=[3])), method)(**{name: given})
        got = result.uncertainty.array if name == "uncertainty_func" else result.data
        np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize(
    "mistaken",
    [
        lambda array, axis: None,
        lambda array, axis: "median",
        lambda array, axis: np.zeros(7),
        lambda array, axis: np.zeros((7, 6)),
        lambda array, axis: np.zeros((1, 1, 6, 7)),
    ],
    ids=["nothing", "text", "one axis", "turned", "four axes"],
)
def test_what_is_no_number_a_pixel_is_an_error(mistaken):
    images = [CCDData(np.full((6, 7), level), unit="adu") for level in (1.0, 2, 3)]
    said = r"expected one number for each of \(6, 7\) pixels along axis 0, got an array of shape"
    with pytest.raises(InputError, match=said):
        Combiner(images).average_combine(scale_func=mistaken)


@pytest.mark.parametrize(
    "width",
    [
        lambda array, axis: 5.0,
        lambda array, axis: np.full((6, 1), 5.0),
        lambda array, axis: np.full((1, *array.shape[1:]), 5.0),
        lambda array, axis: np.full(array.shape[1:], 5),
    ],
    ids=["number", "broadcast", "keepdims", "integers"],
)
def test_a_known_spread_is_a_function_that_gives_it(width):
    images = [CCDData(np.full((6, 7), level), unit="adu") for level in (1.0, 2, 3, 12)]
    combiner = Combiner(images)
    combiner.sigma_clipping(1.9, 1.4, func="median", dev_func=width)
    assert rejected(combiner) == [3]
    assert (combiner.average_combine(uncertainty_func=width).uncertainty.array == 5 / 3**0.5).all()


def test_functions_of_sigma_clips_see_masked_samples_as_nan():
    """astropy's median_absolute_deviation skips NaN only if told to, which gpustack does."""
    for spread in (median_absolute_deviation, lambda array, axis: np.nanstd(array[:5], axis=axis)):
        combiner = Combiner(column(9, 10, 11, 10, 9.5, 70, 1e6, masked=[6]))
        combiner.sigma_clipping(5, 5, func=np.ma.median, dev_func=spread)
        assert rejected(combiner) == [5, 6]


def test_functions_of_sigma_clips_see_infinite_samples_that_were_put_in_as_nan():
    combiner = Combiner(column(1, 2, 3, 4))
    combiner.data_arr = np.array([1.0, 2, 3, np.inf]).reshape(4, 1, 1)
    combiner.sigma_clipping(2, 2, func=lambda array, axis: np.nanmean(array, axis) / 1)
    assert rejected(combiner) == [3]


def test_a_function_never_changes_what_is_known_without_it():
    combiner = Combiner([*column(1, 2, masked=[0, 1]), *column(5, masked=[0])])
    result = combiner.average_combine(scale_func=lambda array, axis: np.ma.getdata(array).max(axis))
    assert result.mask.all()
    assert np.isnan(result.data).all()
    assert np.isnan(result.uncertainty.array).all()


def plain_median(array, axis):
    """A median that accepts no masked array, like a function compiled by numba."""
    if type(array) is not np.ndarray:
        raise TypeError(type(array))
    return np.nanmedian(array, axis=axis)


@pytest.mark.parametrize(
    ("center", "spread"),
    [
        (biweight_location, biweight_scale),
        (lambda array, axis: np.ma.median(array, axis=axis), mad_std),
        (lambda array, axis: np.median(array, axis=axis), "mad_std"),
        (lambda array, axis: bottleneck.nanmedian(array, axis=axis), mad_std),
        (lambda array, axis: np.partition(array, 2, axis=axis)[2], "mad_std"),
        (plain_median, "mad_std"),
    ],
    ids=["biweight", "numpy.ma", "numpy", "bottleneck", "partition", "plain"],
)
def test_functions_of_sigma_clips_leave_out_masked_samples(center, spread):
    combiner = Combiner(column(10, 11, 9, 10, 12, 500, 1e6, masked=[0, 6]))
    combiner.sigma_clipping(3, 3, func=center, dev_func=spread)
    assert rejected(combiner) == [0, 5, 6]


def test_functions_of_sigma_clips_that_give_no_number_are_told_of():
    masks = ([True, True], [False, True], [False, False])  # the second pixel has one sample
    images = [CCDData(np.ones((1, 2)), unit="adu", mask=np.array([mask])) for mask in masks]
    combiner = Combiner(images)
    with pytest.warns(GpustackWarning, match="for 1 of 1 pixels with two or more samples; noth"):
        combiner.sigma_clipping(1, 1, func=lambda array, axis: np.asarray(array).mean(axis))
    assert combiner.mask.tolist() == [[[True, True]], [[False, True]], [[False, False]]]


@pytest.mark.parametrize(
    ("method", "argument", "weights"),
    [
        ("average_combine", "scale_func", None),
        ("median_combine", "median_func", None),
        ("sum_combine", "sum_func", None),
        ("average_combine", "sum_func", np.ones(3)),
    ],
)
def test_functions_that_combine_and_give_no_number_are_told_of(method, argument, weights):
    """Only for pixels with samples: where all are masked, NaN is the answer."""
    masks = ([True, True, False], [False, True, False], [False, True, False])
    images = [CCDData(np.full((1, 3), 2.0), unit="adu", mask=np.array([mask])) for mask in masks]
    combiner = Combiner(images)
    combiner.weights = weights
    said = f"{method}: {argument} returns no number for 1 of 2 pixels with samples"
    function = {argument: lambda array, axis: np.asarray(array).sum(axis)}
    with pytest.warns(GpustackWarning, match=said) as warned:
        combined = getattr(combiner, method)(**function)
    assert warned[0].filename == __file__
    assert np.isnan(combined.data[0, 0])
    assert combined.mask.tolist() == [[False, True, False]]
    getattr(combiner, method)(**{argument: lambda array, axis: array.sum(axis)})
