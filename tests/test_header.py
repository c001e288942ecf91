"""The header of a result: cards of every length, number and origin."""

import math

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, NDDataRef
from astropy.wcs import WCS, DistortionLookupTable

from gpustack import ExtremaClip, Recipe, ToFile, stack
from gpustack.cards.names import name_cards
from gpustack.errors import FrameError, GpustackWarning, InputError
from gpustack.frames.coordinates import Coordinates
from gpustack.header import (
    ExposureRecord,
    read_exposure,
    read_exposure_record,
    read_recipe,
    result_header,
    with_tables,
    without_wcs,
)


def described(first=None, recipe=None, names=("a.fits",), exposures=None):
    """The header of a result of frames with these names and exposures."""
    return result_header(
        first if first is not None else fits.Header(),
        recipe if recipe is not None else Recipe(),
        names,
        exposed([None] * len(names) if exposures is None else exposures),
    )


def exposed(seconds):
    """The exposures of frames that are not stacks themselves."""
    return [ExposureRecord(one, one or 0.0) for one in seconds]


def names_in(header):
    """The names of frames in a header, in its order."""
    return [card.value for card in header.cards if card.keyword.startswith("I")]


@pytest.mark.parametrize(
    ("count", "first", "last"),
    [
        (1, "IMCMB001", "IMCMB001"),
        (999, "IMCMB001", "IMCMB999"),
        (1000, "IMCM0001", "IMCM1000"),
        (10_000, "IMC00001", "IMC10000"),
    ],
)
def test_any_number_of_names_fits_keywords_of_eight_characters(count, first, last):
    # This also tests the time: adding a card must not search all the others.
    names = [f"{i}.fits" for i in range(count)]
    header = described(fits.Header([("HISTORY", "bias subtracted")]), names=names)
    assert (header[first], header[last]) == (names[0], names[-1])
    assert names_in(header) == names
    assert header["HISTORY"][0] == "bias subtracted"
    assert len(header.tostring()) % 2880 == 0


def test_names_of_more_frames_than_anybody_has():
    *_, last = name_cards(["a.fits"] * 100_000)
    assert (last.keyword, last.value) == ("IM100000", "a.fits")


@pytest.mark.parametrize("before", [3, 1500, 10_000])
def test_the_names_of_an_earlier_result_go(before):
    earlier = described(names=[f"{i}.fits" for i in range(before)])
    assert names_in(described(earlier, names=["x", "y"])) == ["x", "y"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a b~.fits", "a b~.fits"),
        ("line\nbreak\t\x7f\x00.fits", r"line\nbreak\t\x7f\x00.fits"),
        ("mü∞\U0001f52d.fits", r"m\xfc\u221e\U0001f52d.fits"),
        ("not utf-8 \udcff.fits", r"not utf-8 \udcff.fits"),
        (r"C:\new\x.fits", r"C:\new\x.fits"),
    ],
)
def test_names_become_printable_ascii(name, shown):
    header = described(names=[name])
    assert fits.Header.fromstring(header.tostring())["IMCMB001"] == shown


def test_the_recipe_is_found_beneath_older_ones():
    first = described(recipe=Recipe(combine="max"))
    header = described(first, Recipe((ExtremaClip(nlow=0, nhigh=2),), "sum"))
    assert read_recipe(fits.Header.fromstring(header.tostring())).clips == (
        ExtremaClip(nlow=0, nhigh=2),
    )


@pytest.mark.parametrize("bad", [None, True, "30 s", "12,5 s", -1, "-1.0", math.nan, math.inf])
def test_an_exposure_that_is_no_number_counts_as_none(bad):
    first = fits.Header({"EXPTIME": 30.0})
    no_card = isinstance(bad, float)  # no card can hold NaN or infinity
    other = {"EXPTIME": bad} if no_card else fits.Header({"EXPTIME": bad})
    seen = [read_exposure_record(header) for header in (first, other)]
    header = result_header(first, Recipe(), ["a", "b"], seen)
    assert "EXPTOT" not in header
    assert header["EXPTIME"] == 30.0


def test_exposures_too_long_to_add_up_are_not_told():
    header = described(fits.Header({"EXPTIME": 1e308}), names=["a", "b"], exposures=[1e308, 1e308])
    assert "EXPTOT" not in header
    assert header["EXPTIME"] == 1e308


@pytest.mark.parametrize(
    ("card", "seconds"),
    [
        ("EXPTIME =                 30.5", 30.5),
        ("EXPTIME =                   30", 30.0),
        ("EXPTIME =                    T", None),
        ("EXPTIME = ' 30.5 '", 30.5),
        ("EXPTIME = '3.05e1'", 30.5),
        ("EXPTIME = ' .5'", 0.5),
        ("EXPTIME =                    0", 0.0),
        ("EXPTIME =                   -1", None),
        ("EXPTIME = '00:00:30'", None),
        ("EXPTIME = '3_0'", None),
        ("EXPTIME = '1e999'", None),
        ("EXPTIME = 'inf'", None),
        ("EXPTIME = 12,5 s", None),
        ("EXPTIME =", None),
        ("EXPOSURE=                   30", None),
    ],
)
def test_the_exposure_of_a_header(card, seconds):
    assert read_exposure(fits.Header([fits.Card.fromstring(card)])) == seconds


def test_a_card_that_cannot_be_written_names_the_file():
    card = fits.Card.fromstring("TELESCOP= 'bell\x07'")
    first = fits.Header([fits.Card("OBJECT", "M 51"), card])
    with pytest.raises(FrameError, match=r"^a\.fits: expected a header .* got: .*ASCII"):
        described(first, names=["a.fits", "b.fits"])


def test_an_unreadable_exposure_is_replaced_or_left():
    first = fits.Header([fits.Card.fromstring("EXPTIME = 12,5 s")])
    assert described(first, exposures=[5.0])["EXPTIME"] == 5.0
    assert "12,5 s" in described(first).tostring()


@pytest.mark.parametrize("keyword", ["EXTEND", "NAXIS1", "DATE", "EXPTIME", "NCOMBINE", "BUNIT"])
def test_a_value_that_astropy_takes_for_a_field_makes_no_second_card(keyword):
    first = fits.Header.fromstring(f"{keyword:<8}= 'EXTVER: 1'".ljust(80))
    header = described(first, exposures=[30.0])
    header["BUNIT"] = "adu"
    written = fits.PrimaryHDU(np.zeros((2, 2)), header).header.tostring(sep="\n").splitlines()
    assert sum(line.startswith(f"{keyword:<8}=") for line in written) <= 1
    assert not [line for line in written if "EXTVER" in line]


EXPOSURES = {
    "none": ({}, 70.0),
    "scaled": ({"scale": (1.0, 2.0, 0.5)}, 60.0),
    "scaled and added up": ({"scale": (1.0, 2.0, 0.5), "combine": "sum"}, 180.0),
    "added up": ({"combine": "sum"}, 210.0),
    "median": ({"combine": "median"}, 70.0),
    "greatest": ({"combine": "max"}, 70.0),
    "weighed": ({"weights": (1.0, 0.0, 3.0)}, 105.0),
    "weighed and added up": ({"weights": (1.0, 0.0, 3.0), "combine": "sum"}, 420.0),
    "both": ({"weights": (0.5, 1.0, 2.0), "scale": (1.0, 2.0, 0.5)}, 60.0),
    "each sample": ({"weights": "sample"}, 70.0),
}  # fmt: skip


@pytest.mark.parametrize(("numbers", "expected"), EXPOSURES.values(), ids=EXPOSURES)
def test_the_exposure_is_that_of_the_pixels(numbers, expected):
    header = described(recipe=Recipe(**numbers), names="abc", exposures=[60.0, 30.0, 120.0])
    assert (header["EXPTIME"], header["EXPTOT"], header["EXPMEAN"]) == (expected, 210, 70)


def test_exposures_of_frames_that_are_there():
    recipe = Recipe(scale=(1.0, 7.0, 2.0), weights=(1.0, 9.0, 1.0))
    header = result_header(fits.Header(), recipe, ["a", "c"], exposed([60.0, 30.0]), present=[0, 2])
    assert (header["EXPTIME"], header["EXPTOT"]) == (60, 90)


STACKS = {
    "a frame": ({"EXPTIME": 30.0}, ExposureRecord(30.0, 30.0, 1)),
    "a frame with a total": ({"EXPTIME": 30.0, "EXPTOT": 90.0}, ExposureRecord(30.0, 30.0, 1)),
    "of one": ({"EXPTIME": 30.0, "NCOMBINE": 1}, ExposureRecord(30.0, 30.0, 1)),
    "a mean": ({"EXPTIME": 30.0, "EXPTOT": 90.0, "NCOMBINE": 3}, ExposureRecord(30.0, 90.0, 3)),
    "of short ones": ({"EXPTIME": 0.1, "EXPTOT": 0.3, "NCOMBINE": 3}, ExposureRecord(0.1, 0.3, 3)),
    "of others": ({"EXPTIME": 30.0, "NCOMBINE": 3}, ExposureRecord(30.0, 30.0, 3)),
    "of no time": ({"NCOMBINE": 3}, ExposureRecord(None, 0.0, 3)),
    "no number": ({"EXPTIME": 30.0, "NCOMBINE": "many"}, ExposureRecord(30.0, 30.0, 1)),
    "none": ({"EXPTIME": 30.0, "NCOMBINE": 0}, ExposureRecord(30.0, 30.0, 1)),
    "no count": ({"EXPTIME": 30.0, "NCOMBINE": 1.7e308}, ExposureRecord(30.0, 30.0, 1)),
}


@pytest.mark.parametrize(("cards", "found"), STACKS.values(), ids=STACKS)
def test_how_long_a_frame_was_exposed(cards, found):
    assert read_exposure_record(fits.Header(cards)) == found


def test_stacks_of_stacks_count_as_what_they_were_made_of(tmp_path):
    """Means of stacks, weighted by their numbers of frames, are the mean of all frames."""
    planes = np.arange(9.0).reshape(9, 1, 1) * np.ones((4, 5))
    for k, part in enumerate(np.split(planes, [2, 5])):
        header = fits.Header({"EXPTIME": 10.0})
        made = stack([CCDData(one, unit="adu", header=header.copy()) for one in part])
        made.write(tmp_path / f"s{k}.fits")
    pair = stack(tmp_path / "s[01].fits", weights="ncombine")
    pair.write(tmp_path / "pair.fits")
    assert (pair.header["NCOMBINE"], pair.header["EXPTOT"], pair.header["EXPTIME"]) == (5, 50, 10)
    last = stack([tmp_path / "pair.fits", tmp_path / "s2.fits"], weights="ncombine")
    assert (last.header["NCOMBINE"], last.header["EXPTOT"], last.header["EXPMEAN"]) == (9, 90, 10)
    np.testing.assert_allclose(last.data, 4)


@pytest.mark.filterwarnings("ignore:frames differ in EXPTIME")
def test_pixels_over_exposure_are_the_rate_of_the_frames():
    rate, times = 4.0, [30.0, 120.0, 45.0]
    frames = [
        CCDData(np.full((2, 2), rate * t), unit="adu", header=fits.Header({"EXPTIME": t}))
        for t in times
    ]
    for combine in ("mean", "sum"):
        for given in ({}, {"scale": "exposure"}, {"weights": "exposure"}):
            result = stack(frames, combine=combine, **given)
            assert result.data[0, 0] / result.header["EXPTIME"] == pytest.approx(rate, rel=1e-6)


def test_the_mask_of_one_frame_is_none_of_the_result():
    assert "BPM" not in described(fits.Header({"BPM": "bpm0.fits"}))


def test_scales_of_frames_of_one_exposure_are_for_something_else():
    recipe = Recipe(scale=(1.0, 1.5, 0.8))
    header = described(recipe=recipe, names="abc", exposures=[300.0, 300.1, 299.9])
    assert header["EXPTIME"] == 300


@pytest.mark.parametrize(("given", "expected"), [(60.0, 180.0), (59.0, 59.0)])
def test_an_exposure_by_another_name_is_the_same(given, expected):
    first = fits.Header({"EXPTIME": 60.0, "EXPOSURE": given, "EXPOSED": 60.0})
    recipe = Recipe(combine="sum")
    header = described(first, recipe, names="ab", exposures=[60.0, 120.0])
    assert (header["EXPTIME"], header["EXPOSURE"], header["EXPOSED"]) == (180, expected, 180)


def test_what_a_stack_says_of_itself_is_not_said_of_a_stack_of_it():
    """Some frames may be stacks; their EXPTOT must not stand where the total is unknown."""
    first = fits.Header({"EXPTIME": 30.0, "EXPTOT": 90.0, "EXPMEAN": 30.0, "NCOMBINE": 3})
    for key in ("NCOMBINE", "DATE"):
        first.append((key, "again"))
    header = described(first, names="ab", exposures=[30.0, None])
    assert header["EXPTIME"] == 30
    assert not {"EXPTOT", "EXPMEAN"} & set(header)
    assert [header.count(key) for key in ("NCOMBINE", "DATE")] == [1, 1]


def test_weights_that_are_all_0_have_no_exposure():
    header = described(recipe=Recipe(weights=(0.0, 0.0)), names="ab", exposures=[60.0, 30.0])
    assert "EXPTOT" not in header


@pytest.mark.parametrize("key", ["EXPTIME", "EXPOSURE"])
def test_no_second_card_tells_of_another_exposure(key):
    first = fits.Header([("EXPTIME", 60.0), (key, 60.0), ("OBJECT", "m13"), (key, 60.0)])
    header = described(first, Recipe(combine="sum"), names="ab", exposures=[60.0, 60.0])
    assert (header.count(key), header[key]) == (1, 120)


@pytest.mark.parametrize(("shortest", "expected"), [(59.0, 59.5), (58.0, 88.0)])
def test_exposures_count_as_equal_as_far_as_shutters_are_good(shortest, expected):
    recipe = Recipe(scale=(1.0, 2.0))
    header = described(recipe=recipe, names="ab", exposures=[60.0, shortest])
    assert header["EXPTIME"] == expected


def test_the_exposure_is_not_that_of_rounding():
    assert described(names="abc", exposures=[0.1] * 3)["EXPTIME"] == 0.1


STRUCTURE = """SIMPLE XTENSION BITPIX NAXIS NAXIS3 EXTEND PCOUNT GCOUNT GROUPS BSCALE BZERO BLANK
    BUNIT TFIELDS EXTNAME EXTVER EXTLEVEL INHERIT CHECKSUM DATASUM DATAMIN DATAMAX IMCMB002 IMCM0002
    IMC00002 IM000002 I0000002 ZIMAGE ZSIMPLE ZTENSION ZBITPIX ZNAXIS ZNAXIS2 ZEXTEND ZPCOUNT
    ZGCOUNT ZTILE1 ZCMPTYPE ZNAME1 ZVAL1 ZMASKCMP ZQUANTIZ ZDITHER0 ZBLANK ZSCALE ZZERO ZHECKSUM
    ZDATASUM ZBLOCKED"""


@pytest.mark.parametrize("key", STRUCTURE.split())
def test_cards_that_describe_the_file_of_the_first_frame_go(key):
    header = described(fits.Header({"OBJECT": "M 51", key: 1}))
    assert key not in header
    assert header["OBJECT"] == "M 51"


def test_a_recipe_is_found_above_what_others_wrote():
    recipe = Recipe(combine="max")
    header = described(recipe=recipe)
    header.add_history("recipe of the observer: as long as the clouds allow")
    assert read_recipe(fits.Header.fromstring(header.tostring())) == recipe


def test_an_incomplete_recipe_is_an_error():
    header = described(recipe=Recipe(combine="max"))
    for text in ('{"clips":[{"clip":', '{"clips":' + "[" * 20_000):  # too deep for the parser
        header["HISTORY"] = f"recipe {text}"
        with pytest.raises(InputError, match=r"a complete gpustack recipe, got '\{\"clips"):
            read_recipe(header)


def test_the_recipe_stands_beneath_where_its_numbers_came_from():
    header = result_header(
        fits.Header(), Recipe(), ["a"], exposed([None]), origins=["scale by hand"]
    )
    assert header["HISTORY"][0].endswith(str(Recipe()))
    assert header["HISTORY"][1] == "scale by hand"
    assert header["HISTORY"][2].startswith("recipe {")


@pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")
def test_when_an_image_was_taken_stays_without_its_coordinates():
    moment = {
        **{f"DATE-{what}": "2026-01-02T03:04:05" for what in ("OBS", "BEG", "AVG", "END")},
        "MJD-OBS": 61042.127835648,
        "MJDREF": 0.0,
        "TELESCOP": "WHT",
    }
    sky = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0}
    header = fits.Header(sky | moment)
    assert dict(without_wcs(header, WCS(header))) == moment


def test_cards_of_lookup_tables_go_with_their_coordinates():
    header = fits.Header({"OBJECT": "M 51", "CPDIS1": "LOOKUP", "DP1.EXTVER": 1.0})
    told, tables = with_tables(header, Coordinates())
    assert (list(told), tables) == (["OBJECT"], [])


SKY = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0}
SKY |= {"CRPIX1": 8.0, "CRPIX2": 9.0, "CD1_1": -1e-4, "CD2_2": 1e-4, "LTV1": 3.0}
SKY |= {f"{key}A": value for key, value in SKY.items() if key != "LTV1"}


def whole(wcs=None):
    """An image whose header has coordinates, including alternative and physical ones."""
    header = fits.Header(SKY)
    return CCDData(np.ones((30, 40)), unit="adu", header=header, wcs=wcs or WCS(header))


def test_an_image_that_is_whole_keeps_its_cards():
    told = stack([whole()] * 2).to_hdulist()[0].header
    assert {key: told.get(key) for key in SKY} == SKY


@pytest.mark.parametrize("streamed", [False, True])
def test_an_image_cut_out_has_its_own_coordinates_alone_in_its_file(tmp_path, streamed):
    to = ToFile(tmp_path / "out.fits")
    result = stack([whole()[5:25, 10:30]] * 2, **({"outputs": to} if streamed else {}))
    if not streamed:
        result.write(tmp_path / "out.fits")
    told = fits.getheader(tmp_path / "out.fits")
    assert WCS(told).wcs.crpix.tolist() == [-2, 4]
    assert WCS(told).pixel_scale_matrix.diagonal().tolist() == [-1e-4, 1e-4]
    assert not {"CTYPE1A", "CRPIX1A", "CD1_1A", "CD1_1", "LTV1"} & {*told}


def test_axes_that_coordinates_have_no_more_go():
    header = fits.Header(SKY | {"CTYPE3": "FREQ", "CRVAL3": 1e9, "CD3_3": 1e6, "CRPIX3": 2.0})
    flat = CCDData(np.ones((30, 40)), unit="adu", header=header, wcs=WCS(header).celestial)
    told = stack([flat] * 2).to_hdulist()[0].header
    assert WCS(told).naxis == 2
    assert not [key for key in told if key.endswith("3") and key[0] == "C"]


def test_a_wcs_that_tells_of_nothing_takes_no_cards():
    told = stack([whole(WCS(naxis=2))] * 2).to_hdulist()[0].header
    assert told["CRVAL1"] == 10.0


def test_a_part_of_coordinates_is_not_told_as_the_whole():
    header = fits.Header(SKY)
    cut = NDDataRef(np.ones((30, 40)), unit="adu", meta=header, wcs=WCS(header))[5:, 7:]
    with pytest.warns(GpustackWarning, match="coordinates left out: FITS cannot hold this"):
        told = stack([cut] * 2).to_hdulist()[0].header
    assert not {*SKY} & {*told}


def test_a_table_that_cannot_be_read_again_is_left_out():
    wcs = WCS(fits.Header(SKY))
    wcs.cpdis1 = DistortionLookupTable(np.ones((3, 3), "f4"), (1, 1), (1, 1), (10, 10))
    with pytest.warns(GpustackWarning, match="lookup tables of coordinates not written"):
        hdus = stack([whole(wcs)] * 2).to_hdulist()
    assert WCS(hdus[0].header, hdus).wcs.crval.tolist() == [10, 20]
