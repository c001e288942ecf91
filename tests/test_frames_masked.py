"""`MaskedImage`, the images passed to users' functions: numpy's functions ignore masked samples."""

import bottleneck
import numpy as np
import pytest
from astropy.nddata import CCDData
from astropy.stats import biweight_location, mad_std, sigma_clipped_stats

from gpustack import Combiner, InputError, combine, stack
from gpustack.errors import RecipeError
from gpustack.frames.masked import MaskedImage

#: Relative tolerance for sums in another order.
ROUNDING = 1e-12

FUNCTIONS = {
    "median": np.median,
    "nanmedian": np.nanmedian,
    "ma.median": np.ma.median,
    "mean": np.mean,
    "nanmean": np.nanmean,
    "ma.average": np.ma.average,
    "std": np.std,
    "nanstd": np.nanstd,
    "nanvar": np.nanvar,
    "nansum": np.nansum,
    "max": np.max,
    "nanmin": np.nanmin,
    "nanmax": np.nanmax,
    "percentile": lambda image: np.percentile(image, 30),
    "nanpercentile": lambda image: np.nanpercentile(a=image, q=30),
    "quantile": lambda image: np.quantile(image, 0.2),
    "of all": lambda image: np.median(image.ravel()),
    "of logarithms": lambda image: np.median(np.log10(image)),
    "bottleneck": bottleneck.nanmedian,
    "mad_std": mad_std,
    "biweight": biweight_location,
    "clipped": lambda image: sigma_clipped_stats(image)[1],
}


@pytest.fixture
def image():
    rng = np.random.default_rng(0)
    data = rng.normal(1000, 50, (40, 30))
    mask = rng.random(data.shape) < 0.3
    data[mask] = 1e6
    return np.ma.MaskedArray(data, mask)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_functions_leave_out_what_is_masked(function, image):
    expected = function(image.data[~image.mask])
    assert function(MaskedImage.of(image)) == pytest.approx(expected, rel=ROUNDING)


def test_a_slice_of_a_masked_image_is_masked(image):
    part = image[5:20, 3:]
    expected = np.median(part.data[~part.mask])
    assert np.median(MaskedImage.of(image)[5:20, 3:]) == expected


def test_a_masked_image_is_a_copy(image):
    before = image.copy()
    MaskedImage.of(image)[:] = 0
    np.testing.assert_array_equal(image.data, before.data)
    assert MaskedImage.of(image.astype("i4")).dtype == np.float64
    assert MaskedImage.of(image.astype("f4")).dtype == np.float32


def by_median(values):
    return 1 / np.median(values)


def flats():
    """Two images of levels 1 and 4, more than half masked, with large values under the mask."""
    levels = np.array([1.0, 4.0])
    data = np.repeat(levels, 15).reshape(2, 3, 5)
    mask = np.zeros(data.shape, bool)
    mask[:, :2, :4] = True
    data[mask] = np.random.default_rng(1).normal(1e5, 1e4, mask.sum())
    return data, mask


def test_scales_by_the_median_of_masked_images():
    data, mask = flats()
    ccds = [CCDData(plane, unit="adu", mask=m) for plane, m in zip(data, mask, strict=True)]
    combiner = Combiner(ccds)
    combiner.scaling = by_median
    for result in (combine(ccds, scale=by_median), combiner.average_combine()):
        np.testing.assert_array_equal(result.data[~mask[0]], 1.0)
    found = stack(ccds, scale=by_median)
    assert found.frames["scale"].tolist() == [1.0, 0.25]


def test_scales_by_functions_that_skip_nan():
    data, mask = flats()
    data[mask] = np.nan
    ccds = [CCDData(plane, unit="adu") for plane in data]
    for function in (np.nanmedian, bottleneck.nanmedian, np.ma.median):
        result = combine(ccds, scale=lambda values, f=function: 1 / f(values))
        assert result.data[2, 4] == 1


@pytest.mark.parametrize("answer", [np.nan, None, np.array([2.0, 3.0]), "2"])
def test_a_function_that_gives_no_number_names_the_image(answer):
    ccds = [CCDData(plane, unit="adu") for plane in flats()[0]]
    with pytest.raises(InputError, match=r"scale: expected a finite number, got .* for frame 0"):
        combine(ccds, scale=lambda _: answer)
    with pytest.raises(RecipeError, match=r"scale: expected a finite number, got .* for frame 0"):
        stack(ccds, scale=lambda _: answer)


def test_a_function_that_sees_nan_under_the_mask_is_told_of_it():
    """With ccdproc such functions work, because they get the samples themselves."""
    data, mask = flats()
    ccds = [CCDData(plane, unit="adu", mask=m) for plane, m in zip(data, mask, strict=True)]
    combiner = Combiner(ccds)
    why = "NaN, in .data too: use a function that skips them, such as np.ma.median"
    for function in (lambda image: 1 / image.data.mean(), lambda image: 1 / np.array(image).mean()):
        combiner.scaling = function
        with pytest.raises(RecipeError, match=f"scaling: expected .* got nan for image 0; .*{why}"):
            combiner.average_combine()
        with pytest.raises(
            InputError, match=f"scale: expected .* got .*nan.* for frame 0; .*{why}"
        ):
            combine(ccds, scale=function)
        with pytest.raises(
            RecipeError, match=f"scale: expected .* got .*nan.* for frame 0; .*{why}"
        ):
            stack(ccds, scale=function)
    with pytest.raises(RecipeError, match=r"scale_to: expected .*, got nan for image 0"):
        Combiner([CCDData(plane, unit="adu") for plane in data]).average_combine(scale_to=np.nan)


def test_an_image_without_a_valid_sample_has_any_factor():
    data, mask = flats()
    mask[1] = True
    ccds = [CCDData(plane, unit="adu", mask=m) for plane, m in zip(data, mask, strict=True)]
    combiner = Combiner(ccds)
    combiner.scaling = np.ma.median
    for result in (combine(ccds, scale=np.ma.median), combiner.average_combine()):
        assert result.data[2, 4] == 1


def as_integers(image):
    with np.errstate(invalid="ignore"):  # masked samples are NaN
        return image.astype(int)


DERIVED = {
    "how many": lambda image: np.nansum(image > 1000),
    "which share": lambda image: np.nanmean(image > 1000),
    "integers": lambda image: np.median(as_integers(image)),
    "whole": lambda image: np.percentile(np.floor(image), 40),
}


@pytest.mark.parametrize("function", DERIVED.values(), ids=DERIVED)
def test_what_is_made_of_it_leaves_out_the_same(function, image):
    expected = function(image.data[~image.mask])
    assert function(MaskedImage.of(image)) == pytest.approx(expected, rel=ROUNDING)


def test_ptp_accepts_out():
    image = MaskedImage([[1.0, 99, 3], [4, 8, 6]], [[0, 1, 0], [0, 0, 0]])
    out = np.empty(3)
    assert np.ptp(image, axis=0, out=out) is out
    assert out.tolist() == [3, 0, 3]
    assert np.ptp(image) == 7
