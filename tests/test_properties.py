"""Properties that hold for every stack and every recipe, whatever the samples are."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given as every
from hypothesis import settings
from hypothesis import strategies as st

from bands import MEMORY, BandSource, Cpu, widest
from gpustack.backends.base import Samples
from gpustack.clips import ExtremaClip, RangeClip, SigmaClip
from gpustack.combines import METHODS, WEIGHTED
from gpustack.recipe import OUTPUTS, Recipe
from oracle import solve
from stacks import outputs, plain, rows_of, run
from tolerances import IMAGES, assert_agrees, assert_near, assert_same_bits

COMBINES = st.sampled_from(METHODS)
THRESHOLDS = st.none() | st.sampled_from([0.0, 0.7, 1.3, 1.9, 2.9])
SIGMAS = st.builds(
    SigmaClip,
    THRESHOLDS,
    THRESHOLDS,
    st.sampled_from(["mean", "median"]),
    st.sampled_from(["std", "mad_std"]),
    st.sampled_from([1, 2, None]),
)
EXTREMA = st.builds(ExtremaClip, st.integers(0, 2), st.integers(0, 2))
RANGES = st.sampled_from([RangeClip(-3, 40), RangeClip(None, 9.5), RangeClip(0.5, None)])
CLIPS = st.lists(SIGMAS | EXTREMA | RANGES, max_size=3)
#: Without an uncertainty, sums of float32 samples need no sorting.
WANTED = st.sampled_from([OUTPUTS, tuple(name for name in OUTPUTS if name != "uncertainty")])
RECIPES = st.builds(Recipe, clips=CLIPS, combine=COMBINES, outputs=WANTED)
#: Recipes to which weights can be added, without clips that depend on the order of frames.
SUMS = st.builds(
    Recipe,
    clips=st.lists(SIGMAS | RANGES, max_size=2),
    combine=st.sampled_from(WEIGHTED),
    outputs=WANTED,
)

#: Small numbers with many ties; ordinary ones, integers and not; and hostile ones.
SMALL = np.arange(-3.0, 10)
ORDINARY = np.concatenate(
    [np.arange(-1000.0, 1001), np.random.default_rng(0).uniform(-1000, 1000, 2000).astype("f4")]
)
HOSTILE = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-42, -1e-42, 1e15, -1e15])
SMALL_AND_HOSTILE = np.concatenate([SMALL, HOSTILE])


@st.composite
def arrays(draw, *tables):
    """Draw samples (n, rows, width) from a table, float32 or float64, and masks of that shape.

    All samples are drawn at once, as bytes: drawing one by one took longer than most tests.
    """
    shape = (draw(st.integers(1, 12)), draw(st.integers(1, 3)), draw(st.integers(1, 6)))
    size = int(np.prod(shape))
    values = draw(st.sampled_from(tables))
    which, masked = (
        np.frombuffer(draw(st.binary(min_size=k * size, max_size=k * size)), f"u{k}").reshape(shape)
        for k in (2, 1)
    )
    dtype = draw(st.sampled_from(["f4", "f8"]))
    # Examples shrink to bytes of 0, which must mask nothing.
    return values[which % len(values)].astype(dtype), masked % 5 == 4


#: Fewer examples, because most tests run recipes on three backends, one with simulated devices.
EXAMPLES = settings.default.max_examples * 3 // 5


def given(**strategies):
    """`hypothesis.given` with fewer examples."""
    return lambda test: settings(max_examples=EXAMPLES)(every(**strategies)(test))


STACKS = arrays(SMALL, ORDINARY, SMALL_AND_HOSTILE)


def per_frame(recipe, n, rng):
    """The same recipe with a scale and a zero for each frame."""
    scale, zero = rng.choice([0.5, 1.0, 1.5], n), rng.choice([-1.0, 0.0, 2.0], n)
    return replace(recipe, scale=scale, zero=zero)


def valid_of(data, masks):
    return np.isfinite(data) & ~masks


@given(stack=STACKS, recipe=RECIPES)
def test_backend_agrees_with_oracle(backend, stack, recipe):
    band = plain(*stack)
    assert_agrees(run(backend, band, recipe), solve(band, recipe), recipe.combine, ties=True)


@given(stack=STACKS, recipe=RECIPES, seed=st.integers(0, 99))
def test_order_of_frames_changes_no_bit(backend, stack, recipe, seed):
    order = np.random.default_rng(seed).permutation(len(stack[0]))
    one = run(backend, plain(*stack), recipe)
    other = run(backend, plain(*(part[order] for part in stack)), recipe)
    assert_same_in_order(backend, one, other, stack[0])
    np.testing.assert_array_equal(one.valid[order], other.valid)
    if not any(isinstance(clip, ExtremaClip) for clip in recipe.clips):
        # A rank clip orders equal samples by frame: the number rejected is the same, not which.
        np.testing.assert_array_equal(one.marks[order], other.marks)
        np.testing.assert_array_equal(one.rejected[order], other.rejected)


@pytest.mark.parametrize("clip_on", ["normalized", "raw"])
@given(stack=STACKS, clip=SIGMAS, combine=COMBINES, seed=st.integers(0, 99))
def test_order_of_scaled_frames_changes_no_bit(backend, clip_on, stack, clip, combine, seed):
    rng = np.random.default_rng(seed)
    n = len(stack[0])
    order = rng.permutation(n)
    recipe = per_frame(Recipe(clips=[clip], combine=combine, clip_on=clip_on), n, rng)
    turned = replace(
        recipe,
        scale=[recipe.scale[i] for i in order],
        zero=[recipe.zero[i] for i in order],
    )
    one = run(backend, plain(*stack), recipe)
    other = run(backend, plain(*(part[order] for part in stack)), turned)
    shift, factor = (np.reshape(part, (-1, 1, 1)) for part in (recipe.zero, recipe.scale))
    assert_same_in_order(backend, one, other, (stack[0] - shift) * factor)
    np.testing.assert_array_equal(one.marks[order], other.marks)


def assert_same_in_order(backend, one, other, values):
    """Assert equal bits; float64 sums of kernels, which do not sort, only within rounding."""
    assert_same_bits(one, other, ("low", "high"))
    assert_same_values(backend, one, other, values)


def assert_same_values(backend, one, other, values):
    """Assert equal counts, and equal values of survivors that were summed in any order."""
    if backend.name == "cpu":
        assert_same_bits(one, other, ("data", "uncertainty", "mask", "count"))
        return
    assert_same_bits(one, other, ("mask", "count"))
    terms = np.nan_to_num(np.abs(np.where(one.marks, 0, values)).astype(float)).sum(axis=0)
    assert_near(one.data, other.data, terms, "data")
    if one.uncertainty is not None:
        assert_near(one.uncertainty, other.uncertainty, len(values) * terms, "uncertainty")


@given(stack=STACKS, recipe=SUMS, seed=st.integers(0, 99))
def test_order_of_weighted_frames_changes_little(backend, stack, recipe, seed):
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(stack[0]))
    weights = rng.integers(0, 4, len(order)).astype(float)
    one = replace(recipe, weights=weights)
    other = replace(recipe, weights=weights[order])
    got = run(backend, plain(*stack), one)
    turned = run(backend, plain(*(part[order] for part in stack)), other)
    assert_same_bits(got, turned, ("mask", "count", "low", "high"))
    if backend.name == "cpu":
        assert_same_bits(got, turned, ("uncertainty",))
    elif got.uncertainty is not None:
        size = np.nan_to_num(np.abs(np.where(got.marks, 0, stack[0])).astype(float)).sum(axis=0)
        assert_near(turned.uncertainty, got.uncertainty, len(order) * size, "uncertainty")
    terms = np.abs(np.where(got.marks, 0, stack[0])) * weights.reshape(-1, 1, 1)
    assert_near(turned.data, got.data, np.nan_to_num(terms).sum(axis=0), "data")


@given(stack=STACKS, recipe=RECIPES)
def test_bands_change_no_bit(backend, stack, recipe):
    band = plain(*stack)
    whole, parts = run(backend, band, recipe), outputs(band, recipe)
    for y in range(len(parts.data)):
        backend.run(rows_of(band, y, y + 1), recipe, parts.rows(y, y + 1))
    assert_same_bits(whole, parts)
    np.testing.assert_array_equal(whole.valid, parts.valid)
    np.testing.assert_array_equal(whole.rejected, parts.rejected)


@pytest.mark.parametrize("threads", [1, 2])
@given(stack=STACKS, recipe=RECIPES, pixels=st.integers(1, 20))
def test_tiles_and_threads_change_no_bit(threads, stack, recipe, pixels):
    band = plain(*stack)
    whole, tiled = run(Cpu(), band, recipe), outputs(band, recipe)
    source = BandSource(band, widest(band))
    Cpu(threads, tile_pixels=pixels).stream(source, recipe, tiled, MEMORY)
    assert_same_bits(whole, tiled)
    np.testing.assert_array_equal(whole.valid, tiled.valid)
    np.testing.assert_array_equal(whole.rejected, tiled.rejected)


@given(stack=STACKS, recipe=RECIPES)
def test_the_same_again_is_the_same(backend, stack, recipe):
    # Buffers are reused: another stack in between must have no effect.
    band = plain(*stack)
    once = run(backend, band, recipe)
    run(backend, plain(np.full((5, 2, 9), np.nan)), Recipe(combine="sum"))
    assert_same_bits(once, run(backend, band, recipe))


@given(stack=STACKS, recipe=RECIPES)
def test_inputs_are_not_written_to(backend, stack, recipe):
    copies = [part.copy() for part in stack]
    run(backend, plain(*stack), recipe)
    for part, copy in zip(stack, copies, strict=True):
        assert part.tobytes() == copy.tobytes()


@given(stack=STACKS, recipe=RECIPES, where=st.integers(0, 12))
def test_a_wholly_masked_frame_equals_its_absence(backend, stack, recipe, where):
    data, masks = stack
    where = min(where, len(data))
    more = plain(np.insert(data, where, 5, axis=0), np.insert(masks, where, True, axis=0))
    with_it, without = run(backend, more, recipe), run(backend, plain(*stack), recipe)
    assert_same_bits(with_it, without, IMAGES)
    assert with_it.marks[where].all()
    np.testing.assert_array_equal(np.delete(with_it.marks, where, axis=0), without.marks)
    assert (with_it.valid[where], with_it.rejected[where]) == (0, 0)


@given(stack=STACKS, recipe=RECIPES)
def test_masked_and_not_a_number_are_the_same(backend, stack, recipe):
    data, masks = stack
    blank = np.where(masks, np.nan, data)
    masked, missing = (run(backend, plain(*given), recipe) for given in (stack, (blank,)))
    assert_same_bits(masked, missing, (*IMAGES, "marks"))  # the reasons differ
    none = [None] * len(data)
    no_mask = run(backend, plain(data, none), recipe)
    assert_same_bits(no_mask, run(backend, plain(data, np.zeros_like(masks)), recipe))


@given(
    stack=arrays(SMALL, ORDINARY),
    clips=st.lists(SIGMAS | EXTREMA, max_size=2),
    combine=COMBINES.filter(lambda combine: combine != "nmodel"),  # its gain does not scale
)
def test_a_power_of_two_scales_exactly(backend, stack, clips, combine):
    recipe = Recipe(clips=clips, combine=combine)
    data, masks = stack
    # Avoid subnormal numbers, which have fewer digits.
    data = np.where(np.abs(data) < 1e-3, 0, data).astype(data.dtype)
    plain_one = run(backend, plain(data, masks), recipe)
    for factor in (0.25, 8):
        scaled = run(backend, plain(data * data.dtype.type(factor), masks), recipe)
        by_recipe = run(backend, plain(data, masks), replace(recipe, scale=[factor] * len(data)))
        assert_same_bits(scaled, by_recipe)
        assert_same_bits(scaled, plain_one, ("mask", "count", "low", "high", "reasons"))
        np.testing.assert_array_equal(scaled.data, plain_one.data * scaled.data.dtype.type(factor))
        if scaled.uncertainty is not None:
            np.testing.assert_array_equal(scaled.uncertainty, plain_one.uncertainty * factor)


@given(
    stack=arrays(np.arange(-500, 501)),
    bounds=st.none() | st.tuples(st.integers(-600, 0), st.integers(0, 600)),
    extrema=st.lists(EXTREMA, max_size=2),
)
def test_a_constant_shifts(backend, stack, bounds, extrema):
    # Integers, so that the shift needs no rounding.
    data, masks = stack
    ranges, shifted = [], []
    if bounds is not None:
        ranges, shifted = [RangeClip(*bounds)], [RangeClip(bounds[0] + 1000, bounds[1] + 1000)]
    recipe = Recipe(clips=[*ranges, *extrema], combine="median")
    one = run(backend, plain(data, masks), recipe)
    raised = run(backend, plain(data + 1000, masks), replace(recipe, clips=[*shifted, *extrema]))
    lowered = run(backend, plain(data, masks), replace(recipe, zero=[1000] * len(data)))
    for moved, constant in ((raised, 1000), (lowered, -1000)):
        assert_same_bits(one, moved, ("uncertainty", "mask", "count", "low", "high", "reasons"))
        np.testing.assert_array_equal(moved.data, one.data + constant)


@given(stack=STACKS, recipe=RECIPES)
def test_maps_agree_with_each_other(backend, stack, recipe):
    got = run(backend, plain(*stack), recipe)
    n, valid = len(stack[0]), valid_of(*stack)
    np.testing.assert_array_equal(got.count, n - got.marks.sum(axis=0))
    np.testing.assert_array_equal(got.count + got.low + got.high, valid.sum(axis=0))
    np.testing.assert_array_equal(got.mask, got.count == 0)
    np.testing.assert_array_equal(got.valid, valid.sum(axis=(1, 2)))
    np.testing.assert_array_equal(got.rejected, (got.marks & valid).sum(axis=(1, 2)))
    assert got.marks[~valid].all()
    assert not np.isnan(got.data[~got.mask]).any()


@given(stack=STACKS, recipe=RECIPES)
def test_marks_are_masks(backend, stack, recipe):
    # A second run with the rejections of the first as masks, and no clips, gives the same.
    clipped = run(backend, plain(*stack), recipe)
    masked = run(backend, plain(stack[0], clipped.marks), replace(recipe, clips=()))
    np.testing.assert_array_equal(clipped.marks, masked.marks)
    assert_same_values(backend, clipped, masked, stack[0])


@given(stack=STACKS, recipe=RECIPES, sigma=SIGMAS, bounds=RANGES)
def test_a_converged_clip_again_changes_nothing(backend, stack, recipe, sigma, bounds):
    for clip in (replace(sigma, maxiters=None), bounds):
        once, twice = (replace(recipe, clips=(*recipe.clips, *[clip] * n)) for n in (1, 2))
        band = plain(*stack)
        assert_same_bits(run(backend, band, once), run(backend, band, twice))


@given(stack=STACKS, sigma=SIGMAS, passes=st.integers(1, 4))
def test_passes_are_clips_of_one_pass(backend, stack, sigma, passes):
    band = plain(*stack)
    together = Recipe(clips=[replace(sigma, maxiters=passes)])
    apart = Recipe(clips=[replace(sigma, maxiters=1)] * passes)
    assert_same_bits(run(backend, band, together), run(backend, band, apart))


@given(stack=STACKS, recipe=SUMS)
def test_equal_weights_change_little(backend, stack, recipe):
    data, masks = stack
    got = run(backend, plain(*stack), recipe)
    for weights in ([1.0] * len(data), "sample"):
        ones = np.ones(data.shape, "f4")
        band = [Samples(*parts) for parts in zip(data, masks, ones, strict=True)]
        weighted = run(backend, band, replace(recipe, weights=weights))
        assert_same_bits(got, weighted, ("uncertainty", "mask", "count", "low", "high", "reasons"))
        size = np.abs(np.where(got.marks, 0, data).astype(float)).sum(axis=0)
        assert_near(weighted.data, got.data, size, "data")


@given(stack=STACKS, recipe=RECIPES)
def test_layout_and_byte_order_change_no_bit(backend, stack, recipe):
    data, masks = stack
    got = run(backend, plain(*stack), recipe)
    swapped = data.astype(data.dtype.newbyteorder(">"))
    strided = np.repeat(np.repeat(swapped, 2, axis=1), 3, axis=2)[:, ::2, ::3]
    turned = np.ascontiguousarray(data[:, ::-1, ::-1])[:, ::-1, ::-1]
    fortran = np.asfortranarray(data)
    for layout in (swapped, strided, turned, fortran):
        assert_same_bits(got, run(backend, plain(layout, masks), recipe))
