"""FITS files as frames: which HDU is the image, its mask, unit, header and coordinates."""

import logging
import re
from threading import Thread

import astropy
import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty

from fitsmaker import empty_primary, image_bytes
from gpustack.errors import FrameError, InputError
from gpustack.frames.hdus import quiet
from opened import one

# What CCDData writes


@pytest.fixture
def ccd():
    rng = np.random.default_rng(1)
    data = rng.normal(100, 5, (6, 5)).astype("f4")
    return CCDData(
        data, unit="electron", mask=data > 105, uncertainty=StdDevUncertainty(data * 0 + 2)
    )


def packed(hdus, kind):
    """The HDUs, with every image tile-compressed if `kind` is "tiles"."""
    if kind != "tiles":
        return hdus
    tiles = [
        fits.CompImageHDU(
            hdu.data,
            hdu.header,
            name=hdu.name or "SCI",
            compression_type="GZIP_1",
            quantize_level=0,
        )
        for hdu in hdus
    ]
    return fits.HDUList([fits.PrimaryHDU(), *tiles])


@pytest.mark.parametrize("kind", ["plain", "gzip", "tiles"])
@pytest.mark.parametrize("into", [False, True])
def test_mask_extension_is_read_by_rows_as_ccddata_reads_it(tmp_path, ccd, kind, into):
    path = tmp_path / ("ccd.fits.gz" if kind == "gzip" else "ccd.fits")
    packed(ccd.to_hdu(), kind).writeto(path)
    frame = one(path)
    expected = ccd if kind == "tiles" else CCDData.read(path)
    whole = frame.whole()
    np.testing.assert_array_equal(whole.data, expected.data)
    np.testing.assert_array_equal(whole.mask, expected.mask)
    assert frame.unit == expected.unit == ccd.unit
    buffer = np.empty(3 * frame.row_bytes, np.uint8) if into else None
    samples = frame.read(2, 5, buffer)
    np.testing.assert_array_equal(samples.mask, ccd.mask[2:5])
    np.testing.assert_array_equal(samples.data, ccd.data[2:5])


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i4", "f4"])
def test_mask_extension_of_any_type_marks_what_is_not_zero(tmp_path, dtype):
    flags = np.array([[0, 1, 2], [4, 0, 0]], dtype)
    hdus = [fits.PrimaryHDU(np.ones((2, 3))), fits.ImageHDU(flags, name="MASK")]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    np.testing.assert_array_equal(one(tmp_path / "a.fits", unit="adu").whole().mask, flags != 0)


def test_companion_extensions_are_not_taken_for_the_image(tmp_path, ccd):
    image = fits.ImageHDU(ccd.data, name="SCI")
    others = [fits.ImageHDU(ccd.data * 0, name=name) for name in ("UNCERT", "PSFIMAGE", "MASK")]
    fits.HDUList([fits.PrimaryHDU(), *others, image]).writeto(tmp_path / "a.fits")
    frame = one(tmp_path / "a.fits", unit="adu")
    assert frame.image.hdu.name == "SCI"
    assert frame.mask.hdu.name == "MASK"
    assert one(tmp_path / "a.fits", unit="adu", hdu="MASK").mask is None


MAPS = "COUNT LOW HIGH REASON EXPOSURE REJECTED SIGMA COVERAGE WEIGHT"


@pytest.mark.parametrize("name", MAPS.split())
def test_maps_of_a_result_are_not_taken_for_the_image(tmp_path, ccd, name):
    images = [fits.ImageHDU(ccd.data, name=one_of) for one_of in (name, "SCI")]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(tmp_path / "a.fits")
    assert one(tmp_path / "a.fits", unit="adu").image.hdu.name == "SCI"


def test_a_primary_image_has_a_mask_whatever_it_is_called(tmp_path, caplog):
    primary = fits.PrimaryHDU(np.ones((1, 2)), fits.Header({"EXTNAME": "MASK"}))
    mask = fits.ImageHDU(np.array([[0, 1]], "u1"), name="MASK")
    fits.HDUList([primary, mask]).writeto(tmp_path / "a.fits")
    assert one(tmp_path / "a.fits", unit="adu").whole().mask.tolist() == [[False, True]]
    assert not caplog.text


def test_of_several_masks_the_one_of_the_image_is_taken(tmp_path):
    hdus = [fits.PrimaryHDU()]
    for version in (1, 2):
        hdus.append(fits.ImageHDU(np.full((2, 2), version), name="SCI", ver=version))
        flags = np.full((2, 2), version == 2, "u1")
        hdus.append(fits.ImageHDU(flags, name="MASK", ver=version))
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    assert one(tmp_path / "a.fits", unit="adu", hdu=("SCI", 2)).whole().mask.all()
    assert not one(tmp_path / "a.fits", unit="adu", hdu=("sci", 1)).whole().mask.any()


def several(path, *versions):
    """Write two images of one name, and a MASK for each of `versions`; None omits EXTVER."""
    images = [fits.ImageHDU(np.full((2, 2), n), name="SCI", ver=n) for n in (1, 2)]
    masks = [fits.ImageHDU(np.ones((2, 2), "u1"), name="MASK", ver=ver) for ver in versions]
    fits.HDUList([fits.PrimaryHDU(), *images, *masks]).writeto(path)


@pytest.mark.parametrize(
    ("versions", "masked"),
    [([1], [True, False]), ([2], [False, True]), ([None], [True, True]), ([None, 2], [True, True])],
)
def test_a_mask_of_another_image_is_not_taken(tmp_path, caplog, versions, masked):
    several(tmp_path / "a.fits", *versions)
    with caplog.at_level(logging.DEBUG, logger="astropy.gpustack"):
        frames = [one(tmp_path / "a.fits", unit="adu", hdu=("SCI", n)) for n in (1, 2)]
    assert [frame.mask is not None for frame in frames] == masked
    notes = [f"ignoring MASK: none has EXTVER {n}," in caplog.text for n in (1, 2)]
    assert notes == [not has_mask for has_mask in masked]


# HDUs, headers, coordinates


@pytest.mark.parametrize(
    ("hdu", "value"), [(None, 1), (2, 2), ("BLUE", 2), ("blue ", 2), (("RED", 1), 1), ("TILES", 3)]
)
def test_hdu_is_chosen_by_number_name_or_version(tmp_path, hdu, value):
    images = [fits.ImageHDU(np.full((2, 2), n, "i2"), name=f"{name}") for n, name in
              enumerate(["RED", "BLUE"], 1)]  # fmt: skip
    table = fits.BinTableHDU.from_columns([fits.Column("x", "E", array=np.arange(3.0))])
    tiles = fits.CompImageHDU(np.full((2, 2), 3, "i2"), name="TILES")
    fits.HDUList([fits.PrimaryHDU(), *images, table, tiles]).writeto(tmp_path / "a.fits")
    assert (one(tmp_path / "a.fits", unit="adu", hdu=hdu).whole() == value).all()


def test_header_of_an_extension_is_completed_from_the_primary(tmp_path):
    primary = empty_primary(OBJECT="M13", EXPTIME=5.0, BUNIT="adu")
    image = image_bytes(np.ones((2, 3), "i2"), extension=True, BZERO=32768, EXPTIME=7.0)
    (tmp_path / "a.fits").write_bytes(primary + image)
    frame = one(tmp_path / "a.fits")
    assert (frame.header["OBJECT"], frame.header["EXPTIME"]) == ("M13", 7.0)
    assert "BZERO" not in frame.header, "it says how samples lie in the file, not what they are"
    assert frame.unit == "adu"


TAN = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0,
       "CDELT1": -0.001, "CDELT2": 0.001, "CRPIX1": 1.0, "CRPIX2": 1.0}  # fmt: skip


SIP = {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-5, "B_0_2": 1e-5}


@pytest.mark.parametrize(
    ("cards", "crval"),
    [
        (TAN, (10, 20)),
        ({**TAN, **SIP}, (10, 20)),
        ({}, None),
        ({"WCSAXES": 0}, None),
        ({**TAN, "CTYPE2": "GLAT-TAN"}, None),
    ],
    ids=["TAN", "SIP without -SIP", "none", "no axes", "mixed"],
)
def test_wcs_comes_from_the_header_or_is_none(tmp_path, capsys, cards, crval):
    (tmp_path / "a.fits").write_bytes(image_bytes(np.ones((2, 3), "i2"), **cards))
    wcs = one(tmp_path / "a.fits", unit="adu").coordinates.wcs
    assert (wcs and tuple(wcs.wcs.crval)) == crval
    assert capsys.readouterr() == ("", ""), "astropy's logger writes there"


@pytest.mark.parametrize("card", ["WCSAXES = 99999", "WCSAXESB= 33", "B_ORDER = 100"])
def test_sizes_of_coordinates_are_checked_before_wcslib_allocates_for_them(tmp_path, card):
    # wcslib ends the process for some numbers of axes; of several cards it takes the largest.
    cards = {**TAN, **SIP, "WCSAXES": 2, "WCSAXESB": 2}
    raw = image_bytes(np.ones((2, 3), "i2"), **cards)
    end = raw.index(b"END".ljust(80))
    raw = raw[:end] + card.ljust(80).encode() + raw[end : end + 80] + raw[end + 160 :]
    (tmp_path / "a.fits").write_bytes(raw)
    coordinates = one(tmp_path / "a.fits", unit="adu").coordinates
    assert coordinates.wcs is None
    assert re.search(rf": expected {card[:8].strip()} <= \d+, got ", coordinates.fault)


def test_what_astropy_logs_elsewhere_is_left_alone(capsys):
    with quiet():
        with quiet():  # may be nested
            astropy.log.warning("of this one, within")
        elsewhere = Thread(target=astropy.log.warning, args=["of another thread"])
        elsewhere.start()
        elsewhere.join()
        astropy.log.warning("of this one")
        astropy.log.error("an error")
    astropy.log.info("later")
    out, err = capsys.readouterr()
    assert "later" in out
    assert "of another thread" in err
    assert "an error" in err
    assert "of this one" not in err


# Units


@pytest.mark.parametrize(
    ("bunit", "given", "unit"),
    [
        ("electron", None, units.electron),
        ("ADU", None, units.adu),
        ("ELECTRONS/S", None, units.electron / units.s),
        (None, "adu", units.adu),
        (None, units.Jy, units.Jy),
        ("electron", "adu", units.adu),
        ("bananas", "adu", units.adu),
        ("", "", units.dimensionless_unscaled),
    ],
)
def test_unit_is_bunit_or_the_given_one(tmp_path, bunit, given, unit):
    (tmp_path / "a.fits").write_bytes(image_bytes(np.ones((2, 3), "i2"), BUNIT=bunit))
    assert one(tmp_path / "a.fits", unit=given).unit == unit


@pytest.mark.parametrize(
    ("bunit", "got"), [(None, "no BUNIT"), ("", "an empty BUNIT"), ("bananas", "'bananas'")]
)
def test_without_a_unit_the_error_says_how_to_give_one(tmp_path, bunit, got):
    (tmp_path / "a.fits").write_bytes(image_bytes(np.ones((2, 3), "i2"), BUNIT=bunit))
    with pytest.raises(FrameError, match=rf"a\.fits: expected a unit.*{got}.*--unit"):
        one(tmp_path / "a.fits")


def test_a_bunit_without_a_value_is_an_empty_one(tmp_path, caplog):
    written = image_bytes(np.ones((2, 3), "i2"), BUNIT="adu")
    at = written.index(b"BUNIT   =") + 9
    (tmp_path / "a.fits").write_bytes(written[:at] + b" " * 71 + written[at + 71 :])
    with pytest.raises(FrameError, match=r"a\.fits: expected a unit, got an empty BUNIT"):
        one(tmp_path / "a.fits")
    assert one(tmp_path / "a.fits", unit="adu").unit == "adu"
    assert caplog.messages == []


def test_a_unit_that_is_overridden_is_noted_in_the_log(tmp_path, caplog):
    (tmp_path / "a.fits").write_bytes(image_bytes(np.ones((2, 3), "i2"), BUNIT="electron"))
    with caplog.at_level(logging.DEBUG, logger="astropy.gpustack"):
        one(tmp_path / "a.fits", unit="electron")
        assert caplog.messages == []
        one(tmp_path / "a.fits", unit="adu")
        one(tmp_path / "a.fits", unit="%")
    note, percent = caplog.messages
    assert "a.fits: using the given unit adu instead of its own, electron" in note
    assert "a.fits: using the given unit % instead of its own, electron" in percent


# Selection of an HDU


@pytest.fixture
def two_images(tmp_path):
    """A file with two images of one name, whose primary HDU has the coordinates of neither."""
    primary = fits.PrimaryHDU()
    primary.header.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=10.0, EXPTIME=30.0)
    primary.header["BUNIT"] = "adu"
    images = [
        fits.ImageHDU(
            np.full((2, 3), value, "i2"), fits.Header({"BUNIT": "adu"}), name="SCI", ver=v
        )
        for v, value in ((1, 5), (2, 7))
    ]
    fits.HDUList([primary, *images]).writeto(tmp_path / "two.fits")
    return tmp_path / "two.fits"


@pytest.mark.parametrize(
    ("hdu", "value"),
    [
        (np.int64(2), 7), (np.array(1), 5), (-1, 7), (-2, 5), ("sci", 5), (("SCI", 2), 7),
        (("SCI", np.int32(1)), 5), (None, 5),
    ],
    ids=repr,
)  # fmt: skip
def test_an_hdu_by_number_and_name(two_images, hdu, value):
    assert one(two_images, hdu=hdu).whole()[0, 0] == value


@pytest.mark.parametrize("hdu", [True, 1.0, ("SCI",), ("SCI", 1, 2), ("SCI", True), (1, 2), [1]])
def test_what_is_no_hdu(two_images, hdu):
    with pytest.raises(InputError, match="hdu: expected a number, an EXTNAME, or both"):
        one(two_images, hdu=hdu)


@pytest.mark.parametrize("hdu", [3, -4, "ERR", ("SCI", 3)])
def test_an_hdu_that_is_not_there(two_images, hdu):
    with pytest.raises(FrameError, match="expected an image in HDU"):
        one(two_images, hdu=hdu)


def test_an_image_that_is_asked_for_does_not_inherit_coordinates(two_images):
    assert one(two_images).coordinates.wcs.wcs.crval[0] == 10  # as in CCDData.read
    frame = one(two_images, hdu=2)
    assert frame.coordinates.wcs is None
    assert "CRVAL1" not in frame.header
    assert frame.header["EXPTIME"] == 30
    with fits.open(two_images, mode="update") as hdus:
        hdus[2].header["INHERIT"] = True
    assert one(two_images, hdu=2).coordinates.wcs.wcs.crval[0] == 10


def test_names_of_extensions_are_the_same_in_any_letters(tmp_path):
    raw = np.arange(6, dtype="i2").reshape(2, 3)
    image = image_bytes(raw, extension=True, EXTNAME="sci", BUNIT="adu")
    mask = image_bytes((raw == 4).astype("u1"), extension=True, EXTNAME=" mask")
    path = tmp_path / "a.fits"
    path.write_bytes(empty_primary() + image + mask)
    for hdu in (None, "sci", "SCI", " Sci "):
        np.testing.assert_array_equal(one(path, hdu=hdu).whole().mask, raw == 4)


def test_an_image_that_is_asked_for_does_not_inherit_distortions(tmp_path):
    image = image_bytes(np.ones((2, 3), "i2"), extension=True)
    (tmp_path / "a.fits").write_bytes(empty_primary(**SIP, CD1_1=0.1, PV2_1=1.0, GAIN=2.0) + image)
    inherited = {*SIP, "CD1_1", "PV2_1"}
    assert inherited <= set(one(tmp_path / "a.fits", unit="adu").header)
    header = one(tmp_path / "a.fits", unit="adu", hdu=1).header
    assert not inherited & set(header)
    assert header["GAIN"] == 2


def test_what_was_done_to_a_file_was_done_to_its_images(tmp_path):
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.ones((2, 3), "i2"))])
    for hdu, done in zip(hdus, ("read out", "flat divided"), strict=True):
        hdu.header["HISTORY"] = done
    hdus.writeto(tmp_path / "a.fits")
    history = one(tmp_path / "a.fits", unit="adu").header["HISTORY"]
    assert list(history) == ["flat divided", "read out"]


def test_images_by_their_older_name(tmp_path):
    """The IUE archive used IUEIMAGE before IMAGE was standardised; astropy reads it too."""
    image = image_bytes(np.full((2, 3), 7, "i2"), extension=True)
    older = image.replace(b"'IMAGE   '", b"'IUEIMAGE'")
    assert older != image
    (tmp_path / "a.fits").write_bytes(empty_primary() + older)
    assert (one(tmp_path / "a.fits", unit="adu").whole() == 7).all()


def test_an_image_behind_random_groups(tmp_path):
    """Random groups have NAXIS1 = 0, but still data (FITS standard 4.0, section 6)."""
    data = np.ones((50, 30, 40), "f4")
    groups = fits.GroupsHDU(fits.GroupData(data, bitpix=-32, parnames=["U"], pardata=[np.ones(50)]))
    image = fits.ImageHDU(np.full((2, 3), 7, "f4"))
    fits.HDUList([groups, image]).writeto(tmp_path / "a.fits")
    frame = one(tmp_path / "a.fits", unit="adu")
    assert (frame.whole() == 7).all()
    assert frame.image.hdu.index == 1


def test_a_header_is_of_the_image_not_of_how_it_is_stored(tmp_path):
    cards = {"BSCALE": 2.0, "BZERO": 1.0, "BLANK": 5, "CHECKSUM": "x", "DATASUM": "y"}
    raw = image_bytes(np.ones((2, 3), "i2"), BUNIT="adu", **cards)
    comment = b"COMMENT taken at dusk".ljust(80)
    at = raw.index(b"END ")
    more = comment + b"BZERO   =                  1.0".ljust(80)  # a second one, which is invalid
    (tmp_path / "a.fits").write_bytes(raw[:at] + more + raw[at : 2880 - 160] + raw[2880:])
    header = one(tmp_path / "a.fits").header
    assert not set(cards) & set(header)
    assert list(header["COMMENT"]) == ["taken at dusk"]
    assert header["BUNIT"] == "adu"


def test_an_image_without_columns_takes_no_room(tmp_path):
    hdus = [fits.PrimaryHDU(np.zeros((5, 0))), fits.ImageHDU(np.full((2, 3), 7.0))]
    fits.HDUList(hdus).writeto(tmp_path / "empty.fits")
    frame = one(tmp_path / "empty.fits", unit="adu")
    assert frame.shape == (2, 3)
    assert (frame.whole() == 7).all()
