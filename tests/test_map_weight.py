"""Maps of coverage and weights; `test_grow` compares them with the oracle for all recipes."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, VarianceUncertainty
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gpustack import Grow, RangeClip, Recipe, SigmaClip, stack
from gpustack.cli import cli
from gpustack.combines import METHODS
from maprun import run_maps
from recipes import grown
from stacks import plain, sky, some, with_weights

NAN = np.nan
MAPS = ("coverage", "weight")
CLIPS = [RangeClip(high=150), SigmaClip(1.5, 1.5), Grow(1)]


@pytest.mark.parametrize(
    ("combine", "values", "weights", "coverage", "weight"),
    [
        ("mean", [1, 2, 6], None, 3, 3),
        ("median", [1, NAN, 6], None, 2, 2),
        ("max", [np.inf, NAN], None, 0, 0),
        ("mean", [1, 2, 6], [0.5, 0, 2], 3, 2.5),
        ("sum", [1, NAN, 6], [0.5, 9, 2], 2, 2.5),
        ("mean", [1, 7], [0, 0], 2, 0),
    ],
)
def test_columns(backend, combine, values, weights, coverage, weight):
    band = plain(np.array(values, "f8").reshape(-1, 1, 1))
    _, maps = run_maps(backend, band, Recipe(combine=combine, weights=weights))
    assert maps["coverage"].item() == coverage
    assert maps["weight"].item() == weight


@pytest.mark.parametrize("combine", METHODS)
def test_every_method_has_both(combine):
    data = np.where(some(6), NAN, sky(6))
    result = stack(data, CLIPS, combine=combine, outputs=("count", *MAPS))
    np.testing.assert_array_equal(result.weight, result.count)
    np.testing.assert_array_equal(result.coverage, np.isfinite(data).sum(axis=0))
    assert result.coverage.dtype == np.uint16


def test_coverage_is_what_came_in():
    result = stack(sky(8), CLIPS, outputs=("count", "low", "high", "rejections", *MAPS))
    assert (result.coverage == 8).all()
    grew = result.coverage - (result.count + result.low + result.high)
    assert grew.any()
    out = np.asarray(result.rejections).sum(axis=0)
    np.testing.assert_array_equal(result.coverage, result.count + out)


def ccds(variances, unit="adu"):
    return [
        CCDData(plane, unit=unit, uncertainty=VarianceUncertainty(variance))
        for plane, variance in zip(sky(len(variances)).astype("f4"), variances, strict=True)
    ]


@pytest.mark.parametrize("scale", [None, [1, 2, -4, 0.5, 1]])
def test_the_map_of_inverse_variances_is_that_of_the_result(scale):
    variances = np.random.default_rng(1).uniform(1, 9, (5, 5, 7))
    variances[0, 0, :4] = 0, -1, NAN, np.inf
    words = {"weights": "variance", "uncertainty": "propagated", "dtype": "float64"}
    outputs = ("uncertainty", "weight")
    result = stack(ccds(variances), CLIPS[1], scale=scale, outputs=outputs, **words)
    np.testing.assert_allclose(result.weight, result.uncertainty**-2.0, rtol=1e-12)
    assert result.to_hdulist(["weight"])["WEIGHT"].header["BUNIT"] == "1 / adu2"


def test_weights_too_large_for_float32_are_no_infinity():
    variances = np.full((5, 5, 7), 1e-40)
    result = stack(ccds(variances), weights="variance", outputs=MAPS)
    np.testing.assert_allclose(result.weight, 5e40)


def test_a_sample_without_weight_counts_in_coverage_alone():
    inverse = np.array([[4.0, 0.0]])
    frames = [CCDData(np.ones((1, 2)), unit="adu", uncertainty=InverseVariance(inverse))] * 3
    result = stack(frames, weights="variance", outputs=("count", *MAPS))
    np.testing.assert_array_equal(result.weight, [[12, 0]])
    np.testing.assert_array_equal(result.coverage, [[3, 3]])
    np.testing.assert_array_equal(result.mask, [[False, True]])


@given(hnp.arrays("f8", (6, 2, 3), elements=st.floats(0.1, 1e6)), st.permutations(range(6)))
def test_the_order_of_frames_changes_no_bit(weights, order):
    data = sky(6, (2, 3))
    one = stack(data, weights=weights, outputs=("weight",))
    other = stack(data[order], weights=weights[order], outputs=("weight",))
    np.testing.assert_array_equal(one.weight, other.weight)


@pytest.mark.parametrize("name", ["sample", "all"])
def test_the_backends_agree_to_the_last_bit(backend, name):
    from gpustack.backends.cpu import CpuBackend

    asked = grown(name, 6)
    band = plain(sky(6).astype("f4"), some(6))
    band = with_weights(band) if asked.weights == "sample" else band
    expected, found = (run_maps(who, band, asked)[1] for who in (CpuBackend(), backend))
    for map_ in MAPS:
        np.testing.assert_array_equal(found[map_], expected[map_])


@pytest.mark.parametrize("weighted", [False, True])
def test_cupy_frames(cuda, weighted):
    data, each = sky(6).astype("f4"), sky(6, seed=1).astype("f4")
    for one in [each, [1, 0, 2, 3, 1, 1]] if weighted else [None]:
        expected = stack(data, CLIPS, weights=one, outputs=MAPS, backend="cpu")
        there = cuda.asarray(one) if one is each else one
        found = stack(cuda.asarray(data), CLIPS, weights=there, outputs=MAPS)
        for name in MAPS:
            assert isinstance(getattr(found, name), cuda.ndarray)
            np.testing.assert_array_equal(getattr(found, name).get(), getattr(expected, name))


def test_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i, ccd in enumerate(ccds(np.full((4, 5, 7), 0.25), "electron")):
        ccd.write(f"f{i}.fits")
    words = ["combine", "f*.fits", "-o", "out.fits", "--weights", "variance"]
    done = CliRunner().invoke(cli, [*words, "--maps", "weight,coverage"])
    assert done.exit_code == 0, done.output
    with fits.open("out.fits") as hdus:
        assert [hdu.name for hdu in hdus[1:]] == ["MASK", "UNCERT", "COVERAGE", "WEIGHT"]
        assert (hdus["WEIGHT"].data == 16).all()
        assert hdus["WEIGHT"].header["BUNIT"] == "1 / electron2"
        assert (hdus["COVERAGE"].data == 4).all()
        assert "BUNIT" not in hdus["COVERAGE"].header
