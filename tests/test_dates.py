"""Cards with the begin, middle and end of exposures hold for all frames of a stack."""

import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.wcs import WCS

from gpustack import LiveStack, Reproject, stack

#: Rounding of a Modified Julian Date of 60,000: about 1e-11 days, a microsecond.
DAY = 1e-11


def night(minute, **more):
    """The cards of an exposure of one minute that begins at this minute."""
    day = 60310 + (60 + minute) / 1440
    dates = {
        "DATE-OBS": f"2024-01-01T01:{minute:02d}:00.000",
        "DATE-BEG": f"2024-01-01T01:{minute:02d}:00.000",
        "DATE-AVG": f"2024-01-01T01:{minute:02d}:30.000",
        "DATE-END": f"2024-01-01T01:{minute + 1:02d}:00.000",
    }
    days = {"MJD-BEG": day, "MJD-AVG": day + 0.5 / 1440, "MJD-END": day + 1 / 1440}
    others = {"EXPSTART": day, "EXPEND": day + 1 / 1440, "TELAPSE": 60.0, "XPOSURE": 60.0}
    return {"EXPTIME": 60.0} | dates | days | others | more


def stacked(*headers, **recipe):
    frames = [CCDData(np.ones((2, 2)), unit="adu", header=header) for header in headers]
    return stack(frames, **recipe).header


def test_the_first_beginning_the_mean_and_the_last_end():
    header = stacked(night(20), night(10), night(33))  # their mean is minute 21
    expected = night(21)
    assert header["DATE-BEG"] == night(10)["DATE-BEG"]
    assert header["DATE-AVG"] == expected["DATE-AVG"]
    assert header["DATE-END"] == night(33)["DATE-END"]
    assert header["DATE-OBS"] == night(20)["DATE-OBS"]
    found = [header[key] for key in ("MJD-BEG", "EXPSTART", "MJD-AVG", "MJD-END", "EXPEND")]
    want = [night(10)["MJD-BEG"]] * 2 + [expected["MJD-AVG"]] + [night(33)["MJD-END"]] * 2
    np.testing.assert_allclose(found, want, rtol=DAY)
    assert "TELAPSE" not in header


SKY = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0,
       "CDELT1": -1e-4, "CDELT2": 1e-4, "CRPIX1": 2.0, "CRPIX2": 2.0}  # fmt: skip


def files(folder, *minutes, **more):
    """Write one exposure for each minute, with coordinates; return the paths."""
    names = [folder / f"{minute}.fits" for minute in minutes]
    for name in names:
        header = fits.Header(SKY | night(int(name.stem), BUNIT="adu", **more))
        fits.writeto(name, np.ones((4, 4)), header)
    return names


def read(names):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy warns about the times
        return [CCDData.read(name) for name in names]


@pytest.mark.parametrize("in_memory", [False, True])
def test_files_and_images_that_are_read_of_them_tell_the_same(tmp_path, in_memory):
    names = files(tmp_path, 20, 10, 33)
    frames = read(names) if in_memory else names
    live = LiveStack("mean")
    for frame in frames:
        live.add(frame)
    for number, result in enumerate((stack(frames), live.result())):
        result.write(tmp_path / f"{in_memory}{number}.out.fits")
        header = fits.getheader(tmp_path / f"{in_memory}{number}.out.fits")
        assert header["DATE-BEG"] == night(10)["DATE-BEG"]
        assert header["DATE-AVG"] == night(21)["DATE-AVG"]
        assert header["MJD-END"] == pytest.approx(night(33)["MJD-END"], rel=DAY)
        assert "TELAPSE" not in header


@pytest.mark.parametrize("in_memory", [False, True])
def test_the_coordinates_of_ccddata_tell_of_no_exposure(tmp_path, in_memory):
    names = files(tmp_path, 20, 10, 33, TIMESYS="UTC")
    result = stack(read(names) if in_memory else names, combine="sum")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy warns about the times
        result.to_ccddata().write(tmp_path / "out.fits")
    header = fits.getheader(tmp_path / "out.fits")
    for key in (*night(20), "TIMESYS"):
        assert header.get(key) == result.header.get(key), key
    assert (header["DATE-END"], header["XPOSURE"]) == (night(33)["DATE-END"], 180)


def test_a_target_lends_no_exposure(tmp_path):
    target, *names = files(tmp_path, 40, 10, 20)
    stack(names, align=Reproject(target=target)).to_ccddata().write(tmp_path / "out.fits")
    header = fits.getheader(tmp_path / "out.fits")
    assert header["DATE-OBS"] == night(10)["DATE-OBS"]
    assert header["DATE-END"] == night(20)["DATE-END"]


@pytest.mark.parametrize("live", [False, True])
def test_the_effective_exposure_of_images_that_are_read(tmp_path, live):
    frames = read(files(tmp_path, 20, 10))
    if live:
        one = LiveStack("sum")
        for frame in frames:
            one.add(frame)
        result = one.result()
    else:
        result = stack(frames, combine="sum")
    result.write(tmp_path / "out.fits")
    header = fits.getheader(tmp_path / "out.fits")
    assert (header["EXPTIME"], header["XPOSURE"]) == (120, 120)
    assert header["DATE-END"] == night(20)["DATE-END"], "that of the first, from its WCS"


def test_one_frame_keeps_its_own():
    with pytest.warns(UserWarning, match="one frame"):
        header = stacked(night(20))
    assert {key: header[key] for key in night(20)} == night(20)


def test_a_mean_counts_what_stacks_were_made_of():
    header = stacked(night(10), night(20, NCOMBINE=4))
    assert header["DATE-AVG"] == night(18)["DATE-AVG"]
    assert header["MJD-AVG"] == pytest.approx(night(18)["MJD-AVG"], rel=DAY)


@pytest.mark.parametrize("frames", [1, 5_000_000_000, 1e300])
def test_a_mean_of_any_number_of_exposures(frames):
    dates = ({"DATE-AVG": f"20{year}-01-01T00:00:00"} for year in ("01", "20"))
    header = stacked(*(date | {"NCOMBINE": frames} for date in dates))
    assert header["DATE-AVG"] == "2010-07-02T12:00:00.000"


def test_moments_keep_their_microseconds():
    first, last = (night(10, **{"DATE-BEG": f"2024-01-01T01:02:{second}"})
                   for second in ("03.123456", "04.5"))  # fmt: skip
    assert stacked(last, first)["DATE-BEG"] == first["DATE-BEG"]


def test_the_middle_of_jwst():
    header = stacked(night(10, EXPMID=60310.25), night(20, EXPMID=60310.75))
    assert header["EXPMID"] == 60310.5


@pytest.mark.parametrize(
    "other",
    [{"DATE-END": "tomorrow"}, {"DATE-END": fits.card.UNDEFINED}, {"DATE-END": 60310.1}],
)
def test_what_some_frame_does_not_tell_is_left_out(other):
    header = stacked(night(10), night(20, **other))
    assert "DATE-END" not in header
    assert header["MJD-END"] == night(20)["MJD-END"]


def test_no_second_card_is_left():
    first = fits.Header(night(10))
    first.append(("DATE-END", "2024-01-01T01:30:00"))
    assert "DATE-END" not in stacked(first, night(20, **{"DATE-END": "tomorrow"}))


def test_a_card_that_is_no_fits_value_is_none():
    last = fits.Header(night(20))
    del last["DATE-END"]
    last.append(fits.Card.fromstring("DATE-END= 2024-01-01T01:21:00"))
    assert "DATE-END" not in stacked(night(10), last)


def test_a_day_beyond_floats_is_none():
    assert "MJD-END" not in stacked(night(10), night(20, **{"MJD-END": "1e999"}))


def test_what_only_others_tell_is_not_brought_in():
    first = night(10)
    del first["MJD-END"], first["DATE-AVG"]
    header = stacked(first, night(20))
    assert not {"MJD-END", "DATE-AVG"} & set(header)


def test_clocks_that_differ_cannot_be_compared():
    header = stacked(night(10, TIMESYS="TAI"), night(20, TIMESYS="UTC"))
    assert not {"DATE-BEG", "MJD-AVG", "EXPEND"} & set(header)
    header = stacked(night(10, TIMESYS="utc"), night(20), night(15, TIMESYS=None))
    assert header["DATE-END"] == night(20)["DATE-END"]


@pytest.mark.parametrize("zone", ["Z", "", "+00:00"])
def test_dates_of_other_forms(zone):
    first, last = (night(10, **{"DATE-END": f"{day}{zone}"}) for day in
                   ("2024-01-01T01:02:03", "2024-01-01T01:02:03.25"))  # fmt: skip
    assert stacked(first, last)["DATE-END"] == "2024-01-01T01:02:03.250"
    assert stacked(last, first)["DATE-END"] == last["DATE-END"]


def test_dates_with_zones_are_compared_in_one():
    later = night(10, **{"DATE-BEG": "2023-12-31T23:30:00"})
    first = night(10, **{"DATE-BEG": "2024-01-01T01:00:00+02:00"})
    assert stacked(later, first)["DATE-BEG"] == "2023-12-31T23:00:00.000"
    assert "DATE-BEG" not in stacked(later, night(10, **{"DATE-BEG": "0001-01-01T00:00:00+02:00"}))


def test_a_header_tells_what_its_coordinates_do_not():
    frames = [
        CCDData(np.ones((2, 2)), unit="adu", header=fits.Header(night(at)), wcs=WCS(naxis=2))
        for at in (20, 10)
    ]
    assert stack(frames).header["DATE-BEG"] == night(10)["DATE-BEG"]


def test_the_effective_exposure_is_that_of_the_values():
    sum_, mean = (stacked(night(10), night(20), combine=combine) for combine in ("sum", "mean"))
    assert (sum_["XPOSURE"], sum_["EXPTIME"]) == (120, 120)
    assert mean["XPOSURE"] == 60
    assert stacked(night(10, XPOSURE=59.5), night(20), combine="sum")["XPOSURE"] == 59.5
