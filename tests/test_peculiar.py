"""The stated reasons for differences from IRAF and Siril are right, by the models of `peculiar`."""

import math
from functools import cache

import numpy as np
import pytest

import peculiar
from bench.parity import golden
from bench.parity.cases import CASES
from bench.parity.compare import VALUE
from bench.parity.differences import DIFFERENCES
from bench.parity.frames import frames
from gpustack import SigmaMedianClip, stack

#: The number of pixels that the models do not explain, with the likely reason.
UNEXPLAINED = {
    # Siril seems to sort columns of 15 only in part, and this clip reaches its limit on rejections.
    "siril-rej_a_3_3-mild": 6,
    # Integer samples, two of which are equally far from the mean.
    "siril-rej_g_0.3_0.05-whole": 2,
}
#: imcombine is modelled only about the median, and column by column.
MODELLED = [
    name for name in DIFFERENCES if not any(part in name for part in ("mclip=no", "scale=", "grow"))
]
SCALED = [name for name in DIFFERENCES if "sigscale=0.1" in name]


def critical_value(significance):
    """A function that returns Rosner's critical value for n samples; uses SciPy."""
    from scipy.stats import t as student

    @cache
    def critical(n):
        t = student.ppf(1 - significance / (2 * n), n - 2)
        return (n - 1) * t / math.sqrt(n * (n - 2 + t * t))

    return critical


def left(case, column):
    """The samples, or values, that the model of the program leaves of a column."""
    (clip,) = case.ours.clips
    if case.program == "iraf":
        return column[peculiar.iraf(clip, column)]
    whole = frames(case.frames).cube.dtype == np.uint16
    if isinstance(clip, SigmaMedianClip):
        return peculiar.siril_replacing(clip, column, whole)
    critical = critical_value(getattr(clip, "significance", 0.05))
    return column[peculiar.siril(clip, column, whole, critical)]


@pytest.mark.filterwarnings("ignore::gpustack.errors.GpustackWarning")
@pytest.mark.parametrize("name", MODELLED)
def test_the_program_has_the_peculiarity_that_explains_the_difference(name):
    case, data = CASES[name], golden.load(name).maps["data"].astype(float)
    cube = frames(case.frames).cube
    # Models are slow: all pixels where gpustack differs, and every fourth of the others.
    ours = stack(cube, case.ours.clips).data
    looked_at = ~np.isclose(ours, data, rtol=VALUE, atol=0)
    looked_at.flat[::4] = True
    columns = np.sort(cube.astype(float), axis=0)[:, looked_at].T
    model = np.array([left(case, column).mean() for column in columns])
    differing = ~np.isclose(model, data[looked_at], rtol=VALUE, atol=0)
    assert differing.sum() <= UNEXPLAINED.get(name, 0)


@pytest.mark.parametrize("name", SCALED)
def test_imcombine_looks_at_scaled_samples_from_the_ends(name):
    case, answer, given = CASES[name], golden.load(name), frames(CASES[name].frames)
    recipe = case.recipe(given, answer.said)
    scale = np.array(recipe.scale)
    (clip,) = recipe.clips
    columns = (given.cube.reshape(len(scale), -1).T * scale).astype(np.float32).astype(float)
    model = [peculiar.iraf_scaled(clip, column, scale) for column in columns]
    np.testing.assert_allclose(model, answer.maps["data"].ravel(), rtol=VALUE)


@pytest.mark.parametrize("name", [name for name in DIFFERENCES if "grow" in name])
def test_imcombine_takes_medians_of_columns_that_growing_has_unsorted(name):
    case, data = CASES[name], golden.load(name).maps["data"]
    cube = frames(case.frames).cube.astype(float)
    rejected = np.asarray(stack(cube, case.ours.clips, outputs="rejections").rejections)
    left = ~rejected.all(axis=0)
    model = np.empty(data.shape)
    for at in np.argwhere(left):
        here = (slice(None), *at)
        model[tuple(at)] = peculiar.iraf_median_after_growing(cube[here], rejected[here])
    np.testing.assert_allclose(model[left], data[left], rtol=VALUE)
