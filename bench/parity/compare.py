"""gpustack's answer to a case, and where it differs from the program's."""

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from astropy.nddata import CCDData
from numpy.typing import NDArray

from bench.parity.cases import Case
from bench.parity.frames import Frames, frames
from bench.parity.golden import Answer
from gpustack import GpustackWarning, stack

#: Both programs write float32, and imcombine adds up in it too: of 10 samples that is 10 steps
#: of 6e-8. Another set of survivors moves a mean by far more.
VALUE = 1e-6
#: Siril keeps its statistics with six digits.
SIX_DIGITS = 1e-5
#: imcombine's sigma comes from squares of float32.
SIGMA = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """Where a program and gpustack differ, maps of bool; None where there is nothing to compare.

    Parameters
    ----------
    value : ndarray of bool
    count : ndarray of bool or None
        The number of samples left out.
    sigma : ndarray of bool or None
    totals : tuple of (int, int), or None
        How many more samples the program rejected low and high, in all.
    """

    value: NDArray[np.bool_]
    count: NDArray[np.bool_] | None = None
    sigma: NDArray[np.bool_] | None = None
    totals: tuple[int, int] | None = None

    @property
    def differing(self) -> int:
        """Pixels in which any map differs."""
        maps = [map_ for map_ in (self.value, self.count, self.sigma) if map_ is not None]
        return int(np.count_nonzero(np.any(maps, axis=0)))

    @property
    def pixels(self) -> int:
        """Pixels in all."""
        return int(self.value.size)


def ours(case: Case, answer: Answer, backend: str = "cpu") -> Any:
    """The result of gpustack for a case, a `StackResult`."""
    given = frames(case.frames)
    recipe = case.recipe(given, answer.said)
    if recipe is None:
        raise ValueError(f"{case.name}: expected a case with a recipe")
    with warnings.catch_warnings():
        # A clip that cannot reject anything: the program does not either.
        warnings.filterwarnings("ignore", ".*is not rejected", GpustackWarning)
        if "sigma" in answer.maps:
            recipe = replace(recipe, outputs=(*recipe.outputs, "sigma"))
        return stack(inputs(given), recipe, align=case.align, backend=backend)


def inputs(given: Frames) -> Any:
    """Frames as `gpustack.stack` takes them."""
    if given.masks is None:
        return given.cube
    pairs = zip(given.cube, given.masks, strict=True)
    return [CCDData(frame, mask=mask, unit="adu") for frame, mask in pairs]


def compare(case: Case, answer: Answer, backend: str = "cpu") -> Agreement:
    """Hold gpustack's answer against that of the program, pixel by pixel."""
    result = ours(case, answer, backend)
    data = answer.maps["data"].astype(np.float64)
    tolerance = SIX_DIGITS if "-norm=" in case.title else VALUE
    n = len(frames(case.frames).cube)
    if case.program == "siril":
        rejected = (answer.said.get("low"), answer.said.get("high"))
        mine = (int(result.low.sum()), int(result.high.sum()))
        totals = None if None in rejected else tuple(np.subtract(rejected, mine).tolist())
        if case.frames == "gaps":
            totals = None  # our recipe rejects the zeros that Siril does not count
        return Agreement(differs(data, result.data, tolerance), totals=totals)
    left_out = answer.maps["rejected"]
    # imcombine writes `blank`, 0, where nothing is left.
    data = np.where(left_out == n, 0.0 if result.recipe.combine == "sum" else np.nan, data)
    sigma = None
    if "sigma" in answer.maps:
        theirs = np.where(left_out == n, np.nan, answer.maps["sigma"].astype(np.float64))
        # Of a lone sample it is what rounding makes of its mean in float32.
        sigma = differs(theirs, result.sigma, SIGMA, np.spacing(result.data))
    count = left_out != n - result.count.astype(int)
    return Agreement(differs(data, result.data, tolerance), count, sigma)


def differs(
    theirs: NDArray[Any], mine: NDArray[Any], tolerance: float, step: Any = 0
) -> NDArray[np.bool_]:
    """Where values lie further apart than the tolerance and a step; NaN and NaN do not."""
    apart = ~np.isclose(theirs, mine, rtol=tolerance, atol=np.nan_to_num(step), equal_nan=True)
    return np.asarray(apart, bool)
