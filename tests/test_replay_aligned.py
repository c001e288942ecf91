"""Replays of aligned frames: their places are read from the report, not measured again."""

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import starfield as sky
from gpustack import Offsets, Register, Reproject
from gpustack.errors import FrameError, InputError
from gpustack.replay import replay
from reports import kept

SHAPE = (200, 210)
SHIFTS = [0, 7.55 - 12.3j, -21 + 4j, 3 + 9j]


@pytest.fixture(scope="module")
def exposures(tmp_path_factory):
    """A folder of files of a dithered field with coordinates, and one file of noise only."""
    folder = tmp_path_factory.mktemp("field")
    stars = sky.field(SHAPE)
    for f, shift in enumerate(SHIFTS):
        ccd = sky.taken(stars, SHAPE, shift=shift, seed=f)
        header = fits.Header({"BUNIT": "adu", "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"})
        header.update({"CRVAL1": 10.0, "CRVAL2": 20.0, "CDELT1": -1e-4, "CDELT2": 1e-4})
        header.update({"CRPIX1": 100 - shift.real, "CRPIX2": 90 - shift.imag})
        fits.writeto(folder / f"m{f}.fits", np.asarray(ccd, "f4"), header)
    empty = np.random.default_rng(3).normal(0, 1, SHAPE).astype("f4")
    fits.writeto(folder / "z.fits", empty, fits.Header({"BUNIT": "adu"}))
    return folder


@pytest.fixture
def folder(exposures, tmp_path, monkeypatch):
    """The current folder, with links to the exposures."""
    for path in exposures.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def again(folder):
    done = replay("run.json", "again.fits")
    assert (done.differences, done.notes, done.verdict) == ([], [], "the same bytes")
    assert Path("again.fits").read_bytes() == Path("out.fits").read_bytes()


WAYS = {
    "phase": Register("phase", extent="union"),
    "whole": Register("phase", upsample=1),
    "stars": Register("stars", order="bicubic", reference=1),
    "wcs": Reproject(),
    "optimal": Reproject("optimal", scale=0.4, method="adaptive"),
    "shape": Reproject(shape=(150, 160), flux="unscaled"),
    "offsets": Offsets(),
    "pairs": Offsets([(0, 0), (-12.25, 7.5), (4, -21), (9, 3)], extent="[-9:100,1:50]"),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_same_bytes_again(folder, way, monkeypatch):
    kept(folder, "m*.fits", align=way, maps=["frames"])
    monkeypatch.setattr("gpustack.align.register._measured", lambda *_: pytest.fail("measured"))
    again(folder)


@pytest.mark.filterwarnings("ignore:.*left out:gpustack.errors.GpustackWarning")
def test_frames_that_are_left_out_stay_out(folder):
    result = kept(folder, "*.fits", align=Register(skip=True), maps=["frames"])
    assert result.report["inputs"][4]["found"] is None
    assert "got" in result.report["inputs"][4]["numbers"]["left_out"]
    again(folder)


def test_all_but_the_first_are_where_they_were_measured(folder):
    found = [item["found"] for item in kept(folder, "m*.fits", align="register").report["inputs"]]
    assert found[0] == [1, 0, 0, 0]
    np.testing.assert_allclose([x + 1j * y for _, _, x, y in found], SHIFTS, atol=0.1)


def test_a_file_of_offsets(folder):
    Path("shifts.txt").write_text("0 0\n7 -12\n-21 4\n3 9\n")
    kept(folder, "m*.fits", align="offsets:source=@shifts.txt", maps=["frames"])
    again(folder)
    Path("again.fits").unlink()
    Path("shifts.txt").write_text("0 0\n7 -12\n-21 5\n3 9\n")
    done = replay("run.json", "again.fits")
    where = folder / "shifts.txt"
    assert done.differences == [f"offsets: the content of {where} differs from the report"]
    assert not Path("again.fits").exists()


def test_a_target_in_a_file(folder):
    fits.writeto("grid,1.fits", np.zeros((50, 60), "f4"), fits.getheader("m1.fits"))
    kept(folder, "m*.fits", align=Reproject(Path("grid,1.fits")))
    again(folder)
    with pytest.raises(FrameError, match=r"grid,1\.fits: expected another output"):
        replay("run.json", "grid,1.fits", overwrite=True)
    Path("grid,1.fits").unlink()
    done = replay("run.json", "third.fits")
    assert done.differences == [f"target: expected the file {folder / 'grid,1.fits'}, found none"]


@pytest.mark.parametrize("align", ["offsets:source=@~/shifts.txt", "wcs:target=~/m1.fits"])
def test_files_below_the_home_folder(folder, monkeypatch, align):
    monkeypatch.setenv("HOME", str(folder))
    Path("shifts.txt").write_text("0 0\n7 -12\n-21 4\n3 9\n")
    report = kept(folder, "m*.fits", align=align).report
    assert report["files"][0]["path"] == "~" + align.partition("~")[2]
    again(folder)


def test_a_target_from_memory(folder):
    kept(folder, "m*.fits", align=Reproject(fits.getheader("m1.fits"), shape=(99, 99)))
    assert json.loads(Path("run.json").read_text())["arguments"]["align"]["target"] == {
        "memory": "Header"
    }
    with pytest.raises(InputError, match="the target of the alignment came from memory"):
        replay("run.json", "again.fits")


@pytest.mark.parametrize("hdu", ["1", "GRID", "GRID,2"])
def test_a_target_in_an_hdu_of_a_file(folder, hdu):
    header = fits.getheader("m1.fits")
    grids = [fits.ImageHDU(np.ones((30 + i, 40)), header, name="GRID", ver=i) for i in (2, 1)]
    fits.HDUList([fits.PrimaryHDU(), *grids]).writeto("grids.fits")
    kept(folder, "m*.fits", align=Reproject(f"grids.fits[{hdu}]"))
    assert fits.getdata("out.fits").shape == (32, 40)
    again(folder)


def test_numbers_of_another_alignment_are_not_taken(folder):
    kept(folder, "m*.fits", align=Offsets())
    report = json.loads(Path("run.json").read_text())
    for item in report["inputs"]:
        item["found"] = [1.0, 0.0, 0.0, 0.0]
    Path("run.json").write_text(json.dumps(report))
    again(folder)
