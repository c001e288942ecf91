"""The table of clips that is copied to a device."""

from dataclasses import replace

import numpy as np
import pytest

from gpustack import stack
from gpustack.backends.cuda import abi
from gpustack.backends.cuda.clips import clipped_macro, fill, table, table_bytes
from gpustack.clips import (
    CLIPS,
    AvgSigmaClip,
    ESDClip,
    ExtremaClip,
    Grow,
    LinearFitClip,
    NoiseClip,
    PercentileRankClip,
    RangeClip,
    SigmaClip,
    SigmaMedianClip,
)
from gpustack.clips.esd_critical import critical_values
from gpustack.recipe import Recipe

N = 9
#: Clips with two ESD tests of different significance, which need a table each.
TESTS = [SigmaClip(), ESDClip(0.4, 0.05), RangeClip(1, 2), ESDClip(0.2, 0.3, keep=-1)]


def records(clips, address=4096):
    """A table of clips for the address `address`, and its records."""
    held = table(Recipe(clips), N, address)
    return held, held[: len(clips) * abi.CLIP.itemsize].view(abi.CLIP)


def test_every_clip_has_a_record():
    apart = (Grow, AvgSigmaClip, SigmaMedianClip)
    clips = [make() for make in CLIPS.values() if make not in apart]
    clips += [AvgSigmaClip().measured(np.ones(3)), SigmaMedianClip()]  # the last must be last
    _, found = records(clips)
    assert set(found["kind"]) == {
        abi.CLIP_RANGE,
        abi.CLIP_EXTREMA,
        abi.CLIP_BOUNDS,
        abi.CLIP_ESD,
        abi.CLIP_BY_FRAME,
        abi.CLIP_REPLACING,
    }
    between = found[found["kind"] == abi.CLIP_BOUNDS]
    assert len(set(between["spread"])) == len(between)
    for clip in (Grow(), AvgSigmaClip()):
        with pytest.raises(
            TypeError,
            match=rf"expected a clip with a record for kernels, got {type(clip).__name__}",
        ):
            fill(clip, None, N)
    with pytest.raises(TypeError, match="for kernels, got 'sigma'"):
        fill("sigma", None, N)


def test_critical_values_lie_behind_the_records_where_these_say():
    address = 4096
    held, found = records(TESTS, address)
    assert len(held) == table_bytes(Recipe(TESTS), N)
    for clip, start in zip(TESTS, found["table"].tolist(), strict=True):
        if not isinstance(clip, ESDClip):
            assert start == 0
            continue
        values = held[start - address :].view("f8")[: N + 1]
        np.testing.assert_array_equal(values, critical_values(clip.significance, N))


def test_without_clips_there_is_something_to_point_to():
    assert len(table(Recipe(), N, 0)) == table_bytes(Recipe(), N) == abi.CLIP.itemsize


def test_ranks_are_counted_for_the_number_of_frames():
    _, found = records([PercentileRankClip(rank=-0.5), PercentileRankClip(rank=3)])
    assert found["rank"].tolist() == [-2, 3]


def test_numbers_that_a_record_cannot_hold_mean_the_same():
    many = 10**12
    _, found = records([SigmaClip(maxiters=many, ddof=many, keep=-many), ESDClip(keep=many)])
    most = np.iinfo(np.int32).max
    assert found["maxiters"][0] == found["ddof"][0] == most
    assert found["keep"].tolist() == [-most, most]


@pytest.mark.parametrize(
    ("clips", "level"),
    [
        ((), abi.CLIPPED_NOT),
        ((RangeClip(), ExtremaClip(), ExtremaClip(among="all")), abi.CLIPPED_BASIC),
        ((SigmaClip(1, None, "mean", "mad_std"), SigmaClip(ddof=1)), abi.CLIPPED_BASIC),
        ((RangeClip(), SigmaClip(), SigmaMedianClip()), abi.CLIPPED_BASIC),
        ((SigmaClip(), ExtremaClip(among="share")), abi.CLIPPED_ALL),
        ((SigmaClip(center="trimmed_mean"),), abi.CLIPPED_ALL),
        ((SigmaClip(about="center"),), abi.CLIPPED_ALL),
        ((SigmaClip(keep=-1),), abi.CLIPPED_ALL),
        ((RangeClip(), NoiseClip()), abi.CLIPPED_ALL),
        ((ESDClip(),), abi.CLIPPED_ALL),
        ((SigmaClip(poisson=True),), abi.CLIPPED_BASIC),
        ((RangeClip(), LinearFitClip(), SigmaClip()), abi.CLIPPED_BY_FRAME),
    ],
)
def test_what_a_kernel_is_compiled_for(clips, level):
    assert clipped_macro(Recipe(clips)) == level


def test_a_kernel_judges_by_frame_where_frames_differ():
    poisson = Recipe(SigmaClip(poisson=True), scale=(1.0, 2.0))
    assert clipped_macro(poisson) == abi.CLIPPED_BY_FRAME
    assert clipped_macro(replace(poisson, clip_on="raw")) == abi.CLIPPED_BASIC


@pytest.mark.parametrize("memory", [None, "12kB"])
@pytest.mark.parametrize("where", ["host", "device"])
def test_critical_values_are_found_on_the_device(cuda, monkeypatch, where, memory):
    # A column of 0, 0.01, 0.02, ... with a sample of 1 and one of -2. The first is found to be an
    # outlier only after the second is set aside.
    monkeypatch.setattr("gpustack.backends.cuda.work.LEAST_BYTES", 1)
    data = np.repeat(np.arange(N, dtype="f4") / 100, 40 * 50).reshape(N, 40, 50)
    data[2], data[5] = 1, -2
    frames = cuda.asarray(data) if where == "device" else data
    for outliers, count in ((0.4, N - 2), (1 / N, N - 1), (0, N)):
        clips = [RangeClip(high=1e9), ESDClip(0, 0.9), ESDClip(outliers, 0.05)]
        found = stack(frames, clips, backend="cuda", memory=memory).to_host()
        assert (found.count == count).all()
