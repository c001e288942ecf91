"""Compute gpustack's answer to a case, and find where it differs from the program's."""

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

#: Both programs write float32, and imcombine also adds up in float32: for 10 samples these are 10
#: roundings of 6e-8. Another set of survivors changes a mean by far more.
VALUE = 1e-6
#: Siril writes its statistics with six digits.
SIX_DIGITS = 1e-5
#: imcombine computes its sigma from squares in float32.
SIGMA = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """Maps of where a program and gpustack differ; None = there is nothing to compare.

    Parameters
    ----------
    value : ndarray of bool
    count : ndarray of bool or None
        For the number of samples left out.
    sigma : ndarray of bool or None
    totals : tuple of (int, int), or None
        How many samples more than gpustack the program rejected, low and high, in all pixels.
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
    """gpustack's `StackResult` for a case."""
    given = frames(case.frames)
    recipe = case.recipe(given, answer.said)
    if recipe is None:
        raise ValueError(f"{case.name}: expected a case with a recipe")
    with warnings.catch_warnings():
        # Where a clip of ours cannot reject anything, neither can the program's.
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
    """Compare gpustack's answer with that of the program, pixel by pixel."""
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
        # The sigma of a single sample is the rounding of its mean in float32.
        sigma = differs(theirs, result.sigma, SIGMA, np.spacing(result.data))
    count = left_out != n - result.count.astype(int)
    return Agreement(differs(data, result.data, tolerance), count, sigma)


def differs(
    theirs: NDArray[Any], mine: NDArray[Any], tolerance: float, step: Any = 0
) -> NDArray[np.bool_]:
    """Where values differ by more than the tolerance and a step; two NaN do not differ."""
    apart = ~np.isclose(theirs, mine, rtol=tolerance, atol=np.nan_to_num(step), equal_nan=True)
    return np.asarray(apart, bool)
