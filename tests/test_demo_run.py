"""The demo as a whole: the files that it writes, replaces, and refuses to replace."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

from gpustack import demo, drawing, engine
from gpustack.errors import InputError, OutputError

SIZE, SEED = 128, 1


@pytest.fixture
def no_picture(monkeypatch):
    """Replace drawing in tests that are not about the picture, so that they need no matplotlib."""
    monkeypatch.setattr(demo, "require_matplotlib", lambda _: None)
    monkeypatch.setattr(demo, "draw", lambda *_: b"")
    for name in ("brightness", "rejected"):
        monkeypatch.setattr(demo, name, lambda *_: None)


def test_the_demo_is_right_and_leaves_its_files(tmp_path):
    pytest.importorskip("matplotlib", reason="the picture needs the extra plot")
    lines = []
    assert demo.run(tmp_path, frames=10, size=SIZE, seed=SEED, echo=lines.append)
    assert "The stack is right." in lines
    assert lines[-2:] == [str(tmp_path / "stack.fits"), str(tmp_path / "preview.png")]
    assert len(list((tmp_path / "raw").glob("*.fits"))) == 10
    assert (tmp_path / "preview.png").read_bytes().startswith(b"\x89PNG")
    stack = CCDData.read(tmp_path / "stack.fits")
    assert stack.shape == (SIZE, SIZE)
    assert stack.unit == "electron"
    assert stack.header["NCOMBINE"] == 10


def test_a_second_demo_replaces_the_first(tmp_path, no_picture):
    for frames in (12, 10):
        assert demo.run(tmp_path, frames=frames, size=SIZE, seed=SEED, echo=len)
        assert len(list((tmp_path / "frames").glob("*.fits"))) == frames


def test_a_second_demo_knows_the_picture_of_the_first(tmp_path):
    pytest.importorskip("matplotlib", reason="the picture needs the extra plot")
    for seed in (1, 2):
        assert demo.run(tmp_path, frames=8, size=SIZE, seed=seed, echo=len)
    assert CCDData.read(tmp_path / "stack.fits").header["SEED"] == 2


def of_a_user(path):
    """Write a PNG or FITS file, depending on the name, that is not one of a demo."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        image = np.arange(12.0).reshape(3, 4)
        panel = drawing.Panel("title", "note", image, drawing.brightness(image))
        path.write_bytes(drawing.draw([[panel]]))
    else:
        header = fits.Header({"OBJECT": "M 51", "SEED": 1})
        fits.writeto(path, np.ones((4, 4), np.float32), header)


@pytest.mark.parametrize(
    "name",
    [
        *("raw/exposure-0001.fits", "raw/exposure-0042.fits", "raw/exposure-night.fits"),
        *("frames/frame-0001.fits", "frames/frame-A.fits", "stack.fits", "preview.png"),
    ],
)
def test_a_file_of_the_user_is_neither_replaced_nor_removed(tmp_path, no_picture, name):
    if name.endswith("png"):
        pytest.importorskip("matplotlib", reason="the picture needs the extra plot")
    of_a_user(tmp_path / name)
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    with pytest.raises(OutputError, match=r"earlier demo: move it away") as raised:
        demo.run(tmp_path, frames=8, size=SIZE, echo=len)
    assert str(raised.value).startswith(f"{tmp_path / name}: ")
    assert before == {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}


def test_what_is_no_fits_file_or_leads_nowhere_is_in_the_way_too(tmp_path, no_picture):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "exposure-1.fits").write_text("notes")
    with pytest.raises(OutputError, match=r"exposure-1\.fits: exists and is not"):
        demo.run(tmp_path, frames=8, size=SIZE, echo=len)
    (tmp_path / "raw" / "exposure-1.fits").unlink()
    (tmp_path / "stack.fits").symlink_to(tmp_path / "nowhere.fits")
    with pytest.raises(OutputError, match=r"stack\.fits: exists and is not"):
        demo.run(tmp_path, frames=8, size=SIZE, echo=len)


def test_files_of_the_user_that_are_in_no_ones_way_stay(tmp_path, no_picture):
    others = [tmp_path / name for name in ("raw/light.fits", "frames/a.fits", "deep.fits")]
    for path in others:
        of_a_user(path)
    assert demo.run(tmp_path, frames=8, size=SIZE, seed=SEED, echo=len)
    assert all(fits.getheader(path)["OBJECT"] == "M 51" for path in others)


def test_an_empty_file_of_a_demo_that_was_killed_is_replaced(tmp_path, no_picture):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "exposure-0009.fits").touch()
    assert demo.run(tmp_path, frames=8, size=SIZE, seed=SEED, echo=len)
    assert not (tmp_path / "raw" / "exposure-0009.fits").exists()


def test_a_folder_may_look_like_a_pattern(tmp_path, no_picture):
    assert demo.run(tmp_path / "demo[1]*", frames=8, size=SIZE, seed=SEED, echo=len)


def test_the_demo_says_when_the_stack_is_wrong(tmp_path, no_picture, monkeypatch):
    right = engine.stack
    monkeypatch.setattr(demo.engine, "stack", lambda frames, **_: right(frames, combine="mean"))
    lines = []
    assert not demo.run(tmp_path, frames=10, size=SIZE, seed=SEED, echo=lines.append)
    assert "The stack is WRONG." in lines


@pytest.mark.parametrize(
    ("numbers", "problem"),
    [
        ({"frames": 7}, "frames: expected a whole number from 8 to 1000, got 7"),
        ({"size": 100}, "size: expected a whole number from 128 to 4096, got 100"),
        ({"size": 8192}, "size: expected a whole number from 128 to 4096, got 8192"),
        (
            {"frames": 1000, "size": 4096},
            "frames x size x size: expected at most 400,000,000 samples, .* got 16,777,216,000",
        ),
        ({"seed": -1}, "seed: expected a whole number from 0 to"),
    ],
)
def test_numbers_out_of_range_are_refused_before_anything_is_written(
    tmp_path, no_picture, numbers, problem
):
    with pytest.raises(InputError, match=problem):
        demo.run(tmp_path / "demo", **numbers)
    assert not (tmp_path / "demo").exists()


def test_a_folder_that_is_a_file_is_an_output_error(tmp_path, no_picture):
    (tmp_path / "demo").write_text("a file")
    with pytest.raises(OutputError, match="demo could not write here"):
        demo.run(tmp_path / "demo", frames=8, size=SIZE, echo=len)
