"""Unusable files of masks, weights and variances: errors name the file and its frame."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from fitsmaker import image_bytes, image_header
from gpustack import Flags, Image, stack
from gpustack.errors import FrameError, InputError, MissingFileError, RecipeError
from gpustack.frames import open_frames

ONES = np.ones((2, 3), "f4")
ZEROS = np.zeros((2, 3), "i2")


def opened(folder, **planes):
    (folder / "a.fits").write_bytes(image_bytes(ONES, BUNIT="adu"))
    return open_frames(Image(folder / "a.fits", **planes))


def several(*names, array=ZEROS, **cards):
    """The bytes of extensions with these EXTNAMEs."""
    parts = [image_header("u1", ())]
    parts += [image_bytes(array, extension=True, EXTNAME=name, **cards) for name in names]
    return b"".join(parts)


HUGE = image_header("i2", (1 << 20, 1 << 20))
BAD = {
    "no FITS file": ("mask", b"P5 no FITS", r"beginning with SIMPLE, got b'P5"),
    "empty": ("mask", b"", "expected a FITS file, got an empty one"),
    "cut off": ("mask", image_bytes(ZEROS)[:2885], "cut off in the data"),
    "no gzip": ("mask", gzip.compress(image_bytes(ZEROS))[:40], "expected an intact gzip file"),
    "a terabyte": ("weight", HUGE, "cut off in the data of HDU 0: expected 2,199,023,255,552"),
    "no image": ("mask", image_header("i2", ()), "got HDUs 0 PRIMARY no image"),
    "another shape": ("mask", image_bytes(ZEROS.T), r"image, \(2, 3\), got \(3, 2\) in HDU 0"),
    "two images": (
        "mask",
        several("S1", "S2", array=ZEROS),
        r"with EXTNAME PRIMARY and EXTVER 1, as the frame has, got .*FILE\[HDU\] names another",
    ),
    "a mask of floats": ("mask", image_bytes(ONES), "expected integers in HDU 0 .*, got float32"),
    "a mask that is scaled": (
        "mask",
        image_bytes(ZEROS, BSCALE=0.5),
        "expected integers in HDU 0 .* with BSCALE 0.5",
    ),
    "errors for variances": (
        "variance",
        image_header("u1", ()) + image_bytes(ONES, extension=True, EXTNAME="ERR"),
        "expected variances, got standard deviations in HDU 1 ERR",
    ),
    "variances for weights": (
        "weight",
        image_header("u1", ()) + image_bytes(ONES, extension=True, EXTNAME="VAR"),
        "expected inverse variances, got variances in HDU 1 VAR",
    ),
    "another UTYPE": (
        "variance",
        image_header("u1", ())
        + image_bytes(ONES, extension=True, EXTNAME="UNCERT", UTYPE="Unknown"),
        "expected UTYPE .*got 'Unknown'",
    ),
}


@pytest.mark.parametrize(("what", "content", "message"), BAD.values(), ids=BAD)
def test_files_that_are_unusable(tmp_path, what, content, message):
    (tmp_path / "b.fits").write_bytes(content)
    with pytest.raises(FrameError, match=message) as caught:
        opened(tmp_path, **{what: tmp_path / "b.fits"})
    assert caught.value.name == str(tmp_path / "b.fits")
    assert str(caught.value).endswith(f"(the {what} of {tmp_path / 'a.fits'})")


@pytest.mark.parametrize("what", ["mask", "weight", "variance"])
def test_files_that_are_not_there(tmp_path, what):
    with pytest.raises(MissingFileError, match=f"got no such file .the {what} of .*a.fits"):
        opened(tmp_path, **{what: tmp_path / "b.fits"})
    (tmp_path / "b.fits").mkdir()
    with pytest.raises(FrameError, match=f"got a directory .the {what} of .*a.fits"):
        opened(tmp_path, **{what: tmp_path / "b.fits"})


def test_an_hdu_that_is_not_there(tmp_path):
    (tmp_path / "b.fits").write_bytes(several("S1"))
    with pytest.raises(FrameError, match=r"b.fits: expected an image in HDU 'S2', .*a.fits"):
        opened(tmp_path, mask=f"{tmp_path / 'b.fits'}[S2]")


def test_a_frame_does_not_mask_itself(tmp_path):
    (tmp_path / "link.fits").symlink_to("a.fits")
    for name in ("a.fits", "link.fits"):
        with pytest.raises(FrameError, match="expected another image than the frame itself"):
            opened(tmp_path, mask=tmp_path / name)


def test_units_that_do_not_convert(tmp_path):
    (tmp_path / "w.fits").write_bytes(image_bytes(ONES, BUNIT="1 / s2"))
    (frame,) = opened(tmp_path, weight=tmp_path / "w.fits")
    with pytest.raises(FrameError, match=r"w.fits: HDU 0 .*a.fits: expected a unit .* got 1 / s2"):
        frame.read_variance(0, 1)
    with pytest.raises(FrameError, match=r"w\.fits"):
        stack(Image(tmp_path / "a.fits", weight=tmp_path / "w.fits"), weights="variance")


@pytest.mark.parametrize("what", ["mask", "weight"])
def test_a_file_that_shrinks_later(tmp_path, what):
    path = tmp_path / "b.fits"
    path.write_bytes(image_bytes(ZEROS))
    (frame,) = opened(tmp_path, **{what: path})
    path.write_bytes(path.read_bytes()[:2884])
    with pytest.raises(FrameError, match=r"b.fits: changed since it was opened"):
        frame.read(0, 2)


CARDS = {
    "no card": ({}, "!BPM", r"a.fits: mask !BPM: expected the header to name a file, got no such"),
    "a number": ({"BPM": 5}, "!BPM", "got 5"),
    "nothing": ({"BPM": ""}, "!BPM", "got ''"),
    "no keyword": ({"BPM": "b.fits"}, "!", "got no such card"),
    "no file": ({"BPM": "b_od[N3]"}, "!BPM", r"b_od: expected the mask that BPM of .*a.fits names"),
}


@pytest.mark.parametrize(("cards", "given", "message"), CARDS.values(), ids=CARDS)
def test_cards_that_name_no_file(tmp_path, cards, given, message):
    (tmp_path / "a.fits").write_bytes(image_bytes(ONES, BUNIT="adu", **cards))
    with pytest.raises(FrameError, match=message):
        open_frames(Image(tmp_path / "a.fits", mask=given))


@pytest.mark.parametrize(
    ("given", "said"),
    [(5, "int"), ("", "''"), (("m.fits", 1), "tuple"), (ONES, "ndarray"), (True, "bool")],
)
def test_what_is_no_path(given, said):
    for name in ("data", "mask", "weight", "variance"):
        text = f"Image {name}: expected the path of a FITS file, got {said}$"
        with pytest.raises(RecipeError, match=text):
            Image(**{"data": "a.fits", name: given})


def test_values_that_contradict():
    with pytest.raises(RecipeError, match="data: expected the path of a FITS file, got None"):
        Image(None)
    with pytest.raises(RecipeError, match=r"expected a weight or a variance, got weight='w\.fits'"):
        Image("a.fits", weight="w.fits", variance="v.fits")


def test_paths_of_all_kinds():
    one = Image(Path("a.fits"), mask=b"m.fits".decode(), weight="~/w.fits")
    assert (one.data, one.mask) == ("a.fits", "m.fits")
    assert one.weight == str(Path.home() / "w.fits")
    assert one == Image("a.fits", mask="m.fits", weight=Path.home() / "w.fits")


def test_flags_of_a_mask_without_bits(tmp_path):
    (tmp_path / "w.fits").write_bytes(image_bytes(ONES))
    (tmp_path / "a.fits").write_bytes(image_bytes(ONES, BUNIT="adu"))
    image = Image(tmp_path / "a.fits", weight=tmp_path / "w.fits")
    with pytest.raises(InputError, match="expected frames with integers"):
        open_frames(image, flags=Flags(bad=1))


@pytest.mark.filterwarnings("ignore:only one frame:gpustack.errors.GpustackWarning")
@pytest.mark.filterwarnings("ignore:no pixel of:gpustack.errors.GpustackWarning")
def test_a_weight_map_of_zeros_is_told_of(tmp_path):
    """A mask used as a weight map by mistake consists mostly of zeros."""
    for name, array in (("a", ONES), ("w", ZEROS)):
        fits.writeto(tmp_path / f"{name}.fits", array, fits.Header({"BUNIT": "adu"}))
    with pytest.warns(match=r"a\.fits: no valid sample, so it does not contribute"):
        stack(Image(tmp_path / "a.fits", weight=tmp_path / "w.fits"))
