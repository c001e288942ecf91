"""`PlacedFrame`, a frame shifted by whole pixels, against samples that are placed one by one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpustack import ExtremaClip, Grow, Recipe, SigmaClip
from gpustack.align.base import Grid
from gpustack.align.placed import PlacedFrame
from gpustack.backends.base import Samples
from gpustack.errors import MemoryLimitError
from gpustack.frames import FrameSource, open_frames
from gpustack.frames.base import decode
from gpustack.maps import execute
from oracle import solve
from placing import Read, laid, padded
from stacks import outputs
from tolerances import assert_agrees, assert_same_bits

SIZES = st.integers(1, 7)
PLACES = st.integers(-8, 8)
TYPES = ("u2", ">i2", "f4", ">f4", ">f8", "u1")
MASKED = st.sampled_from([True, False])


def samples_of(rng, shape, dtype, masked):
    """Samples of a stored type, with or without a mask, with outliers, blanks and NaN."""
    values = rng.integers(90, 110, shape).astype(float)
    values[rng.random(shape) < 0.1] += 90
    decoding = {}
    if dtype == ">i2":
        decoding = {"bzero": 32768.0, "blank": -32768}
        values -= 32768
        values[rng.random(shape) < 0.1] = -32768
    data = values.astype(dtype)
    if data.dtype.kind == "f":
        data[rng.random(shape) < 0.1] = np.nan
    mask = rng.random(shape) < 0.2 if masked else None
    return Samples(data, mask, variance=rng.uniform(1, 9, shape), **decoding)


@st.composite
def placings(draw):
    """A placed frame with random samples, offset and shape of the grid."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    shape = draw(SIZES), draw(SIZES)
    samples = samples_of(rng, shape, draw(st.sampled_from(TYPES)), draw(MASKED))
    inner = Read(samples, rng.integers(0, 9, shape).astype(draw(st.sampled_from(["u1", ">i4"]))))
    return PlacedFrame(inner, Grid((draw(SIZES), draw(SIZES))), (draw(PLACES), draw(PLACES)))


@given(frame=placings(), data=st.data(), given_room=st.booleans())
def test_rows_are_where_they_belong(frame, data, given_room):
    height, width = frame.shape
    start = data.draw(st.integers(0, height - 1))
    stop = data.draw(st.integers(start + 1, height))
    room = np.full((stop - start) * frame.row_bytes + 5, 77, np.uint8) if given_room else None
    expected = padded(frame.inner.samples, frame.offset, frame.shape)
    got = frame.read(start, stop, room)
    assert got.data.dtype == frame.stored
    assert got.data.shape == (stop - start, width)
    assert frame.masked or got.mask is None
    rows = slice(start, stop)
    part = replace(expected, data=expected.data[rows], mask=expected.mask[rows])
    values, invalid = decode(got, frame.dtype)
    wanted, out = decode(part, frame.dtype)
    np.testing.assert_array_equal(invalid, out)
    np.testing.assert_array_equal(values[~out], wanted[~out])
    if got.mask is not None:
        np.testing.assert_array_equal(got.mask, part.mask)
    np.testing.assert_array_equal(frame.read_variance(start, stop), expected.variance[rows])
    bits = laid(frame.inner.bits, frame.offset, frame.shape, 0)
    np.testing.assert_array_equal(frame.read_flags(start, stop), bits[rows])
    whole = frame.whole()
    np.testing.assert_array_equal(whole.mask, decode(expected, frame.dtype)[1])


@given(frame=placings())
def test_only_rows_that_meet_are_read_and_each_once(frame):
    (down, right), (height, width) = frame.offset, frame.inner.shape
    for y in range(frame.shape[0]):
        frame.read(y, y + 1)
    beside = right <= -width or right >= frame.shape[1]
    meeting = [y - down for y in range(frame.shape[0]) if 0 <= y - down < height and not beside]
    assert [start for _, start, _ in frame.inner.rows] == meeting


def test_only_rows_that_meet_are_read_of_variances_and_flags():
    inner = Read(Samples(np.ones((4, 4)), variance=np.ones((4, 4))), np.ones((4, 4), "u1"))
    frame = PlacedFrame(inner, Grid((20, 4)), (10, 0))
    for y in range(20):
        frame.read_variance(y, y + 1)
        frame.read_flags(y, y + 1)
    # For bands outside the frame, one row is read to find whether there are any, and their dtype.
    for what in ("variance", "flags"):
        read = [start for kind, start, _ in inner.rows if kind == what]
        assert read == [0, 0, 1, 2, 3]


@pytest.mark.parametrize("offset", [(0, 0), (-1, -2), (-2, 0)])
def test_what_covers_the_grid_is_not_copied(offset):
    samples = Samples(np.arange(30.0).reshape(5, 6))
    frame = PlacedFrame(Read(samples), Grid((3, 4)), offset)
    assert not frame.masked
    assert frame.row_bytes == frame.inner.row_bytes
    assert frame.read(0, 3).mask is None
    in_memory = np.arange(30.0).reshape(5, 6)
    [inner] = open_frames([in_memory])
    frame = PlacedFrame(inner, Grid((3, 4)), offset)
    assert frame.row_bytes == 0
    assert np.shares_memory(frame.read(0, 3).data, in_memory)


GRID = (9, 11)
RECIPES = {
    "mean": Recipe(),
    "median": Recipe(combine="median"),
    "sigma": Recipe(clips=[SigmaClip(1.7, 1.9)], combine="sum"),
    "by frame": Recipe(clips=[ExtremaClip(1, 1)], weights=[1, 2, 0.5, 3]),
    "scaled": Recipe(
        clips=[SigmaClip(1.7, 1.9, spread="mad_std")], scale=[1, 1.1, 0.9, 1], zero=[0, 1, 2, 3]
    ),
}


def stack_of(seed):
    """Four frames of different types and shapes, some of them outside the grid."""
    rng = np.random.default_rng(seed)
    frames = []
    for i in range(4):
        shape = tuple(int(n) for n in rng.integers(1, 10, 2))
        samples = samples_of(rng, shape, TYPES[(seed + i) % len(TYPES)], i % 2 == seed % 2)
        offset = tuple(int(n) for n in rng.integers(-4, 9, 2))
        frames.append(PlacedFrame(Read(samples), Grid(GRID), offset))
    return frames


def streamed(backend, frames, recipe, memory, progress=None, **options):
    """The Outputs of a backend for these frames, and the same samples padded to the grid."""
    dtype = np.result_type(*(frame.dtype for frame in frames))
    band = [padded(frame.inner.samples, frame.offset, GRID) for frame in frames]
    out = outputs(band, recipe)
    source = FrameSource(frames, dtype, **options)
    execute(backend, source, recipe, out, [], memory, progress)
    return out, band


#: A seed determines types and offsets; every recipe runs with three seeds, every backend with all.
SEEDED = [(seed, name) for i, name in enumerate(RECIPES) for seed in range(i % 2, 6, 2)]


@pytest.mark.parametrize(("seed", "name"), SEEDED)
def test_backends_agree_with_the_oracle(backend, seed, name):
    frames, recipe = stack_of(seed), RECIPES[name]
    got, band = streamed(backend, frames, recipe, 1 << 24)
    assert_agrees(got, solve(band, recipe), recipe.combine, ties=True)


def in_small_bands(backend, seed, recipe):
    """The Outputs under about the least memory limit, and the progress after each band."""
    memory = 4000
    while True:
        told = []
        try:
            out, _ = streamed(
                backend, stack_of(seed), recipe, memory, lambda *n, to=told: to.append(n)
            )
        except MemoryLimitError:
            memory += 400
        else:
            return out, told


@pytest.mark.parametrize("seed", range(3))
def test_bands_change_no_bit(backend, small_bands, seed):
    recipe = RECIPES["sigma"]
    whole, _ = streamed(backend, stack_of(seed), recipe, 1 << 24)
    parts, told = in_small_bands(backend, seed, recipe)
    assert len(told) > 3
    assert_same_bits(whole, parts)


@pytest.mark.parametrize("seed", range(3))
def test_weights_by_variance(backend, seed):
    frames, recipe = stack_of(seed), Recipe(weights="variance")
    got, band = streamed(backend, frames, recipe, 1 << 24, scales=(1.0,) * 4)
    weighted = [replace(samples, weight=1 / samples.variance) for samples in band]
    weighted = [replace(s, weight=np.nan_to_num(s.weight)) for s in weighted]
    assert_agrees(got, solve(weighted, replace(recipe, weights="sample")), "mean", ties=True)


def test_growing_stops_at_the_edge(backend):
    planes = [np.full((4, 5), 10.0, "f4") for _ in range(4)]
    planes[1][0, 0] = 500
    recipe = Recipe(clips=[SigmaClip(spread="mad_std"), Grow(1.5)])
    frames = [
        PlacedFrame(Read(Samples(plane)), Grid(GRID), (i % 2, 2 * i))
        for i, plane in enumerate(planes)
    ]
    got, band = streamed(backend, frames, recipe, 1 << 24)
    assert_agrees(got, solve(band, recipe), "mean", ties=True)
