"""Kernels that find ranks among more samples than registers hold, built by g++.

Up to a few hundred samples are sorted in shared memory, in blocks. Among more, a rank is found by
passes over all samples with guessed trial values; the values here make the guesses wrong.
"""

import numpy as np
import pytest

from answers import CPU
from gpustack.backends.cuda import abi
from gpustack.clips import ExtremaClip
from gpustack.recipe import Recipe
from kernels import KERNELS
from recipes import recipe
from skips import needs_compiler
from stacks import outputs, plain, run
from tolerances import assert_like_cpu, assert_same_bits

pytestmark = needs_compiler

SHAPE = (1, 6)


def _normal(rng, shape):
    return rng.normal(100, 8, shape)


def _hits(rng, shape):
    data = _normal(rng, shape)
    data[rng.random(shape) < 0.1] *= 1e6
    return data


def _hardly_any(rng, shape):
    return np.where(rng.random(shape) < 0.97, np.nan, _normal(rng, shape))


def _one_far_off(rng, shape):
    data = _normal(rng, shape)
    data[0] = 3e38
    return data


#: Name -> function that makes samples from a generator and the shape (n, rows, width).
VALUES = {
    "normal": _normal,
    "hits": _hits,
    "sorted": lambda rng, shape: np.sort(_normal(rng, shape), axis=0),
    "reversed": lambda rng, shape: -np.sort(_normal(rng, shape), axis=0),
    "all the same": lambda rng, shape: np.full(shape, 3.25),
    "two values": lambda rng, shape: rng.choice([-1.5, 7.0], shape),
    "few values": lambda rng, shape: rng.integers(0, 9, shape),
    "far apart": lambda rng, shape: 10 ** rng.uniform(-37, 37, shape) * rng.choice([-1, 1], shape),
    "two clusters": lambda rng, shape: rng.normal(0, 1e-6, shape) + rng.choice([0, 1e6], shape),
    "hardly any": _hardly_any,
    "none": lambda rng, shape: np.full(shape, np.nan),
    "infinite": lambda rng, shape: rng.choice([np.nan, np.inf, -np.inf, 1.0, 2.0], shape),
    "subnormal": lambda rng, shape: rng.normal(0, 1e-39, shape),
    "one far off": _one_far_off,
}

NAMES = ("median", "sigma-median-mad_std-None", "everything", "winsorized", "weighted-extrema")


def made(values, n, dtype):
    data = VALUES[values](np.random.default_rng([n, 31]), (n, *SHAPE))
    return plain(data.astype(dtype))


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_of_more_than_shared_memory_holds(name, values, dtype):
    n = abi.SHARED_FRAMES[np.dtype(dtype).itemsize] + 41
    asked, band = recipe(name, n), made(values, n, dtype)
    assert_like_cpu(run(KERNELS["staged"], band, asked), run(CPU, band, asked), asked.combine)


def test_more_samples_equal_an_end_than_survive():
    # A cut between equal samples leaves ten, three of which are 5 and come last. But 201 samples
    # are between these ends, more than the kernel gathers.
    data = np.concatenate([np.full(200, 1.0), np.full(198, 6.0), np.full(3, 5.0)]).astype("f4")
    band = plain(np.broadcast_to(data[:, None, None], (len(data), *SHAPE)))
    for nhigh, middle in ((191, 6), (197, 5)):
        asked = Recipe(clips=[ExtremaClip(200, nhigh)], combine="lower_median")
        got = run(KERNELS["staged"], band, asked)
        np.testing.assert_array_equal(got.data, middle)
        assert_like_cpu(got, run(CPU, band, asked), asked.combine)


#: Itemsize -> numbers of samples at the limits of two blocks, two full blocks, and three blocks.
IN_SHARED = {4: (129, 130, 255, 256, 257, 359, 360), 8: (65, 127, 128, 129, 185, 186)}


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("size", IN_SHARED)
def test_sorted_by_blocks(values, size):
    for i, n in enumerate(IN_SHARED[size]):
        asked, band = recipe(NAMES[1 + i % 4], n), made(values, n, f"f{size}")
        assert abi.frames_macro(n, size, ranks=True) == n
        kind = "flat" if n % 2 else "staged"
        assert_like_cpu(run(KERNELS[kind], band, asked), run(CPU, band, asked), asked.combine)


def test_the_limits_of_shared_memory():
    for size, most in abi.SHARED_FRAMES.items():
        assert abi.frames_macro(most + 1, size, ranks=True) == 0
        assert abi.frames_macro(abi.REGISTER_FRAMES[size] + 1, size, ranks=False) == 0
        for n in range(1, most + 1):
            blocks = -(-n // abi.REGISTER_FRAMES[size])
            slots = blocks * -(-n // blocks)
            threads = abi.block_threads(n, size)
            assert slots * threads * size + 8 * n <= abi.SHARED_BYTES


@pytest.mark.parametrize("kind", ["flat", "staged"])
@pytest.mark.parametrize(
    "name", ["mean", "median", "range-sigma", "extrema-all", "esd", "raw-unused"]
)
@pytest.mark.parametrize(("size", "working"), [(4, 4), (8, 8), (4, 8)])
def test_what_is_no_number_is_out_whatever_its_bits(kind, name, size, working):
    # NaN of both signs, quiet and signalling, and infinities: they sort to either end of a column.
    # Also those of float32 where the working dtype is float64.
    n, word = 25, f"u{size}"
    exponent = {4: 0xFF << 23, 8: 0x7FF << 52}[size]
    bits = np.array(
        [exponent, exponent | 1, exponent | exponent >> 1, exponent | exponent - 1], word
    )
    bits = np.concatenate([bits, bits | np.array(1 << 8 * size - 1, word)])
    rng = np.random.default_rng(size)
    data = _normal(rng, (n, 3, 7)).astype(f"f{size}")
    out = rng.random(data.shape) < 0.3
    data.view(word)[out] = rng.choice(bits, out.sum())
    band, asked = plain(data), recipe(name, n)
    got, want = outputs(band, asked), outputs(band, asked)
    KERNELS[kind].run(band, asked, got, np.dtype(f"f{working}"))
    with np.errstate(invalid="ignore"):  # converting a signalling NaN is an invalid operation
        CPU.run(band, asked, want, np.dtype(f"f{working}"))
    np.testing.assert_array_equal(got.valid, (~out).sum(axis=(1, 2)))
    assert_like_cpu(got, want, asked.combine)


def test_a_value_of_every_kind_comes_out_as_it_went_in():
    # Both signs, all exponents including those of subnormals, mantissas of few and of many bits.
    mantissas = np.array([0, 1, 2, 0x400000, 0x7FFFFE, 0x7FFFFF], np.uint32)
    bits = (np.arange(255, dtype=np.uint32)[:, None] << 23 | mantissas).ravel()
    values = np.concatenate([bits, bits | 1 << 31]).view("f4")
    values = values[None]
    band, asked = plain(values[None]), recipe("mean", 1)
    got = run(KERNELS["flat"], band, asked)
    np.testing.assert_array_equal(got.data, values)
    assert_same_bits(got, run(CPU, band, asked))
