"""All of the API gives the same results with backend="cuda" as with backend="cpu".

Run on simulated devices, or with ``--require-gpu`` on real ones.
"""

import gzip
import logging

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from click.testing import CliRunner

from doors import CLIPS, MAPS, SHAPE, frames, same
from gpustack import Combiner, ExtremaClip, RangeClip, Recipe, SigmaClip, combine, stack
from gpustack.cli import cli
from gpustack.errors import InputError, MemoryLimitError


@pytest.fixture
def cube():
    return frames()


def plain(folder, cube):
    """Write files of float32, as most pipelines do."""
    for i, plane in enumerate(cube):
        fits.writeto(folder / f"{i}.fits", plane, fits.Header({"BUNIT": "adu"}))


def raw(folder, cube):
    """Write files of uint16, stored as int16 with BZERO, as cameras do."""
    plain(folder, np.nan_to_num(cube, nan=90).astype(np.uint16))


def zipped(folder, cube):
    """Write files that are gzipped as a whole, so that rows must be read in order."""
    plain(folder, cube)
    for path in list(folder.glob("*.fits")):
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()


def tiled(folder, cube):
    """Write tile-compressed files."""
    for i, plane in enumerate(np.nan_to_num(cube, nan=90).astype(np.int16)):
        hdu = fits.CompImageHDU(plane, fits.Header({"BUNIT": "adu"}))
        hdu.writeto(folder / f"{i}.fits")


def masked(folder, cube):
    """Write files with a MASK extension."""
    for i, plane in enumerate(cube):
        CCDData(plane, mask=plane > 110, unit="adu").write(folder / f"{i}.fits")


def wide(folder, cube):
    """Write files of uint64, which the reader converts from the int64 of FITS."""
    plain(folder, np.nan_to_num(cube, nan=90).astype(np.uint64))


def mixed(folder, cube):
    """Write files of different dtypes, integers with blanks."""
    for i, plane in enumerate(cube):
        dtype = (np.float32, np.int16, np.float64)[i % 3]
        header = fits.Header({"BUNIT": "adu"} | ({"BLANK": 90} if dtype == np.int16 else {}))
        fits.writeto(folder / f"{i}.fits", np.nan_to_num(plane, nan=90).astype(dtype), header)


@pytest.fixture(params=[plain, raw, zipped, tiled, masked, wide, mixed])
def files(request, cube, tmp_path):
    """A glob of FITS files, of each kind in turn."""
    request.param(tmp_path, cube)
    return f"{tmp_path}/*.fits*"


@pytest.mark.parametrize("memory", [None, "40kB"])
def test_files_of_all_kinds(cuda, monkeypatch, files, memory):
    monkeypatch.setattr("gpustack.backends.cuda.work.LEAST_BYTES", 1)
    done = []
    found = stack(
        files, CLIPS, backend="cuda", memory=memory, progress=lambda *args: done.append(args)
    )
    same(found, stack(files, CLIPS, backend="cpu"))
    assert done[-1] == (SHAPE[0], SHAPE[0])
    assert len(done) > 1


@pytest.mark.parametrize(
    "options",
    [
        {"combine": "median"},
        {"combine": "sum", "clips": ExtremaClip(1, 1)},
        {"combine": "min", "scale": "median"},
        {"combine": "max", "zero": "median", "dtype": "float64"},
        {"clips": CLIPS, "weights": np.arange(1.0, 10)},
        {"clips": CLIPS, "scale": np.arange(1.0, 10), "clip_on": "raw"},
        {"clips": [RangeClip(90, None), SigmaClip(maxiters=1)], "scale": "mean"},
    ],
)
def test_arrays_with_all_kinds_of_options(cuda, cube, options):
    options = {"clips": (), "combine": "mean"} | options
    names = [name for name in MAPS if name != "uncertainty" or options["combine"] not in "minmax"]
    found = stack(cube, **options, backend="cuda")
    same(found, stack(cube, **options, backend="cpu"), names)


def test_weights_of_samples_and_frames_of_many_axes(cuda, cube):
    cubes = np.stack([cube, cube + 3, cube - 5])
    weights = np.random.default_rng(2).random(cubes.shape)
    found = stack(cubes, CLIPS[1:], weights=weights, backend="cuda", dtype="float64")
    assert found.data.shape == cube.shape
    same(found, stack(cubes, CLIPS[1:], weights=weights, backend="cpu", dtype="float64"))


def test_only_wanted_outputs_are_made(cuda, cube):
    found = stack(cube, CLIPS, outputs=("count",), backend="cuda")
    assert found.uncertainty is None
    assert found.low is None
    assert found.count.dtype == np.uint16
    assert found.frames.colnames == ["name", "scale", "zero", "weight"]


def test_the_log_says_that_frames_go_to_the_device(cuda, cube, caplog):
    caplog.set_level(logging.DEBUG, "astropy.gpustack")
    stack(cube, backend="cuda")
    assert "backend cuda: frames go to device 0 in bands of" in caplog.text


def test_auto_takes_the_device(cuda, cube, caplog):
    caplog.set_level(logging.DEBUG, "astropy.gpustack")
    same(stack(cube, CLIPS), stack(cube, CLIPS, backend="cuda"))
    assert "backend auto: cuda" in caplog.text


def test_the_combiner(cuda, cube):
    ccds = [CCDData(plane, unit="adu", mask=plane > 120) for plane in cube]
    results = []
    for backend in ("cpu", "cuda"):
        combiner = Combiner(ccds, backend=backend)
        combiner.clip_extrema(nlow=1, nhigh=1)
        combiner.sigma_clipping(low_thresh=2, high_thresh=2)
        combiner.scaling = np.linspace(0.9, 1.1, len(cube))
        results.append((combiner.average_combine(), combiner.mask, combiner.median_combine()))
    for one, other in zip(results[0], results[1], strict=True):
        if isinstance(one, CCDData):
            np.testing.assert_array_equal(one.mask, other.mask)
            np.testing.assert_allclose(one.uncertainty.array, other.uncertainty.array, rtol=1e-6)
            np.testing.assert_allclose(one.data, other.data, rtol=1e-6)
        else:
            np.testing.assert_array_equal(one, other)


def test_combine_of_files(cuda, cube, tmp_path):
    raw(tmp_path, cube)
    names = sorted(map(str, tmp_path.glob("*.fits")))
    one, other = (
        combine(names, method="median", sigma_clip=True, mem_limit=40_000, backend=backend)
        for backend in ("cpu", "cuda")
    )
    np.testing.assert_array_equal(one.data, other.data)
    np.testing.assert_array_equal(one.mask, other.mask)


def test_the_command_line(cuda, cube, tmp_path):
    plain(tmp_path, cube)
    results = []
    for backend in ("cpu", "cuda"):
        out = tmp_path / "out" / f"{backend}.fits"
        out.parent.mkdir(exist_ok=True)
        more = ["--device-memory", "10MB"] if backend == "cuda" else []
        how = ["--combine", "median", "--clip", "sigma:low=3,high=3"]
        arguments = [f"{tmp_path}/*.fits", "-o", str(out), "--backend", backend, *more, *how]
        done = CliRunner().invoke(cli, ["combine", *arguments])
        assert done.exit_code == 0, done.output
        results.append(fits.getdata(out))
    np.testing.assert_array_equal(*results)


def test_info_names_the_device(cuda):
    done = CliRunner().invoke(cli, ["info"])
    assert "cuda  works" in done.output
    assert "CuPy" in done.output


def test_a_limit_that_is_no_number_is_refused(cuda, cube, monkeypatch):
    with pytest.raises(InputError, match=r"memory: .*'lots'"):
        stack(cube, backend="cuda", device_memory="lots")
    with pytest.raises(MemoryLimitError, match="at least one row"):
        stack(cube, backend="cuda", device_memory=100)
    monkeypatch.setenv("GPUSTACK_DEVICE_MEMORY", "few")
    with pytest.raises(InputError, match=r"GPUSTACK_DEVICE_MEMORY: .*'few'"):
        stack(cube, backend="cuda")


def test_a_recipe_is_run_again(cuda, cube):
    first = stack(cube, CLIPS, combine="median", scale="median", backend="cuda")
    assert isinstance(first.recipe, Recipe)
    same(stack(cube, first.recipe, backend="cpu"), first)
