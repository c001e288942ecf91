"""Rows an odd number of cache lines apart, and how many threads share a limit on memory."""

import numpy as np
import pytest

from gpustack.backends.cpu import CpuBackend
from gpustack.backends.lines import LINE, empty_rows, lines_bytes, rows_in, spare_bytes


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("pixels", [1, 7, 16, 1024, 16_384, 131_072])
def test_rows_are_an_odd_number_of_lines_apart(dtype, pixels):
    rows = empty_rows(5, pixels, dtype)
    assert (rows.shape, rows.dtype) == ((5, pixels), dtype)
    assert rows.ctypes.data % LINE == 0
    step, rest = divmod(rows.strides[0], LINE)
    assert (step % 2, rest) == (1, 0)
    assert all(row.flags.c_contiguous for row in rows)


@pytest.mark.parametrize("pixels", [1, 15, 16, 17, 31, 32, 33, 8192])
def test_rows_do_not_overlap_and_take_what_is_said(pixels):
    size = lines_bytes(4, pixels, "f4")
    assert size <= 4 * pixels * 4 + spare_bytes(4)
    for start in range(0, LINE, 4):
        memory = np.full(size + LINE, 7, np.uint8)
        rows = rows_in(memory[start : start + size], 4, pixels, "f4")
        rows[...] = np.arange(4, dtype="f4")[:, np.newaxis]
        assert np.array_equal(rows, np.repeat(np.arange(4.0)[:, np.newaxis], pixels, axis=1))
        assert (memory[:start] == 7).all()
        assert (memory[start + size :] == 7).all()


def test_too_little_memory_is_an_error():
    with pytest.raises(ValueError, match="strides"):
        rows_in(np.empty(100, np.uint8), 4, 64, "f4")


@pytest.mark.parametrize(("room", "threads"), [(1 << 30, 4), (20_000_000, 1)])
def test_fewer_threads_share_a_small_limit(room, threads):
    asked = 40, np.float32, False, True
    shared = CpuBackend(threads=4)._sharing(room, *asked)
    assert shared.threads == threads
    assert shared.work_bytes(*asked) <= room


def test_threads_have_tiles_of_half_the_full_size():
    backend, asked = CpuBackend(threads=4), (40, np.float32, False, False)
    full = CpuBackend(threads=1).tile_pixels(*asked)
    rooms = range(1_000_000, 200_000_000, 1_000_000)
    shared = [backend._sharing(room, *asked) for room in rooms]
    assert {one.threads for one in shared} == {1, 2, 3, 4}
    for one in shared:
        assert one.threads == 1 or 2 * one.tile_pixels(*asked) >= full
