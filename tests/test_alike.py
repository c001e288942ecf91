"""Grouping columns by their number of survivors changes no bit of a result."""

from contextlib import contextmanager

import numpy as np
import pytest

from answers import FRAMES, by_cpu, fits, on, samples, share, stacks_of
from bands import Cpu
from gpustack import RangeClip, SigmaClip, stack
from gpustack.backends import passes, ragged
from gpustack.backends.ragged import Ragged
from gpustack.backends.stand_ins import StandIns
from gpustack.errors import GpustackWarning
from recipes import RECIPES, recipe
from stacks import run
from tolerances import assert_same_bits

#: The number of columns from which they are grouped, and the bytes processed at a time.
WAYS = [(1, 8_000_000), (1, 160), (10**9, 160)]


@contextmanager
def taken(many, at_a_time):
    """Group columns in one of the `WAYS`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ragged, "LEAST_GROUP", many)
        patch.setattr(passes, "PASS_BYTES", at_a_time)
        patch.setattr("gpustack.backends.tile_job.PASS_BYTES", at_a_time)
        yield


def in_turn(name):
    """Yield the stacks with which a recipe is tested, each with one of the `WAYS`.

    Every recipe is tested in every way and with every second stack; similar recipes get the other
    stacks. Every stack is tested in every way.
    """
    turn = list(RECIPES).index(name)
    stacks = [(FRAMES, one) for one in share(name, stacks_of(name), 2)]
    stacks += [(25, "mixed-masks"), (25, "ties")]
    for k, (n, stack_name) in enumerate(stacks):
        if fits(name, n):
            yield n, stack_name, WAYS[(turn + k) % len(WAYS)]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe(name):
    for n, stack_name, way in in_turn(name):
        want = by_cpu(name, stack_name, n)  # with so few columns, none are grouped
        with on(n, "frames of", stack_name, "as", way), taken(*way):
            got = run(Cpu(threads=1), samples(name, stack_name, n), recipe(name, n))
            assert_same_bits(got, want)


def columns(lo, hi):
    values = np.sort(np.random.default_rng(4).normal(size=(20, len(lo))).astype("f4"), axis=0)
    return Ragged(np.arange(len(lo)) + 7, values, np.full(len(lo), 20), np.array(lo), np.array(hi))


def test_groups_are_of_as_many_survivors_and_hold_these_alone(monkeypatch):
    monkeypatch.setattr(ragged, "LEAST_GROUP", 2)
    some = columns([0, 1, 0, 3, 2, 0, 1], [20, 20, 19, 18, 20, 20, 3])
    groups = list(some.grouped_by_count(np.array([0, 1, 2, 3, 5, 6])))
    assert [which.tolist() for which, _, _ in groups] == [[0, 5], [2, 1], [3, 6]]
    for which, part, first in groups:
        assert part.index.tolist() == (which + 7).tolist()
        for k, column in enumerate(which):
            left = some.values[some.lo[column] : some.hi[column], column]
            assert part.values[part.lo[k] : part.hi[k], k].tolist() == left.tolist()
            assert first[k] + part.lo[k] == some.lo[column]
    assert [isinstance(part.uniform(), Ragged) for _, part, _ in groups] == [False, False, True]


@pytest.mark.parametrize("which", [[0, 2], [0, 1, 2], [2, 0, 1], [1, 1, 0]], ids=str)
def test_columns_are_taken_in_the_order_asked_for(which):
    some = columns([0, 1, 2], [20, 19, 18])
    part = some.take(np.array(which))
    for k, column in enumerate(which):
        assert part.values[:, k].tolist() == some.values[:, column].tolist()
        assert (part.index[k], part.lo[k], part.hi[k]) == (column + 7, column, 20 - column)


def test_columns_with_stand_ins_are_not_taken_apart():
    some = columns([0, 1, 2], [20, 19, 18])
    some.stand_ins = StandIns.none(np.zeros(3))
    with pytest.raises(AssertionError):
        some.take(np.array([0, 2]))


def test_all_columns_in_their_order_are_not_copied():
    some = columns([0, 1, 2], [20, 19, 18])
    assert some.take(np.arange(3)).values is some.values


def test_the_mad_of_few_columns_is_that_of_many(monkeypatch):
    some = columns([0, 1, 0, 3, 2, 5], [20, 20, 19, 18, 3, 12])
    for dtype in ("f4", "f8"):
        few = some.mad(dtype)
        with monkeypatch.context() as patch:
            patch.setattr(ragged, "SORT_MAD_SAMPLES", 0)
            assert few.tobytes() == some.mad(dtype).tobytes()


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_clip_that_nothing_survives_of(way):
    rng = np.random.default_rng(3)
    cube = rng.normal(1000, 1, (5, 40, 50)).astype("f4")
    cube[:, :20] = np.nan

    clips = [RangeClip(high=500), SigmaClip(spread="mad_std")]
    expected = pytest.warns(GpustackWarning, match="no pixel of the result has a value")
    with taken(*way), expected:
        result = stack(cube, clips, backend="cpu")
    assert result.mask.all()
    assert (result.count == 0).all()
