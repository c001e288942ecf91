"""Sections of a frame equal slices of its array, and each of their rows is read once."""

import numpy as np
import pytest

from gpustack.frames import open_frames
from gpustack.frames.sections import read_parts, read_section, read_sections
from watched import Watched

#: Samples read at once, with rows of 6: part of a row, two rows, all.
AT_ONCE = [1, 12, 1000]


@pytest.fixture(autouse=True, params=AT_ONCE)
def at_once(request, monkeypatch):
    monkeypatch.setattr("gpustack.frames.sections.AT_ONCE", request.param)


def masked(shape):
    """A masked image, and where it has no value because it is masked or NaN."""
    rng = np.random.default_rng(5)
    values = rng.normal(100, 5, shape)
    values[rng.random(shape) < 0.2] = np.nan
    mask = rng.random(shape) < 0.2
    return np.ma.MaskedArray(values, mask), mask | np.isnan(values)


@pytest.mark.parametrize(
    ("shape", "section"),
    [
        ((9, 6), np.s_[0:9, 0:6]),
        ((9, 6), np.s_[2:7, 1:5]),
        ((9, 6), np.s_[8:9, 5:6]),
        ((3, 4, 6), np.s_[1:3, 1:4, 0:3]),
        ((2, 3, 4, 6), np.s_[0:2, 1:3, 2:4, 3:6]),
        ((6,), (slice(2, 5),)),
    ],
)
def test_a_section(shape, section):
    image, invalid = masked(shape)
    frame = Watched(open_frames([image])[0])
    values, found = read_section(frame, section)
    np.testing.assert_array_equal(found, invalid[section].reshape(found.shape))
    np.testing.assert_array_equal(values, image.data[section].reshape(values.shape))
    rows = np.arange(image.size).reshape(shape)[section] // shape[-1]
    assert frame.rows == np.unique(rows).tolist()


#: Sections apart and out of order, one within another, of one row, at each edge, without rows.
PARTS = [
    np.s_[7:9, 0:6],
    np.s_[1:6, 2:4],
    np.s_[2:4, 0:3],
    np.s_[3:4, 5:6],
    np.s_[4:4, 0:6],
    np.s_[5:6, 1:2],
    np.s_[0:1, 0:1],
]


def test_several_sections():
    image, invalid = masked((9, 6))
    frame = Watched(open_frames([image])[0])
    for part, (values, found) in zip(PARTS, read_sections(frame, PARTS), strict=True):
        np.testing.assert_array_equal(values, image.data[part])
        np.testing.assert_array_equal(found, invalid[part])
    assert frame.rows == [0, 1, 2, 3, 4, 5, 7, 8]


def test_parts_of_what_is_read_in_another_way():
    image, rows = np.arange(54.0).reshape(9, 6), []

    def read(start, stop):
        rows.extend(range(start, stop))
        return image[start:stop]

    found = read_parts(read, image.shape, PARTS, np.dtype(np.float32))
    for part, values in zip(PARTS, found, strict=True):
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, image[part])
    assert rows == [0, 1, 2, 3, 4, 5, 7, 8]
