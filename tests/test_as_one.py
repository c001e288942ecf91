"""Arrays at equal distances in memory, seen as one, and the samples of a stack that lie so."""

from dataclasses import replace

import numpy as np
import pytest

from answers import FRAMES, by_cpu, fits, on, samples
from gpustack.backends.as_one import as_one, samples_as_one
from gpustack.backends.base import Samples
from gpustack.backends.cpu import CpuBackend
from recipes import RECIPES, recipe
from stacks import STACKS, run
from tolerances import assert_same_bits

CUBE = np.arange(120.0).reshape(4, 5, 6)
BANDS = {
    "slices": list(CUBE),
    "every other": list(CUBE[::2]),
    "backwards": list(CUBE[::-1]),
    "rows of slices": list(CUBE[:, 1:4]),
    "the same again": [CUBE[1]] * 3,
    "one": [CUBE[2]],
    "big-endian": list(CUBE.astype(">f4")),
    "strided": list(CUBE[:, ::2, ::3]),
}
APART = {
    "copies in disorder": [CUBE[k] for k in (0, 2, 1)],
    "of other shapes": [CUBE[0], CUBE[1, :4]],
    "of other types": [CUBE[0], CUBE[1].astype("f4")],
    "of other byte orders": [CUBE[0], CUBE[1].astype(">f8")],
    "of other strides": [CUBE[0, :5, :5], CUBE[0].T[:5, :5]],
}


@pytest.mark.parametrize("name", BANDS)
def test_the_view_is_what_a_copy_would_be(name):
    arrays = BANDS[name]
    view = as_one(arrays)
    assert view.dtype == arrays[0].dtype
    assert np.array_equal(view, np.stack(arrays))
    assert np.shares_memory(view[-1], arrays[-1])
    assert not view.flags.writeable


@pytest.mark.parametrize("name", APART)
def test_others_are_not_one(name):
    assert as_one(APART[name]) is None


def test_frames_are_one_where_all_are_decoded_alike():
    band = [Samples(frame, bscale=2.0, bzero=3.0) for frame in CUBE]
    whole = samples_as_one(band)
    assert (whole.bscale, whole.bzero) == (2.0, 3.0)
    assert np.array_equal(whole.data, CUBE)
    for change in (
        {"bscale": 1.0},
        {"bzero": 0.0},
        {"blank": 7},
        {"mask": np.zeros((5, 6), bool)},
        {"data": CUBE[2].copy()},
    ):
        assert samples_as_one([*band[:3], replace(band[3], **change)]) is None
    assert samples_as_one([Samples(frame) for frame in CUBE[:, :, ::2]]) is None


def scattered(band):
    """The same samples, no two distances between which are equal."""
    taken, moved = [], []
    for k, one in enumerate(band):
        room = np.empty((k + 1) ** 2 * 64 + one.data.nbytes, np.uint8)
        data = room[len(room) - one.data.nbytes :].view(one.data.dtype).reshape(one.data.shape)
        data[...] = one.data
        taken.append(room)
        moved.append(replace(one, data=data))
    assert samples_as_one(moved) is None
    return moved


@pytest.mark.parametrize("name", RECIPES)
def test_no_bit_depends_on_whether_frames_are_one(name):
    for stack_name in ("c", "zeros", "infinite", "huge-range", "u2", "fits-scaled", "unaligned"):
        if fits(name, FRAMES):
            with on(stack_name):
                band = samples(name, stack_name, FRAMES)
                got = run(CpuBackend(threads=1), scattered(band), recipe(name, FRAMES))
                assert_same_bits(got, by_cpu(name, stack_name, FRAMES))


def test_stacks_of_the_tests_are_one_in_part():
    kinds = {samples_as_one(make(FRAMES)) is None for make in STACKS.values()}
    assert kinds == {True, False}
