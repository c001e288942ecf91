"""`StackResult`: as CCDData, as a file, and its header."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, NDData, StdDevUncertainty
from astropy.wcs import WCS, DistortionLookupTable
from astropy.wcs.wcsapi import HighLevelWCSWrapper, SlicedLowLevelWCS

from gpustack import LiveStack, SigmaClip, stack
from gpustack.errors import GpustackWarning, InputError
from gpustack.frames import open_frames
from gpustack.header import read_recipe

pytestmark = pytest.mark.filterwarnings("ignore:frames differ in EXPTIME")


def sky_header(**cards):
    """The header of a frame with a distorted WCS, as telescopes write them."""
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
    assert np.shares_memory(ccd.mask, result.mask)
    assert np.shares_memory(ccd.uncertainty.array, result.uncertainty)
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


@pytest.mark.filterwarnings("ignore:.*given .* times:gpustack.errors.GpustackWarning")
def test_a_result_of_results_tells_its_own_recipe_and_frames(result, frames):
    paths = [frames / "first.fits", frames / "second.fits"]
    for path in paths:
        result.write(path)
    header = stack(paths, combine="max").header
    assert read_recipe(header).combine == "max"
    assert "IMCMB003" not in header
    assert header["NCOMBINE"] == 2 * 4


@pytest.mark.filterwarnings("ignore:.*given 400 times:gpustack.errors.GpustackWarning")
@pytest.mark.filterwarnings("ignore:.*given .* times:gpustack.errors.GpustackWarning")
def test_a_long_recipe_survives_the_cards(frames):
    scale = tuple(1 + i / 7 for i in range(4)) * 100
    header = stack([frames / "m51_0.fits"] * 400, scale=scale).header
    assert read_recipe(header).scale == scale
    header.tostring()


def test_a_header_without_recipe_says_so():
    with pytest.raises(InputError, match="expected HISTORY with a gpustack recipe"):
        read_recipe(fits.Header({"HISTORY": "bias subtracted"}))


@pytest.mark.filterwarnings("ignore:.*given .* times:gpustack.errors.GpustackWarning")
def test_the_structure_of_the_input_does_not_leak(tmp_path):
    raw = np.arange(12, dtype=np.uint16).reshape(3, 4)
    for name in ("raw1.fits", "raw2.fits"):
        fits.writeto(tmp_path / name, raw, fits.Header({"BUNIT": "adu"}), checksum=True)
    header = stack(f"{tmp_path}/raw*.fits").header
    assert not {"BZERO", "BSCALE", "CHECKSUM", "DATASUM", "NAXIS1"} & set(header)


# Coordinates: for a file, its own cards; for CCDData, which lacks such cards, those of its WCS


def distorted():
    return WCS(sky_header())


def plain_wcs():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = (150, 2), (8, 8), (-1e-4, 1e-4)
    return wcs


def wrapped_wcs():
    return HighLevelWCSWrapper(plain_wcs())


def linear_wcs():
    wcs = WCS(naxis=2)
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = (10, 20), (1, 1), (2, 3)
    return wcs


@pytest.mark.filterwarnings("ignore:'datfix' made the change:astropy.wcs.FITSFixedWarning")
@pytest.mark.parametrize("make", [distorted, plain_wcs, linear_wcs, wrapped_wcs])
def test_the_coordinates_of_ccddata_are_written(tmp_path, make):
    meta = {"DATE-OBS": "2026-01-02"}
    image = NDData(np.ones((16, 20)), unit="adu", wcs=make(), meta=meta)
    stack([image] * 3).write(tmp_path / "out.fits")
    corner = np.array([[0.0, 0.0], [19.0, 15.0]])
    header = fits.getheader(tmp_path / "out.fits")
    expected = make().low_level_wcs.all_pix2world(corner, 0)
    np.testing.assert_allclose(WCS(header).all_pix2world(corner, 0), expected, rtol=1e-12)
    assert (header["DATE-OBS"], header.count("DATE-OBS")) == ("2026-01-02", 1)
    assert len(header["CRPIX*"]) == 2


@pytest.mark.filterwarnings("ignore:'datfix' made the change:astropy.wcs.FITSFixedWarning")
def test_a_distortion_that_ctype_does_not_name_is_written_in_silence(tmp_path, capsys):
    wcs = distorted()
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    stack([CCDData(np.ones((16, 20)), unit="adu", wcs=wcs)] * 3).write(tmp_path / "out.fits")
    assert fits.getheader(tmp_path / "out.fits")["CTYPE1"] == "RA---TAN-SIP"
    assert capsys.readouterr() == ("", "")


def test_the_coordinates_of_files_are_written_as_they_were(result, frames, tmp_path):
    result.write(tmp_path / "out.fits")
    before, after = (
        fits.getheader(path) for path in (frames / "m51_0.fits", tmp_path / "out.fits")
    )
    keys = [key for key in before if key[:2] in {"CT", "CR", "CD", "A_", "B_", "PC"}]
    assert len(keys) == 14
    assert [str(before.cards[key]) for key in keys] == [str(after.cards[key]) for key in keys]
    assert not after["PC*"]


@pytest.mark.filterwarnings("ignore:'datfix' made the change:astropy.wcs.FITSFixedWarning")
def test_a_stack_of_files_as_ccddata_keeps_its_coordinates(result, tmp_path):
    stack([result.to_ccddata()] * 2).write(tmp_path / "again.fits")
    back = CCDData.read(tmp_path / "again.fits")
    corner = np.array([[3.0, 4.0]])
    np.testing.assert_allclose(
        back.wcs.all_pix2world(corner, 0), distorted().all_pix2world(corner, 0), rtol=1e-12
    )


def test_lookup_tables_of_pixels_are_read(tmp_path):
    wcs = plain_wcs()
    table = np.full((4, 5), 0.25, np.float32)
    wcs.det2im1 = DistortionLookupTable(table, (1, 1), (1, 1), (5, 5))
    hdus = wcs.to_fits(relax=True)
    hdus[0].data = np.ones((16, 20), "f4")
    hdus.writeto(tmp_path / "a.fits")
    corner = np.array([[3.0, 4.0]])
    (frame,) = open_frames(tmp_path / "a.fits", unit="adu")
    found = frame.coordinates.wcs.all_pix2world(corner, 0)
    np.testing.assert_allclose(found, wcs.all_pix2world(corner, 0), rtol=1e-12)
    assert not np.allclose(found, plain_wcs().all_pix2world(corner, 0), rtol=1e-12)


def sliced_wcs():
    return HighLevelWCSWrapper(SlicedLowLevelWCS(plain_wcs(), (slice(2, 18), slice(0, 20))))


def singular_wcs():
    wcs = plain_wcs()
    wcs.wcs.cd = np.zeros((2, 2))
    return wcs


@pytest.mark.parametrize("make", [sliced_wcs, singular_wcs])
def test_coordinates_that_fits_cannot_hold_are_left_out_with_a_warning(tmp_path, make):
    result = stack([NDData(np.ones((16, 20)), unit="adu", wcs=make())] * 3)
    with pytest.warns(GpustackWarning, match="coordinates left out: FITS cannot hold"):
        result.write(tmp_path / "out.fits")
    assert "CTYPE1" not in fits.getheader(tmp_path / "out.fits")


def test_ccddata_gets_the_coordinates_that_it_can_hold():
    images = {make: NDData(np.ones((16, 20)), wcs=make()) for make in (wrapped_wcs, sliced_wcs)}
    assert isinstance(stack([images[wrapped_wcs]] * 2).to_ccddata().wcs, WCS)
    with pytest.warns(GpustackWarning, match="coordinates left out: CCDData cannot hold"):
        assert stack([images[sliced_wcs]] * 2).to_ccddata().wcs is None


def test_results_are_compared_by_identity(result):
    other = stack(np.ones((2, 3, 4)))
    assert result == result  # noqa: PLR0124
    assert result != other
    assert len({result, other, result}) == 2


def test_repr_is_one_line():
    result = stack(np.ones((3, 4, 5)), "sigma:low=1.5,high=1", combine="median")
    assert repr(result).startswith("<StackResult: 5 x 4 pixels, float64, no unit, of 3 frames; si")
    assert "\n" not in repr(result)
    assert repr(LiveStack()) == "<LiveStack: mean of 0 frames>"
