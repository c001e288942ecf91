"""The Combiners of ccdproc and gpustack give the same results where ccdproc is right."""

import numpy as np
import pytest
from astropy.stats import mad_std, median_absolute_deviation

from parity import FLOAT32, FLOAT32_SPREAD, SCALES, SHAPE, N, assert_same, both, ccdproc, images


def named(given):
    """The id of a parameter; with the module for functions, because their names repeat."""
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


@pytest.mark.parametrize("form", ["float64", "float32", "uint16", "masks", "3-D"])
@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
@pytest.mark.parametrize("method", METHODS)
def test_scaling(method, scale, form):
    ccds = images(3, **FORMS[form])

    def work(combiner):
        combiner.scaling = scale
        assert combiner.scaling.shape == (N, *(1 for _ in ccds[0].shape))
        return getattr(combiner, method)()

    assert_same(*both(ccds, work))


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
    """An average only without masks: ccdproc divides by the weights of masked samples too."""
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


#: With NaN only where ccdproc's functions skip it.
SKIP_NAN = [(c, s) for c in ("mean", "median", np.nanmedian) for s in ("std", "mad_std")]


@pytest.mark.parametrize(
    ("center", "spread", "nan"),
    [(c, s, 0) for c in CENTERS for s in SPREADS] + [(c, s, 0.2) for c, s in SKIP_NAN],
    ids=named,
)
def test_sigma_clipping(center, spread, nan):
    """Without masks, which ccdproc ignores here."""
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
    """With masks only for functions that skip NaN: ccdproc replaces masked samples by NaN."""
    skips_nan = function in (np.nanstd, np.nanvar, ccdproc.sigma_func)
    ccds = images(9, masked=0.3 if skips_nan else 0)
    assert_same(*both(ccds, lambda combiner: getattr(combiner, method)(uncertainty_func=function)))


def fourth_root_mean(samples, axis):
    """A user-defined statistic for masked arrays."""
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
