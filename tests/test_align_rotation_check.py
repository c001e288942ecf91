"""Detect rotated or scaled frames, which no shift can align, by the shifts of their quarters."""

import warnings

import numpy as np
import pytest
from astropy.io import fits

import starfield as sky
from gpustack import Register, stack
from gpustack.align.phase import Shift
from gpustack.align.rotation_check import corner_distance
from gpustack.errors import GpustackWarning

SHAPE = (300, 400)
#: Relative tolerance of the distances of corners: stars move differently within a quarter, most of
#: all far from the centre.
CLOSE = 0.15


@pytest.fixture(scope="module")
def stars():
    return sky.field(SHAPE)


@pytest.fixture(scope="module")
def meter(stars):
    return Shift("reference", np.ma.array(sky.taken(stars, SHAPE)), 100)


def turned(stars, degrees=0.0, scale=1.0, seed=3, **options):
    """A frame rotated about its centre and then shifted, and how far its corners are off."""
    turn = scale * np.exp(1j * np.radians(degrees))
    middle = complex(SHAPE[1], SHAPE[0]) / 2
    shift = middle - turn * middle + (5.3 - 3.8j)
    frame = sky.taken(stars, SHAPE, turn=turn, shift=shift, seed=seed, **options)
    return frame, abs(turn - 1) * np.hypot(*SHAPE) / 2


@pytest.mark.parametrize("how", [{"degrees": 0.3}, {"degrees": -2}, {"scale": 1.01}])
def test_how_far_the_corners_are(stars, meter, how):
    frame, expected = turned(stars, **how)
    _, trust = meter.measure("frame", np.ma.array(frame))
    assert trust["corners"] == pytest.approx(expected, rel=CLOSE)


@pytest.mark.parametrize("noise", [2.0, 100.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_shift_alone_moves_no_corner(stars, meter, seed, noise):
    frame, _ = turned(stars, noise=noise, seed=seed)
    assert meter.measure("frame", np.ma.array(frame))[1]["corners"] == 0


def test_quarters_that_disagree_tell_nothing():
    some = iter([4 + 0j, -4 + 0j, 4 + 0j, -4 + 0j])  # neither a turn nor a scale: a shear
    image = np.ones((40, 40), np.float32)
    shears = corner_distance(image, image, lambda one, two: next(some), 0.1)
    some = iter([4 - 4j, 4 + 4j, -4 - 4j, -4 + 4j])
    turns = corner_distance(image, image, lambda one, two: next(some), 0.1)
    assert shears == 0
    assert turns > 0


def test_quarters_without_anything_tell_nothing(stars, meter):
    frame, _ = turned(stars, degrees=1)
    masked = np.ma.array(frame, mask=np.zeros(SHAPE, bool))
    masked[: SHAPE[0] // 2 + 5] = np.ma.masked
    assert meter.measure("frame", masked)[1]["corners"] == 0


def test_turned_frames_without_coordinates_are_told_of(stars):
    frames = [sky.taken(stars, SHAPE), turned(stars)[0], turned(stars, 1)[0], turned(stars, 0.5)[0]]
    said = "frame 2: rotated, .* frame 0: .* pixels .*, those of 1 other less; .*register:by=stars"
    with pytest.warns(GpustackWarning, match=said) as told:
        table = stack(frames, align="register").frames
    assert [warning.filename for warning in told] == [__file__]
    np.testing.assert_allclose(table["corners"], [0, 0, 4.36, 2.18], rtol=CLOSE)


def test_a_frame_that_is_left_out_has_no_corners(stars):
    frames = [sky.taken(stars, SHAPE), np.full(SHAPE, 3.0), turned(stars)[0]]
    with pytest.warns(GpustackWarning, match="left out"):
        table = stack(frames, align=Register(skip=True)).frames
    np.testing.assert_array_equal(table["corners"], [0, np.nan, 0])


def test_real_frames_that_are_not_turned_are_not_told_of(real_data):
    for folder in ("m13_blue", "saao_kb130475"):
        files = sorted((real_data / folder).glob("*.fits"))[:8]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the headers are old
            images = [fits.getdata(file).astype(float) for file in files]
        reference = Shift("reference", np.ma.array(images[0]), 100)
        told = [reference.measure("frame", np.ma.array(image))[1] for image in images[1:]]
        assert [trust["corners"] for trust in told] == [0] * len(told)
