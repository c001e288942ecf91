"""The map of sigmas for single columns; `test_grow` compares it with the oracle for all recipes."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oracle_maps
from fitsmaker import image_bytes
from gpustack import Grow, Recipe, SigmaClip, stack
from gpustack.cli import cli
from gpustack.errors import RecipeError
from maprun import run_maps
from oracle import solve
from recipes import recipe
from stacks import VALUES, plain, sky
from stacks import stack as stack_of
from tolerances import assert_sigma

NAN = np.nan


@pytest.mark.parametrize("stack_name", VALUES)
@pytest.mark.parametrize(
    "name",
    ["mean", "sigma-lower-median", "sample", "weighted-scaled", "raw-zero-median", "float64"],
)
def test_the_oracle(backend, name, stack_name):
    asked = recipe(name, 6)
    band = stack_of(stack_name, 6, asked)
    want = solve(band, asked)
    _, maps = run_maps(backend, band, asked)
    with np.errstate(over="ignore"):
        assert_sigma(maps["sigma"], oracle_maps.sigma(band, asked, want), want)


@pytest.mark.parametrize(
    ("combine", "values", "weights", "variance"),
    [
        ("mean", [1, 2, 6], None, 7),
        ("median", [1, 2, 6], None, 17 / 2),
        ("median", [1, 2, 6, 9], None, 14),
        ("lower_median", [1, 2, 6, 9], None, 22),
        ("lmedian", [1, 3], None, 4),
        ("mean", [5], None, 0),
        ("median", [5, NAN], None, 0),
        ("mean", [NAN, NAN], None, NAN),
        # The factor is n / (n - 1), independent of the weights.
        ("mean", [1, 2, 6], [1, 1, 2], 20.75 / 4 * 3 / 2),
        ("mean", [1, 7], [1, 0], 0),
        ("mean", [1, 7], [0, 0], NAN),
        ("mean", [7], [3], 0),
    ],
)
def test_columns(backend, combine, values, weights, variance):
    band = plain(np.array(values, "f8").reshape(-1, 1, 1))
    _, maps = run_maps(backend, band, Recipe(combine=combine, weights=weights))
    np.testing.assert_allclose(maps["sigma"], np.sqrt(variance), rtol=1e-14)


def test_one_survivor_has_none_in_any_dtype(backend):
    # The value is rounded to float32, so it differs from the sample.
    band = plain(np.array([0.1, 3e5 + 0.1], "f8").reshape(1, 1, 2))
    out, maps = run_maps(backend, band, Recipe(dtype="float32"))
    assert (out.data != band[0].data).all()
    assert not maps["sigma"].any()


@given(
    data=hnp.arrays("f4", (5, 2, 3), elements=st.floats(-1000, 1000, width=16)),
    shift=st.integers(-64, 64),
    factor=st.sampled_from([0.5, 2.0, -4.0]),
)
def test_sigma_is_the_standard_deviation_of_numpy(data, shift, factor):
    found = stack(data, outputs=("sigma",), dtype="float64").sigma
    expected = data.astype(float).std(axis=0, ddof=1)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    moved = stack(data, zero=[shift] * 5, scale=[factor] * 5, outputs=("sigma",), dtype="float64")
    # Samples are normalised in float32.
    np.testing.assert_allclose(moved.sigma, abs(factor) * expected, rtol=1e-6, atol=1e-3)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with files of integers with BSCALE, BZERO and blanks."""
    rng = np.random.default_rng(8)
    for i in range(6):
        raw = rng.normal(1000, 30, (25, 14)).astype("i2")
        raw[i, 2:9] = -9
        cards = {"BSCALE": 0.25, "BZERO": 7.5, "BLANK": -9, "BUNIT": "electron"}
        (tmp_path / f"f{i}.fits").write_bytes(image_bytes(raw, **cards))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("weighted", [False, True])
def test_cupy_frames(cuda, weighted):
    data, each = sky(6).astype("f4"), sky(6, seed=1).astype("f4")
    words = {"scale": [1, 2, 3, -4, 5, 6], "zero": [1] * 6, "outputs": ("sigma",)}
    weights = [each, [1, 0, 2, 3, 1, 1]] if weighted else [None]
    for one in weights:
        expected = stack(data, [SigmaClip(1.7, 1.9)], weights=one, backend="cpu", **words)
        there = cuda.asarray(one) if one is each else one
        found = stack(cuda.asarray(data), [SigmaClip(1.7, 1.9)], weights=there, **words)
        assert isinstance(found.sigma, cuda.ndarray)
        np.testing.assert_allclose(found.sigma.get(), expected.sigma, rtol=1e-5)


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_files_in_bands(folder, pretend, small_bands, name):
    pretend(devices=2, eager=1)
    clips = [SigmaClip(1.7, 1.9), Grow(1)]
    whole = stack("f*.fits", clips, outputs=("sigma", "rejections"), backend="cpu")
    frames = [fits.getdata(f"f{i}.fits").astype("f4") for i in range(6)]
    x = np.where(np.asarray(whole.rejections), np.nan, np.array(frames, float))
    count = np.isfinite(x).sum(axis=0)
    apart = np.nansum((x - whole.data) ** 2, axis=0)
    expected = np.where(count > 1, np.sqrt(apart / np.maximum(count - 1, 1)), 0)
    expected[count == 0] = np.nan
    np.testing.assert_allclose(whole.sigma, expected, rtol=1e-6)
    for memory in ("60kB", "200kB"):
        found = stack("f*.fits", clips, outputs=("sigma",), backend=name, memory=memory)
        np.testing.assert_allclose(found.sigma, whole.sigma, rtol=1e-5)
        if name == "cpu":
            np.testing.assert_array_equal(found.sigma, whole.sigma)


def test_the_command_line(folder):
    words = ["combine", "f*.fits", "-o", "out.fits", "--combine", "median", "--maps", "sigma,count"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    with fits.open("out.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "MASK", "UNCERT", "COUNT", "SIGMA"]
        assert hdus["SIGMA"].header["BUNIT"] == "electron"
        expected = stack("f*.fits", combine="median", outputs="sigma").sigma
        np.testing.assert_array_equal(hdus["SIGMA"].data, expected)
    back = CCDData.read("out.fits")
    assert back.uncertainty.array.shape == (25, 14)
    words[5] = "max"
    done = CliRunner().invoke(cli, [*words, "--overwrite"])
    assert isinstance(done.exception, RecipeError)
    assert "outputs: sigma: expected combine mean" in str(done.exception)
