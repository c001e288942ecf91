"""The samples of a Combiner: reading them has no effect, and changes to them are used."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy.nddata import CCDData
from hypothesis import given
from hypothesis import strategies as st

from ccds import column, rejected, sky
from gpustack import Combiner
from gpustack.combiner.recorder import CAST_MEMORY

#: About ten float64 numbers summed in another order.
ROUNDING = 1e-12


def test_the_samples_of_all_images():
    images = sky()
    combiner = Combiner(images)
    assert combiner.data_arr.dtype == combiner.data.dtype == np.float64
    assert type(combiner.data) is type(combiner.mask) is np.ndarray
    np.testing.assert_array_equal(combiner.data, [image.data for image in images])
    np.testing.assert_array_equal(combiner.mask, [image.mask for image in images])
    assert not np.shares_memory(combiner.data, images[0].data)


def test_samples_are_masked_where_invalid():
    combiner = Combiner(column(1, np.nan, np.inf, 2, masked=[3]))
    assert rejected(combiner) == [1, 2, 3]


def test_the_array_stays_the_same_one():
    combiner = Combiner(column(1, 2, 3, 50))
    samples = combiner.data_arr
    combiner.minmax_clipping(max_clip=10)
    assert samples is combiner.data_arr
    assert samples.mask[:, 0, 0].tolist() == [False, False, False, True]


CHANGES = {
    "mask of the array": lambda combiner: combiner.data_arr.mask.__setitem__(2, True),
    "mask of an image": lambda combiner: combiner.data_arr[2].mask.__setitem__(..., True),
    "masked": lambda combiner: combiner.data_arr.__setitem__(2, np.ma.masked),
    "NaN": lambda combiner: combiner.data_arr.__setitem__(2, np.nan),
    "mask": lambda combiner: combiner.mask.__setitem__(2, True),
    "data": lambda combiner: combiner.data.__setitem__(2, np.nan),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changes_in_place_count(change):
    combiner = Combiner(column(1, 3, 50, 900))
    combiner.minmax_clipping(max_clip=100)
    change(combiner)
    assert combiner.average_combine().data == 2
    assert combiner.median_combine().data == 2
    assert combiner.sum_combine().data == 4
    combiner.clip_extrema(nlow=1)
    assert combiner.average_combine().data == 3


def test_samples_that_are_put_in():
    combiner = Combiner(column(1, 3, 50, 900), dtype=np.float32)
    combiner.minmax_clipping(max_clip=100)
    combiner.data_arr = np.ma.masked_equal(np.array([5.0, 7, 9, 50]).reshape(4, 1, 1), 50)
    assert combiner.data_arr.dtype == np.float32
    assert combiner.average_combine().data == 7
    combiner.data_arr = np.array([5, 7, 9, 51]).reshape(4, 1, 1)
    assert combiner.average_combine().data == 18
    combiner.minmax_clipping(max_clip=50)
    combiner.data = np.array([5, 7, 9, 700]).reshape(4, 1, 1)
    assert combiner.average_combine().data == 7
    combiner.mask = False
    assert combiner.median_combine().data == 8
    combiner.mask = np.array([1, 0, 0, 1]).reshape(4, 1, 1)
    assert combiner.median_combine().data == 8


def test_clips_from_before_do_not_run_on_samples_that_are_put_in():
    combiner = Combiner(column(1, 2, 3))
    combiner.minmax_clipping(max_clip=6)
    combiner.data_arr = np.array([5.0, 7, 9]).reshape(3, 1, 1)
    assert combiner.average_combine().data == 7


def test_long_rows_that_are_cast_have_room():
    recorder = Combiner(column(1, 2), dtype=np.int16)._recorder
    assert recorder._room([SimpleNamespace(row_bytes=4)]) == CAST_MEMORY
    assert recorder._room([SimpleNamespace(row_bytes=CAST_MEMORY)] * 2) >= 4 * 2 * CAST_MEMORY


def test_samples_of_another_shape():
    combiner = Combiner(column(1, 2))
    with pytest.raises(ValueError, match=r"expected shape \(2, 1, 1\), got \(3, 1, 1\)"):
        combiner.data_arr = np.ones((3, 1, 1))


STEPS = {
    "minmax": lambda combiner: combiner.minmax_clipping(85, 150),
    "extrema": lambda combiner: combiner.clip_extrema(1, 2),
    "sigma": lambda combiner: combiner.sigma_clipping(1.7, 1.9),
    "robust": lambda combiner: combiner.sigma_clipping(2, 3, "median", "mad_std", maxiters=None),
    "function": lambda combiner: combiner.sigma_clipping(2, 2, dev_func=np.ptp),
    "read": lambda combiner: combiner.data_arr,
}


@given(
    steps=st.lists(st.sampled_from(sorted(STEPS)), max_size=5),
    reads=st.integers(0, 5),
    dtype=st.sampled_from(["f8", "f4", "f2", "i4", "u1"]),
    given=st.sampled_from(["f8", "f4", "u2"]),
    method=st.sampled_from(["average_combine", "median_combine", "sum_combine"]),
    scale=st.booleans(),
)
def test_looking_at_the_samples_changes_nothing(steps, reads, dtype, given, method, scale):
    images = [CCDData(i.data.astype(given), unit="adu", mask=i.mask) for i in sky()]
    blind, looking = (Combiner(images, dtype=dtype) for _ in range(2))
    for number, step in enumerate(steps):
        STEPS[step](blind)
        if number == reads:
            STEPS["read"](looking)
        STEPS[step](looking)
    results = [getattr(c, method)(scale_to=1.1 if scale else None) for c in (blind, looking)]
    one, other = results
    np.testing.assert_array_equal(one.mask, other.mask)
    rounding = max(ROUNDING, np.finfo(dtype).eps if dtype[0] == "f" else 0)
    np.testing.assert_allclose(one.data, other.data, rtol=rounding)
    np.testing.assert_allclose(
        one.uncertainty.array, other.uncertainty.array, rtol=rounding, atol=rounding
    )
    np.testing.assert_array_equal(blind.mask, looking.mask)


@pytest.mark.parametrize("mask", [[True, False], np.ones((2, 2), bool), np.ones((1, 1), bool)])
def test_a_mask_of_another_shape(mask):
    combiner = Combiner(column(1, 2))
    with pytest.raises(ValueError, match=r"mask: expected shape \(2, 1, 1\), got"):
        combiner.mask = mask
    assert not combiner.mask.any()


def test_values_that_are_none_of_an_image():
    combiner = Combiner(column(1, 2))
    with pytest.raises(ValueError, match="expected real numbers, got complex128"):
        combiner.data_arr = np.ones((2, 1, 1), complex)
    with pytest.raises(ValueError, match=r"expected shape \(2, 1, 1\), got \(2, 1\)"):
        combiner.data = np.ones((2, 1))
