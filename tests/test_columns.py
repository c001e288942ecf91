"""Statistics of sorted columns are equal bit for bit, with a common interval or one per column."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bands import Cpu
from gpustack.backends import esd, few_ranks, network
from gpustack.backends.base import Samples
from gpustack.backends.block import Block
from gpustack.backends.columns import Uniform, middles
from gpustack.backends.network import NETWORK_FRAMES, sort_columns
from gpustack.backends.ragged import Ragged
from gpustack.backends.statistics import mad, mean, median, quick_mad, std
from gpustack.backends.totals import column_sums
from gpustack.clips import ESDClip, SigmaClip, VarianceClip
from gpustack.recipe import Recipe
from oracle import solve
from stacks import outputs, plain, run
from tolerances import assert_agrees

HOSTILE = st.sampled_from([0.0, -0.0, 1e-42, -1e-42, 3e38, -3e38, 1.0, 2.0, 1e-30])
VALUES = st.one_of(HOSTILE, st.floats(-1000, 70_000, width=32))
COLUMNS = st.tuples(st.integers(1, 9), st.sampled_from(["f4", "f8"])).flatmap(
    lambda shape: arrays(shape[1], (shape[0], 4), elements=VALUES)
)


REST = (30.527502059936523, 138.5703582763672, 112.35365295410156)


def ragged(data):
    pixels = np.arange(data.shape[1])
    count = np.full(data.shape[1], len(data))
    return Ragged(pixels, data, count, np.zeros_like(count), count.copy())


@given(COLUMNS)
def test_all_kinds_have_the_same_statistics(data):
    data = np.sort(data, axis=0)
    kinds = ragged(data), Uniform(list(data), 0, len(data)), Block(data, 0, len(data))
    for statistic in (mean, std, median, mad, quick_mad):
        with np.errstate(all="ignore"):
            one, *others = (statistic(kind).astype(float) + 0.0 for kind in kinds)
        assert all(one.tobytes() == other.tobytes() for other in others), statistic.__name__
    lower, upper = middles(kinds[-1])
    assert (lower is upper) == (len(data) % 2 == 1)


@given(COLUMNS)
def test_the_quick_mad_is_off_by_one_rounding(data):
    data = np.sort(data, axis=0)
    with np.errstate(over="ignore"):  # as a backend does, which uses float64 after an overflow
        quick, exact = (f(Uniform(list(data), 0, len(data))) for f in (quick_mad, mad))
    np.testing.assert_allclose(quick, exact, rtol=2.0**-23, atol=2.0**-149)
    direct = np.median(np.abs(data - np.median(data.astype(float), axis=0)), axis=0)
    np.testing.assert_allclose(exact, direct, rtol=1e-12, atol=1e-44)


@pytest.mark.parametrize("column", [(0.0, 0.0, -1.0, -0.0, 1.0), (-0.0, 0.0, -0.0), (-0.0, -0.0)])
def test_zeros_of_either_sign_come_out_alike(backend, column):
    answers = set()
    for order in permutations(column):
        band = [Samples(np.full((1, 1), value, "f4")) for value in order]
        got = run(backend, band, Recipe(combine="median"))
        answers.add((got.data.tobytes(), got.uncertainty.tobytes()))
    assert len(answers) == 1


@pytest.mark.parametrize(
    "column",
    [
        (-3e38, 1e38),
        (2.9785789e38, -3.2284173e38),
        # Centre and spread cancel: the bound is almost zero, and 4 ulp of it are smaller still.
        (0.0, 143.52755737304688, 84.33641815185547, 70.76802825927734, *REST),
    ],
)
@pytest.mark.parametrize("factor", [0.5, 1.057149163210819])
def test_a_clip_by_the_mad_goes_by_float64(backend, column, factor):
    band = [Samples(np.full((1, 1), value, "f4")) for value in column]
    recipe = Recipe(clips=[SigmaClip(factor, None, "median", "mad_std", maxiters=1)])
    want = solve(band, recipe)
    assert not want.close.any()
    assert_agrees(run(backend, band, recipe), want, "mean")


def test_large_medians_do_not_overflow(backend):
    band = [Samples(np.full((1, 1), value)) for value in (1e308, 1.2e308, 1.5e308)]
    assert run(backend, band, Recipe(combine="median", outputs=())).data[0, 0] == 1.2e308


def test_a_large_median_is_that_of_any_tile():
    band = [Samples(np.full((1, 2), value)) for value in (1e308, 1.2e308, 1.5e308)]
    band.append(Samples(np.zeros((1, 2)), np.array([[True, False]])))
    for pixels in (1, 2):
        got = run(Cpu(tile_pixels=pixels), band, Recipe(combine="median", outputs=()))
        assert got.data[0, 0] == 1.2e308


@pytest.mark.parametrize("n", [1, 2, 5, 25, max(NETWORK_FRAMES.values()) + 1])
@pytest.mark.parametrize("ranks", [None, "middle"])
@pytest.mark.parametrize("short", [0, 11])
@pytest.mark.parametrize("pieces", [1, 2, 4, 11])
def test_rows_that_are_not_ours_are_sorted_and_left_alone(n, ranks, short, pieces, monkeypatch):
    monkeypatch.setattr(network, "SHORT_ROWS", short)  # 0: the network sorts up to 40 frames
    monkeypatch.setattr(network, "PIECE_BYTES", -(-11 // pieces) * n * 4)
    rng = np.random.default_rng(n)
    data = rng.normal(size=(n, 11)).astype("f4")
    wanted = np.sort(data, axis=0)
    for lent in (0.0, 0.5, 1.0):
        before, buffer, rows = data.copy(), np.full((n + 3, 11), np.nan, "f4"), []
        for k, row in enumerate(data):
            rows.append(row.view() if rng.random() < lent else buffer[k])
            if rows[-1].base is buffer:
                rows[-1][:] = row
            else:
                rows[-1].flags.writeable = False
        middle = frozenset({(n - 1) // 2, n // 2})
        got = sort_columns(rows, buffer, middle if ranks else None)
        for k in middle if ranks else range(n):
            np.testing.assert_array_equal(got[k], wanted[k])
        np.testing.assert_array_equal(data, before)


@pytest.mark.parametrize("n", [1, 2, 25, max(NETWORK_FRAMES.values()) + 1])
@pytest.mark.parametrize("first", [0, 1, 2])
def test_rows_of_anywhere_in_the_buffer_are_sorted(n, first, monkeypatch):
    monkeypatch.setattr(network, "SHORT_NETWORK_FRAMES", {4: 0, 8: 0})
    data = np.random.default_rng(n).normal(size=(n, 11)).astype("f4")
    for left_out in (None, n // 2):  # a frame without valid samples
        buffer = np.full((max(first + n, n + 1), 11), np.inf, "f4")
        buffer[first : first + n] = data
        some = [k for k in range(n) if k != left_out or n == 1]
        got = sort_columns([buffer[first + k] for k in some], buffer)
        np.testing.assert_array_equal(got, np.sort(data[some], axis=0))


LAYOUTS = {
    "rows": np.ascontiguousarray,
    "columns": np.asfortranarray,
    "chosen": lambda terms: terms[:, np.arange(terms.shape[1])],
    "part": lambda terms: np.repeat(terms, 2, axis=1)[:, ::2],
    "backwards": lambda terms: terms[::-1].copy()[::-1],
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("shape", [(1, 1), (25, 1), (300, 1), (25, 2), (25, 7), (9, 1000), (0, 3)])
def test_columns_add_up_from_the_first_row_to_the_last(shape, layout):
    terms = np.random.default_rng(5).normal(1e3, 1e-3, shape)
    one_by_one = np.zeros(shape[1])
    for row in terms:
        one_by_one += row
    assert column_sums(layout(terms)).tobytes() == one_by_one.tobytes()


def test_a_clip_by_frame_decides_the_same_whatever_columns_are_beside():
    counts = []
    for seed in range(40):
        data = np.random.default_rng(seed).normal(size=(25, 1, 1))
        ordered = np.sort(data[:, 0, 0])
        origin = ordered[12]
        center = origin + np.add.accumulate(ordered - origin)[-1] / 25
        off = np.abs(data - center)
        # One sample lies on its bound, if the mean adds up from the lowest sample.
        variance = np.where(off == off.max(), off * off, np.inf)
        for width in (1, 2):
            frames = zip(data.repeat(width, 2), variance.repeat(width, 2), strict=True)
            band = [Samples(frame, variance=noise) for frame, noise in frames]
            recipe = Recipe(VarianceClip(1, 1, "mean", maxiters=1))
            counts.append(run(Cpu(), band, recipe).count.max())
    assert counts[::2] == counts[1::2]
    assert len(set(counts)) == 2  # rounding of the square root decides


@pytest.mark.parametrize("outliers", [0.7, 1.0])
def test_the_esd_test_of_samples_far_closer_than_those_set_aside(backend, outliers):
    column = [-3e-9, -1e-9, 1e-9, 2.9e-9, 1.0, 1e3, 1e4, 1e5, 1e6]
    band, recipe = plain(np.multiply.outer(column, np.ones((1, 2)))), Recipe(ESDClip(outliers))
    answer = solve(band, recipe)
    assert (answer.count == 4).all()
    np.testing.assert_array_equal(run(backend, band, recipe).count, answer.count)


def test_the_esd_test_decides_the_same_whatever_columns_are_beside(monkeypatch):
    n, more = 9, 25
    found = []
    for seed in range(40):
        data = np.full((more, 2), np.inf)
        data[:, 1] = np.arange(more)
        data[:n, 0] = np.sort(np.random.default_rng(seed).normal(size=n))
        data[n - 1, 0] += 3
        column = data[:n, 0]
        furthest = np.abs(column - column.mean()).max() / column.std(ddof=1)
        monkeypatch.setattr(esd, "critical_values", lambda _, n, g=furthest: np.full(n + 1, g))
        for width in (1, 2):
            hi = np.array([n, more])[:width]
            columns = Ragged(hi, data[:, :width].copy(), hi.copy(), np.zeros_like(hi), hi)
            low, high = esd.outliers(ESDClip(0.12), columns, np.zeros_like(hi), more)
            found.append(low[0] + high[0])
    assert found[::2] == found[1::2]
    assert set(found) == {0, 1}  # rounding decides, but always alike


@pytest.mark.parametrize("kind", ["f4", ">f4", "f8", ">i2", "i4"])
@pytest.mark.parametrize("layout", ["apart", "cube", "one decoded"])
@pytest.mark.parametrize("bad", [None, np.nan, np.inf, -np.inf])
def test_medians_of_many_frames(kind, layout, bad, monkeypatch):
    monkeypatch.setattr(few_ranks, "SUM_SAMPLES", 150)  # 4 columns at a time
    n = 35  # more frames than the network sorts in short rows
    cube = np.random.default_rng(7).normal(0, 3000, (n, 3, 5)).astype(kind)
    if bad is not None and cube.dtype.kind == "f":
        cube[17, 1, 2] = cube[3, 2, 4] = bad
    bscale = 0.1 if kind == ">i2" else 1.0
    band = [Samples(frame, bscale=bscale) for frame in cube]
    if layout == "apart":
        band = [Samples(frame.copy(), bscale=bscale) for frame in cube]
    elif layout == "one decoded":
        band[4] = Samples(cube[4].astype(cube.dtype.newbyteorder("S")), bscale=bscale)
    recipe = Recipe(combine="median", outputs=("count",))
    answer, given = solve(band, recipe), cube.tobytes()
    for tile_pixels in (4, 15):
        out = replace(outputs(band, recipe), uncertainty=None, reasons=None)
        Cpu(tile_pixels=tile_pixels).run(band, recipe, out)
        for name in ("data", "count", "mask", "valid"):
            np.testing.assert_array_equal(getattr(out, name), getattr(answer, name), err_msg=name)
    assert cube.tobytes() == given
