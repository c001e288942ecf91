"""The header of a result: cards of every length, number and origin."""

import math

import numpy as np
import pytest
from astropy.io import fits

from gpustack import ExtremaClip, Recipe
from gpustack.errors import FrameError
from gpustack.header import describe, read_exposure, read_recipe


def described(first=None, recipe=None, names=("a.fits",), exposures=None):
    """The header of frames with these names."""
    return describe(
        first if first is not None else fits.Header(),
        recipe if recipe is not None else Recipe(),
        names,
        [None] * len(names) if exposures is None else exposures,
    )


def names_in(header):
    """The names of frames that a header holds, in its order."""
    return [card.value for card in header.cards if card.keyword.startswith("I")]


@pytest.mark.parametrize(
    ("count", "first", "last"),
    [
        (1, "IMCMB001", "IMCMB001"),
        (999, "IMCMB001", "IMCMB999"),
        (1000, "IMCM0001", "IMCM1000"),
        (10_000, "IMC00001", "IMC10000"),
        (100_000, "IM000001", "IM100000"),
    ],
)
def test_any_number_of_names_fits_keywords_of_eight_characters(count, first, last):
    # That many cards in reasonable time: none of them may look at all the others.
    names = [f"{i}.fits" for i in range(count)]
    header = described(fits.Header([("HISTORY", "bias subtracted")]), names=names)
    assert (header[first], header[last]) == (names[0], names[-1])
    assert names_in(header) == names
    assert header["HISTORY"][0] == "bias subtracted"
    assert len(header.tostring()) % 2880 == 0


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


@pytest.mark.parametrize("bad", [None, True, "30", "12,5 s", math.nan, math.inf])
def test_an_exposure_that_is_no_number_counts_as_none(bad):
    header = described(fits.Header({"EXPTIME": 30.0}), names=["a", "b"], exposures=[30.0, bad])
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
        ("EXPTIME = '30'", None),
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
        described(first)


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
