"""Samples that are decoded late: in parts, or after they are sorted as integers."""

import numpy as np
import pytest

from gpustack.backends.base import Samples, working_dtype
from gpustack.backends.network import NETWORK_FRAMES
from gpustack.backends.stored import Stored, decode_stored

INTEGERS = ["<i2", ">i2", "<u2", ">u2", ">i4", "<u4", ">i8", "<u8"]


def stored(data, **scaling):
    rows = np.full(data.shape, 7, working_dtype(data.dtype))
    return Stored(Samples(data, **scaling), data, rows)


def decoded(one):
    out = np.empty_like(one.rows)
    decode_stored(one.flat, one.samples, out)
    return out


def some(dtype, n, pixels=50):
    """Random integers of a dtype, with ties and many of its smallest and largest values."""
    rng, limits = np.random.default_rng(n), np.iinfo(dtype)
    data = rng.integers(limits.min, limits.max, (n, pixels), np.dtype(dtype).newbyteorder("="))
    data[rng.random(data.shape) < 0.2] = limits.max
    data[rng.random(data.shape) < 0.2] = limits.min
    data[rng.random(data.shape) < 0.2] = limits.max // 3
    return data.astype(dtype)


@pytest.mark.parametrize("bzero", [0.0, 32768.0, 0.3, -(2.0**31)])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_samples_sorted_as_integers_are_sorted(dtype, bzero):
    for n in (1, 2, 25, max(NETWORK_FRAMES.values()) + 1):
        one = stored(some(dtype, n), bzero=bzero)
        before, expected = one.flat.copy(), np.sort(decoded(one), axis=0)
        assert one.has_order == (n <= 25 or one.flat.itemsize > 2)
        assert one.sort(None).tobytes() == expected.tobytes()
        assert np.array_equal(one.flat, before), "what is stored stays"


@pytest.mark.parametrize("dtype", INTEGERS)
def test_no_other_ranks_than_those_asked_for_are_decoded(dtype):
    one = stored(some(dtype, 9))
    expected = np.sort(decoded(one), axis=0)
    rows = one.sort(frozenset({4, 7}))
    assert np.array_equal(rows[[4, 7]], expected[[4, 7]])
    assert (np.delete(rows, [4, 7], axis=0) == 7).all()


def test_a_factor_below_zero_turns_the_order_round():
    assert stored(some(">i2", 3), bscale=0.5).has_order
    assert not stored(some(">i2", 3), bscale=-0.5).has_order


@pytest.mark.parametrize("dtype", ["u1", ">f4", "<f8"])
def test_samples_that_keep_no_order_are_decoded_first(dtype):
    data = np.arange(12).reshape(3, 4).astype(dtype)
    one = stored(data, bzero=1.0)
    assert not one.has_order
    one.fill(slice(1, 3))
    assert np.array_equal(one.rows[:, 1:3], data[:, 1:3] + 1)
    assert (one.rows[:, [0, 3]] == 7).all()
    one.fill()
    assert np.array_equal(one.rows, data + 1)
