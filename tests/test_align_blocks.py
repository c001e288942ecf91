"""How what a frame covers is cut into blocks, and what of the frame lies below each."""

import numpy as np
import pytest

from gpustack.align.blocks import Blocks
from gpustack.align.pixel_map import PixelMap

SHAPE = (198, 150)


def blocks(transform=lambda x, y: (x + 0.0, y + 0.0), window=(600, 600), margin=2, rough=False):
    """Of a frame on a grid that begins where the frame does."""
    rows, columns = (slice(0, length) for length in window)
    pixel_map = PixelMap.of(transform, rows, columns, rough=rough)
    return Blocks((rows, columns), pixel_map, SHAPE, margin, 5)


@pytest.mark.parametrize("margin", [2, 5])
def test_what_lies_below_a_block_is_what_reaches_it(margin):
    made = blocks(margin=margin, rough=True)
    assert made.under(slice(100, 110), slice(20, 30)) == (
        slice(100 - margin, 109 + margin + 2),
        slice(20 - margin, 29 + margin + 2),
    )
    last = 198 + margin - 1
    assert made.under(slice(last, 300), slice(0, 9))[0] == slice(197, 198)
    assert made.under(slice(last + 1, 300), slice(0, 9)) is None
    assert made.under(slice(0, 9), slice(150 + margin, 200)) is None


def test_nothing_lies_below_a_block_before_the_frame():
    made = blocks(lambda x, y: (x - 100.0, y + 0.0), rough=True)
    assert made.under(slice(0, 9), slice(0, 98)) is None
    assert made.under(slice(0, 9), slice(0, 99))[1] == slice(0, 2)
    assert blocks(lambda x, y: (x * np.nan, y + 0.0)).under(slice(0, 9), slice(0, 9)) is None
