"""Bands under a memory limit, and memory limits from text."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gpustack.errors import InputError, MemoryLimitError
from gpustack.plan import DEFAULT_MEMORY, Band, parse_memory, plan_bands

rows = st.integers(1, 5000)


@given(rows, st.integers(1, 10**6), st.integers(0, 10**9))
@example(1, 1, 0)
@example(5000, 10**6, 0)
def test_bands_cover_each_row_once_and_fit(rows, row_bytes, spare):
    memory = row_bytes + spare
    bands = plan_bands(rows, row_bytes, memory)
    covered = [row for band in bands for row in range(band.start, band.stop)]
    assert covered == list(range(rows))
    assert all(band.rows * row_bytes <= memory for band in bands)
    assert sum(band.rows for band in bands) == rows


@given(rows, st.integers(1, 10**6), st.integers(0, 10**9))
def test_bands_are_as_few_as_fit_and_equal_but_the_last(rows, row_bytes, spare):
    memory = row_bytes + spare
    bands = plan_bands(rows, row_bytes, memory)
    assert len(bands) == math.ceil(rows / min(rows, memory // row_bytes))
    assert len({band.rows for band in bands[:-1]}) <= 1
    assert bands[-1].rows <= bands[0].rows


@pytest.mark.parametrize(
    ("rows", "row_bytes", "memory", "expected"),
    [
        (10, 100, 1000, [(0, 10)]),
        (10, 100, 999, [(0, 9), (9, 10)]),
        (10, 100, 300, [(0, 3), (3, 6), (6, 9), (9, 10)]),
        (3, 100, 100, [(0, 1), (1, 2), (2, 3)]),
        (10, 0, 1, [(0, 10)]),
        (0, 100, 1000, []),
        (0, 0, 1, []),
        (2**40, 2**20, 2**59, [(0, 2**39), (2**39, 2**40)]),
    ],
)
def test_plan_bands(rows, row_bytes, memory, expected):
    assert plan_bands(rows, row_bytes, memory) == [Band(*pair) for pair in expected]


def test_a_row_that_does_not_fit_is_an_error():
    with pytest.raises(MemoryLimitError, match=r"one row of all frames, 1,025 bytes, got 1,024"):
        plan_bands(10, 1025, 1024)


@pytest.mark.parametrize(
    ("memory", "size"),
    [
        (None, DEFAULT_MEMORY),
        (1, 1),
        (4096, 4096),
        (1.5e9, 1_500_000_000),
        (np.int64(7), 7),
        (np.float32(2048), 2048),
        (np.array(5), 5),
        (Fraction(9, 2), 4),
        ("1", 1),
        ("512", 512),
        ("512B", 512),
        ("2GB", 2 * 10**9),
        ("2 gb", 2 * 10**9),
        ("2G", 2 * 10**9),
        ("1.5 MB", 1_500_000),
        (".5k", 500),
        ("1kB", 1000),
        ("0.25TB", 250 * 10**9),
        ("  3M ", 3 * 10**6),
        ("1e9", 10**9),
        ("1E+3 kB", 10**6),
        ("512 MiB", DEFAULT_MEMORY),
        ("500MiB", 500 * 2**20),
        ("1.5 kib", 1536),
        ("2TiB", 2**41),
        ("2Gi", 2**31),
    ],
    ids=repr,
)
def test_parse_memory(memory, size):
    assert parse_memory(memory) == size
    assert type(parse_memory(memory)) is int


@given(st.integers(1, 10**6), st.sampled_from(["k", "M", "G", "T"]))
def test_units_are_decimal(number, unit):
    size = number * 1000 ** ("kMGT".index(unit) + 1)
    for text in (f"{number}{unit}", f"{number} {unit}B", f"{number}{unit}".swapcase()):
        assert parse_memory(text) == size


@pytest.mark.parametrize(
    "memory",
    [
        "", " ", "0", "0GB", "0.4", "0.0000001 k", "-1", "-1GB", "+1", "nan", "inf", "1e400",
        "GB", "2 GBs", "2 PB", "2,5GB", "1.", "1_000", "2 G B", "two", "1GB 2GB", "0x10",
        "2iB", "2 KiBB", "2i", "2PiB",
        0, 0.5, -1, -5e9, math.nan, math.inf, -math.inf, True, 1j, [1], b"1GB", np.array([1, 2]),
    ],
    ids=repr,
)  # fmt: skip
def test_parse_memory_refuses(memory):
    with pytest.raises(InputError, match=r"memory: expected .*'2GB', got ") as caught:
        parse_memory(memory)
    assert str(caught.value).endswith(f"got {memory!r}")


def test_a_row_count_of_a_band():
    assert Band(3, 10).rows == 7
