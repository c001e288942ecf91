"""The table of docs/ccdproc.md, row by row, run with both packages; files are tested elsewhere."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, VarianceUncertainty
from astropy.wcs import WCS

import gpustack
from ccds import column, rejected
from parity import answer, ccdproc

DOC = Path(__file__).resolve().parents[1] / "docs" / "ccdproc.md"

#: NaN, which is not equal to itself.
NAN = pytest.approx(np.nan, nan_ok=True)


def combined(*samples, masked=(), method="average", dtype=None, **steps):
    """A function of the package that combines one pixel; returns its value and its mask."""

    def work(package):
        combiner = package.Combiner(column(*samples, masked=masked), dtype=dtype)
        for name, given in steps.items():
            if name in ("weights", "scaling"):
                setattr(combiner, name, given)
            else:
                getattr(combiner, name)(*given)
        ccd = getattr(combiner, f"{method}_combine")()
        return ccd.data.item(), bool(ccd.mask.item())

    return work


def clipped(*samples, masked=(), **arguments):
    """A function of the package that returns which samples are masked after a sigma clip."""

    def work(package):
        combiner = package.Combiner(column(*samples, masked=masked))
        combiner.sigma_clipping(func="median", **arguments)
        return rejected(combiner)

    return work


def images(shape, uncertainty=None):
    """Constant images of 1, 2 and 6."""
    return [
        CCDData(np.full(shape, value), unit="adu", uncertainty=uncertainty)
        for value in (1.0, 2.0, 6.0)
    ]


def on_images(shape, method, *given, weights=None):
    """A function of the package that returns the first pixel of the average after a step."""

    def work(package):
        combiner = package.Combiner(images(shape))
        combiner.weights = weights
        getattr(combiner, method)(*given)
        return combiner.average_combine().data.flat[0]

    return work


def changed_later(package):
    ccds = column(1, 3)
    combiner = package.Combiner(ccds)
    ccds[0].data[:] = 9
    return combiner.average_combine().data.item()


def seen_by_scale(package):
    seen = []
    package.combine(column(99, 3, masked=[0]), scale=lambda image: seen.append(image) or 1.0)
    return [isinstance(image, np.ma.MaskedArray) for image in seen]


def scaled_by_the_median(package):
    """The scales of two images of 1, one of which has masked samples of 8 on most of its area."""
    ccds = [CCDData(np.array([[1.0, 8, 8], [1, 8, 1], [8, 8, 1]]), unit="adu") for _ in range(2)]
    ccds[0].mask = ccds[0].data == 8
    ccds[1].data[:] = 1
    seen = []
    package.combine(ccds, scale=lambda image: seen.append(1 / np.median(image)) or seen[-1])
    return seen


def scaled_by_the_data(package):
    combiner = package.Combiner(column(1, 2, 99, masked=[2]))
    combiner.scaling = lambda image: 1 / image.data.max()
    return combiner.scaling[2].item()


def huge_sum(package):
    images = [CCDData(np.full((1, 1), value), unit="adu") for value in (2**53 + 1, 0)]
    return package.combine(images, method="sum", dtype="i8").data.item()


def dtype_seen_by_scale(package):
    seen = []
    ccds = [CCDData(np.ones((2, 2), np.uint16), unit="adu") for _ in range(2)]
    package.combine(ccds, scale=lambda image: seen.append(image.dtype) or 1.0)
    return seen[0]


class Flat(CCDData):
    """A subclass of CCDData, as pipelines define."""


def unit_assigned(package):
    combiner = package.Combiner(images((2, 2)))
    combiner.unit = "electron"
    return combiner.average_combine().unit


def nan_in_data_arr(package):
    return rejected(package.Combiner(column(1, np.nan)))


def without_the_first(package):
    combiner = package.Combiner(column(1, 2, 3))
    combiner.data_arr = combiner.data_arr[1:]
    return combiner.average_combine().data.item()


def median_by_another_name(package):
    combiner = package.Combiner(column(1, 2, 4, 1e6, masked=[3]))
    return combiner.median_combine(lambda array, axis: np.median(array, axis=axis)).data.item()


def all_masked(package):
    ccd = package.Combiner(column(1, 2, masked=[0, 1])).average_combine(np.ma.mean)
    return ccd.data.item(), bool(ccd.mask.item())


def uncertainty_beside_a_function(package):
    ccd = package.Combiner(column(1, 3, 1e6, masked=[2])).average_combine(np.ma.mean)
    return ccd.uncertainty.array.item() < 1


def uncertainty_by_a_masked_function(package):
    combiner = package.Combiner(column(1, 3, 1e6, masked=[2]))
    return combiner.average_combine(uncertainty_func=np.ma.std).uncertainty.array.item()


def with_a_word(package):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    image = CCDData(np.ones((4, 4)), unit="adu", wcs=wcs)
    return "DONE" in package.wcs_project(image, wcs, add_keyword="DONE").header


def scale_by_row(package):
    ccds = images((1, 3))
    return package.Combiner(ccds).average_combine(scale_to=np.array([1.0, 2, 3])).data.tolist()


def float32_uncertainty(package):
    combiner = package.Combiner(column(1, 2, 5), dtype=np.float32)
    combiner.scaling = [1, 2, 3]
    return combiner.average_combine().uncertainty.array.dtype


def variances(package):
    return package.combine(images((2, 2), VarianceUncertainty(np.ones((2, 2))))).uncertainty


def with_a_slip(package):
    """The categories of the warnings about an unknown argument."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        package.combine(images((2, 2)), signma_clip_dev_func=np.ma.std)
    return [warning.category.__name__ for warning in said]


def cards_of_the_old_grid(package):
    """The cards of the old grid that remain in a projected image."""
    cards = {"CD1_1": -1e-3, "CCDSEC": "[1:9,1:9]", "LTV1": 5.0, "CRPIX1A": 3.0}
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    image = CCDData(np.ones((4, 4)), unit="adu", wcs=wcs, header=fits.Header(cards))
    return sorted(set(cards) & set(package.wcs_project(image, wcs).header))


def projected_cube(package):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    return package.wcs_project(CCDData(np.ones((2, 4, 5)), unit="adu", wcs=wcs), wcs).shape


FAR = [*[10, 9, 11, 10.5, 9.5] * 8, -500]
BAD_UNDER_MASK = (10, 10.1, 9.9, 10.05, 9.95, 12, 1e6)
SAMPLE_WEIGHTS = np.array([np.inf, 1, 1]).reshape(3, 1, 1)

#: The row of the document -> (work, the result of ccdproc, the result of gpustack).
#: An exception class stands for raising it.
ROWS = {
    "Infinite samples": (combined(1, 3, np.inf), (np.inf, False), (2, False)),
    "NaN in `data_arr`": (nan_in_data_arr, [], [1]),
    "Masked samples in `sigma_clipping`": (clipped(
        *BAD_UNDER_MASK, masked=[6], low_thresh=2, high_thresh=2), [6], [5, 6]),
    "Earlier clips, `sigma_clipping`": (combined(
        *BAD_UNDER_MASK, minmax_clipping=(None, 1e3), sigma_clipping=(2, 2, "median")),
        (pytest.approx(10 + 1 / 3), False), (pytest.approx(10), False)),
    "Threshold `None`": (clipped(*FAR, low_thresh=None), [40], []),
    "Threshold 0": (clipped(9, 10, 11, low_thresh=0, high_thresh=0), [], [0, 2]),
    "Negative threshold": (clipped(
        -50, 9, 10, 11, 70, low_thresh=-1, high_thresh=-1), [0, 1, 2, 3, 4], [0, 4]),
    "`maxiters`, `axis=0`, `copy`": (clipped(
        -50, 9, 10, 11, 9, 70, maxiters=2, low_thresh=1, high_thresh=1), TypeError, [0, 3, 5]),
    "`grow`": (clipped(1, 2, 3, grow=1), [], ValueError),
    "`sigma_clipping(sigma=...)`": (clipped(1, 2, 90, sigma=1), [], TypeError),
    "`nlow + nhigh` >= n": (combined(1, 2, 3, clip_extrema=(2, 1)), (NAN, True), ValueError),
    "Negative `nlow`": (combined(1, 2, 3, clip_extrema=(-1, 0)), (2, False), ValueError),
    "`min_clip` > `max_clip`": (combined(1, 2, minmax_clipping=(3, 1)), (NAN, True), ValueError),
    "Weights of masked samples, mean": (combined(
        1, 2, 4, masked=[0], weights=np.ones(3)), (2, False), (3, False)),
    "Weighted mean where all is masked": (combined(
        1, 3, masked=[0, 1], weights=np.ones(2)), (0, True), (NAN, True)),
    "Sums of int64 beyond 2^53": (huge_sum, 2**53 + 1, 2**53),
    "All weights 0": (combined(1, 3, weights=np.zeros(2)), (NAN, False), (NAN, True)),
    "Negative weights": (combined(1, 3, weights=np.array([2, -1])), (-1, False), ValueError),
    "Infinite weight of a sample": (combined(
        1, 3, 5, weights=SAMPLE_WEIGHTS), (NAN, False), (4, False)),
    "NaN as the weight of an image": (combined(
        1, 3, 5, weights=np.array([np.nan, 1, 1])), (4, False), ValueError),
    "NaN as a factor": (combined(1, 2, 3, scaling=[1, np.nan, 1]), (2, False), ValueError),
    "`scale_to` of shape (n,)": (scale_by_row, [[3, 6, 9]], [[pytest.approx(23 / 3)] * 3]),
    "`combine(scale=function)`": (
        seen_by_scale, [False] * 2, [True, False]),
    "`combine(scale=...)`, `np.median` of masked images": (
        scaled_by_the_median, [pytest.approx(1 / 8), 1], [1, 1]),
    "Functions for `scaling` or `scale` that take `image.data` or `np.array(image)` of a masked "
    "image": (scaled_by_the_data, 1 / 99, NAN),
    "`combine(scale=...)` of uint16": (dtype_seen_by_scale, np.uint16, np.float64),
    "A factor of 0": (
        lambda package: package.combine(images((2, 2)), scale=[1, 1, 0]).data.flat[0],
        1, ValueError),
    "`combine` of a subclass of CCDData": (
        lambda package: type(package.combine([Flat(image) for image in images((2, 2))])),
        Flat, CCDData),
    "Integer `dtype`, uncertainty": (
        lambda package: package.combine(images((2, 2)), dtype="i4").uncertainty.array.dtype,
        np.int32, np.float64),
    "`Combiner.unit`": (unit_assigned, "electron", AttributeError),
    "NaN with an integer dtype": (
        lambda package: combined(1, np.nan, 3, dtype=np.int32)(package)[0] == 2, False, True),
    "Uncertainty of scaled float32": (float32_uncertainty, np.float64, np.float32),
    "Functions of your own in `average_combine`, `median_combine`, `sum_combine`": (
        median_by_another_name, 3, 2),
    "Functions of your own, where all is masked": (all_masked, (0, True), (NAN, True)),
    "Uncertainty beside a function of your own": (uncertainty_beside_a_function, False, True),
    "`uncertainty_func` that knows masks but not NaN, such as `np.ma.std`": (
        uncertainty_by_a_masked_function, NAN, pytest.approx(0.5**0.5)),
    "Functions of your own that give one number": (
        lambda package: package.Combiner(images((2, 2))).median_combine(
            lambda array, axis: 7.0).data.tolist(),
        ValueError, [[7, 7], [7, 7]]),
    "`min_clip`, `max_clip` as arrays, or NaN": (
        combined(1, 2, 3, minmax_clipping=(np.nan, np.full((1, 1), 2.5))),
        (1.5, False), ValueError),
    "Ties at `clip_extrema`": (combined(
        3, 3, 2, 1, clip_extrema=(0, 1), scaling=[1, 10, 1, 1], method="sum"),
        (33, False), (6, False)),
    "`data_arr` with other images in it": (without_the_first, 2.5, ValueError),
    "Images changed later": (changed_later, 2, 6),
    "Images of one axis": (on_images((3,), "clip_extrema", 1, 0), IndexError, 4),
    "Weights of images of three axes": (on_images(
        (2, 2, 2), "minmax_clipping", weights=np.array([1, 1, 2])), ValueError, 3.75),
    "`combine` of other than two axes": (
        lambda package: package.combine(images((2, 2, 2))).data.flat[0], ValueError, 3),
    "`combine` with sample weights in parts": (
        lambda package: package.combine(
            images((20, 20)), weights=np.ones((3, 20, 20)), mem_limit=20_000).data.flat[0],
        ValueError, 3),
    "`combine` with an argument that neither it nor `CCDData.read` has, such as "
    "`signma_clip_dev_func`": (with_a_slip, [], ["GpustackWarning"]),
    "Images with variances": (
        lambda package: type(variances(package)).__name__,
        "VarianceUncertainty", "StdDevUncertainty"),
    "`wcs_project`, cards of the old grid": (
        cards_of_the_old_grid, ["CCDSEC", "CD1_1", "CRPIX1A", "LTV1"], []),
    "`wcs_project`, `add_keyword`": (with_a_word, True, ValueError),
    "`wcs_project` of a cube": (projected_cube, (2, 4, 5), ValueError),
}  # fmt: skip


def assert_is(got, expected):
    if isinstance(expected, type) and issubclass(expected, Exception):
        assert isinstance(got, expected)
    else:
        assert got == expected


def clipped_in_a_loop(package):
    """The number of masked samples after each pass of the loop in ccdproc's documentation."""
    combiner = package.Combiner(column(*BAD_UNDER_MASK))
    counts = [0]
    while len(counts) < 2 or counts[-1] > counts[-2]:
        combiner.sigma_clipping(low_thresh=2, high_thresh=2)
        counts.append(int(combiner.data_arr.mask.sum()))
    return counts


def test_a_loop_of_sigma_clips():
    assert clipped_in_a_loop(ccdproc) == [0, 1, 1]
    assert clipped_in_a_loop(gpustack) == [0, 1, 2, 2]
    at_once = clipped(*BAD_UNDER_MASK, low_thresh=2, high_thresh=2, maxiters=None)
    assert at_once(gpustack) == [5, 6]


@pytest.mark.parametrize("row", ROWS)
def test_rows_of_the_document(row):
    work, theirs, ours = ROWS[row]
    assert_is(answer(work, gpustack), ours)
    assert_is(answer(work, ccdproc), theirs)
    assert f"\n| {row} |" in DOC.read_text()
