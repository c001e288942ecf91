"""`Similarity`, a map of pixels that shifts, rotates and scales."""

import pytest

from gpustack.align.similarity import Similarity


@pytest.mark.parametrize(
    ("turn", "shift", "whole"),
    [
        (1, 3 - 4j, (-4, 3)),
        (1, 0, (0, 0)),
        (1, 3.5 - 4j, None),
        (1, 3 - 4.5j, None),
        (1j, 3 - 4j, None),
        (2, 3 - 4j, None),
        (1 + 1e-9, 3 - 4j, None),
    ],
)
def test_whole_pixels_are_a_shift_by_such_and_nothing_else(turn, shift, whole):
    assert Similarity(complex(turn), complex(shift)).whole == whole


def test_a_rotation_turns_from_x_to_y():
    quarter = Similarity(2j, 10 + 20j)
    assert (quarter.rotation, quarter.scale) == (90, 2)
    assert quarter.to_reference(3, 4) == (10 - 8, 20 + 6)
    assert quarter.to_frame(2, 26) == (3, 4)
    assert quarter.seen_from(x=1, y=2).to_reference(3, 4) == (1, 24)
