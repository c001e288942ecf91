"""Frames that are one HDU of a file or all of them, selected in brackets after the file name."""

import json
import re
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner

from fitsmaker import empty_primary, image_bytes
from gpustack import Image, LiveStack, combine, explain, stack
from gpustack.cli import cli
from gpustack.errors import FrameError, MissingFileError
from gpustack.frames import hdus, listed, onfile, open_frames
from opened import values

#: Images of a file, by EXTNAME and EXTVER; the samples of each are its index in the file.
CHIPS = [("SCI", 1), ("DQ", 1), ("SCI", 2), ("DQ", 2), ("GUIDE", 1), ("", 1), ("GUIDE", 1)]

#: Images, and masks by names of their own.
MIXED = [("CCD1", "f4"), ("DQ1", "i2"), ("CCD2", "f4"), ("DQ2", "i2")]


def mosaic(path, chips=CHIPS, flagged=0):
    """Write a file of images of 3 x 4 pixels, with an empty primary HDU; return its path."""
    header = fits.Header({"BUNIT": "adu", "EXPTIME": 30.0})
    images = []
    for number, (name, version) in enumerate(chips, 1):
        data = np.full((3, 4), flagged if name == "DQ" else number, "i2" if name == "DQ" else "f4")
        image = fits.ImageHDU(data, name=name or None)
        if name in ("SCI", "DQ"):
            image.ver = version
        images.append(image)
    fits.HDUList([fits.PrimaryHDU(header=header), *images]).writeto(path)
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("a.fits", "b.fits"):
        mosaic(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.fits[3]", [3]),
        ("a.fits[SCI,2]", [3]),
        ("a.fits[ sci , 1 ]", [1]),
        ("a.fits[-1]", [7]),
        ("?.fits[SCI,2]", [3, 3]),
        ("[ab].fits[1]", [1, 1]),
        ("[ab].fits", [1, 1]),
    ],
)
@pytest.mark.usefixtures("folder")
def test_brackets_name_an_hdu(text, expected):
    assert values(open_frames(text)) == expected
    assert values(open_frames([text], hdu=5)) == (expected if text[-1] == "]" else [5, 5])


@pytest.mark.usefixtures("folder")
def test_a_star_in_brackets_is_every_image():
    frames = open_frames("a.fits[*]")
    assert values(frames) == [1, 3, 5, 6, 7]
    assert [frame.name for frame in frames] == [
        *("a.fits[SCI,1]", "a.fits[SCI,2]", "a.fits[5]", "a.fits[6]", "a.fits[7]")
    ]
    assert all(frame.header["EXPTIME"] == 30 for frame in frames)
    assert values(open_frames("?.fits[*]")) == [1, 3, 5, 6, 7] * 2


def test_names_alone_stand_for_images_where_they_are_clear(tmp_path):
    mosaic(tmp_path / "c.fits", [("N1", 1), ("S,1", 1), ("[S]", 1), ("7", 1), ("*", 1), ("SCI", 1)])
    given = listed(f"{tmp_path / 'c.fits'}[*]")
    assert [one.data.rpartition("/")[2] for one in given] == [
        *("c.fits[N1]", "c.fits[2]", "c.fits[3]", "c.fits[4]", "c.fits[5]", "c.fits[SCI]")
    ]
    assert values(open_frames(given)) == [1, 2, 3, 4, 5, 6]


def test_an_extver_is_found_wherever_it_stands(tmp_path):
    path = mosaic(tmp_path / "a.fits", [("SCI", 2), ("SCI", 1)])
    assert values(open_frames([f"{path}[SCI,1]", f"{path}[SCI,2]", f"{path}[SCI]"])) == [2, 1, 1]


def test_masks_of_every_image_lie_beside_it(tmp_path):
    path = mosaic(tmp_path / "a.fits", CHIPS[:3], flagged=1)
    frames = open_frames(f"{path}[*]")
    assert [frame.masked for frame in frames] == [True, False]
    assert frames[0].read(0, 1).mask.all()


@pytest.mark.usefixtures("folder")
def test_masks_of_every_image_in_another_file():
    shutil.copy("a.fits", "m.fits")
    with fits.open("m.fits", mode="update") as file:
        file["DQ", 2].data += 1
    frames = open_frames(Image("a.fits[*]", mask="m.fits[DQ,2]"))
    assert [frame.read(0, 1).mask.all() for frame in frames] == [True] * 5
    frames = open_frames([Image(f"a.fits[SCI,{n}]", mask="m.fits") for n in (1, 2)])
    assert [frame.read(0, 1).mask.all() for frame in frames] == [False, True]


@pytest.mark.usefixtures("folder")
def test_a_rule_for_masks_goes_by_the_name_of_the_file():
    shutil.copy("a.fits", "a_mask.fits")
    with fits.open("a_mask.fits", mode="update") as file:
        file["DQ", 2].data[1:] += 1
    words = ["combine", "a.fits[SCI,1]", "a.fits[SCI,2]", "--masks", ".fits:_mask.fits"]
    done = CliRunner().invoke(cli, [*words, "-o", "out.fits", "--quiet"])
    assert done.exit_code == 0, done.output
    assert fits.getdata("out.fits").tolist() == [[2] * 4, [1] * 4, [1] * 4]


@pytest.mark.parametrize(
    ("text", "error", "problem"),
    [
        ("a.fits[9]", FrameError, "a.fits: expected an image in HDU 9, got HDUs 0 PRIMARY"),
        ("a.fits[0]", FrameError, "a.fits: expected an image in HDU 0"),
        ("none.fits[1]", MissingFileError, "none.fits: expected a FITS file, got no such file"),
        ("none.fits[*]", MissingFileError, "none.fits: expected a FITS file, got no such file"),
        ("none*.fits[SCI,1]", MissingFileError, r"none\*.fits: expected files that match"),
        ("table.fits[*]", FrameError, "table.fits: expected images other than masks .* 0 PRIMARY"),
        ("a.fits[SCI,DQ]", MissingFileError, r"a\.fits exists, of which \[3\], \[SCI\] or"),
        ("?.fits[SCI,DQ]", MissingFileError, r"\?\.fits exists, of which \[3\], \[SCI\] or"),
        (f"a.fits[{'1' * 5000}]", FrameError, "a.fits: expected an image in HDU '11"),
        (f"a.fits[SCI,{'1' * 5000}]", MissingFileError, r"a\.fits exists, of which \[3\]"),
        ("a.fits[1:2]", MissingFileError, "image sections are not supported"),
        ("a.fits[1:2,3]", MissingFileError, "image sections are not supported"),
        ("a.fits[1:2,*]", MissingFileError, "image sections are not supported"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_brackets_that_name_nothing(text, error, problem):
    fits.HDUList([fits.PrimaryHDU()]).writeto("table.fits")
    with pytest.raises(error, match=problem):
        open_frames(text)


@pytest.mark.usefixtures("folder")
def test_a_mask_is_one_image():
    with pytest.raises(FrameError, match=r"expected one HDU, got .*, which only frames may"):
        open_frames(Image("a.fits[1]", mask="a.fits[*]"))


@pytest.mark.parametrize(
    ("chips", "masks"),
    [
        (["CCDA", "DQ", "CCDB", "DQ", "CCDC"], [2, 4, None]),
        (["CCDA", ("DQ", 1), "CCDB", ("DQ", 2)], [2, 4]),
        (["CCDA", "VAR", "DQ", "CCDB", "VAR", "DQ"], [3, 6]),
        (["CCDA", "CCDB", "DQ"], [3, 3]),  # one for all, as in CCDData.read
        ([("SCI", 1), ("SCI", 2), ("DQ", 2), ("DQ", 1)], [4, 3]),
        ([("DQ", 1), ("DQ", 2), "CCDA"], [1]),
        ([("SCI", 3), "DQ", ("DQ", 2)], [None]),
        (["CCDA", "DQ", "CCDB", "MASK", "CCDC", "MASK"], [2, 4, 6]),
    ],
)
def test_the_mask_of_a_chip_is_its_own(tmp_path, chips, masks):
    images = []
    for number, chip in enumerate(chips, 1):
        name, version = chip if isinstance(chip, tuple) else (chip, None)
        data = np.full((2, 2), number, "i2" if name == "DQ" else "f4")
        images.append(fits.ImageHDU(data, name=name))
        if version is not None:
            images[-1].ver = version
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(tmp_path / "a.fits")
    frames = open_frames(f"{tmp_path / 'a.fits'}[*]", unit="adu")
    assert [frame.mask and frame.mask.hdu.index for frame in frames] == masks


@pytest.mark.usefixtures("folder")
def test_names_of_one_text_are_split_between_brackets():
    assert (combine("a.fits[SCI,2], b.fits[5]", method="average").data == 4).all()


@pytest.mark.usefixtures("folder")
def test_a_file_of_that_name_goes_first():
    shutil.copy("b.fits", "a.fits[3]")
    assert values(open_frames("a.fits[3]")) == [1]
    assert values(open_frames("a.fits[*]")) == [1, 3, 5, 6, 7]


@pytest.mark.usefixtures("folder")
def test_every_door_takes_them():
    names = ["a.fits[SCI,2]", "b.fits[5]"]
    assert (stack(names).data == 4).all()
    assert (combine(names, method="average").data == 4).all()
    assert explain(names, 1, 1).data == 4
    live = LiveStack()
    for name in names:
        live.add(name)
    assert (live.result().data == 4).all()


@pytest.mark.usefixtures("folder")
def test_chips_that_are_not_aligned_warn():
    stack("a.fits[*]")  # may be a sequence
    stack("?.fits[SCI,2]")
    with pytest.warns(match=r"images of one file, such as a.fits\[SCI,1\] and a.fits\[SCI,2\]"):
        stack("?.fits[*]")


def test_integers_among_floats_are_told_of(tmp_path, caplog):
    chips = [fits.ImageHDU(np.ones((2, 2), dtype), name=name) for name, dtype in MIXED]
    fits.HDUList([fits.PrimaryHDU(), *chips]).writeto(tmp_path / "a.fits")
    open_frames(f"{tmp_path / 'a.fits'}[*]", unit="adu")
    assert "[*] also reads images of integers, such as HDU 2 DQ1" in caplog.text
    caplog.clear()
    open_frames(f"{tmp_path / 'a.fits'}[CCD1]", unit="adu")
    assert not caplog.text


def test_integers_alone_and_integers_that_stand_for_floats_are_no_masks(tmp_path, caplog):
    integers = [fits.ImageHDU(np.ones((2, 2), "i2")) for _ in range(2)]
    scaled = fits.ImageHDU(np.full((2, 2), 0.5))
    scaled.scale("int16", bscale=0.5)
    floats = [fits.ImageHDU(np.ones((2, 2))), fits.CompImageHDU(np.ones((2, 2), "f4")), scaled]
    for name, images in (("raw", integers), ("done", floats)):
        fits.HDUList([fits.PrimaryHDU(), *images]).writeto(tmp_path / f"{name}.fits")
        assert len(open_frames(f"{tmp_path / name}.fits[*]", unit="adu")) == len(images)
    assert not caplog.text


def test_a_bitpix_that_is_no_number_is_a_clear_error(tmp_path):
    path = tmp_path / "a.fits.fz"
    images = [fits.CompImageHDU(np.ones((8, 8), "f4"), name=name) for name in "AB"]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path)
    content = path.read_bytes()
    card = b"ZBITPIX =                  -32"
    assert content.count(card) == 2
    path.write_bytes(content.replace(card, b"ZBITPIX = 'no number'         ", 1))
    with pytest.raises(FrameError, match="ZBITPIX one of"):
        open_frames(f"{path}[*]", unit="adu")


class NoValue:
    """The value of a card without one: ``EXTNAME =``."""

    def __repr__(self):
        return ""


def test_an_extname_without_a_value_is_no_name(tmp_path):
    images = (
        image_bytes(np.ones((2, 2)), extension=True, EXTNAME=name) for name in (NoValue(), "B")
    )
    (tmp_path / "a.fits").write_bytes(empty_primary() + b"".join(images))
    frames = open_frames(f"{tmp_path / 'a.fits'}[*]", unit="adu")
    assert [Path(frame.name).name for frame in frames] == ["a.fits[1]", "a.fits[B]"]
    assert frames[0].contents.endswith("; 1 image (2, 2); 2 B image (2, 2)")


def test_a_utype_without_a_value_is_that_of_standard_deviations(tmp_path):
    beside = image_bytes(np.full((2, 2), 3.0), extension=True, EXTNAME="UNCERT", UTYPE=NoValue())
    (tmp_path / "a.fits").write_bytes(image_bytes(np.ones((2, 2)), BUNIT="adu") + beside)
    (frame,) = open_frames(tmp_path / "a.fits")
    assert (frame.read_variance(0, 2) == 9).all()


def test_an_error_of_the_unit_names_the_image(tmp_path):
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.ones((2, 2)))]).writeto(tmp_path / "a.fits")
    with pytest.raises(FrameError, match=r"a\.fits\[1\]: expected a unit"):
        open_frames(f"{tmp_path / 'a.fits'}[*]")


@pytest.mark.filterwarnings("ignore:frames are not aligned")
@pytest.mark.usefixtures("folder")
def test_the_command_line_and_what_it_replays():
    words = ["combine", "?.fits[*]", "-o", "out.fits", "--report", "run.json", "--quiet"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    np.testing.assert_allclose(fits.getdata("out.fits"), 22 / 5, rtol=1e-6)
    report = json.loads(Path("run.json").read_text())
    assert [item["parts"]["data"]["hdu"] for item in report["inputs"]] == [1, 3, 5, 6, 7] * 2
    assert fits.getheader("out.fits")["NCOMBINE"] == 10
    done = CliRunner().invoke(cli, ["replay", "run.json", "-o", "again.fits", "--quiet"])
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(fits.getdata("again.fits"), fits.getdata("out.fits"))


@pytest.mark.usefixtures("folder")
def test_images_of_one_file_are_no_repetitions(recwarn):
    stack(["a.fits[1]", "a.fits[3]"])
    assert not [str(one.message) for one in recwarn]
    for other in ("./a.fits[1]", "a.fits[SCI,1]", "a.fits", "a.fits[-7]"):
        with pytest.warns(match=f"a.fits.1.: given 2 times, also as {re.escape(other)}, so"):
            stack(["a.fits[1]", other])


@pytest.mark.usefixtures("folder")
def test_a_file_is_scanned_once_for_all_of_its_images(monkeypatch):
    scans = []
    plain = hdus._scanned
    monkeypatch.setattr(
        hdus, "_scanned", lambda name, *given: scans.append(name) or plain(name, *given)
    )
    open_frames("?.fits[*]")
    assert scans == ["a.fits", "b.fits"]


@pytest.mark.usefixtures("folder")
def test_a_file_that_changes_is_scanned_again():
    with hdus.keeping_scans():
        before, _ = hdus.scan("a.fits")
        again, _ = hdus.scan("a.fits")
        assert again is before
        mosaic("longer.fits", CHIPS * 2)
        shutil.move("longer.fits", "a.fits")
        after, _ = hdus.scan("a.fits")
    assert [len(before), len(after)] == [8, 15]
    assert all(one.begin < two.begin for one, two in pairwise(after))
    assert hdus.scan("a.fits")[0] is not after


def test_rows_of_a_tiled_image_are_read_without_the_hdus_before_it(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    planes = rng.normal(100, 5, (5, 256, 256)).astype("f4")
    images = [fits.CompImageHDU(plane, name=f"N{i}") for i, plane in enumerate(planes)]
    path = tmp_path / "a.fits.fz"
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path)
    frames = open_frames(f"{path}[*]", unit="adu")
    places = []
    plain = onfile.read_at

    def seen(file, at, into):
        if len(into):
            places.append(at)
        return plain(file, at, into)

    monkeypatch.setattr(onfile, "read_at", seen)
    for number, frame in enumerate(frames, 1):
        places.clear()
        rows = frame.read(10, 20)
        np.testing.assert_array_equal(rows.data, fits.getdata(path, number)[10:20])
        begin, end = frame.image.hdu.span
        read = [at for at in places if at > 0]  # the first block tells whether it is gzip
        assert read
        assert begin - onfile._BLOCK < min(read) <= max(read) < end + onfile._BLOCK


def test_astropy_sees_no_hdu_but_one(tmp_path):
    path = str(tmp_path / "a.fits.fz")
    images = [fits.CompImageHDU(np.ones((8, 8), "i2"), name=f"N{i}") for i in range(3)]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path)
    for frame in open_frames(f"{path}[*]", unit="adu"):
        hdu = frame.image.hdu
        with onfile.as_hdus(path, hdu.stamp, hdu.span) as found:
            assert [one.name for one in found] == ["PRIMARY", hdu.name]


def test_a_tiled_image_in_a_gzip_file_is_found(tmp_path):
    planes = [np.full((8, 8), i, "i2") for i in range(3)]
    images = [fits.CompImageHDU(plane, name=f"N{i}") for i, plane in enumerate(planes)]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(tmp_path / "a.fits.gz")
    assert values(open_frames(f"{tmp_path / 'a.fits.gz'}[*]", unit="adu")) == [0, 1, 2]
