"""The warning about clips that can reject outliers among all frames, but not where few overlap."""

import numpy as np
import pytest

from gpustack import ExtremaClip, Offsets, RangeClip, SigmaClip, ToFile, stack
from gpustack.errors import GpustackWarning

SHALLOW = r"a lone outlier among {} samples \(pixels of this result have no more on average\)"


def frames(count, seed=0):
    return np.random.default_rng(seed).normal(100, 3, (count, 16, 16)).astype(np.float32)


def pointings(*counts):
    """Offsets that put `counts` frames on each of several places that do not touch."""
    return Offsets([(0, 100 * at) for at, n in enumerate(counts) for _ in range(n)], "union")


@pytest.mark.parametrize("to_file", [False, True])
@pytest.mark.parametrize(
    ("counts", "depth"), [((4, 4, 4), 4), ((1, 10, 1), 4), ((9, 1, 1, 1), 3), ((1,) * 12, 2)]
)
def test_a_mosaic_of_few_frames_a_pixel_warns(tmp_path, counts, depth, to_file):
    outputs = {"outputs": ToFile(tmp_path / "out.fits")} if to_file else {}
    with pytest.warns(GpustackWarning, match=SHALLOW.format(depth)):
        stack(frames(sum(counts)), SigmaClip(), align=pointings(*counts), **outputs)


@pytest.mark.parametrize("clip", [SigmaClip(spread="mad_std"), SigmaClip(1.5, 1.5), ExtremaClip()])
def test_clips_that_can_reject_among_few_frames_do_not_warn(clip):
    stack(frames(12), clip, align=pointings(4, 4, 4))


def test_deep_mosaics_and_scattered_holes_do_not_warn():
    stack(frames(24), SigmaClip(), align=pointings(12, 12))
    cube = frames(12)
    cube[np.random.default_rng(1).random(cube.shape) < 0.02] = np.nan
    stack(cube, SigmaClip())


def test_frames_that_are_masked_by_halves_warn():
    cube = frames(12)
    cube[6:, :8] = np.nan
    cube[:6, 8:] = np.nan
    with pytest.warns(GpustackWarning, match=SHALLOW.format(6)):
        stack(cube, SigmaClip())


def test_a_result_without_a_value_has_no_depth():
    with pytest.warns(GpustackWarning, match="no pixel of the result has a value") as found:
        stack(frames(12), [RangeClip(high=0), SigmaClip()])
    assert len(found) == 1


def test_too_few_frames_are_told_of_once():
    with pytest.warns(GpustackWarning, match="a lone outlier among 6 frames") as found:
        stack(frames(6), SigmaClip(), align=pointings(3, 3))
    assert len(found) == 1


def test_empty_pixels_of_frames_on_a_device_do_not_warn(cuda):
    cube = frames(20)
    cube[:, :, 4:] = np.nan
    stack(cube, SigmaClip())
    stack(cuda.asarray(cube), SigmaClip())
