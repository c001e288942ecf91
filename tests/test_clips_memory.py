"""Clips that work on copies in float64 stay within the memory that the CPU backend reports."""

import numpy as np
import pytest

from bands import Cpu
from gpustack.backends.columns import CHUNK_SAMPLES
from gpustack.backends.tile_plan import ThreadPlan, TileCost
from gpustack.clips import ESDClip, WinsorizedClip
from gpustack.recipe import Recipe
from stacks import outputs, plain, sky
from traced import traced

#: Clips so tight that nearly every column loses samples.
TIGHT = {"winsorized": WinsorizedClip(1, 1), "esd": ESDClip(outliers=0.9, significance=0.9)}


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize(("n", "limit"), [(5, 2_000_000), (25, 2_000_000), (25, 45_000_000)])
@pytest.mark.parametrize("name", TIGHT)
def test_tight_clips_keep_to_what_was_promised(name, n, limit, missing, dtype):
    recipe = Recipe([TIGHT[name]])
    plan = ThreadPlan.within(TileCost.of(n, np.dtype(dtype), recipe), 1, limit)
    # With the larger limit, chunks of screens have as many samples as they ever have.
    assert (plan.pixels * n > CHUNK_SAMPLES * 0.9) == (limit > 2_000_000)
    values = sky(n, (plan.pixels // 100 + 1, 100)).astype(dtype)
    values[np.random.default_rng(1).random(values.shape) < missing] = np.nan
    band = plain(values)
    out, backend = outputs(band, recipe), Cpu(tile_pixels=plan.pixels)
    backend.run(band, recipe, out)  # allocates what is kept between runs
    with traced() as taken:
        backend.run(band, recipe, out)
    assert out.rejected.min() > 0
    assert taken.peak <= plan.nbytes
