"""The rows of docs/ccdproc.md that are about files, run with both packages."""

import bz2
from io import BytesIO
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData

import gpustack
from parity import answer, ccdproc

DOC = Path(__file__).resolve().parents[1] / "docs" / "ccdproc.md"


def tiles(tmp_path):
    """A function of the package that combines tile-compressed files."""
    names = [str(tmp_path / f"{number}.fits.fz") for number in range(3)]
    for name in names:
        fits.CompImageHDU(np.full((4, 4), 3, "i2"), fits.Header({"BUNIT": "adu"})).writeto(name)
    return lambda package: package.combine(names).data.flat[0]


def test_tile_compressed_files(tmp_path):
    work = tiles(tmp_path)
    assert isinstance(answer(work, ccdproc), TypeError)
    assert work(gpustack) == 3


def test_dq_var_or_err_extension_first(tmp_path):
    names = [str(tmp_path / f"{number}.fits") for number in range(3)]
    for name in names:
        planes = [fits.ImageHDU(np.full((2, 2), i), name=n) for i, n in enumerate(("ERR", "SCI"))]
        fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(name)
    found = [package.combine(names, unit="adu").data.flat[0] for package in (ccdproc, gpustack)]
    assert found == [0, 1]
    assert "\n| DQ, VAR or ERR extension first |" in DOC.read_text()


def test_an_hdu_that_is_named(tmp_path):
    names = [str(tmp_path / f"{number}.fits") for number in range(2)]
    for name in names:
        primary = fits.PrimaryHDU()
        primary.header.update(EXPTIME=30.0, CTYPE1="RA---TAN", CTYPE2="DEC--TAN")
        fits.HDUList([primary, fits.ImageHDU(np.ones((2, 2)))]).writeto(name)
    theirs, ours = (p.combine(names, unit="adu", hdu=1) for p in (ccdproc, gpustack))
    assert (theirs.wcs, ours.wcs) == (None, None)
    assert "EXPTIME" not in theirs.header
    assert ours.header["EXPTIME"] == 30
    assert "\n| `combine(hdu=1)` |" in DOC.read_text()


def test_files_with_an_empty_unit(tmp_path):
    names = [str(tmp_path / f"{number}.fits") for number in range(2)]
    for name in names:
        fits.writeto(name, np.ones((2, 2)), fits.Header({"BUNIT": ""}))
    assert ccdproc.combine(names).unit == ""
    assert isinstance(answer(lambda package: package.combine(names), gpustack), ValueError)
    assert gpustack.combine(names, unit="").unit == ""
    assert "\n| Files with an empty BUNIT |" in DOC.read_text()


def test_files_that_are_packed(tmp_path):
    names = [str(tmp_path / f"{number}.fits.bz2") for number in range(2)]
    for value, name in enumerate(names, 1):
        image = CCDData(np.full((2, 2), float(value)), unit="adu")
        Path(name).write_bytes(bz2.compress(written(image)))
    assert ccdproc.combine(names).data.flat[0] == 1.5
    assert isinstance(answer(lambda package: package.combine(names), gpustack), ValueError)
    assert "\n| Files that are packed by bzip2 or xz |" in DOC.read_text()


def written(image):
    content = BytesIO()
    image.to_hdu().writeto(content)
    return content.getvalue()


def test_a_collection_is_what_frames_are_too(tmp_path):
    for name in "ba":
        fits.writeto(tmp_path / f"{name}.fits", np.ones((2, 3)), fits.Header({"BUNIT": "adu"}))
    result = gpustack.stack(ccdproc.ImageFileCollection(tmp_path))
    assert [Path(name).name for name in result.frames["name"]] == ["a.fits", "b.fits"]


def test_cards_of_the_exposure(tmp_path):
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "XPOSURE": 30.0, "TIMESYS": "UTC"}
    names = [str(tmp_path / f"{number}.fits") for number in range(2)]
    for name in names:
        fits.writeto(name, np.ones((2, 2)), fits.Header({"BUNIT": "adu", **cards}))
    for package, expected in ((ccdproc, set()), (gpustack, {"XPOSURE", "TIMESYS"})):
        combined = package.combine(names)
        assert set(cards) & set(combined.header) == expected
        written = combined.to_hdu()[0].header
        assert (written["XPOSURE"], written["TIMESYS"]) == (30, "UTC")
    assert "\n| Cards of the exposure that a WCS has too, " in DOC.read_text()


def test_files_that_cannot_be_combined(tmp_path):
    names = [str(tmp_path / f"{number}.fits") for number in range(2)]
    for name in names:
        fits.writeto(name, np.ones((2, 2)), fits.Header({"BUNIT": "adu"}))
    words = tmp_path / "words.fits"
    words.write_text("hello " * 1000)
    for kind, asked in (
        ("IndexError", lambda package: package.combine([])),
        ("IndexError", lambda package: package.combine(names, hdu=7)),
        ("KeyError", lambda package: package.combine(names, hdu="SCI")),
        ("IORegistryError", lambda package: package.combine([str(words), *names])),
    ):
        assert type(answer(asked, ccdproc)).__name__ == kind
        assert isinstance(answer(asked, gpustack), ValueError)
    assert "\n| No file, one that is no FITS, or an HDU that is not there |" in DOC.read_text()
