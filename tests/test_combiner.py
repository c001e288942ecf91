"""The Combiner on its own: what it records, and where it is right and ccdproc is not."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.utils.exceptions import AstropyDeprecationWarning

from ccds import column, forbid_cubes, rejected, sky
from gpustack import Combiner
from gpustack.errors import InputError, MismatchError, RecipeError


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (None, TypeError, "got None"),
        ([], TypeError, "at least one CCDData, got none"),
        (
            [*column(1), np.ones((1, 1))],
            TypeError,
            "image 1: expected CCDData, got ndarray; .*stack",
        ),
        (["a.fits"], TypeError, "image 0: expected CCDData, got str; gpustack.combine takes file"),
        ([*column(1), CCDData(np.ones((2, 1)), unit="adu")], MismatchError, r"\(1, 1\).*\(2, 1\)"),
        ([*column(1), CCDData(np.ones((1, 1)), unit="s")], TypeError, "adu.*got s"),
    ],
)
def test_images_that_cannot_be_combined(images, error, message):
    with pytest.raises(error, match=message):
        Combiner(images)


def test_repr_is_one_line():
    combiner = Combiner([CCDData(np.ones((4, 6)), unit="adu")] * 3)
    combiner.clip_extrema(1, 1)
    assert repr(combiner) == "<Combiner: 3 images of 6 x 4 pixels, adu, float64, clips to run: 1>"


@pytest.mark.parametrize("dtype", [complex, bool, "U3"])
def test_a_dtype_that_holds_no_samples(dtype):
    with pytest.raises(TypeError, match="expected floats or integers"):
        Combiner(column(1, 2), dtype=dtype)


def test_images_are_referred_to_and_left_as_they_are(monkeypatch):
    forbid_cubes(monkeypatch)
    images = sky()
    before = [image.copy() for image in images]
    combiner = Combiner(iter(images))
    combiner.minmax_clipping(80, 130)
    combiner.clip_extrema(1, 1)
    combiner.sigma_clipping(2, 2, func="median", dev_func="mad_std", maxiters=None)
    for combine in (combiner.average_combine, combiner.median_combine, combiner.sum_combine):
        combine()
    assert combiner.ccd_list == images
    for frame, image, old in zip(combiner._recorder.frames, images, before, strict=True):
        assert np.shares_memory(frame.data, image.data)
        np.testing.assert_array_equal(image.data, old.data)
        np.testing.assert_array_equal(image.mask, old.mask)


def test_headers_are_left_as_they_are():
    images = sky(2)
    for number, image in enumerate(images):
        image.header = fits.Header({"EXPTIME": number})
    Combiner(images).average_combine()
    assert [image.header["EXPTIME"] for image in images] == [0, 1]


def test_masked_samples_stay_out_of_clip_statistics():
    combiner = Combiner(column(10, 10.1, 9.9, 10.05, 9.95, 12, 1e6, masked=[6]))
    combiner.sigma_clipping(2, 2, func="median")
    assert rejected(combiner) == [5, 6]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(3, 3, [0, 6]), (None, 3, [6]), (3, None, [0]), (None, None, []), (-3, -3, [0, 6])],
)
def test_thresholds(low, high, expected):
    """None rejects nothing on that side, and the sign does not matter."""
    combiner = Combiner(column(-50, 9, 10, 11, 10, 9.5, 70))
    combiner.sigma_clipping(low, high, func="median", dev_func="mad_std")
    assert rejected(combiner) == expected


@pytest.mark.parametrize(
    "arguments",
    [
        {"func": "median", "dev_func": "mad_std"},
        {"func": "mean", "dev_func": "std"},
        {"func": np.ma.median, "dev_func": lambda array, axis: np.nanstd(array, axis=axis)},
    ],
)
def test_the_loop_of_ccdprocs_manual_converges_to_one_call(arguments):
    by_loop, at_once = (Combiner(sky(20)) for _ in range(2))
    masked, before, passes = by_loop.data_arr.mask.sum(), -1, 0
    while masked > before:
        before = masked
        by_loop.sigma_clipping(1.6, 1.6, **arguments)
        masked = by_loop.data_arr.mask.sum()
        passes += 1
    assert passes > 3
    at_once.sigma_clipping(1.6, 1.6, **arguments, maxiters=None)
    np.testing.assert_array_equal(by_loop.data_arr.mask, at_once.data_arr.mask)


def test_maxiters_axis_and_copy_are_accepted():
    twice, once = (Combiner(sky(20)) for _ in range(2))
    twice.sigma_clipping(1.6, 1.6, maxiters=2, axis=0, copy=True, grow=False)
    for _ in range(2):
        once.sigma_clipping(1.6, 1.6)
    np.testing.assert_array_equal(twice.mask, once.mask)
    once.sigma_clipping(1.6, 1.6, maxiters=np.inf)
    assert once.mask.sum() > twice.mask.sum()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"axis": 1}, "axis: expected 0"),
        ({"axis": None}, "axis: expected 0"),
        ({"grow": 1.5}, "grow: expected False"),
        ({"func": "mode"}, "func: expected 'mean' or 'median' or a function, got 'mode'"),
        ({"dev_func": "iqr"}, "dev_func: expected 'std' or 'mad_std' or a function, got 'iqr'"),
        ({"func": 3}, "func: .* got 3"),
        ({"maxiters": 0}, "maxiters"),
        ({"func": lambda array, axis: array[:3, 0, 0]}, "one number for each of .* shape \\(3,\\)"),
    ],
)
def test_sigma_clips_that_cannot_be(arguments, message):
    with pytest.raises(InputError, match=message):
        Combiner(sky()).sigma_clipping(**arguments)


def test_use_astropy_is_deprecated_and_without_effect():
    with pytest.warns(AstropyDeprecationWarning, match="use_astropy"):
        Combiner(sky()).sigma_clipping(use_astropy=True)


@pytest.mark.parametrize("ranks", [(1, 2), (3, 0), (-1, 0), (0, 1.5)])
def test_extrema_that_leave_nothing_or_are_no_numbers(ranks):
    with pytest.raises(RecipeError, match=r"nlow|nhigh"):
        Combiner(column(1, 2, 3)).clip_extrema(*ranks)


@pytest.mark.parametrize(
    ("method", "given", "message"),
    [
        ("clip_extrema", {"nlow": -1}, "nlow: expected a whole number"),
        ("clip_extrema", {"nlow": 2, "nhigh": 1}, "clip_extrema: expected nlow"),
        ("minmax_clipping", {"min_clip": "9"}, "min_clip: expected a finite number or None"),
        ("minmax_clipping", {"max_clip": np.nan}, "max_clip: expected a finite number or None"),
        ("minmax_clipping", {"min_clip": 2, "max_clip": 1}, "minmax_clipping: expected low <= "),
        ("sigma_clipping", {"low_thresh": "3"}, "low_thresh: expected a number >= 0 or None"),
        ("sigma_clipping", {"high_thresh": [3]}, "high_thresh: expected a number >= 0 or None"),
        ("sigma_clipping", {"maxiters": 0}, "maxiters: expected a whole number"),
        ("average_combine", {"scale_func": 3}, "scale_func: expected 'mean' or 'median' or a func"),
        ("median_combine", {"median_func": 3}, "median_func: expected "),
        ("sum_combine", {"sum_func": "mean"}, "sum_func: expected 'sum' or a function, got 'mean'"),
    ],
)
def test_errors_name_the_arguments(method, given, message):
    """Not the fields of the clips that the methods create, which a user need not know."""
    with pytest.raises(InputError, match=f"^{message}"):
        getattr(Combiner(column(1, 2, 3)), method)(**given)


def test_masked_samples_and_nan_use_up_extrema():
    combiner = Combiner(column(1, 2, 3, np.nan, 9, masked=[4]))
    combiner.clip_extrema(nlow=1, nhigh=1)
    assert rejected(combiner) == [0, 3, 4]


@pytest.mark.parametrize(
    ("samples", "dtype", "total"),
    [
        ([200, 100], np.uint8, 44),
        ([-1, -2], np.uint8, 253),
        ([100, 100], np.int8, -56),
        ([1e30, 5], np.int32, 5),
        ([-5, 3], np.uint64, 3),
        ([2.0**63, 5], np.int64, 5),
        ([2.0**63, 2.0**62], np.uint64, 2**63 + 2**62),
        ([6e4, 6e4], np.float16, np.inf),
        ([1e300, 2], np.float32, 2),
    ],
)
def test_numbers_that_the_dtype_cannot_hold(samples, dtype, total):
    """Integers wrap around as in numpy, or become 0; floats become infinite, and so invalid."""
    for combiner in (Combiner(column(*samples), dtype=dtype) for _ in range(2)):
        assert combiner.sum_combine().data == total
        assert combiner.data_arr.dtype == dtype
        assert combiner.sum_combine().data == total


def test_integers_that_float32_cannot_hold_are_combined_exactly():
    images = column(16_777_217, 16_777_217, 16_777_219)
    assert Combiner(images, dtype=np.int32).median_combine().data == 16_777_217


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_samples_that_are_put_in_become_the_dtype(dtype):
    combiner = Combiner(column(1, 2, 3), dtype=dtype)
    combiner.data_arr = np.array([np.nan, 5.5, 1e300]).reshape(3, 1, 1)
    assert combiner.median_combine().data == np.array(5.5).astype(dtype)


@pytest.mark.parametrize("method", ["average_combine", "median_combine", "sum_combine"])
def test_pixels_without_a_sample(method):
    images = column(1, np.nan, np.inf, masked=[0])
    result = getattr(Combiner(images), method)()
    assert result.mask.all()
    assert result.data == 0 if method == "sum_combine" else np.isnan(result.data)
    assert np.isnan(result.uncertainty.array)
    integers = getattr(Combiner(images, dtype=int), method)()
    assert integers.data == 0
    assert integers.mask.all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int16, ">f4"])
def test_results_are_plain_writeable_arrays_of_the_asked_dtype(dtype, tmp_path):
    result = Combiner(sky(), dtype=dtype).average_combine()
    assert result.data.dtype == dtype
    for array in (result.data, result.mask, result.uncertainty.array):
        assert type(array) is np.ndarray
        assert array.flags.writeable
    result.data[0, 0] = 1
    if dtype != np.float16:  # FITS has no such type
        result.write(tmp_path / "result.fits")
