"""Clips whose bounds differ by sample stay within the memory that the CPU backend reports."""

import numpy as np
import pytest

from bands import Cpu
from gpustack.backends.tile_plan import ThreadPlan, TileCost
from gpustack.clips import LinearFitClip, SigmaClip, VarianceClip
from gpustack.recipe import Recipe
from stacks import outputs, plain, sky, with_variances
from traced import traced

#: Clips so tight that every column loses more than a few samples.
TIGHT = {
    "linear": LinearFitClip(1, 1),
    "poisson": SigmaClip(0.7, 0.7, poisson=True),
    "variance": VarianceClip(0.5, 0.5),
}


@pytest.mark.parametrize("n", [20, 100])
@pytest.mark.parametrize("name", TIGHT)
def test_tight_clips_keep_to_what_was_promised(name, n):
    recipe = Recipe([TIGHT[name]], scale=(1.0,) * n)
    # Four tiles, which all need the same memory.
    band = plain(sky(n, (800 // n, 100)).astype("f4"))
    band = with_variances(band) if recipe.needs_variance else band
    plan = ThreadPlan.within(TileCost(n, np.dtype("f4"), by_frame=True), 1, 2_000_000)
    out, backend = outputs(band, recipe), Cpu(tile_pixels=plan.pixels)
    backend.run(band, recipe, out)  # allocates what is kept between runs
    with traced() as taken:
        backend.run(band, recipe, out)
    assert out.rejected.min() > 0
    assert taken.peak <= plan.nbytes
