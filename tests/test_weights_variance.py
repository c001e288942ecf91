"""``weights="variance"``: inverse variances of the samples, in all parts of the API."""

import math
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, VarianceUncertainty

from gpustack import Grow, Recipe, SigmaClip, VarianceClip, explain, stack
from gpustack.backends.base import Samples
from gpustack.engine import run
from gpustack.errors import RecipeError
from gpustack.frames import FrameSource, open_frames
from gpustack.measures import with_region_and_reference
from oracle import solve
from recipes import EVERYTHING, SIGMA, level, scale
from stacks import sky, some
from tolerances import assert_near

N, SHAPE = 6, (9, 13)


def inverse(variance, factor=1.0):
    """The weight for one variance, by its definition."""
    product = float(variance) * float(factor) * float(factor)
    if math.isnan(product) or product <= 0 or 1 / product == math.inf:
        return 0.0
    return 1 / product


def frames(dtype="f4"):
    """CCDData with variances, some of which are unusable."""
    rng = np.random.default_rng(4)
    data, masks = sky(N, SHAPE).astype(dtype), some(N, SHAPE, 0.1)
    variances = rng.uniform(20, 130, data.shape)
    odd = rng.random(data.shape) < 0.2
    variances[odd] = rng.choice([np.nan, np.inf, -np.inf, 0, -0.0, -1, 1e-320, 1e300], odd.sum())
    variances[:, 3, 4] = np.nan
    parts = zip(data, masks, variances, strict=True)
    return [CCDData(d, mask=m, unit="adu", uncertainty=VarianceUncertainty(v)) for d, m, v in parts]


def as_samples(given, recipe):
    """The same frames as Samples for the oracle, with weights by the definition."""
    factors = recipe.scale or (1.0,) * N
    made = []
    for frame, factor in zip(given, factors, strict=True):
        variance = frame.uncertainty.array
        weight = np.array([[inverse(v, factor) for v in row] for row in variance.tolist()])
        made.append(Samples(frame.data, frame.mask, weight, variance=variance))
    return made


RECIPES = {
    "mean": Recipe(),
    "sum": Recipe(combine="sum", dtype="float64"),
    "sigma": Recipe(SIGMA),
    "mad": Recipe(uncertainty="mad_std", clips=EVERYTHING),
    "quadrature": Recipe(combine="quadrature", clips=SIGMA),
    "nmodel": Recipe(combine="nmodel"),
    "scale": Recipe(SIGMA, scale=scale(N)),
    "raw": Recipe(SIGMA, scale=level(N), clip_on="raw"),
    "variance-clip": Recipe([VarianceClip(1.7, 1.9)]),
    "grow": Recipe([*EVERYTHING, Grow(1)], scale=level(N)),
}


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize(
    ("backend_name", "memory"), [("cpu", None), ("cpu", "30kB"), ("cuda", None), ("cuda", "70kB")]
)
def test_the_oracle(pretend, small_bands, backend_name, name, memory):
    pretend(devices=2, eager=1)
    given = frames()
    asked = replace(RECIPES[name], weights="variance")
    want = solve(as_samples(given, asked), replace(asked, weights="sample"))
    bands = []
    found = stack(
        given,
        asked,
        backend=backend_name,
        memory=memory,
        progress=lambda done, _: bands.append(done),
    )
    assert len(bands) > 1 or memory is None
    sure = ~want.close
    assert sure.mean() > 0.9
    for map_ in ("mask", "count", "low", "high"):
        np.testing.assert_array_equal(getattr(found, map_)[sure], getattr(want, map_)[sure])
    assert_near(found.data[sure], want.data[sure], want.size[sure], "data")
    if found.uncertainty is not None:
        assert_near(found.uncertainty[sure], want.uncertainty[sure], want.size[sure], "uncertainty")
    assert found.mask[3, 4]
    assert found.recipe == asked
    assert np.isnan(found.frames["weight"]).all()


def test_with_what_is_propagated_it_is_the_best_that_can_be():
    variances = np.array([4, 9, 1, np.nan], float)
    given = [
        CCDData(np.full((1, 2), x), unit="adu", uncertainty=VarianceUncertainty(np.full((1, 2), v)))
        for x, v in zip([1.0, 2, 4, 900], variances, strict=True)
    ]
    found = stack(given, weights="variance", uncertainty="propagated")
    weights = 1 / variances[:3]
    np.testing.assert_allclose(found.uncertainty, np.sqrt(1 / weights.sum()), rtol=1e-14)
    np.testing.assert_allclose(found.data, weights @ [1, 2, 4] / weights.sum(), rtol=1e-14)
    assert (found.count == 4).all()


def test_inverse_variances_are_taken_as_they_are():
    rng = np.random.default_rng(0)
    data, weights = rng.normal(100, 5, (4, 3, 5)), rng.integers(0, 9, (4, 3, 5)).astype(float)
    given = [
        CCDData(d, unit="adu", uncertainty=InverseVariance(w))
        for d, w in zip(data, weights, strict=True)
    ]
    found = stack(given, SigmaClip(2, 2), weights="variance")
    same = stack(data, SigmaClip(2, 2), weights=weights)
    np.testing.assert_allclose(found.data, same.data, rtol=1e-14)
    np.testing.assert_array_equal(found.mask, same.mask)


@pytest.mark.parametrize("kept", [False, True])
def test_what_a_source_reads(kept):
    source = FrameSource(open_frames(frames()), np.dtype("f4"), None, kept, level(N))
    assert source.weighted
    assert source.variance is kept
    assert source.temporary_bytes == SHAPE[1] * (25 if kept else 17)
    assert source.row_bytes == [0] * N
    for f, frame in enumerate(frames()):
        samples = source.read(f, 2, 7)
        variance = frame.uncertainty.array[2:7]
        expected = [[inverse(v, level(N)[f]) for v in row] for row in variance.tolist()]
        np.testing.assert_allclose(samples.weight, expected, rtol=1e-15)
        if kept:
            np.testing.assert_array_equal(samples.variance, variance)
        else:
            assert samples.variance is None


def test_explain_shows_the_weights():
    given = frames()
    whole = stack(given, weights="variance", scale=level(N))
    found = explain(given, 5, 6, weights="variance", scale=level(N))
    variances = [frame.uncertainty.array[6, 5] for frame in given]
    expected = list(map(inverse, variances, level(N)))
    np.testing.assert_allclose(found.samples["weight"], expected, rtol=1e-14)
    assert found.data == whole.data[6, 5]


def test_the_word_is_for_weights_alone(tmp_path):
    for role in ("scale", "zero"):
        with pytest.raises(RecipeError, match=f"{role}: expected numbers"):
            stack(frames(), **{role: "variance"})
    with pytest.raises(RecipeError, match="region: expected a scale, zero or"):
        with_region_and_reference({"weights": "variance"}, "[1:2,1:2]", None)
    # The word does not depend on the number of frames, so the recipe fits any number.
    recipe = stack(frames(), weights="variance").recipe
    assert Recipe.from_json(recipe.to_json()) == recipe
    again = stack(frames()[:3], recipe)
    assert again.recipe.weights == "variance"


def test_var_and_err_extensions_weigh(tmp_path):
    data = np.arange(24, dtype="f4").reshape(4, 2, 3)
    for i, plane in enumerate(data):
        hdus = [fits.PrimaryHDU(plane, fits.Header({"BUNIT": "adu"}))]
        name, value = ("ERR", i + 1) if i % 2 else ("VAR", (i + 1) ** 2)
        hdus.append(fits.ImageHDU(np.full((2, 3), value, "f4"), name=name))
        fits.HDUList(hdus).writeto(tmp_path / f"{i}.fits")
    found = stack(str(tmp_path / "*.fits"), weights="variance")
    same = stack(str(tmp_path / "*.fits"), weights=[1, 1 / 4, 1 / 9, 1 / 16])
    np.testing.assert_allclose(found.data, same.data, rtol=1e-6)


@pytest.mark.parametrize("clips", [SIGMA, (*SIGMA, Grow())])
def test_what_only_rejects_reads_no_weights(monkeypatch, clips):
    spread = VarianceUncertainty(np.ones((4, 5)))
    frames = [CCDData(np.full((4, 5), v), unit="adu", uncertainty=spread) for v in (1.0, 2.0, 3.0)]
    rows, read = [0, 0, 0], FrameSource.read_variance

    def counted(self, f, start, stop):
        rows[f] += stop - start
        return read(self, f, start, stop)

    monkeypatch.setattr(FrameSource, "read_variance", counted)
    recipe = Recipe(clips, weights="variance")
    run(open_frames(frames), recipe, backend="cpu")
    assert rows == [4, 4, 4]
