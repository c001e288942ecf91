"""``zero="overlap"``: offsets of frames that cover parts of a field, from their overlaps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpustack import Overlap, RangeClip, stack
from gpustack.errors import GpustackWarning, RecipeError
from gpustack.normalize import overlap
from gpustack.normalize.overlap import _pairs as pairs
from gpustack.normalize.overlap import sample_indices, solve

SHAPE = (20, 30)
#: Absolute tolerance of offsets of a few hundred, solved for in float64.
EXACT = 1e-9


def scene(seed=5, shape=SHAPE):
    """A field of whole numbers whose structure is much larger than the offsets."""
    return np.random.default_rng(seed).integers(0, 5000, shape).astype(float)


def covered(offsets, spans, shape=SHAPE):
    """Frames of one scene, each shifted by an offset and valid only in a span of columns."""
    planes = np.full((len(offsets), *shape), np.nan)
    for plane, offset, columns in zip(planes, offsets, spans, strict=True):
        plane[:, columns] = scene(shape=shape)[:, columns] + offset
    return planes


CHAIN = [slice(0, 12), slice(9, 21), slice(18, 30)]


@given(st.lists(st.integers(-300, 300), min_size=3, max_size=3))
def test_offsets_of_a_chain_of_frames_are_found_exactly(offsets):
    result = stack(covered(offsets, CHAIN), zero="overlap", combine="median")
    np.testing.assert_allclose(
        result.frames["zero"], np.array(offsets) - offsets[0], rtol=0, atol=EXACT
    )
    np.testing.assert_allclose(result.data, scene() + offsets[0], rtol=0, atol=EXACT)


@given(st.permutations(range(5)), st.data())
def test_gaps_anywhere_change_no_offset(order, data):
    offsets = np.array([0, 40, -7, 300, 12.0])[list(order)]
    planes = scene() + offsets.reshape(-1, 1, 1)
    seed = data.draw(st.integers(0, 1000))
    mask = np.random.default_rng(seed).random(planes.shape) < 0.4
    planes[mask] = data.draw(st.sampled_from([np.nan, np.inf, 1e300]))
    frames = [np.ma.array(plane, mask=bad) for plane, bad in zip(planes, mask, strict=True)]
    result = stack(frames, zero="overlap")
    np.testing.assert_allclose(result.frames["zero"], offsets - offsets[0], rtol=0, atol=EXACT)


def test_offsets_of_noisy_frames_are_within_noise():
    offsets, sigma = [0, 100, 250], 5.0
    planes = covered(offsets, CHAIN) + np.random.default_rng(1).normal(0, sigma, (3, *SHAPE))
    found = np.array(stack(planes, zero="overlap").frames["zero"])
    # A median of m differences of noise has an error of 1.25 sqrt(2) sigma / sqrt(m); m is 60.
    link = 1.25 * 2**0.5 * sigma / 60**0.5
    assert abs(found - offsets).max() < 5 * 2**0.5 * link
    assert (found[1:] != offsets[1:]).all()


@pytest.mark.parametrize("reference", [0, 2, "mean"])
def test_the_reference_keeps_its_level(reference):
    offsets = np.array([10.0, 60, -40])
    result = stack(covered(offsets, CHAIN), zero=Overlap(reference))
    level = offsets.mean() if reference == "mean" else offsets[reference]
    np.testing.assert_allclose(result.frames["zero"], offsets - level, rtol=0, atol=EXACT)
    name = "the mean" if reference == "mean" else f"frame {reference}"
    assert f"zero by overlap, relative to {name}" in list(result.header["HISTORY"])


def test_offsets_are_those_of_the_scaled_frames():
    factors = np.array([1, 2, 0.5])
    planes = covered([0, 80, -30], CHAIN) / factors.reshape(-1, 1, 1)
    result = stack(planes, zero="overlap", scale=factors, combine="median")
    np.testing.assert_allclose(result.frames["zero"], [0, 80 / 2, -30 / 0.5], rtol=0, atol=EXACT)
    np.testing.assert_allclose(result.data, scene(), rtol=0, atol=EXACT)


def test_more_common_samples_count_more():
    counts = np.array([[0, 30, 10.0], [30, 0, 30], [10, 30, 0]])
    ring = np.array([[0, -1, -9.0], [1, 0, -2], [9, 2, 0]])  # the differences around it sum to 6
    offsets = solve(counts, ring)
    misfit = np.subtract.outer(offsets, offsets) - ring
    np.testing.assert_allclose((counts * misfit).sum(axis=1), 0, atol=EXACT)
    assert abs(misfit[0, 2]) > 2 * abs(misfit[0, 1])


def test_what_a_range_clip_rejects_is_no_overlap():
    planes = covered([0, 50, 90], CHAIN)
    planes[1, :10] = 9e6
    result = stack(planes, RangeClip(high=8e6), zero="overlap")
    np.testing.assert_allclose(result.frames["zero"], [0, 50, 90], rtol=0, atol=EXACT)


def test_groups_that_do_not_meet_name_a_frame_of_each():
    planes = covered([0] * 4, [slice(0, 8), slice(5, 12), slice(14, 22), slice(20, 30)])
    with pytest.raises(RecipeError, match=r"at least 10 of the 600 samples.*frame 0 and frame 2"):
        stack(planes, zero="overlap")
    few = covered([0, 7], [slice(0, 16), slice(15, 30)])
    few[0, 10:, 15] = np.nan
    assert stack(few, zero="overlap").frames["zero"].tolist() == [0, pytest.approx(7, abs=EXACT)]
    few[0, 9, 15] = np.nan
    with pytest.raises(RecipeError, match="frame 0 and frame 1"):
        stack(few, zero="overlap")


def test_frames_without_valid_samples_stand_apart():
    planes = covered([0, 7, 20, 40], [slice(0, 0), *CHAIN])
    with pytest.warns(GpustackWarning, match="frame 0: no valid sample"):
        result = stack(planes, zero="overlap")
    np.testing.assert_allclose(result.frames["zero"], [0, 0, 13, 33], rtol=0, atol=EXACT)
    with pytest.raises(RecipeError, match="valid samples, got none in frame 0"):
        stack(planes, zero=Overlap(0))


def test_a_frame_with_samples_that_were_not_looked_at_is_no_empty_frame(monkeypatch):
    monkeypatch.setattr(overlap, "FRAME_SAMPLES", 100)
    planes = covered([0, 7], [slice(0, 30), slice(0, 0)])
    planes[1, 0, 1] = 5  # the first sample that is skipped
    with pytest.raises(RecipeError, match=r"of the 86 samples compared.*frame 0 and frame 1"):
        stack(planes, zero="overlap")


def test_a_frame_whose_last_rows_are_invalid_is_no_empty_frame(monkeypatch):
    monkeypatch.setattr(overlap, "_AT_ONCE", 5 * SHAPE[1])
    planes = covered([0, 7], [slice(0, 30)] * 2)
    planes[1, 5:] = np.nan
    found = stack(planes, zero="overlap").frames["zero"]
    np.testing.assert_allclose(found, [0, 7], rtol=0, atol=EXACT)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 300))
def test_chosen_samples_are_few_and_meet_every_column(rows, width, most):
    chosen = sample_indices((rows, width), most)
    assert 1 <= len(chosen) <= most
    assert chosen[-1] < rows * width
    if len(chosen) >= width:
        assert set(chosen % width) == set(range(width))


def test_samples_of_large_frames_are_chosen_and_bands_do_not_matter(monkeypatch):
    planes = covered([0, 70, -20], CHAIN, shape=(200, 30))
    looked_at = []
    monkeypatch.setattr(overlap, "FRAME_SAMPLES", 1000)
    monkeypatch.setattr(overlap, "_pairs", lambda cube: looked_at.append(cube.shape) or pairs(cube))
    whole = stack(planes, zero="overlap").frames["zero"]
    monkeypatch.setattr(overlap, "_AT_ONCE", 2 * SHAPE[1])
    bands = stack(planes, zero="overlap").frames["zero"]
    assert looked_at == [(3, 858), (3, 858)]
    np.testing.assert_array_equal(whole, bands)
    np.testing.assert_allclose(bands, [0, 70, -20], rtol=0, atol=EXACT)


@pytest.mark.parametrize("shape", [(600,), (3, 5, 40)])
def test_frames_of_any_number_of_axes(shape):
    planes = np.stack([scene(shape=shape) + offset for offset in (0, 9, -4)])
    np.testing.assert_allclose(
        stack(planes if len(shape) > 1 else list(planes), zero="overlap").frames["zero"],
        [0, 9, -4],
        rtol=0,
        atol=EXACT,
    )
