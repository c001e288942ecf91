"""Views of arrays at equal distances in memory as one array, and stacks that allow them."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits as fits_files

from answers import FRAMES, by_cpu, fits, on, samples
from bands import Cpu
from gpustack import stack
from gpustack.backends.base import Samples
from gpustack.backends.stacked_view import as_one, samples_as_one
from recipes import RECIPES, recipe
from stacks import run
from tolerances import assert_same_bits

CUBE = np.arange(120.0).reshape(4, 5, 6)
BANDS = {
    "slices": list(CUBE),
    "every other": list(CUBE[::2]),
    "backwards": list(CUBE[::-1]),
    "of a buffer": [np.frombuffer(row.view(np.uint8), ">i4", 7) for row in CUBE[0]],
    "rows of slices": list(CUBE[:, 1:4]),
    "the same again": [CUBE[1]] * 3,
    "one": [CUBE[2]],
    "big-endian": list(CUBE.astype(">f4")),
    "strided": list(CUBE[:, ::2, ::3]),
}
APART = {
    "made apart": [CUBE[0], CUBE[1].copy()],
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
def test_arrays_at_unequal_distances_are_not_viewed_as_one(name):
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
    """The same samples in arrays whose distances in memory all differ."""
    taken, moved = [], []
    for k, one in enumerate(band):
        room = np.empty((k + 1) ** 2 * 64 + one.data.nbytes, np.uint8)
        data = room[len(room) - one.data.nbytes :].view(one.data.dtype).reshape(one.data.shape)
        data[...] = one.data
        taken.append(room)
        moved.append(replace(one, data=data))
    assert samples_as_one(moved) is None
    return moved


AS_ONE = ("c", "zeros", "infinite", "huge-range", "u2", "fits-scaled", "unaligned")


@pytest.mark.parametrize("name", RECIPES)
def test_no_bit_depends_on_whether_frames_are_one(name):
    # Every second stack: how samples are read depends on the stack and on the kind of recipe only.
    for stack_name in AS_ONE[list(RECIPES).index(name) % 2 :: 2]:
        if fits(name, FRAMES):
            with on(stack_name):
                band = samples(name, stack_name, FRAMES)
                assert samples_as_one(band) is not None
                got = run(Cpu(threads=1), scattered(band), recipe(name, FRAMES))
                assert_same_bits(got, by_cpu(name, stack_name, FRAMES))


@pytest.mark.parametrize("name", RECIPES)
def test_no_bit_depends_on_where_nan_is_found(name):
    # NaN are searched in native floats where they are, but big-endian floats are decoded first.
    if fits(name, FRAMES):
        band = samples(name, "infinite", FRAMES)
        cube = np.array([one.data for one in band]).astype(">f4")
        turned = [replace(one, data=data) for one, data in zip(band, cube, strict=True)]
        assert samples_as_one(turned) is not None
        got = run(Cpu(threads=1, tile_pixels=7), turned, recipe(name, FRAMES))
        assert_same_bits(got, by_cpu(name, "infinite", FRAMES))


def test_files_are_read_into_one(tmp_path, monkeypatch):
    seen = []

    def spy(band):
        seen.append(samples_as_one(band))
        return seen[-1]

    monkeypatch.setattr("gpustack.backends.tile_job.samples_as_one", spy)
    for k, frame in enumerate(CUBE.astype(">f4")):
        fits_files.writeto(tmp_path / f"{k}.fits", frame, fits_files.Header({"BUNIT": "adu"}))
    result = stack(str(tmp_path / "*.fits"), backend="cpu")
    assert np.array_equal(result.data, CUBE.mean(axis=0))
    assert seen
    assert all(one is not None for one in seen)


APART_IN_MEMORY = """
import numpy as np
from gpustack import stack
sky = np.random.default_rng(0).normal(1000, 30, (2048, 2048)).astype("f4")
for dtype in (">f4", ">u2", "f4"):
    frames = [(sky + k).astype(dtype) for k in range(2)]
    for combine in ("mean", "median"):
        data = stack(frames, combine=combine, outputs=(), backend="cpu").data
        assert np.array_equal(data, np.mean(frames, axis=0, dtype="f8").astype("f4"))
"""


def test_two_frames_that_were_made_apart():
    # Any two arrays have equal distances. Viewing two separate ones as one crashed the process.
    done = subprocess.run([sys.executable, "-c", APART_IN_MEMORY], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
