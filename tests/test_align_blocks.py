"""The blocks into which the area of a frame on the grid is cut, and the pixels below each block."""

import numpy as np
import pytest

from gpustack.align.blocks import Blocks
from gpustack.align.pixel_map import PixelMap

SHAPE = (198, 150)


def blocks(transform=lambda x, y: (x + 0.0, y + 0.0), window=(600, 600), margin=2, rough=False):
    """The blocks of a frame on a grid with the same first pixel, unless `transform` differs."""
    rows, columns = (slice(0, length) for length in window)
    pixel_map = PixelMap.of(transform, rows, columns, rough=rough)
    return Blocks((rows, columns), pixel_map, SHAPE, margin, 5)


@pytest.mark.parametrize("margin", [2, 5])
def test_what_lies_below_a_block_is_what_reaches_it(margin):
    made = blocks(margin=margin, rough=True)
    assert made.frame_part(slice(100, 110), slice(20, 30)) == (
        slice(100 - margin, 109 + margin + 2),
        slice(20 - margin, 29 + margin + 2),
    )
    last = 198 + margin - 1
    assert made.frame_part(slice(last, 300), slice(0, 9))[0] == slice(197, 198)
    assert made.frame_part(slice(last + 1, 300), slice(0, 9)) is None
    assert made.frame_part(slice(0, 9), slice(150 + margin, 200)) is None


def test_nothing_lies_below_a_block_before_the_frame():
    made = blocks(lambda x, y: (x - 100.0, y + 0.0), rough=True)
    assert made.frame_part(slice(0, 9), slice(0, 98)) is None
    assert made.frame_part(slice(0, 9), slice(0, 99))[1] == slice(0, 2)
    assert blocks(lambda x, y: (x * np.nan, y + 0.0)).frame_part(slice(0, 9), slice(0, 9)) is None


def test_blocks_hold_all_of_a_turned_frame_once_and_none_lies_beside_it(monkeypatch):
    monkeypatch.setattr("gpustack.align.blocks.SIDE", 40)
    half = 0.5**0.5

    def turned(x, y):
        return half * (x + y) - 80.0, half * (y - x) + 90.0

    made = blocks(turned, window=(300, 310))
    y, x = np.mgrid[:300, :310]
    at = turned(x, y)
    inside = (at[1] >= -0.5) & (at[1] < 197.5) & (at[0] >= -0.5) & (at[0] < 149.5)
    times = np.zeros(inside.shape, int)
    for group in made.groups(0, 300):
        for block, part in group:
            times[block] += 1
            assert all(span.start < span.stop for span in part)
    assert inside.sum() > 10_000
    assert (times[inside] == 1).all()
    assert (times == 0).mean() > 0.1


def test_of_pixels_larger_than_a_block_one_is_taken_at_once():
    assert blocks(lambda x, y: (300.0 * x, 300.0 * y), window=(5, 5)).max_size() == (1, 1)


@pytest.mark.parametrize("margin", [2, 17])
def test_no_part_is_larger_than_is_counted(margin, monkeypatch):
    monkeypatch.setattr("gpustack.align.blocks.SIDE", 40)
    half = 0.5**0.5
    made = blocks(
        lambda x, y: (half * (x + y) - 80.0, half * (y - x) + 90.0), (300, 310), margin=margin
    )
    height, width = made.max_frame_size(*made.max_size())
    assert (height, width) < SHAPE
    parts = [part for group in made.groups(0, 300) for _, part in group]
    assert max(rows.stop - rows.start for rows, _ in parts) <= height
    assert max(columns.stop - columns.start for _, columns in parts) <= width
