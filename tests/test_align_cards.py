"""World coordinates from cards of files: in the primary header, in old forms, or left over."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.wcs import WCS
from astropy.wcs.utils import wcs_to_celestial_frame

from gpustack import Reproject, stack
from gpustack.align.moved_wcs import moved_header
from gpustack.errors import InputError
from gpustack.frames import open_frames
from gpustack.frames.fitsframe import coordinates_in_file
from gpustack.frames.planes import open_plane
from skies import tangent

SHAPE = (40, 50)
#: Tolerance of the places of corners, in arcseconds, for equal coordinates.
SAME = 1e-6


def plane(value=1.0):
    return np.full(SHAPE, value, "f4")


def cards(degrees=0.0, **more):
    """A header with coordinates of 1 arcsecond per pixel, rotated by `degrees`."""
    header = tangent(degrees=degrees, scale=1 / 3600, crpix=(25.0, 20.0)).to_header()
    for key in ("RADESYS", "EQUINOX", "MJDREF", "DATEREF"):
        header.remove(key, ignore_missing=True)
    header.update({"BUNIT": "adu", **more})
    return header


def corners(wcs):
    return wcs.all_pix2world([[0, 0], [SHAPE[1] - 1, SHAPE[0] - 1], [0, SHAPE[0] - 1]], 0)


def apart(one, other):
    """The largest distance between the corners of two WCS, in arcseconds."""
    return 3600 * np.abs(corners(one) - corners(other)).max()


def twice(path):
    """The path of a frame and of a copy of it."""
    path = Path(path)
    copy = path.with_name(f"copy-{path.name}")
    copy.write_bytes(path.read_bytes())
    return [path, copy]


def write_mef(path, primary, image):
    """Write an empty primary HDU and an image extension, with these headers."""
    hdus = [fits.PrimaryHDU(header=primary), fits.ImageHDU(plane(), image)]
    fits.HDUList(hdus).writeto(path)


@pytest.mark.parametrize("named", ["m.fits", "m.fits[1]"])
@pytest.mark.parametrize(
    "system", [{"RADESYS": "FK5", "EQUINOX": 1975.0}, {"EQUINOX": 1950.0}], ids=["FK5", "1950"]
)
def test_a_target_is_read_as_the_frame_that_it_is(tmp_path, monkeypatch, system, named):
    monkeypatch.chdir(tmp_path)
    write_mef("m.fits", fits.Header(system), cards())
    hdu = 1 if named.endswith("]") else None
    result = stack(twice("m.fits"), align=Reproject(target=named), outputs=(), hdu=hdu)
    assert result.data.shape == SHAPE
    np.testing.assert_array_equal(result.data, 1)  # on its own grid: nothing is interpolated
    # An image that is asked for does not inherit the system; then ICRS is written, without equinox.
    inherited = np.nan if hdu else system["EQUINOX"]
    np.testing.assert_equal(result.wcs.wcs.equinox, inherited)


OF_DATE = {"EQUINOX": 2026.9}
SYSTEMS = {
    "the image has none": ({}, None, ("FK5", 2026.9)),
    "the image has one": ({"RADESYS": "FK5"}, None, ("FK5", 2000)),
    "the image has another": ({"RADECSYS": "FK4"}, None, ("FK4", 1950)),
    "the image asked for": ({}, 1, ("ICRS", None)),
    "the image asked for, which inherits": ({"INHERIT": True}, 1, ("FK5", 2026.9)),
    "the image inherits nothing": ({"INHERIT": False}, None, ("ICRS", None)),
}


@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
@pytest.mark.parametrize(("own", "hdu", "found"), SYSTEMS.values(), ids=SYSTEMS)
def test_the_system_of_coordinates_is_inherited_whole_or_not_at_all(tmp_path, own, hdu, found):
    """The primary header's equinox, that of the pointing, must not apply to an image's solution."""
    write_mef(tmp_path / "m.fits", fits.Header(OF_DATE), cards(**own))
    (frame,) = open_frames([tmp_path / "m.fits"], hdu=hdu)
    sky = wcs_to_celestial_frame(frame.coordinates.wcs)
    year = sky.equinox.to_value("jyear") if hasattr(sky, "equinox") else None
    assert (sky.name.upper(), year) == (found[0], pytest.approx(found[1], abs=0.01))


def test_a_target_whose_place_is_in_the_primary_header(tmp_path):
    write_mef(tmp_path / "p.fits", cards(30.0), fits.Header())
    result = stack(twice(tmp_path / "p.fits"), align=Reproject(target=str(tmp_path / "p.fits")))
    assert apart(result.wcs, WCS(cards(30.0))) < SAME


def test_a_compressed_target_has_the_pixels_of_its_image(tmp_path):
    header = cards(30.0)
    fits.CompImageHDU(plane(), header).writeto(tmp_path / "z.fits.fz")
    result = stack(
        twice(tmp_path / "z.fits.fz"), align=Reproject(target=str(tmp_path / "z.fits.fz"))
    )
    assert result.to_ccddata().wcs.array_shape == SHAPE


def test_a_header_as_target_does_without_its_lookup_tables(tmp_path):
    fits.writeto(tmp_path / "a.fits", plane(), cards())
    header = fits.Header(cards(), copy=True)
    header["NAXIS"], header["NAXIS1"], header["NAXIS2"] = 2, *SHAPE[::-1]
    header["CPDIS1"], header["DP1"] = "LOOKUP", "NAXES: 2"
    result = stack(twice(tmp_path / "a.fits"), align=Reproject(target=header), outputs=())
    np.testing.assert_array_equal(result.data, 1)


@pytest.mark.parametrize("inherit", [{}, {"INHERIT": True}])
def test_an_image_with_a_place_takes_no_part_of_another(tmp_path, inherit):
    """CCDData.read mixes both headers, which here puts corners off by 14 arcseconds."""
    primary = cards(45.0, PV2_1=1.0, A_ORDER=2, A_2_0=1e-4, B_ORDER=2, B_2_0=1e-4)
    image = cards(**inherit)
    for key in [key for key in image if key.startswith(("PC", "CDELT"))]:
        del image[key]
    image.update({"CD1_1": -1 / 3600, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1 / 3600})
    write_mef(tmp_path / "m.fits", primary, image)
    for hdu in (None, 1):
        (frame,) = open_frames([tmp_path / "m.fits"], hdu=hdu)
        assert apart(frame.coordinates.wcs, WCS(image)) < SAME
        assert frame.coordinates.wcs.sip is None


def test_an_alternative_place_alone_keeps_none_from_being_inherited(tmp_path):
    image = fits.Header({"CTYPE1P": "X", "CTYPE2P": "Y", "CRPIX1P": 3.0, "CRPIX2P": 4.0})
    write_mef(tmp_path / "m.fits", cards(30.0), image)
    (frame,) = open_frames([tmp_path / "m.fits"])
    assert apart(frame.coordinates.wcs, WCS(cards(30.0))) < SAME


def test_no_other_matrix_is_inherited_beside_a_cd(tmp_path):
    """As in chips of a mosaic, where only the primary header contains the pointing."""
    turned, plain = 30.0, cards()
    image = WCS(cards(turned)).pixel_scale_matrix
    own = {f"CD{i + 1}_{j + 1}": image[i, j] for i in range(2) for j in range(2)}
    write_mef(tmp_path / "m.fits", plain, fits.Header(own | {"CRPIX1": 25.0, "CRPIX2": 20.0}))
    (frame,) = open_frames([tmp_path / "m.fits"])
    assert not {"PC1_1", "CDELT1"} & {*frame.header}
    assert apart(frame.coordinates.wcs, WCS(cards(turned))) < SAME


def write_beside(path, first, broken=False):
    """Write a primary header with coordinates, then a PSF, the image, and one more image."""
    image = fits.ImageHDU(plane(), name="SCI")
    last = fits.ImageHDU(np.ones((5, 5), "i2"), cards(), name="LAST")
    if broken:
        last.header["BLANK"] = 1.5
    hdus = [fits.PrimaryHDU(header=cards(30.0)), fits.ImageHDU(first, name="PSFIMAGE"), image, last]
    fits.HDUList(hdus).writeto(path, output_verify="ignore")


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("shape", [(7, 9), (2, 7, 9)])
def test_the_place_of_a_target_is_that_of_its_image(tmp_path, shape, broken):
    path = tmp_path / "t.fits"
    write_beside(path, np.ones(shape, "f4"), broken)
    grid = stack(twice(path), align=Reproject(target=str(path)), outputs=())
    assert grid.data.shape == SHAPE
    assert apart(grid.wcs, WCS(cards(30.0))) < SAME


def test_no_more_of_a_target_is_opened_than_is_needed(tmp_path, monkeypatch):
    path = tmp_path / "t.fits"
    hdus = [fits.CompImageHDU(plane(), cards()) for _ in range(4)]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    opened = []

    def spy(file, hdu, packed):
        opened.append(hdu.index)
        return open_plane(file, hdu, packed)

    monkeypatch.setattr("gpustack.frames.fitsframe.open_plane", spy)
    places, _ = coordinates_in_file(str(path), None)
    assert next(places)[1] == SHAPE
    assert opened == [1]


OLD = {
    "matrix": {"PC001001": 0.866, "PC001002": 0.5, "PC002001": -0.5, "PC002002": 0.866},
    "system": {"RADECSYS": "FK5", "EPOCH": 2000.0},
}


@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
@pytest.mark.parametrize("old", OLD.values(), ids=OLD)
def test_cards_of_old_files_do_not_contradict_those_of_the_grid(tmp_path, old):
    header = cards(**old)
    for key in [key for key in header if key.startswith("PC") and "_" in key]:
        del header[key]
    fits.writeto(tmp_path / "old.fits", plane(), header)
    fits.writeto(tmp_path / "new.fits", plane(), cards(RADESYS="ICRS"))
    frames = [tmp_path / "old.fits", tmp_path / "new.fits"]
    result = stack(frames, align="wcs:target=optimal", outputs=())
    result.write(tmp_path / "out.fits")
    written = fits.getheader(tmp_path / "out.fits")
    assert not {*old} & {*written}
    assert apart(WCS(written), result.wcs) < SAME


@pytest.fixture
def one_aside(tmp_path):
    """Two frames of the same place, and one without coordinates or keywords."""
    for name in ("a", "b"):
        fits.writeto(tmp_path / f"{name}.fits", plane(4.0), cards(GAIN=2.0, EXPTIME=30.0))
    fits.writeto(tmp_path / "x.fits", plane(9.0), fits.Header({"BUNIT": "adu"}))
    return [tmp_path / f"{name}.fits" for name in "axb"]


KEYWORDS = {
    "scale": ({"scale": "!GAIN"}, 8.0),
    "zero": ({"zero": "!GAIN"}, 2.0),
    "weights": ({"weights": "!GAIN"}, 4.0),
    "exposure": ({"scale": "exposure"}, 4.0),
    "function": ({"scale": lambda image: 1 / np.median(image)}, 1.0),
    "noise": ({"combine": "nmodel:gain=!GAIN"}, 1.0),
}


@pytest.mark.filterwarnings("ignore:.*left out:gpustack.errors.GpustackWarning")
@pytest.mark.parametrize(("asked", "value"), KEYWORDS.values(), ids=KEYWORDS)
def test_a_frame_that_is_left_out_needs_no_numbers(one_aside, asked, value):
    how = {"align": Reproject(skip=True), "outputs": ("exposure", "count")}
    result = stack(one_aside, **asked, **how)
    np.testing.assert_allclose(result.data, value, rtol=1e-6)
    assert (result.exposure == 60).all()
    assert result.frames["left_out"][1] != ""


@pytest.mark.parametrize("name", ["SIGMA", "COUNT", "ERR", "WHT"])
def test_where_all_images_lie_beside_none_the_first_is_the_image(tmp_path, name, caplog):
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(plane(5.0), name=name)]
    hdus.append(fits.ImageHDU(plane(7.0), name="LOW"))
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    assert (open_frames([tmp_path / "a.fits"], unit="adu")[0].whole() == 5).all()
    assert f"a.fits: no image but masks, maps and the like; using {name}" in caplog.text


BESIDE = ["WHT", "CON", "CTX", "AREA", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT"]


@pytest.mark.parametrize("name", BESIDE)
def test_weights_and_contexts_of_mosaics_are_not_the_image(tmp_path, name):
    hdus = [
        fits.PrimaryHDU(),
        fits.ImageHDU(plane(5.0), name=name),
        fits.ImageHDU(plane(), name="SCI"),
    ]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    assert (open_frames([tmp_path / "a.fits"], unit="adu")[0].whole() == 1).all()


def test_a_map_of_each_frame_has_no_third_coordinate(tmp_path):
    spectral = {"WCSAXES": 3, "CTYPE3": "FREQ", "CRVAL3": 1.4e9, "CDELT3": 1e6, "CRPIX3": 1.0}
    header = cards()
    for key, value in spectral.items():
        header[key] = value
    fits.writeto(tmp_path / "a.fits", plane(), header)
    result = stack(twice(tmp_path / "a.fits"), outputs=("rejections", "count"))
    result.write(tmp_path / "out.fits", maps=("rejections", "count"))
    assert "CTYPE3" not in fits.getheader(tmp_path / "out.fits", "REJECTED")
    assert fits.getheader(tmp_path / "out.fits", "COUNT")["CTYPE1"] == "RA---TAN"


#: Cards of the exposure that astropy's WCS also reads and writes.
TIMES = {
    "DATE-OBS": "2024-01-01T00:00:00", "MJD-AVG": 60310.1, "XPOSURE": 60.0, "TELAPSE": 61.0,
    "TIMESYS": "UTC", "OBSGEO-X": 1e6, "OBSGEO-Y": 2e6, "OBSGEO-Z": 3e6,
}  # fmt: skip
OTHER_TIMES = {
    "DATE-OBS": "2001-05-05T05:05:05", "MJD-OBS": 52034.2, "MJD-AVG": 52000.1, "XPOSURE": 999.0,
    "TELAPSE": 1e3, "TIMESYS": "TAI", "OBSGEO-X": -1e6, "OBSGEO-Y": -2e6, "OBSGEO-Z": -3e6,
}  # fmt: skip


@pytest.mark.parametrize("target", ["first", "optimal", "file", "header", "wcs"])
@pytest.mark.parametrize("has_times", [True, False])
@pytest.mark.parametrize("in_memory", [False, True])
def test_the_time_and_place_of_the_exposure_are_those_of_the_first_frame(
    tmp_path, monkeypatch, target, has_times, in_memory
):
    monkeypatch.chdir(tmp_path)
    sky = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0,
           "CDELT1": -1e-4, "CDELT2": 1e-4, "CRPIX1": 8.0, "CRPIX2": 8.0}  # fmt: skip
    own = TIMES if has_times else {}
    for i in range(2):
        cards = fits.Header(sky | own | {"CRPIX1": 8.0 + i / 3, "BUNIT": "adu"})
        fits.writeto(f"{i}.fits", np.ones((16, 16), "f4"), cards)
    other = fits.Header(sky | OTHER_TIMES | {"CRPIX2": 8.5})
    fits.writeto("target.fits", np.ones((16, 16), "f4"), other)
    targets = {"file": "target.fits", "header": fits.getheader("target.fits")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy warns about the times
        targets["wcs"] = WCS(targets["header"])
        # CCDData.read removes most of these cards from the header.
        frames = [CCDData.read(f"{i}.fits") if in_memory else f"{i}.fits" for i in range(2)]
    result = stack(frames, align=Reproject(targets.get(target, target)))
    result.write("out.fits")
    header = fits.getheader("out.fits")
    made = {"MJD-OBS"} if in_memory else set()  # astropy derives it from DATE-OBS
    told = {key: header.get(key) for key in OTHER_TIMES if key not in made}
    assert told == dict.fromkeys(told) | own | {"TELAPSE": None}  # would be wrong for two frames
    assert header.get("MJD-OBS") in ((None, 60310.0) if has_times else (None,))
    assert header["CTYPE1"] == "RA---TAN"


NUMBER = {"quotes": "'{}'", "quotes and blanks": "' {} '"}


@pytest.mark.parametrize("form", NUMBER.values(), ids=NUMBER)
@pytest.mark.parametrize("key", ["CRVAL1", "CRPIX2", "CD1_1", "A_2_0"])
def test_numbers_in_quotes_are_the_coordinates_that_they_say(tmp_path, form, key):
    sky = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "CRVAL1": 202.5, "CRVAL2": 47.0,
           "CD1_1": -1e-4, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1e-4, "CRPIX1": 8.0, "CRPIX2": 8.0,
           "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-4, "B_0_2": 1e-4}  # fmt: skip
    for name, cards in (("as numbers", sky), ("quoted", sky | {key: form[1:-1].format(sky[key])})):
        fits.writeto(tmp_path / f"{name}.fits", np.ones((16, 16), "f4"), fits.Header(cards))
    plain, quoted = (
        open_frames([tmp_path / f"{name}.fits"], unit="adu")[0].coordinates.wcs
        for name in ("as numbers", "quoted")
    )
    corners = [0, 15, 0], [0, 0, 15]
    for one, other in zip(
        plain.all_pix2world(*corners, 0), quoted.all_pix2world(*corners, 0), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=0, atol=SAME / 3600)


def test_numbers_in_quotes_move_with_the_pixels():
    cards = {"CTYPE1A": "LINEAR", "CRPIX1A": "3.5", "LTV2": " -4 ", "CRPIX2A": "none"}
    moved = moved_header(fits.Header(cards), (10, 20))
    assert (moved["CRPIX1A"], moved["LTV2"]) == (23.5, 6)
    assert "CRPIX2A" not in moved


@pytest.mark.parametrize("value", ["'12 34 56.7'", "12,5 d"])
def test_a_card_of_coordinates_that_is_no_number_is_named(tmp_path, value):
    header = tangent(scale=1 / 3600, crpix=(8, 8)).to_header()
    fits.writeto(tmp_path / "0.fits", np.ones((16, 16), "f4"), header)
    raw = (tmp_path / "0.fits").read_bytes()
    card = next(raw[at : at + 80] for at in range(0, 2880, 80) if raw[at : at + 6] == b"CRVAL1")
    (tmp_path / "0.fits").write_bytes(raw.replace(card, f"CRVAL1  = {value}".encode().ljust(80)))
    with pytest.raises(InputError, match=r"0\.fits: .*expected a number in CRVAL1, got "):
        stack([tmp_path / "0.fits"] * 2, align="wcs", unit="adu")


@pytest.mark.parametrize(("value", "equinox"), [("J2000", np.nan), ("1950.0", 1950.0)])
def test_an_equinox_in_quotes_takes_no_place_away(tmp_path, value, equinox):
    header = tangent(scale=1 / 3600, crpix=(8, 8)).to_header()
    for key in ("RADESYS", "EQUINOX"):
        header.remove(key, ignore_missing=True)
    header["EQUINOX"] = value
    fits.writeto(tmp_path / "0.fits", np.ones((16, 16), "f4"), header)
    wcs = open_frames([tmp_path / "0.fits"], unit="adu")[0].coordinates.wcs
    assert wcs.wcs.crpix[0] == 8
    np.testing.assert_equal(wcs.wcs.equinox, equinox)
