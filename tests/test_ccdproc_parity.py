"""The same call on ccdproc and on gpustack, wherever what ccdproc answers is right."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData
from astropy.stats import mad_std, median_absolute_deviation
from astropy.utils.exceptions import AstropyUserWarning

import gpustack

ccdproc = pytest.importorskip("ccdproc", reason="the peer of these tests")

#: Both add up some ten float64 numbers, in another order.
FLOAT64 = 1e-12
#: ccdproc adds up float32 in float32, gpustack in float64: ten roundings of 6e-8.
FLOAT32 = 1e-6
#: The spread is a fifth of the level here, so a rounding of the level weighs five times as
#: much in a float32 spread; an all but constant column loses more.
FLOAT32_SPREAD = 1e-4

N, SHAPE = 9, (6, 7)


def images(seed=0, *, n=N, shape=SHAPE, dtype=float, masked=0.0, nan=0.0):
    """Images with a level of 100 and a scatter of 20; shares of their samples masked, NaN."""
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
    """What `work` makes of a Combiner of either package."""
    answers = []
    for package in (gpustack, ccdproc):
        with warnings.catch_warnings():
            # ccdproc lets numpy and astropy warn of NaN and of columns without a sample.
            warnings.simplefilter("ignore", RuntimeWarning)
            warnings.simplefilter("ignore", AstropyUserWarning)
            answers.append(work(package.Combiner(ccds, dtype=dtype)))
    return answers


def assert_same(ours, theirs, data=FLOAT64, spread=FLOAT64):
    """Two CCDData are the same, but for rounding and for the values under the mask."""
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


def named(given):
    """The name of a parameter; functions of one name come from several modules."""
    return f"{given.__module__}.{given.__name__}" if callable(given) else str(given)


METHODS = ["average_combine", "median_combine", "sum_combine"]
FORMS = {
    "float64": {},
    "float32": {"dtype": np.float32},
    "uint16": {"dtype": np.uint16},
    "int32": {"dtype": np.int32},
    "big-endian": {"dtype": ">f4"},
    "masks": {"masked": 0.3},
    "nearly all masked": {"masked": 0.8},
    "NaN": {"nan": 0.3},
    "masks and NaN": {"masked": 0.2, "nan": 0.2},
    "one image": {"n": 1},
    "two images": {"n": 2, "masked": 0.3},
    "many images": {"n": 40, "masked": 0.3},
    "one row": {"shape": (7,)},
    "3-D": {"shape": (3, 4, 5), "masked": 0.3},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("method", METHODS)
def test_plain_combinations(method, form):
    assert_same(*both(images(**form), lambda combiner: getattr(combiner, method)()))


@pytest.mark.parametrize("masked", [0, 0.3])
@pytest.mark.parametrize("given", [np.float64, np.float32])
@pytest.mark.parametrize("method", METHODS)
def test_float32(method, given, masked):
    ccds = images(1, dtype=given, masked=masked)
    ours, theirs = both(ccds, lambda combiner: getattr(combiner, method)(), dtype=np.float32)
    assert ours.uncertainty.array.dtype == theirs.uncertainty.array.dtype == np.float32
    assert_same(ours, theirs, data=FLOAT32, spread=FLOAT32_SPREAD)


@pytest.mark.parametrize("dtype", [np.int64, np.int16, np.uint8])
@pytest.mark.parametrize("given", [np.float64, np.float32, np.uint16, np.int32])
@pytest.mark.parametrize("method", METHODS)
def test_integers_are_what_the_samples_become_and_the_result(method, given, dtype):
    ccds = images(2, dtype=given, n=2)
    ours, theirs = both(ccds, lambda combiner: getattr(combiner, method)(), dtype=dtype)
    assert_same(ours, theirs)


SCALES = {
    "numbers": [1.5, 0.9, 1.1, 1, 2, 0.4, 1.3, 1, 0.8],
    "function": lambda image: 100 / np.ma.average(image),
}


@pytest.mark.parametrize("form", ["float64", "float32", "uint16", "masks", "3-D"])
@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
@pytest.mark.parametrize("method", METHODS)
def test_scaling(method, scale, form):
    def work(combiner):
        combiner.scaling = scale
        assert combiner.scaling.shape == (N, *(1 for _ in combiner.data_arr.shape[1:]))
        return getattr(combiner, method)()

    assert_same(*both(images(3, **FORMS[form]), work))


@pytest.mark.parametrize("method", METHODS)
def test_scale_to_goes_before_scaling(method):
    def work(combiner):
        combiner.scaling = SCALES["numbers"]
        return getattr(combiner, method)(scale_to=2.5)

    assert_same(*both(images(4, masked=0.3), work))


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(("method", "masked"), [("average_combine", 0), ("sum_combine", 0.3)])
def test_weights(method, masked, scaled, per_sample):
    """Of an average without masks alone: ccdproc divides by the weights of masked samples too."""
    rng = np.random.default_rng(5)

    def work(combiner):
        combiner.weights = weights
        combiner.scaling = SCALES["numbers"] if scaled else None
        return getattr(combiner, method)()

    weights = rng.random((N, *SHAPE) if per_sample else N)
    assert_same(*both(images(5, masked=masked), work))


CLIPS = {
    "minmax": lambda combiner: combiner.minmax_clipping(80, 120),
    "min": lambda combiner: combiner.minmax_clipping(min_clip=80),
    "max": lambda combiner: combiner.minmax_clipping(max_clip=120),
    "minmax nothing": lambda combiner: combiner.minmax_clipping(),
    "extrema": lambda combiner: combiner.clip_extrema(1, 1),
    "extrema low": lambda combiner: combiner.clip_extrema(nlow=3),
    "extrema high": lambda combiner: combiner.clip_extrema(None, 2),
    "extrema nothing": lambda combiner: combiner.clip_extrema(),
    "extrema, minmax": lambda combiner: (
        combiner.clip_extrema(1, 2),
        combiner.minmax_clipping(85, 115),
    ),
    "minmax, extrema": lambda combiner: (
        combiner.minmax_clipping(85, 115),
        combiner.clip_extrema(1, 2),
    ),
}


@pytest.mark.parametrize("masked", [0, 0.3])
@pytest.mark.parametrize("clip", CLIPS.values(), ids=CLIPS)
@pytest.mark.parametrize("method", METHODS)
def test_range_and_rank_clips(method, clip, masked):
    def work(combiner):
        clip(combiner)
        return getattr(combiner, method)()

    assert_same(*both(images(6, masked=masked), work))


@pytest.mark.parametrize("clip", CLIPS.values(), ids=CLIPS)
def test_the_mask_of_all_samples(clip):
    def work(combiner):
        clip(combiner)
        return combiner.data_arr

    ours, theirs = both(images(7, masked=0.3), work)
    np.testing.assert_array_equal(ours.mask, theirs.mask)
    np.testing.assert_array_equal(ours.data, theirs.data)
    assert ours.dtype == theirs.dtype


CENTERS = ["mean", "median", np.ma.mean, np.ma.median, np.nanmedian]
SPREADS = ["std", "mad_std", np.ma.std, mad_std, median_absolute_deviation, np.ptp]


@pytest.mark.parametrize("nan", [0, 0.2])
@pytest.mark.parametrize("spread", SPREADS, ids=named)
@pytest.mark.parametrize("center", CENTERS, ids=named)
def test_sigma_clipping(center, spread, nan):
    """With NaN only where ccdproc's functions skip it; of masked samples it knows nothing."""
    if nan and (callable(spread) or (callable(center) and center is not np.nanmedian)):
        nan = 0
    ccds = images(8, nan=nan, n=20)
    low, high = (0.4, 0.5) if spread is np.ptp else (1.7, 1.9)

    def work(combiner):
        combiner.sigma_clipping(low, high, func=center, dev_func=spread)
        return combiner.data_arr.mask, combiner.average_combine()

    (mask, ours), (their_mask, theirs) = both(ccds, work)
    np.testing.assert_array_equal(mask, their_mask)
    assert mask.any()
    assert_same(ours, theirs)


UNCERTAINTIES = {
    "average_combine": [np.ma.std, np.nanstd, np.nanvar, np.ma.var, np.sum, mad_std],
    "median_combine": [np.nanstd, np.nanvar, np.ma.ptp, ccdproc.sigma_func],
    "sum_combine": [np.ma.std, np.nanstd, np.nanvar, np.sum],
}


@pytest.mark.parametrize(
    ("method", "function"),
    [(m, f) for m, functions in UNCERTAINTIES.items() for f in functions],
    ids=named,
)
def test_uncertainty_functions(method, function):
    """Those that skip NaN with masks, others without: ccdproc calls them with NaN for masked."""
    skips_nan = function in (np.nanstd, np.nanvar, ccdproc.sigma_func)
    ccds = images(9, masked=0.3 if skips_nan else 0)
    assert_same(*both(ccds, lambda combiner: getattr(combiner, method)(uncertainty_func=function)))


def fourth_root_mean(samples, axis):
    """A function of the user, for masked arrays."""
    return np.ma.mean(np.ma.abs(samples) ** 0.25, axis=axis) ** 4


FUNCTIONS = {
    "average_combine": ("scale_func", [np.ma.mean, np.ma.median, fourth_root_mean, np.ma.max]),
    "median_combine": ("median_func", [np.ma.median, np.ma.mean, fourth_root_mean, np.ma.min]),
    "sum_combine": ("sum_func", [np.ma.sum, fourth_root_mean]),
}


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(
    ("method", "keyword", "function"),
    [(m, keyword, f) for m, (keyword, functions) in FUNCTIONS.items() for f in functions],
    ids=named,
)
def test_combining_functions(method, keyword, function, scaled):
    def work(combiner):
        combiner.scaling = SCALES["numbers"] if scaled else None
        return getattr(combiner, method)(**{keyword: function}, uncertainty_func=np.ma.std)

    assert_same(*both(images(10, masked=0.3), work))


def test_a_sum_function_adds_up_what_is_weighted():
    def work(combiner):
        combiner.weights = np.arange(1.0, N + 1)
        doubled = combiner.sum_combine(sum_func=lambda samples, axis: 2 * np.ma.sum(samples, axis))
        mean = combiner.average_combine(sum_func=lambda samples, axis: np.nansum(samples, axis) / 3)
        return doubled, mean

    ours, theirs = both(images(11), work)
    for our, their in zip(ours, theirs, strict=True):
        assert_same(our, their)


def combined(ccds, **options):
    return [package.combine(ccds, **options) for package in (gpustack, ccdproc)]


def assert_same_combined(ours, theirs, spread=FLOAT64):
    """As `assert_same`, for `combine`, which keeps the header of the first image."""
    ours.meta["NCOMBINE"] = theirs.meta["NCOMBINE"] = 0
    assert_same(ours, theirs, spread=spread)


OPTIONS = {
    "default": {},
    "median": {"method": "median"},
    "sum": {"method": "sum"},
    "extrema": {"clip_extrema": True},
    "extrema 2, 1": {"clip_extrema": True, "nlow": 2, "nhigh": 1},
    "minmax": {"minmax_clip": True, "minmax_clip_min": 80, "minmax_clip_max": 120},
    "sigma": {"sigma_clip": True, "sigma_clip_low_thresh": 1.7, "sigma_clip_high_thresh": 1.9},
    "sigma of functions": {
        "sigma_clip": True,
        "sigma_clip_low_thresh": 2,
        "sigma_clip_high_thresh": 2,
        "sigma_clip_func": np.ma.median,
        "sigma_clip_dev_func": mad_std,
    },
    "scale": {"scale": SCALES["numbers"]},
    "scale by function": {"scale": lambda image: 1 / np.median(image)},
    "weights": {"weights": np.arange(1.0, N + 1)},
    "uncertainty": {"combine_uncertainty_function": np.nanvar},
    "limited memory": {"mem_limit": 5000},
    "limited memory, function": {"mem_limit": 5000, "combine_uncertainty_function": np.nanvar},
    "float32 images": {"dtype": np.float64},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_combine(options):
    assert_same_combined(*combined(images(12), **options))


def test_the_clips_of_combine_come_in_ccdprocs_order():
    """Extrema rank the samples that a range would reject: another order, another result."""
    options = {"clip_extrema": True, "minmax_clip": True, "minmax_clip_min": 90}
    assert_same_combined(*combined(images(13), **options))


def test_combine_of_files_keeps_header_and_wcs_of_the_first(real_data):
    files = sorted(str(path) for path in (real_data / "m13_blue").glob("*.fits"))
    ours, theirs = combined(files, unit=u.adu, method="median", clip_extrema=True)
    assert "NCOMBINE" not in ours.header
    stored = {"BSCALE", "BZERO", "COMMENT", "HISTORY", ""}
    assert set(ours.header) - stored == set(theirs.header) - stored
    for keyword in set(ours.header) - stored:
        assert ours.header[keyword] == theirs.header[keyword], keyword
    assert (ours.wcs is None) == (theirs.wcs is None)
    assert_same_combined(ours, theirs, spread=FLOAT32)


def test_combine_of_files_with_celestial_wcs(real_data):
    name = str(real_data / "galactic_center" / "gc_2mass_h.fits")
    ours, theirs = combined([name] * 3, unit=u.adu)
    assert ours.wcs.to_header_string() == theirs.wcs.to_header_string()
    assert_same_combined(ours, theirs)
