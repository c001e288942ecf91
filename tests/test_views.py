"""Rows of arrays in memory are views where possible; otherwise only these rows are copied."""

import numpy as np
import pytest

from gpustack.frames.views import flattens, take_rows

CUBE = np.arange(60).reshape(3, 4, 5)
VIEWS = {
    "whole": CUBE,
    "planes": CUBE[::2],
    "padded planes": CUBE[:, :2],
    "padded rows": CUBE[..., 1:4],
    "one row of each": CUBE[:, 1:2],
    "another axis": CUBE[:, None],
    "axes of 1": CUBE[1:2, :, None, ::2],
    "one column": CUBE[..., :1],
    "turned planes": CUBE[::-1],
    "turned rows": CUBE[:, ::-1],
    "all turned": CUBE[::-1, ::-1],
    "turned columns": CUBE[..., ::-1],
    "other order": CUBE.transpose(1, 0, 2),
    "repeated": np.broadcast_to(CUBE[0, 0], (3, 4, 5)),
    "repeated planes": np.broadcast_to(CUBE[0], (3, 4, 5)),
    "image": CUBE[1],
    "row": CUBE[1, 2],
}


@pytest.mark.parametrize("array", VIEWS.values(), ids=VIEWS)
def test_rows_are_views_where_they_can_be(array):
    flat = array.reshape(-1, array.shape[-1])
    assert flattens(array) == np.shares_memory(flat, CUBE)
    rows = take_rows(array, len(flat) // 2, len(flat))
    np.testing.assert_array_equal(rows, flat[len(flat) // 2 :])
    assert np.shares_memory(rows, CUBE) == flattens(array)
