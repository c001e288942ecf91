"""Clips decided from the ends of columns leave the same survivors as passes over all samples."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bands import Cpu
from gpustack.backends import by_ends, passes
from gpustack.backends.block import Block
from gpustack.backends.bounds import bounds
from gpustack.backends.by_ends import ENDS, MANY, EndTables, can_clip_by_ends, clip_by_ends
from gpustack.backends.passes import clip_by_bounds
from gpustack.backends.ragged import Ragged
from gpustack.backends.screens import screen
from gpustack.clips import MADClip, SigmaClip
from gpustack.recipe import Recipe
from oracle import solve
from stacks import plain, run
from tolerances import assert_agrees

CLIPS = st.builds(
    SigmaClip,
    st.none() | st.sampled_from([0.5, 1.0, 2.0, 3.0]),
    st.none() | st.sampled_from([0.5, 1.0, 2.0, 3.0]),
    center=st.sampled_from(["mean", "median", "trimmed_mean"]),
    about=st.sampled_from(["mean", "center"]),
    maxiters=st.sampled_from([None, 1, 2, 5]),
    ddof=st.integers(0, 1),
    keep=st.sampled_from([0, 1, 35, -2]),
)
KINDS = (
    lambda rng, shape: rng.normal(1000, 30, shape),
    lambda rng, shape: rng.normal(0, 1, shape),
    lambda rng, shape: rng.poisson(3, shape),
    lambda rng, shape: rng.integers(0, 2, shape),
    lambda rng, shape: np.full(shape, 1000.1),
    lambda rng, shape: rng.standard_cauchy(shape),
    lambda rng, shape: rng.normal(1e7, 30, shape),
    lambda rng, shape: rng.choice([3e38, -3e38, 1e-42, 0.0, -0.0], shape),
)


def columns_of(data):
    n, m = data.shape
    values = np.sort(data.astype("f4"), axis=0)
    return Ragged(np.arange(m), values, np.full(m, n), np.zeros(m, int), np.full(m, n))


def first_screen(clip, columns):
    return screen(clip, Block(columns.values, 0, len(columns.values)))


@settings(max_examples=150)
@given(CLIPS, st.sampled_from(KINDS), st.integers(MANY, MANY + 21), st.integers(0, 2**32 - 1))
def test_the_same_samples_survive(clip, kind, n, seed):
    rng = np.random.default_rng(seed)
    data = kind(rng, (n, 40)).astype(float)
    hits = rng.random(data.shape) < rng.choice([0.0, 0.005, 0.05])
    data[hits] += rng.choice([30.0, 1000.0, -1e5, 1e20], hits.sum())
    by_all, ends = columns_of(data), columns_of(data)
    with np.errstate(all="ignore"):
        clip_by_bounds(by_all, clip, n, None)
        clip_by_bounds(ends, clip, n, first_screen(clip, ends))
    np.testing.assert_array_equal(ends.lo, by_all.lo)
    np.testing.assert_array_equal(ends.hi, by_all.hi)


@settings(max_examples=150)
@given(CLIPS, st.sampled_from(KINDS), st.integers(0, 2**32 - 1))
def test_exact_bounds_are_between_those_told(clip, kind, seed):
    rng = np.random.default_rng(seed)
    data = kind(rng, (MANY, 40)).astype(float)
    hits = rng.random(data.shape) < 0.01
    data[hits] += rng.choice([-30.0, 1000.0, 1e8, 1e12], hits.sum())
    columns = columns_of(data)
    total, active = columns.values.sum(axis=0, dtype=float), np.arange(0, 40, 3)
    lo, hi = rng.integers(0, ENDS + 1, 40), MANY - rng.integers(0, ENDS + 1, 40)
    columns.move(lo, hi)
    with np.errstate(all="ignore"):
        bounds_told = EndTables.of(columns.values, total).screen(clip, active, lo, hi)
        exact = bounds(clip, columns.take(active), False, MANY)
    (lower, upper), (lowest, highest) = bounds_told.inner, bounds_told.outer
    largest = float(np.finfo("f4").max)
    for (least, most), bound in (
        ((lowest, lower), exact.lower),
        ((upper, highest), exact.upper),
    ):
        with np.errstate(invalid="ignore"):  # bounds beyond the largest float32 are infinite to it
            true = np.where(np.abs(bound) > largest, np.copysign(np.inf, bound), bound)
        assert (~(least > true) & ~(true > most))[np.isfinite(true)].all()


def test_screened_bounds_are_close():
    columns = columns_of(np.random.default_rng(9).normal(1000, 30, (100, 500)))
    total, active = columns.values.sum(axis=0, dtype=float), np.arange(500)
    lo, hi = np.full(500, 2), np.full(500, 97)
    told_there = EndTables.of(columns.values, total).screen(SigmaClip(3, 3), active, lo, hi)
    for inner, outer in zip(told_there.inner, told_there.outer, strict=True):
        assert (np.abs(inner - outer) < 0.01).all()


@pytest.mark.parametrize("center", ["mean", "median"])
@pytest.mark.parametrize("about", ["mean", "center"])
@pytest.mark.parametrize("level", [0, 1000])
def test_nearly_all_columns_are_decided_by_ends(center, about, level):
    rng = np.random.default_rng(5)
    data = rng.normal(level, 30, (100, 5000))
    data[rng.random(data.shape) < 0.003] += 5000
    columns = columns_of(data)
    clip = SigmaClip(3, 3, center=center, about=about)
    total = columns.values.sum(axis=0, dtype=float)
    for some in (slice(0, 2000), slice(2000, 5000)):
        left = clip_by_ends(columns, some, clip, first_screen(clip, columns), total)
        assert len(left) < 0.002 * (some.stop - some.start)
        assert ((left >= some.start) & (left < some.stop)).all()
    assert (columns.count < 100).mean() > 0.4


def test_a_column_that_loses_more_than_its_ends_is_left():
    data = np.random.default_rng(6).normal(1000, 3, (60, 4))
    for column, hits in enumerate((0, ENDS, ENDS + 1, 25)):
        data[:hits, column] += 1e4
    columns, clip = columns_of(data), SigmaClip(2, 2)
    with np.errstate(all="ignore"):
        left = clip_by_ends(
            columns,
            slice(0, 4),
            clip,
            first_screen(clip, columns),
            columns.values.sum(axis=0, dtype=float),
        )
    assert 2 in left
    assert 3 in left
    assert 0 not in left
    assert columns.hi[2:].tolist() == [60, 60]  # unchanged


def test_which_clips_are_decided_by_ends():
    many, few = (columns_of(np.ones((n, 2))) for n in (MANY, MANY - 1))
    assert can_clip_by_ends(SigmaClip(3, 3), many)
    assert not can_clip_by_ends(SigmaClip(3, 3), few)
    assert not can_clip_by_ends(SigmaClip(3, 3, spread="mad_std"), many)
    assert not can_clip_by_ends(MADClip(3, 3), many)
    many.move(many.lo + 1, many.hi)
    assert not can_clip_by_ends(SigmaClip(3, 3), many)
    many = columns_of(np.ones((MANY, 2)))
    many.values = many.values.astype("f8")
    assert not can_clip_by_ends(SigmaClip(3, 3), many)


def test_columns_whose_survivors_are_equal_are_decided_by_ends():
    data = np.full((50, 6), 7.0)
    data[3, 1:] = 900.0
    columns, clip = columns_of(data), SigmaClip(3, 3)
    total = columns.values.sum(axis=0, dtype=float)
    left = clip_by_ends(columns, slice(1, 6), clip, first_screen(clip, columns), total)
    assert not len(left)
    assert columns.hi.tolist() == [50, *[49] * 5]


@pytest.mark.parametrize("center", ["mean", "median"])
def test_a_stack_of_many_frames_is_that_of_the_oracle(center, monkeypatch):
    monkeypatch.setattr(passes, "PASS_BYTES", 50 * 4 * 9)  # 9 columns at a time
    seen = []
    original = by_ends.clip_by_ends
    monkeypatch.setattr(passes, "clip_by_ends", lambda *given: seen.append(1) or original(*given))
    rng = np.random.default_rng(8)
    data = rng.normal(300, 9, (50, 6, 8)).astype("f4")
    data[rng.random(data.shape) < 0.02] += 400
    data[3, 2, 1] = np.nan
    recipe = Recipe(clips=[SigmaClip(2.5, 2.5, center=center)])
    for outputs in (recipe.outputs, ("count",)):
        band, some = plain(data), replace(recipe, outputs=outputs)
        assert_agrees(run(Cpu(), band, some), solve(band, some), "mean")
    assert len(seen) > 2
