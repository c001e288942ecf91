"""Every backend on columns with known answers; see also `test_every_recipe`."""

import os
from dataclasses import replace

import numpy as np
import pytest

from answers import FRAMES, on, samples, stacks_of
from bands import MEMORY, BandSource, widest
from gpustack.backends.base import Outputs, Samples
from gpustack.backends.cpu import CpuBackend
from gpustack.clips import (
    ESDClip,
    ExtremaClip,
    LinearFitClip,
    PercentileRankClip,
    RangeClip,
    SigmaClip,
)
from gpustack.recipe import Recipe
from oracle import solve
from recipes import RECIPES, recipe
from stacks import outputs, plain, run, sky, some, stack
from tolerances import IMAGES, MAPS, assert_agrees, assert_same_bits


@pytest.mark.parametrize("output", MAPS)
@pytest.mark.parametrize("name", ["median", "everything", "extrema-all", "raw-weighted"])
def test_one_output_alone_is_the_same(backend, name, output):
    asked = recipe(name, FRAMES)
    band = stack("masked", FRAMES, asked)
    full = run(backend, band, asked)
    alone = Outputs(**{output: getattr(outputs(band, asked), output)})
    backend.run(band, asked, alone)
    assert_same_bits(alone, full, (output,))


@pytest.mark.parametrize("name", ["median", "everything", "extrema-all"])
def test_tallies_alone_are_the_same(backend, name):
    asked = recipe(name, FRAMES)
    band = stack("masked", FRAMES, asked)
    full = run(backend, band, asked)
    alone = Outputs(valid=np.full(FRAMES, 1000), rejected=np.full(FRAMES, 2000))
    backend.run(band, asked, alone)
    np.testing.assert_array_equal(alone.valid, full.valid + 1000)
    np.testing.assert_array_equal(alone.rejected, full.rejected + 2000)


class Threaded(CpuBackend):
    """The CPU backend as the engine uses it, with threads."""

    def run(self, band, recipe, out):
        self.stream(BandSource(band, widest(band)), recipe, out, MEMORY)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_large_stack_is_that_of_numpy(threads):
    # Large enough to be cut into tiles and shared among threads.
    backend = Threaded(threads)
    data = np.random.default_rng(0).normal(100, 8, (7, 300, 1001)).astype("f4")
    got = run(backend, plain(data), Recipe(combine="median"))
    np.testing.assert_array_equal(got.data, np.median(data, axis=0))
    clips = [RangeClip(85, 115), ExtremaClip(1, 1)]
    got = run(backend, plain(data), Recipe(clips=clips))
    inside = np.sort(np.where((data >= 85) & (data <= 115), data, np.nan), axis=0)
    count = np.isfinite(inside).sum(axis=0) - 2
    np.testing.assert_array_equal(got.count, np.maximum(count, 0))
    inside[0] = np.nan
    np.put_along_axis(inside, count[None] + 1, np.nan, axis=0)
    some_left = count > 0
    expected = np.nanmean(inside[:, some_left], axis=0, dtype=float)
    np.testing.assert_allclose(got.data[some_left], expected, rtol=1e-6)


def test_threads_are_as_many_as_the_cores_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 5}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert CpuBackend().threads == 2


def test_no_pixels(backend):
    for shape in ((0, 7), (5, 0), (0, 0)):
        got = run(backend, plain(np.zeros((3, *shape), "f4")), recipe("everything", 3))
        assert got.data.shape == shape
        assert got.valid.tolist() == [0, 0, 0]


# Columns whose answers are written out by hand, independent of the oracle.

NAN = np.nan
SOLE = 1.482602218505602


@pytest.mark.parametrize(
    ("values", "combine", "data", "uncertainty"),
    [
        ([NAN, NAN, NAN], "mean", NAN, NAN),
        ([NAN, NAN, NAN], "median", NAN, NAN),
        ([NAN, NAN, NAN], "sum", 0, NAN),
        ([NAN, NAN, NAN], "min", NAN, None),
        ([NAN, NAN, NAN], "max", NAN, None),
        ([NAN, 3, NAN], "mean", 3, 0),
        ([NAN, 3, NAN], "median", 3, 0),
        ([NAN, 3, NAN], "sum", 3, 0),
        ([NAN, 3, NAN], "min", 3, None),
        ([5, NAN, 3], "mean", 4, 1 / np.sqrt(2)),
        ([5, NAN, 3], "median", 4, SOLE / np.sqrt(2)),
        ([5, NAN, 3], "sum", 8, np.sqrt(2)),
        ([5, NAN, 3], "min", 3, None),
        ([5, NAN, 3], "max", 5, None),
        ([0, -0.0, 0], "median", 0, 0),
        ([-0.0, -0.0, -0.0], "min", 0, None),
        ([-0.0, -0.0, -0.0], "mean", 0, 0),
    ],
)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_none_one_and_two_survivors(backend, dtype, values, combine, data, uncertainty):
    band = plain(np.array(values, dtype).reshape(-1, 1, 1))
    got = run(backend, band, Recipe(combine=combine))
    np.testing.assert_array_equal(got.data[0, 0], dtype_of(got)(data))
    assert not np.signbit(got.data[0, 0]) or data != 0
    if uncertainty is not None:
        np.testing.assert_allclose(got.uncertainty[0, 0], uncertainty, rtol=1e-6)
    count = int(np.isfinite(values).sum())
    assert (got.count[0, 0], got.mask[0, 0]) == (count, count == 0)
    assert (got.low[0, 0], got.high[0, 0]) == (0, 0)


def dtype_of(got):
    return got.data.dtype.type


def test_ties_go_by_frame(backend):
    data = np.full((5, 1, 4), 7, "f4")
    got = run(backend, plain(data), Recipe(clips=[ExtremaClip(2, 1)]))
    for pixel in range(4):
        assert got.marks[:, 0, pixel].tolist() == [True, True, False, False, True]


@pytest.mark.parametrize(("clip_on", "lost"), [("raw", True), ("normalized", False)])
def test_ranks_among_all_frames_are_of_what_clips_see(backend, clip_on, lost):
    # The masked sample is the lowest after normalisation only.
    band = plain(np.array([1, 2, 3, 4], "f4").reshape(4, 1, 1))
    band[2] = replace(band[2], mask=np.array([[True]]))
    clips = [ExtremaClip(1, 0, "all")]
    got = run(backend, band, Recipe(clips, scale=(1, 1, -1, 1), clip_on=clip_on))
    assert got.rejected.tolist() == [lost, 0, 0, 0]


def test_a_range_keeps_its_bounds(backend):
    data = np.array([1, 2, 3, 4, 5], "f4").reshape(5, 1, 1)
    got = run(backend, plain(data), Recipe(clips=[RangeClip(2, 4)]))
    assert got.marks[:, 0, 0].tolist() == [True, False, False, False, True]
    assert (got.low[0, 0], got.high[0, 0]) == (1, 1)


def test_bounds_at_a_rank_reject_what_lies_on_them(backend):
    for dtype in ("f4", "f8"):
        data = np.array([1, 2, 3, 4, 5], dtype).reshape(5, 1, 1)
        got = run(backend, plain(data), Recipe(clips=[PercentileRankClip(1, 1, rank=1)]))
        assert got.marks[:, 0, 0].tolist() == [True, True, False, True, True]


def test_a_share_of_outliers_is_not_one_less_for_rounding(backend):
    # 0.29 * 100 is a little less than 29.
    data = np.append(np.linspace(0, 1, 71), 10.0 ** np.arange(1, 30)).reshape(100, 1, 1)
    got = run(backend, plain(data), Recipe(clips=[ESDClip(0.29, 0.05)]))
    assert (got.count[0, 0], got.high[0, 0]) == (71, 29)


@pytest.mark.parametrize("center", ["mean", "median"])
@pytest.mark.parametrize("n", [3, 7, 10, 130])
def test_constant_columns_lose_nothing(backend, n, center):
    data = np.full((n, 2, 3), 0.1, "f8")
    got = run(backend, plain(data), Recipe(clips=[SigmaClip(0.0, 0.0, center)]))
    assert (got.count == n).all()
    assert (got.data == 0.1).all()
    assert (got.uncertainty == 0).all()


def test_samples_that_are_on_a_line_but_for_rounding_lose_nothing(backend):
    data = np.arange(7).reshape(7, 1, 1) * 0.1
    assert run(backend, plain(data), Recipe(clips=[LinearFitClip(0.5, 0.5)])).count[0, 0] == 7


@pytest.mark.parametrize("center", ["mean", "median"])
def test_no_more_samples_than_ddof_lose_nothing(backend, center):
    data = np.array([1, 9, 5, NAN], "f4").reshape(4, 1, 1)
    for ddof, count in ((3, 3), (2, 1)):
        clip = SigmaClip(0.1, 0.1, center, maxiters=1, ddof=ddof)
        assert run(backend, plain(data), Recipe(clips=[clip])).count[0, 0] == count


def test_what_lies_under_a_mask_never_shows(backend):
    # Including weights: those of masked samples may have any value.
    data, masks = sky(6).astype("f4"), some(6)
    weights = np.ones(data.shape, "f4")
    asked = Recipe(weights="sample", clips=[SigmaClip(1.9, 2.3)])
    clean = run(backend, [Samples(*p) for p in zip(data, masks, weights, strict=True)], asked)
    for wild in (NAN, np.inf, -3e38, 0, 1e-42):
        data[masks] = wild
        weights[masks] = wild
        got = run(backend, [Samples(*p) for p in zip(data, masks, weights, strict=True)], asked)
        assert_same_bits(got, clean)


def test_a_sample_without_weight_does_not_show(backend):
    for wild in (1e20, -1e20):
        for values in ([1, wild], [wild, 1], [wild, 1, wild]):
            weights = [float(value == 1) for value in values]
            data = np.array(values, "f8").reshape(-1, 1, 1)
            for combine in ("mean", "sum"):
                got = run(backend, plain(data), Recipe(combine=combine, weights=weights))
                assert got.data[0, 0] == 1


def test_weights_that_sum_to_nothing_mask_the_pixel(backend):
    data = np.array([[[1.0, 1.0]], [[2.0, NAN]]], "f4")
    for combine, empty in (("mean", NAN), ("sum", 0)):
        got = run(backend, plain(data), Recipe(combine=combine, weights=[0, 1]))
        np.testing.assert_array_equal(got.data, np.array([[2, empty]], "f4"))
        assert got.mask.tolist() == [[False, True]]
        assert got.count.tolist() == [[2, 1]]


WEIGHTED = [name for name in RECIPES if recipe(name, FRAMES).weights is not None]


@pytest.mark.parametrize("name", WEIGHTED)
def test_no_bit_depends_on_whether_reasons_are_wanted(backend, name):
    asked = recipe(name, FRAMES)
    # Every second stack: how weights are summed depends on the recipe and hardly on the values.
    for stack_name in list(stacks_of(name))[WEIGHTED.index(name) % 2 :: 2]:
        with on(stack_name):
            assert_same_without_reasons(backend, samples(name, stack_name, FRAMES), asked)


def assert_same_without_reasons(backend, band, asked):
    whole, out = run(backend, band, asked), outputs(band, asked)
    out.reasons = None
    backend.run(band, asked, out)
    assert_same_bits(whole, out, IMAGES)
    np.testing.assert_array_equal(whole.valid, out.valid)
    np.testing.assert_array_equal(whole.rejected, out.rejected)


@pytest.mark.parametrize("clips", [(), (SigmaClip(1.5, 1.5, "mean"),)])
def test_a_frame_that_does_not_reach_a_tile_weighs_nothing_there(backend, clips):
    asked = Recipe(clips, weights=(1.0, 2.0, 3.0, 4.0))
    data = [*np.random.default_rng(5).normal(100, 5, (3, 4, 11)).astype("f4")]
    nothing = np.broadcast_to(np.float32(np.nan), (4, 11))
    band = [Samples(one) for one in (data[0], nothing, *data[1:])]
    assert_agrees(run(backend, band, asked), solve(band, asked), "mean")
    assert_same_without_reasons(backend, band, asked)


def test_the_largest_integers_are_exact(backend):
    for dtype in ("u1", "i1", "i2", "u2"):
        info = np.iinfo(dtype)
        values = np.array([info.min, info.max, info.max - 1], dtype).reshape(3, 1, 1)
        got = run(backend, plain(values), Recipe(combine="max"))
        assert got.data[0, 0] == info.max
        assert run(backend, plain(values), Recipe(combine="min")).data[0, 0] == info.min
    values = np.array([2**53 - 1, 2**53 - 3, 5], "i8").reshape(3, 1, 1)
    assert run(backend, plain(values), Recipe(combine="median")).data[0, 0] == 2**53 - 3


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "u8"])
def test_the_ends_of_a_type_may_be_blank(backend, dtype):
    ends = np.iinfo(dtype).min, np.iinfo(dtype).max
    values = np.array([ends[0], 5, ends[1]], dtype).reshape(3, 1, 1)
    for blank, valid in zip(ends, ([0, 1, 1], [1, 1, 0]), strict=True):
        assert run(backend, plain(values, blank=blank), Recipe()).valid.tolist() == valid


def test_a_blank_is_invalid_beside_frames_of_other_types(backend):
    band = [Samples(np.array([[7, 9]], "i2"), blank=7), Samples(np.array([[1, 2]], "f4"))]
    got = run(backend, band, Recipe())
    assert got.valid.tolist() == [1, 2]
    assert got.data.tolist() == [[1, 5.5]]


@pytest.mark.parametrize("clip_on", ["normalized", "raw"])
def test_a_sample_that_normalising_makes_infinite_is_invalid(backend, clip_on):
    data = np.array([1, 2, -3e38, 3e38], "f4").reshape(4, 1, 1)
    for combine in ("mean", "median", "sum", "min", "max"):
        recipe = Recipe(scale=[2] * 4, clip_on=clip_on, combine=combine)
        out = run(backend, plain(data), recipe)
        assert_agrees(out, solve(plain(data), recipe), combine)
        assert list(out.valid) == [1, 1, 0, 0]
