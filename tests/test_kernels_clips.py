"""Kernels and CPU agree bit for bit on clips after other clips, ties at cuts and odd values."""

from functools import cache

import numpy as np
import pytest

from bands import Cpu
from clip_chains import CHAINS
from gpustack.clips import (
    ESDClip,
    ExtremaClip,
    NoiseClip,
    PercentileRankClip,
    SigmaClip,
    WinsorizedClip,
)
from gpustack.recipe import Recipe
from kernels import HostKernels
from skips import needs_compiler
from stacks import plain, run, stack
from tolerances import assert_same_bits

pytestmark = needs_compiler

KERNELS = {
    "staged": HostKernels(),
    "flat": HostKernels(flat=True),
    "streamed": HostKernels(streamed=True),
    "flushing": HostKernels(flush=True),
}
CPU = Cpu(threads=1)
EVERYTHING = ("data", "mask", "count", "low", "high", "reasons")


def by_cpu(band, clips):
    """The answer of the CPU backend."""
    return run(CPU, band, Recipe(clips=clips, combine="median"))


@cache
def chain_by_cpu(name, stack_name, n):
    """The answer of the CPU backend for a chain of clips, cached for all kernels."""
    return by_cpu(stack(stack_name, n, Recipe()), CHAINS[name])


def assert_like_cpu(kernels, band, clips, want=None):
    """Assert that all decisions and the median equal those of the CPU backend."""
    want = by_cpu(band, clips) if want is None else want
    got = run(kernels, band, Recipe(clips=clips, combine="median"))
    assert_same_bits(got, want, EVERYTHING)
    np.testing.assert_array_equal(got.rejected, want.rejected)


@pytest.mark.parametrize("n", [3, 6, 25, 70])
@pytest.mark.parametrize("stack_name", ["ties", "constant-f4", "mixed-masks", "zeros", "f8"])
@pytest.mark.parametrize("kernels", KERNELS.values(), ids=KERNELS)
def test_chains(kernels, stack_name, n):
    band = stack(stack_name, n, Recipe())
    for name, clips in CHAINS.items():
        assert_like_cpu(kernels, band, clips, chain_by_cpu(name, stack_name, n))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("kernels", KERNELS.values(), ids=KERNELS)
def test_sums_are_those_of_what_is_left(kernels, dtype):
    # Samples that were once summed with 1e30, or relative to a rejected pivot, lose all digits.
    data = np.random.default_rng(3).normal(100, 8, (30, 4, 9)).astype(dtype)
    data[4], data[11], data[12, 2:] = 1e30, -3e28, 500
    for clip in (
        ESDClip(0.3, 0.2),
        WinsorizedClip(2, 2),
        SigmaClip(1.5, 1.5, "trimmed_mean", about="center"),
    ):
        assert_like_cpu(kernels, plain(data), [clip])
    left = run(kernels, plain(data), Recipe(clips=[ESDClip(0.3, 0.2)]))
    assert left.marks[4].all()
    assert left.marks[11].all()
    assert left.marks[12, 2:].all()


@pytest.mark.parametrize(
    ("keep", "count"), [(0, 1), (1, 1), (2, 5), (5, 5), (6, 7), (-1, 7), (-4, 5)]
)
@pytest.mark.parametrize("kernels", KERNELS.values(), ids=KERNELS)
def test_equally_near_samples_come_back_together(kernels, keep, count):
    # Only the median is within the bounds.
    values = np.array([4, 1, 2, 3, 4, 5, 2], "f4")
    clip = SigmaClip(0, 0, "median", keep=keep)
    found = run(kernels, plain(values.reshape(7, 1, 1)), Recipe(clips=[clip]))
    assert sorted(values[~found.marks[:, 0, 0]]) == sorted(values)[(7 - count) // 2 :][:count]


@pytest.mark.parametrize(
    ("values", "keep", "left"),
    [
        ([0, 0, 0, 0, 5, 70], 5, [0, 0, 0, 0, 5]),
        ([-5, -4, -1, -0.5, 3, 9], 1, [-1, -0.5]),
        ([0, 0, 0, 0, 5, -5, 70], 5, [0, 0, 0, 0, 5, -5]),
    ],
)
@pytest.mark.parametrize("scale", [None, 1.0])
@pytest.mark.parametrize("kernels", [CPU, *KERNELS.values()], ids=["cpu", *KERNELS])
def test_where_there_is_no_noise_the_nearest_come_back_too(kernels, values, keep, left, scale):
    """A CCD without read noise has no noise below 0; then samples are ordered by distance."""
    data, n = np.array(values, "f4").reshape(-1, 1, 1), len(values)
    recipe = Recipe(clips=[NoiseClip(keep=keep)], scale=scale and (scale,) * n)
    found = run(kernels, plain(data), recipe)
    assert data[~found.marks].tolist() == left


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("kernels", KERNELS.values(), ids=KERNELS)
def test_bounds_that_are_no_numbers_reject_nothing(kernels, dtype):
    # A rank of equal samples has no distance, so bounds are NaN. The integer image of a device's
    # NaN is the largest of all, and the next one is that of 0.
    data = np.full((9, 1, 2), [-5, 5], dtype)
    found = run(kernels, plain(data), Recipe(clips=[PercentileRankClip()]))
    assert found.count.tolist() == [[9, 9]]


def test_a_share_that_is_all_but_one_sample_is_one():
    data = np.random.default_rng(4).normal(100, 8, (1500, 1, 3)).astype("f4")
    data[0, 0, 1] = data[:2, 0, 2] = np.nan
    clip = ExtremaClip(1, 0, "share")
    assert run(KERNELS["staged"], plain(data), Recipe(clips=[clip])).low.tolist() == [[1, 1, 0]]
    assert_like_cpu(KERNELS["staged"], plain(data), [clip])
