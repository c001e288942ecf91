"""`AvgSigmaClip`, which clips by the average noise of a row: all backends against the oracle."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from answers import on
from bands import BandSource, Cpu, Files
from gpustack import AvgSigmaClip, ExtremaClip, SigmaClip, explain, stack
from gpustack.clips import RowSigmaClip
from gpustack.errors import MemoryLimitError
from gpustack.maps import execute, row_noise, with_row_noise
from gpustack.recipe import OUTPUTS, Recipe
from kernels import HostKernels
from maprun import DEFAULT, run_maps
from oracle import solve
from recipes import AVERAGED, averaged, scale
from skips import needs_compiler
from stacks import TIED, outputs, plain, rows_of, run, sky, some, tall
from stacks import stack as stack_of
from tolerances import IMAGES, assert_agrees, assert_same_bits
from traced import traced

FRAMES = 6
#: All shapes and types, and values for which the level is small or lost to rounding.
STACKS = (
    "masked",
    "mixed-masks",
    "mixed-types",
    "fits-scaled",
    "negative",
    "huge-range-f8",
    "ties",
    "one-row",
)
CPU = Cpu(threads=1)


def told(band, asked, dtype=None):
    """The recipe with the measured noise of rows, as backends receive it."""
    source = BandSource(band, np.dtype(dtype or "f4"))
    return with_row_noise(CPU, source, asked, DEFAULT)


def first_rows(stack_name, n, asked):
    """The samples of a stack; only two rows unless it has `FRAMES` frames: the oracle is slow."""
    return rows_of(stack_of(stack_name, n, asked), 0, None if n == FRAMES else 2)


@cache
def solved(name, stack_name, n=FRAMES):
    """The oracle's answer, cached for all backends."""
    asked = averaged(name, n)
    return solve(first_rows(stack_name, n, asked), asked)


#: The CPU backend is tested with every pair of a recipe and a stack, alternately in large and in
#: small tiles, since the tiles depend on neither.
BY_TURNS = {
    (name, stack_name): ("cpu", "cpu-small-tiles")[(i + k) % 2]
    for i, name in enumerate(AVERAGED)
    for k, stack_name in enumerate(STACKS)
}


@pytest.mark.parametrize("name", AVERAGED)
def test_every_recipe_and_every_stack(request, backend, name):
    asked, kind = averaged(name, FRAMES), request.node.callspec.params["backend"]
    for stack_name in STACKS:
        if kind.startswith("cuda") or kind == BY_TURNS[name, stack_name]:
            with on(stack_name):
                out, _ = run_maps(backend, stack_of(stack_name, FRAMES, asked), asked)
                assert_agrees(out, solved(name, stack_name), asked.combine, ties=True)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 25, 130])
@pytest.mark.parametrize("name", ["median", "trimmed", "keep", "scale-zero", "raw", "twice"])
def test_any_number_of_frames(backend, name, n):
    asked = averaged(name, n)
    out, _ = run_maps(backend, first_rows("masked", n, asked), asked)
    assert_agrees(out, solved(name, "masked", n), asked.combine, ties=True)


def test_the_stacks_leave_no_doubt():
    for name in AVERAGED:
        for stack_name in set(STACKS) - set(TIED):
            close = solved(name, stack_name).close
            assert close.mean() <= 0.2, (name, stack_name, close.mean())


def test_the_recipes_have_something_to_do():
    for name in set(AVERAGED) - {"nothing"}:
        asked = averaged(name, FRAMES)
        band = stack_of("masked", FRAMES, asked)
        clips = [clip for clip in asked.clips if not isinstance(clip, AvgSigmaClip)]
        without = solve(band, replace(asked, clips=[clip for clip in clips if clip != asked.grow]))
        assert (solve(band, asked).count != without.count).any(), name


@cache
def by_cpu(name, stack_name):
    """The samples, the recipe as of `told`, and the CPU's answer, cached for all kernels."""
    asked = replace(averaged(name, FRAMES), weights=None, combine="median")
    band = stack_of(stack_name, FRAMES, asked)
    asked = told(band, asked)
    return band, asked, run(CPU, band, asked)


@needs_compiler
@pytest.mark.parametrize("how", [{}, {"streamed": True}, {"flat": True}, {"flush": True}])
@pytest.mark.parametrize("stack_name", ["masked", "mixed-masks", "ties", "fits-scaled", "one-row"])
def test_kernels_decide_as_the_cpu_does(how, stack_name):
    for name in set(AVERAGED) - {"grow", "raw-grow"}:
        band, asked, want = by_cpu(name, stack_name)
        got = run(HostKernels(**how), band, asked)
        assert_same_bits(got, want, ("data", "mask", "count", "low", "high", "reasons"))


@pytest.mark.parametrize("center", ["median", "mean", "trimmed_mean"])
def test_the_noise_is_what_the_formula_says(backend, center):
    data = sky(7, (5, 40)) + 30 * np.arange(5).reshape(5, 1)
    data[:, 4] -= 300
    middle = {
        "median": np.median(data, axis=0),
        "mean": data.mean(axis=0),
        "trimmed_mean": np.sort(data, axis=0)[1:-1].mean(axis=0),
    }[center]
    off = (data - middle) / np.sqrt(np.maximum(middle, 1))
    expected = np.sqrt((off**2).sum(axis=(0, 2)) / (7 * 40 - 1))
    source = BandSource(plain(data), np.dtype("f8"))
    found = with_row_noise(backend, source, Recipe(clips=AvgSigmaClip(center=center)), DEFAULT)
    np.testing.assert_allclose(found.clips[0].sigmas, expected, rtol=1e-13)


def test_where_nothing_tells_of_the_noise_nothing_is_rejected(backend):
    data = sky(5, (4, 9)).astype("f4")
    masks = np.zeros(data.shape, bool)
    masks[2:, 0] = True  # two samples are too few
    masks[3:, 1, 2:] = masks[:3, 1, :2] = True
    data[:, 2] = 5  # all alike
    tight = Recipe(clips=AvgSigmaClip(0, 0))
    sigmas = told(plain(data, masks), tight).clips[0].sigmas
    assert np.isnan(sigmas).tolist() == [True, False, True, False]
    out, _ = run_maps(backend, plain(data, masks), tight)
    assert out.count[0].tolist() == [2] * 9
    assert out.count[1, :2].tolist() == [2] * 2
    assert out.count[2].tolist() == [5] * 9
    assert (out.count[1, 2:] < 3).all()


def test_the_order_of_frames_changes_no_bit_of_the_noise():
    data = sky(25, (31, 70)).astype("f4")
    asked = Recipe(clips=AvgSigmaClip())
    one, other = (told(plain(some), asked).clips[0].sigmas for some in (data, data[::-1]))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("n", [9, 25])
def test_bands_and_layouts_change_no_bit_of_the_noise(cut, n):
    data = sky(n, (31, 70)).astype("f4")
    asked, found = Recipe(clips=AvgSigmaClip()), []
    for step, layout in ((31, np.array), (1, np.array), (2, np.array), (1, np.asfortranarray)):
        cut(step)
        band = plain([layout(frame) for frame in data])
        found.append(told(band, asked).clips[0].sigmas)
    assert np.isfinite(found[0]).all()
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


def test_what_a_scale_makes_infinite_tells_nothing_of_the_noise(backend):
    data = sky(9, (4, 50)).astype("f4")
    scales = (0.9, 1.0, 2.0) + (1.0,) * 6
    asked = Recipe(clips=AvgSigmaClip(), scale=scales, clip_on="raw")
    expected = told(plain(data[:, :, 1:]), asked).clips[0].sigmas
    data[2, :, 0] = -np.finfo("f4").max  # twice that overflows float32
    masks = np.zeros(data.shape, bool)
    masks[2, :, 0] = True
    found = [told(plain(*one), asked).clips[0].sigmas for one in ((data,), (data, masks))]
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(found[0], expected, rtol=0.2)


@pytest.mark.parametrize(("threads", "held", "most"), [(1, 0, 1), (4, 0, 2), (4, DEFAULT, 1)])
def test_no_more_threads_than_the_backend_has_and_memory_allows(monkeypatch, threads, held, most):
    band, seen = plain(sky(5, (31, 11)).astype("f4")), []

    class Pool(ThreadPoolExecutor):
        def __init__(self, workers):
            seen.append(workers)
            super().__init__(workers)

    class Holding(BandSource):
        held_bytes = held

    monkeypatch.setattr(row_noise, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(row_noise, "available_cores", lambda: 4)
    asked = Recipe(clips=AvgSigmaClip())
    with_row_noise(Cpu(threads), Holding(band, np.dtype("f4")), asked, 2 * DEFAULT)
    assert seen == [most]


@pytest.mark.parametrize("step", [1, 3, 7])
@pytest.mark.parametrize("name", ["median", "mean-once", "twice", "grow", "raw-grow", "sample"])
def test_bands_change_no_bit(backend, cut, name, step):
    asked = averaged(name, 5)
    band = rows_of(tall(weights=asked.weights == "sample"), 0, 9)
    whole, _ = run_maps(backend, band, asked)
    cut(step)
    found, _ = run_maps(backend, band, asked)
    assert_same_bits(whole, found)
    np.testing.assert_array_equal(whole.rejected, found.rejected)


@pytest.mark.parametrize("name", ["median", "twice", "scale-zero"])
def test_bands_of_files_change_no_bit(backend, name):
    asked = replace(averaged(name, 5), outputs=OUTPUTS)
    band, found = tall(), []
    for kind, memory in ((BandSource, DEFAULT), (Files, 40_000)):
        source, out = kind(band, np.dtype("f4")), outputs(band, asked)
        out.reasons = None
        execute(backend, source, asked, out, [], memory)
        found.append(out)
    assert_same_bits(*found, ("data", "uncertainty", "mask", "count", "low", "high"))


@pytest.mark.parametrize("name", ["median", "twice", "scale-zero", "raw", "sample"])
def test_blocks_of_rows_change_no_bit_and_no_frame_is_read_again(monkeypatch, name):
    asked = averaged(name, 5)
    band, reads, noise = tall(weights=asked.weights == "sample"), [], []

    class Counted(BandSource):
        def read(self, f, *rows):
            reads.append(f)
            return super().read(f, *rows)

    for pixels in (row_noise.BLOCK_PIXELS, 70):
        monkeypatch.setattr(row_noise, "BLOCK_PIXELS", pixels)
        clips = with_row_noise(CPU, Counted(band, np.dtype("f4")), asked, DEFAULT).clips
        noise.append([clip.sigmas for clip in clips if isinstance(clip, RowSigmaClip)])
    np.testing.assert_array_equal(*noise)
    assert np.isfinite(noise).any()
    assert Counter(reads) == dict.fromkeys(range(5), 2 * 3 * len(noise[0]))


@pytest.mark.parametrize(
    ("center", "bad", "reads"), [("median", 0, 2), ("trimmed_mean", 0, 2), ("mean", 1, 3)]
)
def test_a_frame_is_read_once_more_where_a_sample_is_out(center, bad, reads):
    band, seen = plain(sky(5, (31, 11)).astype("f4"), some(5, (31, 11), 0.1) if bad else None), []

    class Counted(BandSource):
        def read(self, f, *rows):
            seen.append(f)
            return super().read(f, *rows)

    asked = Recipe(clips=AvgSigmaClip(center=center))
    with_row_noise(CPU, Counted(band, np.dtype("f4")), asked, DEFAULT)
    assert Counter(seen) == dict.fromkeys(range(5), reads)


@given(st.integers(0, 10**6), st.sampled_from(["f4", "f8", "u2"]))
def test_the_order_of_frames_changes_no_bit(seed, dtype):
    rng = np.random.default_rng(seed)
    data = rng.integers(0, 9, (5, 3, 8)).astype(dtype)
    order = rng.permutation(5)
    factors = scale(5)
    asked = Recipe(clips=AvgSigmaClip(1.3, 1.1), scale=factors, combine="median")
    one, _ = run_maps(CPU, plain(data), asked)
    asked = replace(asked, scale=tuple(factors[i] for i in order))
    other, _ = run_maps(CPU, plain(data[order]), asked)
    assert_same_bits(one, other, IMAGES[:1] + IMAGES[2:])
    np.testing.assert_array_equal(one.rejected[order], other.rejected)


def test_backends_want_the_noise_told(backend):
    band, asked = tall(), averaged("median", 5)
    with pytest.raises(TypeError, match=r"by column, got avgsigma|for kernels, got AvgSigmaClip"):
        run(backend, band, asked)


@pytest.mark.parametrize("clips", [[], [SigmaClip(2, 2)]])
def test_the_limit_holds(clips):
    memory = 1_000_000
    asked = Recipe(clips=[*clips, AvgSigmaClip()])
    source = Files(plain(sky(20, (60, 128)).astype("f4")), np.dtype("f4"))
    out = replace(outputs(source.band, asked), reasons=None)
    with traced() as taken:
        execute(Cpu(), source, asked, out, [], memory)
    assert memory / 4 < taken.peak <= memory


def test_a_limit_that_leaves_no_room_says_so():
    with pytest.raises(MemoryLimitError, match=r"noise of rows \(.* bytes for one row .*got 99"):
        run_maps(CPU, tall(), averaged("median", 5), 99, Files)


# The public API: stack and explain.


def test_without_a_limit_a_row_fits_in_any_case(monkeypatch):
    monkeypatch.setattr("gpustack.run.limit.DEFAULT_MEMORY", 100)
    assert stack(sky(5).astype("f4"), AvgSigmaClip()).count.shape == (5, 7)


def test_a_row_is_one_of_the_last_axis():
    cube = sky(7, (2, 6, 13)).astype("f4")
    clips = [ExtremaClip(1, 0), AvgSigmaClip(1.5, 1.5)]
    whole = stack(cube, clips)
    for i in range(2):
        plane = stack(cube[:, i], clips)
        for name in IMAGES:
            np.testing.assert_array_equal(getattr(whole, name)[i], getattr(plane, name))
        row = stack(cube[:, i, 3:4], clips)
        np.testing.assert_array_equal(whole.count[i, 3:4], row.count)
    assert stack(list(cube[:, 0, 3]), clips).count.tolist() == whole.count[0, 3].tolist()


def test_the_numbers_of_rows_are_not_written():
    found = stack(sky(5).astype("f4"), AvgSigmaClip(2, None))
    assert found.recipe.clips == (AvgSigmaClip(2, None),)
    assert "sigmas" not in str(found.header)
    inside = told(plain(sky(5).astype("f4")), found.recipe)
    assert str(inside) == str(found.recipe)
    assert Recipe.from_json(inside.to_json()) == found.recipe
    assert len(inside.rows(1, 4).clips[0].sigmas) == 3


def test_cupy_arrays_stay_where_they_are(cuda):
    cube = sky(5, (9, 8)).astype("f4")
    clips = [AvgSigmaClip(1.5, 1.5), AvgSigmaClip(2, 2, "mean")]
    found = stack([cuda.asarray(frame) for frame in cube], clips, scale=scale(5))
    assert isinstance(found.data, cuda.ndarray)
    expected = stack(cube, clips, scale=scale(5), backend="cpu")
    for name in ("count", "low", "high"):
        np.testing.assert_array_equal(getattr(found, name).get(), getattr(expected, name))


@pytest.mark.parametrize("name", ["trimmed", "scale-zero", "raw", "twice", "grow", "raw-grow"])
def test_explain_knows_the_row(name):
    asked, cube = replace(averaged(name, 6), outputs=OUTPUTS), sky(6, (9, 12)).astype("f4")
    cube[1, 2:5, 3:9] = np.nan
    whole = stack(cube, asked)
    for y, x in ((0, 0), (3, 4), (8, 11)):
        found = explain(cube, x, y, asked)
        assert found.recipe == asked
        assert [step.clip for step in found.steps] == list(asked.clips)
        assert (found.data, found.count) == (whole.data[y, x], whole.count[y, x])
        assert found.low + found.high == whole.low[y, x] + whole.high[y, x]
        assert (found.samples["fate"] == "used").sum() == found.count


def test_explain_shows_the_bounds_of_a_row():
    data = np.tile([100.0, 121, 400], (5, 1, 1))
    data[:, 0, 0] += -10, 10, 0, 0, 30
    step = explain(data, 0, 0, AvgSigmaClip(1, 1)).steps[0]
    s = np.sqrt(1100 / 100 / 14)
    assert step.passes[0].bounds[0].lower == pytest.approx(100 - 10 * s)
    assert step.passes[0].low + step.passes[0].high == (0, 1, 4)
