"""The oracle against answers written out by hand, one column of samples at a time."""

import math

import numpy as np

from gpustack.clips import ExtremaClip, RangeClip, SigmaClip
from gpustack.combines import METHODS, NoiseModel
from gpustack.recipe import Recipe
from oracle import solve
from oracle_statistics import is_close, ulp
from stacks import plain

NAN = math.nan


def column(*values, masks=None, dtype="f8", **recipe):
    """The oracle's answer for one pixel with these samples."""
    data = np.array(values, dtype).reshape(-1, 1, 1)
    masks = None if masks is None else np.array(masks, bool).reshape(-1, 1, 1)
    return solve(plain(data, masks), Recipe(**recipe))


def kept(answer):
    """The frames that survive in a one-pixel answer."""
    return np.flatnonzero(~answer.marks[:, 0, 0]).tolist()


def test_one_outlier_in_eleven_is_at_most_root_ten_sigma():
    values = [0.0] * 10 + [11.0]  # mean 1, std sqrt(10): the outlier is at 3.16 sigma
    assert kept(column(*values, clips=[SigmaClip(3.1, 3.1, "mean")])) == list(range(10))
    assert kept(column(*values, clips=[SigmaClip(3.2, 3.2, "mean")])) == list(range(11))
    # With ddof 1 the std is sqrt(11): 3.015 sigma.
    assert kept(column(*values, clips=[SigmaClip(3.1, 3.1, "mean", ddof=1)])) == list(range(11))


def test_std_is_about_the_mean_where_the_center_is_the_median():
    # Median 1, mean 3. Squares about the mean are 9 4 4 4 81, std sqrt(102 / 5): 12 is 2.44 std
    # from the median. With squares about the median, 1 0 0 0 121, it would be 2.23.
    values = [0.0, 1.0, 1.0, 1.0, 12.0]
    assert kept(column(*values, clips=[SigmaClip(2.3, 2.3, maxiters=1)])) == [0, 1, 2, 3]
    assert kept(column(*values, clips=[SigmaClip(2.5, 2.5, maxiters=1)])) == [0, 1, 2, 3, 4]


def test_passes_are_counted():
    # With thresholds of 1.4, each pass rejects only the largest outlier.
    values = [0.0, 1.0, 2.0, 3.0, 10.0, 100.0, 1000.0]
    survivors = {1: 6, 2: 5, 3: 4, None: 4}
    for maxiters, count in survivors.items():
        answer = column(*values, clips=[SigmaClip(1.4, 1.4, "mean", maxiters=maxiters)])
        assert (answer.count[0, 0], answer.high[0, 0]) == (count, 7 - count)


def test_thresholds_of_none_and_infinity_reject_nothing():
    values = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -50.0, 90.0]
    for side in (None, math.inf):
        assert kept(column(*values, clips=[SigmaClip(side, side)])) == list(range(8))
        assert kept(column(*values, clips=[SigmaClip(side, 1.0, maxiters=1)])) == list(range(7))
        only_low = [SigmaClip(1.0, side, maxiters=1, spread="mad_std")]
        assert kept(column(*values, clips=only_low)) == [0, 1, 2, 3, 4, 5, 7]


def test_no_more_samples_than_ddof_reject_nothing():
    answer = column(1.0, 9.0, clips=[SigmaClip(0.1, 0.1, ddof=2)])
    assert kept(answer) == [0, 1]
    answer = column(1.0, 9.0, clips=[SigmaClip(0.1, 0.1, ddof=1)])
    assert (kept(answer), answer.low[0, 0], answer.high[0, 0]) == ([], 1, 1)


def test_range_bounds_belong_to_the_range():
    answer = column(1.0, 2.0, 3.0, 4.0, 5.0, clips=[RangeClip(2, 4)])
    assert (kept(answer), answer.low[0, 0], answer.high[0, 0]) == ([1, 2, 3], 1, 1)
    assert not answer.close.any()
    assert column(0.1, dtype="f4", clips=[RangeClip(0.1)]).close.all()


def test_range_looks_at_values_before_scale_and_zero():
    numbers = {"scale": [10, 10, 10], "zero": [1, 1, 1]}
    answer = column(1.0, 2.0, 3.0, clips=[RangeClip(2, 3)], **numbers)
    assert kept(answer) == [1, 2]
    assert answer.data[0, 0] == 15


def test_clip_on_raw_judges_before_and_combines_after_normalising():
    values = [1.0, 1.0, 1.0, 1.0, 9.0]
    numbers = {"scale": [1, 1, 1, 1, 1 / 9]}
    clips = [ExtremaClip(0, 1)]
    assert kept(column(*values, clips=clips, clip_on="raw", **numbers)) == [0, 1, 2, 3]
    tilted = {"scale": [5, 1, 1, 1, 1 / 9]}
    assert kept(column(*values, clips=clips, **tilted)) == [1, 2, 3, 4]
    assert column(*values, clips=clips, clip_on="raw", **tilted).data[0, 0] == 2


def test_equal_samples_rank_by_frame():
    values = [5.0, 5.0, 5.0, 5.0]
    assert kept(column(*values, clips=[ExtremaClip(1, 1)])) == [1, 2]
    assert kept(column(0.0, -0.0, 0.0, clips=[ExtremaClip(1, 1)])) == [1]


def test_too_few_samples_for_the_extrema_leave_none():
    answer = column(3.0, NAN, 1.0, clips=[ExtremaClip(2, 1)])
    assert (answer.count[0, 0], answer.low[0, 0], answer.high[0, 0]) == (0, 2, 0)
    answer = column(3.0, NAN, 1.0, clips=[ExtremaClip(1, 2)])
    assert (answer.count[0, 0], answer.low[0, 0], answer.high[0, 0]) == (0, 1, 1)
    assert answer.mask[0, 0]


def test_extrema_among_all_rank_masked_samples_too():
    clips = [ExtremaClip(1, 1, "all")]
    answer = column(1.0, 2.0, 3.0, 9.0, masks=[1, 0, 0, 0], clips=clips)
    assert (kept(answer), answer.low[0, 0], answer.high[0, 0]) == ([1, 2], 0, 1)
    assert kept(column(1.0, 2.0, 3.0, NAN, clips=clips)) == [1, 2]  # NaN is the highest
    assert kept(column(1.0, 2.0, -math.inf, 3.0, math.inf, clips=clips)) == [0, 1, 3]
    assert kept(column(1.0, 2.0, NAN, math.inf, clips=[ExtremaClip(0, 1, "all")])) == [0, 1]


def test_a_second_clip_sees_the_survivors_of_the_first():
    answer = column(1.0, 2.0, 3.0, 4.0, 90.0, clips=[RangeClip(None, 50), ExtremaClip(0, 1)])
    assert (kept(answer), answer.low[0, 0], answer.high[0, 0]) == ([0, 1, 2], 0, 2)


def test_invalid_samples_enter_nothing():
    values = [NAN, math.inf, -math.inf, 7.0, 5.0]
    answer = column(*values, masks=[0, 0, 0, 0, 1])
    assert (answer.data[0, 0], answer.count[0, 0]) == (7, 1)
    assert answer.uncertainty[0, 0] == 0
    assert answer.valid.tolist() == [0, 0, 0, 1, 0]
    assert answer.rejected.tolist() == [0, 0, 0, 0, 0]


def test_a_column_of_nothing():
    for combine in METHODS:
        answer = column(NAN, NAN, combine=combine)
        assert answer.mask[0, 0]
        assert answer.count[0, 0] == 0
        assert np.isnan(answer.uncertainty[0, 0])
        np.testing.assert_equal(answer.data[0, 0], 0 if combine == "sum" else NAN)


def test_medians_of_an_even_number():
    wanted = {"median": (1.5, 2.5), "lower_median": (1, 2), "lmedian": (1, 2.5)}
    for combine, (of_two, of_four) in wanted.items():
        assert column(2.0, NAN, 1.0, combine=combine).data[0, 0] == of_two
        assert column(4.0, 2.0, 1.0, 3.0, combine=combine).data[0, 0] == of_four
        assert column(3.0, 2.0, 1.0, combine=combine).data[0, 0] == 2


def test_standard_deviations_add_in_quadrature():
    assert column(3.0, 4.0, combine="quadrature").data[0, 0] == 2.5
    assert column(3.0, -4.0, 90.0, clips=[RangeClip(None, 50)], combine="quadrature").data == 2.5
    answer = column(3.0, 2.0, 90.0, combine="quadrature", weights=[1, 2, 0])
    assert (answer.data[0, 0], answer.count[0, 0]) == (5 / 3, 3)


def test_a_noise_model_takes_the_samples_as_they_are():
    # Variances in electrons: 4 and 36 of shot noise (gain 4), none below 0, and 4^2 of read noise;
    # snoise adds 0.5 of each value.
    model = NoiseModel(rdnoise=4, gain=4, snoise=0.5)
    variance = [(16 + 4) / 16 + 0.25, (16 + 36) / 16 + 81 / 4, 1.0]
    values = [1.0, 9.0, -50.0]
    truth = math.sqrt(sum(variance)) / 3
    assert math.isclose(column(*values, combine=model).data[0, 0], truth)
    # The noise is scaled like the samples; zeros have no effect.
    scaled = column(*values, combine=model, scale=[-2] * 3, zero=[7] * 3)
    assert math.isclose(scaled.data[0, 0], 2 * truth)
    weighted = column(*values, combine=model, weights=[2, 0, 3])
    assert math.isclose(weighted.data[0, 0], math.sqrt(4 * variance[0] + 9 * variance[2]) / 5)


def test_weights_of_the_survivors_alone():
    answer = column(1.0, 2.0, 90.0, weights=[1, 3, 5], clips=[RangeClip(None, 50)])
    assert answer.data[0, 0] == 7 / 4
    answer = column(1.0, 2.0, 90.0, weights=[1, 3, 5], clips=[RangeClip(None, 50)], combine="sum")
    assert answer.data[0, 0] == 7
    answer = column(1.0, 2.0, 90.0, weights=[0, 0, 5], clips=[RangeClip(None, 50)])
    assert np.isnan(answer.data[0, 0])
    assert (answer.mask[0, 0], answer.count[0, 0]) == (True, 2)


def test_fits_integers_are_decoded():
    data = np.array([-32768, -32767, 0, 32767], ">i2").reshape(4, 1, 1)
    answer = solve(plain(data, bzero=32768.0, blank=-32768), Recipe(combine="median"))
    assert answer.data.dtype == np.float32
    assert (answer.data[0, 0], answer.count[0, 0]) == (32768, 3)
    assert answer.valid.tolist() == [0, 1, 1, 1]


def test_types_of_results():
    types = {"u1": "f4", "i2": "f4", "f2": "f4", "f4": "f4", "i4": "f8", "i8": "f8", "f8": "f8"}
    for given, working in types.items():
        assert column(1, dtype=given).data.dtype == working
    mixed = plain(np.ones((1, 1, 1), "u2")) + plain(np.ones((1, 1, 1), "i4"))
    assert solve(mixed, Recipe()).data.dtype == "f8"
    assert solve(mixed, Recipe(dtype="float32")).data.dtype == "f4"


def test_constant_columns_have_no_spread():
    # 0.1 + 0.1 + 0.1 differs from 3 * 0.1 in floating point; this must not reject a sample.
    for n in range(1, 12):
        for center in ("mean", "median"):
            answer = column(*[0.1] * n, clips=[SigmaClip(0.0, 0.0, center)])
            assert (answer.count[0, 0], answer.uncertainty[0, 0]) == (n, 0)
            assert not answer.close.any()


def test_close_is_four_units_in_the_last_place():
    for dtype in (np.dtype("f4"), np.dtype("f8")):
        for value in (1.0, 1.5, 3e-30, 1e30, float(np.finfo(dtype).smallest_subnormal)):
            assert ulp(value, dtype) == np.spacing(dtype.type(value))
        assert is_close(1 + 4 * ulp(1.0, dtype), 1.0, dtype)
        assert not is_close(1 + 5 * ulp(1.0, dtype), 1.0, dtype)
        assert not is_close(1.0, math.inf, dtype)
