"""Maps in files and on the command line; files with maps are still read as images."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from click.testing import CliRunner

from gpustack import ExtremaClip, Grow, RangeClip, SigmaClip, stack
from gpustack.cli import cli
from gpustack.errors import InputError, RecipeError
from gpustack.frames import companions
from gpustack.maps.extensions import EXTENSIONS
from gpustack.reasons import Reason
from gpustack.recipe import MAPS, OUTPUTS
from skies import tangent

pytestmark = pytest.mark.filterwarnings("ignore:frames differ in EXPTIME")

CLIPS = [RangeClip(high=400), SigmaClip(2, 2, spread="mad_std"), Grow(1)]
N, SHAPE = 7, (12, 10)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with frames, one of which has a name that FITS cannot represent."""
    rng = np.random.default_rng(5)
    for i in range(N):
        plane = rng.normal(100, 5, SHAPE).astype(np.float32)
        plane[i, 3] = 390
        plane[2, i] = 900 if i < 4 else np.nan
        name = "nächte.fits" if i == 3 else f"m{i}.fits"
        hdus = [fits.PrimaryHDU(plane, fits.Header({"BUNIT": "adu", "EXPTIME": 5.5 + i}))]
        if i % 2:
            bits = np.zeros(SHAPE, np.int16)
            bits[i] = i  # a row of every other frame is masked
            hdus.append(fits.ImageHDU(bits, name="DQ"))
        fits.HDUList(hdus).writeto(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def result(folder):
    return stack("*.fits", CLIPS, outputs=(*OUTPUTS, *MAPS))


def test_all_maps_are_written_and_read_back(result, folder):
    result.write("out.fits", maps=EXTENSIONS)
    with fits.open("out.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "MASK", "UNCERT", *EXTENSIONS.values()]
        for name in [name for name in EXTENSIONS if name != "frames"]:
            held = hdus[EXTENSIONS[name]].data
            np.testing.assert_array_equal(held, np.asarray(getattr(result, name)), err_msg=name)
        assert hdus["REJECTED"].data.shape == (N, *SHAPE)
        assert hdus["REJECTED"].data.dtype == hdus["REASON"].data.dtype == np.uint8
        assert hdus["EXPOSURE"].header["BUNIT"] == "s"
        assert hdus["SIGMA"].header["BUNIT"] == "adu"
        assert hdus["DQ"].data.dtype.newbyteorder("=") == np.int16
        header = hdus["REASON"].header
        assert {header[f"REASON{r.value}"] for r in Reason} == set(Reason.__members__)
        table = hdus["FRAMES"].data
        assert table.names == ["name", "scale", "zero", "weight", "valid", "rejected"]
        assert max(table["name"]) == r"n\xe4chte.fits"
        np.testing.assert_array_equal(table["rejected"], result.frames["rejected"])


@pytest.mark.filterwarnings("ignore:.*given 2 times:gpustack.errors.GpustackWarning")
def test_maps_are_passed_by_where_the_image_is_read(result, folder, caplog):
    result.write("out.fits", maps=EXTENSIONS)
    plain = CCDData.read("out.fits")
    np.testing.assert_array_equal(plain.data, result.data)
    np.testing.assert_array_equal(plain.mask, result.mask)
    np.testing.assert_array_equal(plain.uncertainty.array, result.uncertainty)
    again = stack(["out.fits"] * 2, combine="min")
    np.testing.assert_array_equal(again.data, result.data)
    assert "images of shape" not in caplog.text


def test_no_map_is_taken_for_the_image_of_a_file():
    images = {name for name in EXTENSIONS.values() if name != "FRAMES"}
    assert images == {*companions.MAPS, "DQ"}
    assert "DQ" in companions.MASKS


def test_the_cube_of_rejections_has_no_coordinates_of_an_image():
    frames = [CCDData(np.ones(SHAPE), unit="adu", wcs=tangent()) for _ in range(3)]
    result = stack(frames, ExtremaClip(1, 0), outputs=("count", "rejections"))
    count, cube = result.to_hdulist(maps=["count", "rejections"])[-2:]
    assert count.header["CTYPE1"] == "RA---TAN"
    assert "CTYPE1" not in cube.header


def test_maps_that_are_not_there_are_refused(folder):
    result = stack("*.fits", CLIPS, outputs=("count",))
    with pytest.raises(InputError, match=r"expected reason among the outputs .*, got count"):
        result.write("out.fits", maps=["count", "reason"])
    with pytest.raises(RecipeError, match=r"maps: expected one of 'count', .*, got 'counts'"):
        result.to_hdulist(maps=["counts"])
    assert [hdu.name for hdu in result.to_hdulist(maps="frames")][-1] == "FRAMES"


def combine(*words):
    return CliRunner().invoke(cli, ["combine", "m*.fits", "-o", "out.fits", *words])


def test_the_command_line_writes_maps(folder):
    words = ["--clip", "sigma:low=2,high=2,spread=mad_std", "--clip", "grow:radius=1"]
    done = combine(*words, "--maps", "exposure,frames,reason,rejections")
    assert done.exit_code == 0, done.output
    expected = stack("m*.fits", CLIPS[1:], outputs=("reason", "exposure", "rejections"))
    with fits.open("out.fits") as hdus:
        assert [hdu.name for hdu in hdus[3:]] == ["REASON", "EXPOSURE", "REJECTED", "FRAMES"]
        for name in ("reason", "exposure", "rejections"):
            map_ = np.asarray(getattr(expected, name))
            np.testing.assert_array_equal(hdus[EXTENSIONS[name]].data, map_)


def test_without_maps_the_file_is_as_ever(folder):
    assert combine().exit_code == 0
    with fits.open("out.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "MASK", "UNCERT"]


@pytest.mark.parametrize("words", ["counts", "count,", "count reason"])
def test_other_words_are_refused_before_any_work(folder, monkeypatch, words):
    monkeypatch.setattr("gpustack.engine.stack", lambda *_, **__: pytest.fail("it worked first"))
    done = combine("--maps", words)
    assert isinstance(done.exception, RecipeError)
    assert "maps: expected one of 'count', 'low'" in str(done.exception)


def test_the_help_names_every_map():
    said = CliRunner().invoke(cli, ["combine", "--help"]).output
    assert ", ".join(EXTENSIONS) in " ".join(said.split())


@pytest.mark.parametrize("clips", [CLIPS, [ExtremaClip(1, 1)], ()])
def test_cupy_frames_have_cupy_maps(cuda, clips):
    cube = np.random.default_rng(3).normal(100, 8, (6, 13, 11)).astype("f4")
    cube[2, 4, 5] = 390
    names = ("data", "mask", "count", "low", "high", "reason")
    outputs = (*OUTPUTS, "reason", "rejections", "sigma")
    expected = stack(cube, clips, outputs=outputs, backend="cpu")
    for memory in (None, 3000):
        found = stack(cuda.asarray(cube), clips, outputs=outputs, memory=memory)
        assert isinstance(found.reason, cuda.ndarray)
        assert isinstance(found.rejections.packed, cuda.ndarray)
        assert isinstance(found.rejections[0], cuda.ndarray)
        held = found.to_host()
        for name in names[1:]:
            np.testing.assert_array_equal(getattr(held, name), getattr(expected, name))
        np.testing.assert_allclose(held.data, expected.data, rtol=1e-6)
        np.testing.assert_allclose(held.sigma, expected.sigma, rtol=1e-5)
        np.testing.assert_array_equal(np.asarray(found.rejections), np.asarray(expected.rejections))
        np.testing.assert_array_equal(found.frames["rejected"], expected.frames["rejected"])


def test_the_exposure_of_cupy_frames(cuda):
    from gpustack.backends.cuda.backend import CudaBackend
    from gpustack.frames import FrameSource, open_frames
    from gpustack.maps import derived, execute
    from gpustack.recipe import Recipe
    from gpustack.run.io import outputs_of

    cube = np.random.default_rng(3).normal(100, 8, (6, 5, 4)).astype("f4")
    recipe = Recipe(clips=ExtremaClip(1, 2), outputs="exposure")
    source = FrameSource(open_frames(cuda.asarray(cube)), np.dtype("f4"))
    maps = derived(recipe, source, np.dtype("f4"), [0.1, 3, 50, 7, 0.3, 2])
    execute(
        CudaBackend(), source, recipe, outputs_of(recipe, source, False), [*maps.values()], 10**6
    )
    expected = stack(cube, recipe.clips, outputs="rejections", backend="cpu")
    seconds = np.array([0.1, 3, 50, 7, 0.3, 2]).reshape(6, 1, 1) * ~np.asarray(expected.rejections)
    np.testing.assert_allclose(maps["exposure"].value.get(), seconds.sum(axis=0), rtol=1e-6)
