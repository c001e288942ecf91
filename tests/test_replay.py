"""Replays of runs give the same bytes, and find their files."""

import gzip
import os
import shutil

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner

import recipes
from gpustack import Flags, Image, InputError, SigmaClip, stack
from gpustack.backends.cuda import device
from gpustack.cli import cli
from gpustack.engine import run
from gpustack.errors import OutputError
from gpustack.provenance import dumps
from gpustack.recipe import Recipe
from gpustack.replay import replay
from reports import SHAPE, N, kept, save, with_maps

#: Name -> recipe, for all tables of recipes.
ROWS = {
    **{name: recipes.recipe(name, N) for name in recipes.RECIPES},
    **{f"grown-{name}": recipes.grown(name, N) for name in recipes.GROWN},
    **{f"averaged-{name}": recipes.averaged(name, N) for name in recipes.AVERAGED},
}
SAMPLE = {name for name, recipe in ROWS.items() if recipe.weights == "sample"}

pytestmark = pytest.mark.filterwarnings("ignore::gpustack.errors.GpustackWarning")


@pytest.fixture(scope="module")
def exposures(tmp_path_factory):
    return save(tmp_path_factory.mktemp("exposures"))


@pytest.fixture
def night(tmp_path, monkeypatch):
    """The names of exposures in the current folder."""
    save(tmp_path)
    monkeypatch.chdir(tmp_path)
    return [f"m{f}.fits" for f in range(N)]


def again(folder, **words):
    """Replay a run, assert that its bytes are the same, and return the outcome."""
    done = replay(folder / "run.json", folder / "again.fits", **words)
    assert (done.differences, done.verdict) == ([], "the same bytes")
    assert (folder / "again.fits").read_bytes() == (folder / "out.fits").read_bytes()
    return done


@pytest.mark.parametrize("name", ROWS)
def test_every_recipe_comes_back(name):
    """A report contains the recipe as JSON."""
    assert Recipe.from_json(ROWS[name].to_json()) == ROWS[name]


#: A third of the recipes: all routes through a backend are replayed with maps below, and the JSON
#: of all recipes is tested above.
REPLAYED = sorted(ROWS.keys() - SAMPLE)[::3]


@pytest.mark.parametrize("name", REPLAYED)
def test_recipes_make_the_same_bytes_again(exposures, tmp_path, name):
    kept(tmp_path, exposures, ROWS[name])
    assert again(tmp_path).notes == []


def test_a_weight_for_each_sample_came_from_memory(exposures, tmp_path):
    kept(tmp_path, exposures, weights=np.ones((N, *SHAPE)))
    with pytest.raises(InputError, match=r"run.json: cannot be replayed: weights came from memory"):
        replay(tmp_path / "run.json", tmp_path / "again.fits")


@pytest.mark.parametrize("name", [name for name in recipes.ROUTES if name not in SAMPLE])
def test_maps_are_made_again(exposures, tmp_path, name):
    recipe, maps = with_maps(ROWS[name])
    kept(tmp_path, exposures, recipe, maps=maps)
    again(tmp_path)


MEASURES = {
    "statistics": {"scale": "mad", "zero": "median", "weights": "noise"},
    "keyword": {"scale": "!EXPTIME", "weights": "exposure"},
    "variance": {"weights": "variance", "uncertainty": "propagated"},
    "function": {"scale": lambda image: 100 / float(image.mean())},
    "numpy": {"weights": np.arange(N, dtype="f4"), "memory": np.float64(40e3)},
    "bits": {"flags": Flags(good=[1, 2])},
    "unit": {"unit": "electron", "dtype": "float64"},
}


@pytest.mark.parametrize("words", MEASURES.values(), ids=MEASURES)
def test_numbers_are_not_measured_again(exposures, tmp_path, words, monkeypatch):
    kept(tmp_path, exposures, SigmaClip(1.7, 1.9), maps=["frames"], **words)
    monkeypatch.setattr("gpustack.run.arguments.resolve", lambda *_: pytest.fail("measured again"))
    again(tmp_path)


@pytest.mark.parametrize("kind", ["gzip", "tiles"])
def test_compressed_files(night, tmp_path, kind):
    for name in night:
        if kind == "gzip":
            (tmp_path / name).write_bytes(gzip.compress((tmp_path / name).read_bytes()))
        else:
            with fits.open(name) as hdus:
                options = {"compression_type": "RICE_1", "quantize_level": 16}
                packed = fits.CompImageHDU(hdus[0].data, hdus[0].header, **options)
                fits.HDUList([fits.PrimaryHDU(), packed]).writeto(name, overwrite=True)
    result = kept(tmp_path, night)
    assert result.report["inputs"][0]["parts"]["data"]["hdu"] == (kind == "tiles")
    again(tmp_path)


def test_a_result_that_is_compressed(night, tmp_path):
    kept(tmp_path, night, name="out.fits.gz")
    done = replay("run.json", "again.fits.gz")
    assert done.verdict == "the same bytes", "of what it holds: gzip adds the time"
    assert replay("run.json", "plain.fits").verdict == "the same bytes"


def test_planes_in_files_of_their_own(night, tmp_path):
    images = []
    for f, name in enumerate(night):
        with fits.open(name) as hdus:
            planes = {
                "mask": fits.PrimaryHDU((hdus["DQ"].data != 0).astype("i2")),
                "weight": fits.PrimaryHDU(1 / hdus["UNCERT"].data),
            }
            for what, hdu in planes.items():
                hdu.writeto(f"{what}{f}.fits")
        images.append(Image(f"{name}[0]", mask=f"mask{f}.fits", weight=f"weight{f}.fits[0]"))
    result = kept(tmp_path, images, weights="variance", maps=["frames"])
    parts = result.report["inputs"][1]["parts"]
    assert {what: part["given"] for what, part in parts.items()} == {
        "data": "m1.fits",
        "mask": "mask1.fits",
        "weight": "weight1.fits",
    }
    assert result.report["inputs"][1]["name"] == "m1.fits[0]"
    again(tmp_path)


def test_variances_in_files_of_their_own(night, tmp_path):
    for f in range(N):
        fits.writeto(f"v{f}.fits", fits.getdata(f"m{f}.fits", "UNCERT")[::-1] ** 2)
    images = [Image(name, variance=f"v{f}.fits") for f, name in enumerate(night)]
    result = kept(tmp_path, images, weights="variance")
    assert result.report["inputs"][1]["parts"]["variance"]["given"] == "v1.fits"
    again(tmp_path)


def test_a_primary_header_is_part_of_that_of_its_extensions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.fits", "b.fits"):
        image = fits.ImageHDU(np.ones((4, 5), "f4"), fits.Header({"BUNIT": "adu"}))
        fits.HDUList([fits.PrimaryHDU(), image]).writeto(name)
    kept(tmp_path, ["a.fits", "b.fits"])
    fits.setval("b.fits", "OBSERVER", value="other", ext=0)
    assert again(tmp_path).notes == [
        f"b.fits: the header of {tmp_path / 'b.fits'} differs from the report"
    ]


def test_names_from_the_root_on_and_others(night, tmp_path):
    kept(tmp_path, [*night[:3], *(str(tmp_path / name) for name in night[3:])])
    again(tmp_path)


def test_names_that_cannot_be_printed(tmp_path):
    names = [
        tmp_path / name
        for name in ("nächte.fits", "a\nb.fits", "[3].fits", os.fsdecode(b"\xff.fits"))
    ]
    for old, new in zip(save(tmp_path / "m", n=4), names, strict=True):
        shutil.copy(old, new)
    kept(tmp_path, [str(name) for name in names])
    assert (tmp_path / "run.json").read_text().isascii()
    again(tmp_path)


def test_a_folder_that_has_moved(tmp_path, monkeypatch):
    save(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    kept(tmp_path / "here", "m*.fits")
    (tmp_path / "here").rename(tmp_path / "there")
    monkeypatch.chdir(tmp_path)
    done = again(tmp_path / "there")
    (note,) = done.notes
    assert note.startswith(f"{N} files have moved; the first, m0.fits: ")
    assert note.endswith(f"here/m0.fits, is read from {tmp_path / 'there' / 'm0.fits'}")


def test_files_of_the_same_names_in_the_current_folder_are_others(tmp_path, monkeypatch):
    """As after the same command for one night in one folder and for the next in another."""
    for night in ("here", "other"):
        save(tmp_path / night)
    monkeypatch.chdir(tmp_path / "here")
    kept(tmp_path / "here", "m*.fits")
    (tmp_path / "here").rename(tmp_path / "there")
    for path in (tmp_path / "other").glob("m*.fits"):
        fits.writeto(path, np.zeros((2, 2)), overwrite=True)
    monkeypatch.chdir(tmp_path / "other")
    (note,) = again(tmp_path / "there").notes
    assert note.endswith(f"is read from {tmp_path / 'there' / 'm0.fits'}")


def test_frames_are_looked_for_from_the_current_folder_too(tmp_path, monkeypatch):
    save(tmp_path / "here")
    (tmp_path / "here" / "reports").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    kept(tmp_path / "here" / "reports", "m*.fits")
    (tmp_path / "here").rename(tmp_path / "there")
    monkeypatch.chdir(tmp_path / "there")
    (note,) = again(tmp_path / "there" / "reports").notes
    assert note.endswith("here/m0.fits, is read from m0.fits")


def test_one_file_that_has_moved(night, tmp_path):
    kept(tmp_path, night)
    (tmp_path / "there").mkdir()
    (tmp_path / "m3.fits").rename(tmp_path / "there/m3.fits")
    (tmp_path / "run.json").rename(tmp_path / "there/run.json")
    expected = [f"m3.fits: {tmp_path / 'm3.fits'} has moved, read from there/m3.fits"]
    assert replay("there/run.json", "again.fits").notes == expected
    (tmp_path / "m2.fits").unlink()
    done = replay("there/run.json", "third.fits")
    assert done.differences == [f"m2.fits: expected the file {tmp_path / 'm2.fits'}, found none"]
    assert done.notes == expected


def test_files_at_home_have_not_moved(night, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    kept(tmp_path, night)
    assert again(tmp_path).notes == []


def test_the_limits_on_memory_are_those_of_then(night, tmp_path, monkeypatch):
    kept(tmp_path, night, memory="40kB", device_memory="1GB")
    given = {}
    monkeypatch.setattr(
        "gpustack.replay.run", lambda *a, **how: given.update(how) or run(*a, **how)
    )
    again(tmp_path)
    assert (given["memory"], given["device_memory"]) == ("40kB", "1GB")


def test_where_it_was_written_is_where_it_is_written_again(night, tmp_path):
    kept(tmp_path, night)
    before = (tmp_path / "out.fits").read_bytes()
    with pytest.raises(OutputError, match=r"out\.fits: exists; .* \(--overwrite\)$"):
        replay("run.json")
    assert replay("run.json", overwrite=True).verdict == "the same bytes"
    assert (tmp_path / "out.fits").read_bytes() == before


def test_on_the_device_that_was_used(night, tmp_path, cuda):
    result = kept(tmp_path, night, SigmaClip(1.7, 1.9), backend="cuda", device_memory="1GB")
    assert result.report["backend"] == {
        "asked": "cuda",
        "used": "cuda",
        "device": device.summary(),
    }
    assert device.summary() in "".join(result.header["HISTORY"])
    again(tmp_path)


def test_a_result_that_was_not_written(night, tmp_path):
    report = stack(night, report=True).report
    (tmp_path / "run.json").write_text(dumps(report))
    with pytest.raises(InputError, match="the report names no output file"):
        replay("run.json")
    assert "no output file to compare it with" in replay("run.json", "again.fits").verdict


def test_a_folder_that_is_gone_says_how_to_go_on(night, tmp_path):
    (tmp_path / "made").mkdir()
    words = ["combine", *night, "-o", "made/out.fits", "--report", "run.json"]
    assert CliRunner().invoke(cli, words).exit_code == 0
    shutil.rmtree(tmp_path / "made")
    with pytest.raises(OutputError, match=r"found none; give another file with output= .-o FILE"):
        replay("run.json")
    with pytest.raises(OutputError, match=r"found none$"):
        replay("run.json", "made/again.fits")


def test_a_folder_with_another_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "night"
    folder.mkdir()
    save(folder)
    words = ["combine", "night/*.fits", "-o", "out.fits", "--report", "night/run.json"]
    assert CliRunner().invoke(cli, words).exit_code == 0
    folder.rename(tmp_path / "first night")
    for at, report in ((tmp_path, "first night/run.json"), (tmp_path / "first night", "run.json")):
        monkeypatch.chdir(at)
        done = replay(report, tmp_path / "again.fits", overwrite=True)
        assert (done.differences, done.verdict) == ([], "the same bytes")


def test_frames_of_one_name_in_two_folders_are_not_taken_for_each_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("night1", "night2"):
        (tmp_path / name).mkdir()
        save(tmp_path / name)
    words = ["combine", "night?/m*.fits", "-o", "out.fits", "--report", "night1/run.json"]
    assert CliRunner().invoke(cli, words).exit_code == 0
    for name in ("night1", "night2"):
        (tmp_path / name).rename(tmp_path / f"moved {name}")
    done = replay("moved night1/run.json", "again.fits")
    assert len(done.differences) == 2 * N
    assert all("found none" in line for line in done.differences)


@pytest.mark.parametrize("align", [None, "wcs"])
def test_coordinates_of_a_primary_header(tmp_path, monkeypatch, align):
    monkeypatch.chdir(tmp_path)
    sky = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0}
    sky |= {"BUNIT": "adu", "CRPIX1": 8.0, "CRPIX2": 8.0, "CDELT1": -1e-4, "CDELT2": 1e-4}
    for name in ("a.fits", "b.fits"):
        image = fits.ImageHDU(np.random.default_rng(3).normal(size=(12, 15)))
        fits.HDUList([fits.PrimaryHDU(None, fits.Header(sky)), image]).writeto(name)
    kept(tmp_path, ["a.fits", "b.fits"], align=align)
    assert again(tmp_path).notes == []
    assert "CTYPE1" in fits.getheader("again.fits")


def test_what_is_named_by_a_home(night, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    result = kept(tmp_path, night)
    result.write("~/other.fits")
    assert (tmp_path / "other.fits").read_bytes() == (tmp_path / "out.fits").read_bytes()
    done = replay("~/run.json", "~/again.fits")
    assert done.verdict == "the same bytes"
    assert done.output == tmp_path / "again.fits"
