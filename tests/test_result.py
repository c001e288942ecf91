"""What a result says of itself, and that it is written whole or not at all."""

import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.wcs import WCS

from gpustack import SigmaClip, stack
from gpustack.errors import InputError, OutputError
from gpustack.header import read_recipe


def sky_header(**cards):
    """The header of a frame with a distorted WCS, as a telescope writes it."""
    header = fits.Header({"BUNIT": "adu", "OBJECT": "M 51", "EXPTIME": 30.0, "BLANK": -1})
    header.update(CTYPE1="RA---TAN-SIP", CTYPE2="DEC--TAN-SIP", CRVAL1=202.5, CRVAL2=47.2)
    header.update(CRPIX1=8.0, CRPIX2=8.0, CD1_1=-1e-4, CD1_2=2e-6, CD2_1=2e-6, CD2_2=1e-4)
    header.update(A_ORDER=2, B_ORDER=2, A_2_0=1e-5, B_0_2=-2e-5)
    header["DATE-OBS"] = "2026-01-02T03:04:05"
    header.update(cards)
    return header


@pytest.fixture
def frames(tmp_path):
    rng = np.random.default_rng(3)
    for i in range(4):
        plane = rng.normal(50, 3, (16, 20)).astype(np.float32)
        plane[0, 0] = np.nan
        header = sky_header(EXPTIME=30.0 + i)
        header.remove("BLANK")
        fits.writeto(tmp_path / f"m51_{i}.fits", plane, header)
    return tmp_path


@pytest.fixture
def result(frames):
    return stack(f"{frames}/m51_*.fits", SigmaClip(low=2), combine="mean")


@pytest.mark.filterwarnings("ignore:'datfix' made the change:astropy.wcs.FITSFixedWarning")
def test_ccddata_reads_back_what_was_written(result, tmp_path):
    result.write(tmp_path / "out.fits")
    back = CCDData.read(tmp_path / "out.fits")
    np.testing.assert_array_equal(back.data, result.data)
    np.testing.assert_array_equal(back.mask, result.mask)
    assert isinstance(back.uncertainty, StdDevUncertainty)
    np.testing.assert_array_equal(back.uncertainty.array, result.uncertainty)
    assert back.unit == result.unit
    assert back.mask[0, 0]
    assert np.isnan(back.data[0, 0])
    corner = np.array([[0.0, 0.0], [19.0, 15.0]])
    sky = WCS(sky_header()).all_pix2world(corner, 0)
    np.testing.assert_allclose(back.wcs.all_pix2world(corner, 0), sky, rtol=1e-12)


def test_the_file_is_laid_out_as_ccddata_writes_it(result, tmp_path):
    result.write(tmp_path / "ours.fits")
    result.to_ccddata().write(tmp_path / "theirs.fits")
    with fits.open(tmp_path / "ours.fits") as ours, fits.open(tmp_path / "theirs.fits") as theirs:
        assert [hdu.name for hdu in ours] == [hdu.name for hdu in theirs]
        for mine, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(mine.data, other.data)
            assert mine.header["BITPIX"] == other.header["BITPIX"]
        assert ours["UNCERT"].header["UTYPE"] == theirs["UNCERT"].header["UTYPE"]


def test_to_ccddata_shares_its_arrays_and_survives_a_round_trip(result, tmp_path):
    ccd = result.to_ccddata()
    assert np.shares_memory(ccd.data, result.data)
    assert "CD1_1" not in ccd.meta
    assert "A_ORDER" not in ccd.meta
    assert ccd.meta["DATE-OBS"] == "2026-01-02T03:04:05"
    ccd.write(tmp_path / "ccd.fits")
    back = CCDData.read(tmp_path / "ccd.fits")
    corner = np.array([[3.0, 4.0]])
    np.testing.assert_allclose(
        back.wcs.all_pix2world(corner, 0), ccd.wcs.all_pix2world(corner, 0), rtol=1e-12
    )


def test_the_header_says_how_it_was_made(result, frames):
    header = result.header
    assert header["OBJECT"] == "M 51"
    assert header["NCOMBINE"] == 4
    assert [header[f"IMCMB{i:03d}"] for i in range(1, 5)] == [
        str(frames / f"m51_{i}.fits") for i in range(4)
    ]
    assert (header["EXPTOT"], header["EXPMEAN"], header["EXPTIME"]) == (126.0, 31.5, 31.5)
    assert header["DATE"].startswith("20")
    assert read_recipe(header) == result.recipe


def test_the_exposure_of_a_sum_is_the_total(frames):
    assert stack(f"{frames}/*.fits", combine="sum").header["EXPTIME"] == 126.0


def test_no_exposure_where_a_frame_tells_none(frames):
    with fits.open(frames / "m51_2.fits", mode="update") as hdus:
        del hdus[0].header["EXPTIME"]
    header = stack(f"{frames}/*.fits").header
    assert "EXPTOT" not in header
    assert header["EXPTIME"] == 30.0


def test_a_result_of_results_tells_its_own_recipe_and_frames(result, frames):
    result.write(frames / "first.fits")
    header = stack([frames / "first.fits"] * 2, combine="max").header
    assert read_recipe(header).combine == "max"
    assert "IMCMB003" not in header
    assert header["NCOMBINE"] == 2


def test_a_long_recipe_survives_the_cards(frames):
    scale = tuple(1 + i / 7 for i in range(4)) * 100
    header = stack([frames / "m51_0.fits"] * 400, scale=scale).header
    assert read_recipe(header).scale == scale
    header.tostring()


def test_a_header_without_recipe_says_so():
    with pytest.raises(InputError, match="expected HISTORY with a gpustack recipe"):
        read_recipe(fits.Header({"HISTORY": "bias subtracted"}))


def test_the_structure_of_the_input_does_not_leak(tmp_path):
    raw = np.arange(12, dtype=np.uint16).reshape(3, 4)
    fits.writeto(tmp_path / "raw.fits", raw, fits.Header({"BUNIT": "adu"}), checksum=True)
    header = stack([tmp_path / "raw.fits"] * 2).header
    assert not {"BZERO", "BSCALE", "CHECKSUM", "DATASUM", "NAXIS1"} & set(header)


@pytest.mark.parametrize("name", ["a.fits", "b.fit", "c.fts", "d.fits.gz", "E.FITS"])
def test_names_that_can_be_written(result, tmp_path, name):
    result.write(tmp_path / name)
    np.testing.assert_array_equal(fits.getdata(tmp_path / name), result.data)
    with (tmp_path / name).open("rb") as file:
        assert (file.read(2) == b"\x1f\x8b") == name.endswith(".gz")


def refused(tmp_path):
    (tmp_path / "there.fits").write_bytes(b"mine")
    (tmp_path / "folder.fits").mkdir()
    return {
        "there.fits": "exists",
        "folder.fits": "expected a file to write, got a folder",
        "missing/out.fits": "expected a folder .*missing to write in, found none",
        "out.png": r"expected a name ending in \.fits",
        "out.fits.fz": r"expected a name ending in \.fits",
    }


def test_names_that_are_refused(result, tmp_path):
    for name, match in refused(tmp_path).items():
        with pytest.raises(OutputError, match=match):
            result.write(tmp_path / name)
    assert (tmp_path / "there.fits").read_bytes() == b"mine"
    assert not list(tmp_path.glob(".*"))


def test_overwrite_replaces(result, tmp_path):
    (tmp_path / "there.fits").write_bytes(b"old")
    result.write(tmp_path / "there.fits", overwrite=True)
    assert fits.getheader(tmp_path / "there.fits")["NCOMBINE"] == 4


def test_a_file_that_appears_meanwhile_is_not_lost(result, tmp_path, monkeypatch):
    write = fits.HDUList.writeto

    def write_and_lose_the_race(self, *args, **kwargs):
        write(self, *args, **kwargs)
        (tmp_path / "out.fits").write_bytes(b"theirs")

    monkeypatch.setattr(fits.HDUList, "writeto", write_and_lose_the_race)
    with pytest.raises(OutputError, match="appeared"):
        result.write(tmp_path / "out.fits")
    assert (tmp_path / "out.fits").read_bytes() == b"theirs"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, OSError(28, "No space left")])
def test_nothing_is_left_of_an_interrupted_write(result, tmp_path, monkeypatch, error):
    def write_half(self, path, **options):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(fits.HDUList, "writeto", write_half)
    expected = OutputError if isinstance(error, OSError) else error
    with pytest.raises(expected):
        result.write(tmp_path / "out.fits")
    assert [path.name for path in tmp_path.glob("*out*")] == []
    assert not list(tmp_path.glob(".*"))


FULL_DISK = """
import resource, signal, sys
import numpy as np
from gpustack import stack
from gpustack.errors import OutputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    stack(np.ones((2, 100, 100))).write(sys.argv[1])
except OutputError as err:
    print(err)
"""


def test_a_full_disk_is_an_error_that_leaves_nothing(tmp_path):
    pytest.importorskip("resource", reason="limits on file size need POSIX")
    target = tmp_path / "out.fits"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, target], capture_output=True, text=True, check=True
    )
    assert f"{target}: could not be written" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_result_obeys_the_umask(result, tmp_path):
    result.write(tmp_path / "out.fits")
    (tmp_path / "plain").touch()
    assert (tmp_path / "out.fits").stat().st_mode == (tmp_path / "plain").stat().st_mode
