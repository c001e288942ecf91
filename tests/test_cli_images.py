"""Masks and weight maps on the command line: which file belongs to which frame."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner

from gpustack import Image, explain, stack
from gpustack.cli import cli
from gpustack.errors import GpustackError, GpustackWarning, InputError
from gpustack.images import paired
from stacks import sky

SHAPE = (6, 5)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with exposures in extensions and files of masks and weights."""
    for f, data in enumerate(sky(4, SHAPE).astype("f4")):
        mask, weight = np.zeros(SHAPE, "i4"), np.full(SHAPE, 1 + f, "f4")
        mask[f, 0] = 1
        weight[f, 1] = 0
        for what, array in (("ooi", data), ("ood", mask), ("oow", weight)):
            cards = {"BUNIT": "adu", "BPM": f"c{f}_ood"} if what == "ooi" else {}
            hdu = fits.ImageHDU(array, fits.Header(cards), name="N3")
            fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / f"c{f}_{what}.fits")
    (tmp_path / "frames.list").write_text("c[01]_ooi.fits\nc2_ooi.fits\nc3_ooi.fits\n")
    (tmp_path / "masks.list").write_text("c[01]_ood.fits[N3]\nc2_ood.fits\nc3_ood.fits[1]\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def images(**kinds):
    return [
        Image(f"c{f}_ooi.fits", **{what: f"c{f}_{kind}.fits" for what, kind in kinds.items()})
        for f in range(4)
    ]


def run(*words):
    done = CliRunner().invoke(cli, ["combine", *words, "-o", "out.fits"])
    if done.exception and not isinstance(done.exception, GpustackError):
        raise done.exception
    return done


@pytest.mark.parametrize(
    "words",
    [
        ["--masks", "ooi:ood"],
        ["--masks", "*_ood.fits"],
        ["--masks", "*_ood.fits[1]"],
        ["--masks", "ooi.fits:ood.fits[N3]"],
        ["--masks", "!BPM"],
        ["--masks", "@masks.list"],
        [word for f in range(4) for word in ("--masks", f"c{f}_ood.fits")],
        ["--masks", "c[01]_ood.fits", "--masks", "c2_ood.fits", "--masks", "c3_ood.fits[N3]"],
    ],
)
def test_masks(folder, words):
    done = run("c*_ooi.fits", *words, "--combine", "median")
    assert not done.exception, done.exception
    expected = stack(images(mask="ood"), combine="median")
    np.testing.assert_array_equal(fits.getdata("out.fits"), expected.data)
    assert fits.getheader("out.fits")["NCOMBINE"] == 4
    assert any((expected.data != stack("c*_ooi.fits", combine="median").data).ravel())


@pytest.mark.parametrize("name", ["c1_ood.fits", "c1_ood.fits[1]", "./c1_ood.fits"])
def test_one_mask_for_all_frames(folder, name):
    """A mask of the bad pixels of a detector is one file for all frames."""
    done = run("c*_ooi.fits", "--masks", name, "--combine", "median", "--maps", "count")
    assert not done.exception, done.exception
    every = [Image(f"c{f}_ooi.fits", mask=name) for f in range(4)]
    with fits.open("out.fits") as hdus:
        np.testing.assert_array_equal(hdus[0].data, stack(every, combine="median").data)
        assert set(np.unique(hdus["COUNT"].data)) == {0, 4}


def test_weight_maps_and_variance_maps(folder):
    words = ["--weights", "variance", "--uncertainty", "propagated", "--maps", "weight,coverage"]
    asked = {"weights": "variance", "uncertainty": "propagated", "outputs": ("uncertainty",)}
    done = run("c*_ooi.fits", "--masks", "ooi:ood", "--weight-maps", "ooi:oow", *words)
    assert not done.exception, done.exception
    expected = stack(images(mask="ood", weight="oow"), **asked)
    with fits.open("out.fits") as hdus:
        np.testing.assert_array_equal(hdus[0].data, expected.data)
        np.testing.assert_array_equal(hdus["UNCERT"].data, expected.uncertainty)
        assert hdus["COVERAGE"].data[:4, :2].tolist() == [[3, 3]] * 4
        assert hdus["WEIGHT"].data[5, 0] == 1 + 2 + 3 + 4
    done = run("c*_ooi.fits", "--variance-maps", "ooi:oow", *words, "--overwrite")
    assert not done.exception, done.exception
    expected = stack(images(variance="oow"), **asked)
    np.testing.assert_array_equal(fits.getdata("out.fits"), expected.data)


def test_explain_takes_masks_and_weights(folder):
    words = ["1", "2", "c*_ooi.fits", "--masks", "ooi:ood"]
    done = CliRunner().invoke(cli, ["explain", *words])
    assert not done.exception, done.exception
    said = str(explain(images(mask="ood"), 0, 1))
    assert done.output.strip() == said.strip()
    assert "masked" in said


BAD = {
    "too few": (
        ["--masks", "c0_ood.fits", "--masks", "c1_ood.fits"],
        r"mask files: expected 4, one per frame, .* got 2: c0_ood.fits to c1_ood",
    ),
    "a glob of one": (["--masks", "c0_oo[d].fits"], r"one per frame, .* got 1: c0_ood.fits to c0"),
    "a list of one": (["--masks", "@one.list"], r"one per frame, .* got 1: c0_ood.fits to c0"),
    "too many": (
        ["--weight-maps", "*.fits"],
        "weight files: expected 4, one per frame, .* got 12: c0_ood.fits to c3_oow.fits for c0_ooi",
    ),
    "no match": (["--masks", "x*_ood.fits"], r"x\*_ood.fits: expected files that match, got none"),
    "not in the name": (["--masks", "oox:ood"], "contain 'oox' of 'oox:ood' once, .*c0_ooi.fits"),
    "twice": (["--masks", "o:x"], "contain 'o' of 'o:x' once"),
    "nothing": (["--masks", ":x"], "contain '' of ':x' once"),
    "longer than names may be": (["--masks", f"{300 * 'o'}:x"], "contain 'o{300}' of .* once"),
    "not there": (["--masks", "ooi:dq"], r"c0_dq.fits: .*no such file .the mask of c0_ooi.fits"),
    "no card": (["--masks", "!MASK"], "c0_ooi.fits: mask !MASK: expected the header to name"),
    "both": (
        ["--weight-maps", "ooi:oow", "--variance-maps", "ooi:oow"],
        "expected a weight or a variance",
    ),
    "weights for masks": (["--masks", "ooi:oow"], "c0_oow.fits: expected integers.*c0_ooi.fits"),
}


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD)
def test_what_does_not_fit(folder, words, message):
    (folder / "one.list").write_text("c0_ood.fits")
    with pytest.raises(InputError, match=message):
        raise run("c*_ooi.fits", *words).exception


def test_a_list_stands_for_its_files(folder):
    assert not run("@frames.list", "--masks", "@masks.list").exception
    np.testing.assert_array_equal(fits.getdata("out.fits"), stack(images(mask="ood")).data)
    (folder / "c3_ooi.fits").unlink()
    (folder / "c3_ooi.fits").symlink_to("out.fits")
    with pytest.raises(InputError, match=r"c3_ooi\.fits: expected another output, got one of"):
        raise run("@frames.list", "--overwrite").exception


@pytest.mark.parametrize("words", [["@out.fits"], ["c*_ooi.fits", "--masks", "@out.fits"]])
def test_the_output_is_no_list(folder, words):
    (folder / "out.fits").write_text("c[0-3]_ooi.fits\n")
    with pytest.raises(InputError, match=r"out\.fits: expected another output, got a list"):
        raise run(*words, "--overwrite").exception


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_list_is_read_once(folder):
    expected = stack("c*_ooi.fits").data
    os.mkfifo("pipe")
    writer = threading.Thread(target=Path("pipe").write_text, args=["c*_ooi.fits\n"])
    writer.start()
    assert not run("@pipe").exception
    writer.join()
    np.testing.assert_array_equal(fits.getdata("out.fits"), expected)


def test_the_output_is_no_mask(folder):
    (folder / "c0_ood.fits").rename("out.fits")
    words = ["--masks", "out.fits", "--masks", "c[1-3]_ood.fits", "--overwrite"]
    with pytest.raises(InputError, match=r"out\.fits: expected another output"):
        raise run("c*_ooi.fits", *words).exception


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--align", "wcs:target=out.fits"], "the target of --align"),
        (["--align", "wcs:target=./out.fits[N3]"], "the target of --align"),
        (["--align", "offsets:source=@out.fits"], "the offsets of --align"),
        (["--scale", "@out.fits"], "the numbers of --scale"),
        (["--zero", "@out.fits"], "the numbers of --zero"),
        (["--weights", "@out.fits"], "the numbers of --weights"),
    ],
)
def test_the_output_is_no_file_that_options_name(folder, words, what):
    (folder / "out.fits").write_bytes(b"mine")
    with pytest.raises(InputError, match=rf"out\.fits: expected another output, got {what}"):
        raise run("c*_ooi.fits", *words, "--overwrite").exception
    assert (folder / "out.fits").read_bytes() == b"mine"


def test_the_target_that_a_watch_reads_is_not_its_output(folder):
    words = ["watch", ".", "-o", "c0_ooi.fits", "--align", "wcs:target=c0_ooi.fits"]
    error = CliRunner().invoke(cli, [*words, "--overwrite"]).exception
    assert isinstance(error, InputError)
    assert "got the target of --align" in str(error)


def test_the_list_of_masks_that_a_watch_reads_is_not_its_output(folder):
    (folder / "out.fits").write_text("c[0-3]_ood.fits\n")
    words = ["watch", ".", "-o", "out.fits", "--masks", "@out.fits", "--pattern", "*_ooi.fits"]
    words += ["--overwrite", "--interval", "0.01", "--stop-after", "1"]
    error = CliRunner().invoke(cli, words).exception
    assert isinstance(error, InputError)
    assert "out.fits: expected another output, got a list of files" in str(error)


def look_twice(arrivals, restack, *_, **__):
    """Replace `watch`, which would wait for ever, by looking twice."""
    arrivals.look()
    restack(arrivals.look())


def test_a_watch_takes_flags_of_masks_in_files_of_their_own(folder, monkeypatch):
    """DQ extensions in the frames themselves, here of floats, which have no bits, are not used."""
    for f in range(4):
        with fits.open(f"c{f}_ooi.fits", mode="append") as hdus:
            hdus.append(fits.ImageHDU(np.zeros(SHAPE, "f4"), name="DQ"))
    words = ["--masks", "ooi:ood", "--bad-bits", "1", "--combine", "median"]
    done = run("c*_ooi.fits", *words)
    assert not done.exception, done.exception
    monkeypatch.setattr("gpustack.live.watching.watch", look_twice)
    words += ["--pattern", "*ooi.fits"]
    done = CliRunner().invoke(cli, ["watch", ".", "-o", "live.fits", *words])
    assert not done.exception, done.exception
    np.testing.assert_array_equal(fits.getdata("live.fits"), fits.getdata("out.fits"))


def test_a_part_of_the_name_or_else_of_a_folder_is_replaced():
    def beside(file, rule):
        return paired([file], {"mask": (rule,)})[0].mask

    assert beside("ooi/c_ooi.fits", "ooi:ood") == "ooi/c_ood.fits"
    assert beside("images/c.fits", "images:masks") == "masks/c.fits"
    assert beside("c.fits.fz", ".fits.fz:_mask.fits") == "c_mask.fits"
    with pytest.raises(InputError, match="once"):
        beside("a/a/c.fits", "a:b")


def test_a_file_that_is_called_so_is_no_rule(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "T10:20.fits").touch()
    assert paired(["a.fits"], {"mask": ("T10:20.fits",)})[0].mask == "T10:20.fits"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir("/")
    assert paired(["a.fits"], {"mask": ("~/T10:20.fits",)})[0].mask == f"{tmp_path}/T10:20.fits"


def test_without_mask_options_no_mask_is_used(folder):
    done = run("c*_ooi.fits")
    assert not done.exception
    np.testing.assert_array_equal(fits.getdata("out.fits"), stack("c*_ooi.fits").data)


def test_an_hdu_behind_a_glob_is_that_of_each_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("m1.fits", "m2.fits"):
        (tmp_path / name).touch()
    images = paired(["a.fits", "b.fits"], {"mask": ["~/m?.fits[DQ]"]})
    assert [image.mask for image in images] == [f"{tmp_path}/m{i}.fits[DQ]" for i in (1, 2)]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("apart", [False, True])
def test_frames_that_are_called_like_the_one_mask_for_all_are_told_of(apart):
    if apart:
        for what, folder in (("ooi", "sky"), ("ood", "bad")):
            Path(folder).mkdir()
            for f in range(4):
                Path(f"c{f}_{what}.fits").rename(f"{folder}/c{f}_{what}.fits")
    masks = sorted(map(str, Path().rglob("*_ood.fits")))
    images = sorted(map(str, Path().rglob("*_ooi.fits")))
    message = rf"{masks[0]} is used for all frames, but {masks[1]}, .* quote it"
    with pytest.warns(GpustackWarning, match=message):
        paired([*images, *masks[1:]], {"mask": masks[:1]})
    for mask in (masks[0], images[0]):  # no warning, which would be an error
        assert len(paired(images, {"mask": [mask]})) == 4
