"""A typical user script, with which a test checks that type checkers know all types."""

from pathlib import Path
from typing import assert_type

import numpy as np

from gpustack import (
    Combiner,
    GpustackError,
    MADClip,
    Offsets,
    RangeClip,
    Recipe,
    SigmaClip,
    StackResult,
    ToFile,
    combine,
    explain,
    stack,
)

try:
    result = stack(
        sorted(Path("night").glob("*.fits")),
        clips=[RangeClip(high=60000), SigmaClip(low=3, high=3), MADClip()],
        combine="median",
        scale="median",
        align=Offsets(),
        outputs=ToFile("deep.fits", ["count"]),
        memory="2GB",
    )
except GpustackError as err:
    raise SystemExit(str(err)) from err
assert_type(result, StackResult)
assert_type(result.recipe, Recipe)
result.write("master.fits", overwrite=True)

cube = np.ones((5, 4, 4), np.float32)
assert_type(stack(cube, SigmaClip()).to_host(), StackResult)
explanation = explain(cube, 1, 2, clips=SigmaClip())
f"{explanation}"
combiner = Combiner([])
combiner.sigma_clipping(low_thresh=3, high_thresh=3, func="median", dev_func="mad_std")
master = combiner.average_combine()
whole = combine(["a.fits", "b.fits"], method="average")
