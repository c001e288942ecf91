"""Headers that violate the FITS standard: all cards can be read, and readable values are kept."""

import logging

import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from hypothesis import example, given
from hypothesis import strategies as st

from fitsmaker import image_bytes
from gpustack import stack
from gpustack.frames import open_frames
from gpustack.frames.cards import parse

RAW = np.arange(12, dtype="i2").reshape(3, 4)


def header_of(*lines):
    """Parse a header that contains these lines."""
    cards = ["SIMPLE  =                    T", *lines, "LAST    =                    1", "END"]
    return parse("a.fits", b"".join(_bytes(card).ljust(80)[:80] for card in cards))


def _bytes(line):
    return line.encode("utf-8") if isinstance(line, str) else line


def assert_safe(header):
    """Assert that every card can be read, copied, written and read again."""
    for card in header.copy().cards:
        assert (card.keyword, card.comment) is not None
        assert header.get(card.keyword) is not Ellipsis
        card.verify("exception")
    again = fits.Header.fromstring(header.tostring())
    assert [repr(value) for value in again.values()] == [repr(v) for v in header.values()]
    assert header["LAST"] == 1


@pytest.mark.parametrize(
    ("line", "keyword", "value"),
    [
        ("EXPTIME = 30 s", "EXPTIME", "30 s"),
        ("TEMP    = -12,5", "TEMP", "-12,5"),
        ("DATE-OBS= 2020-01-01", "DATE-OBS", "2020-01-01"),
        ("OBJECT  = 'M31", "OBJECT", "'M31"),
        ("OBJECT  = 'Métois'", "OBJECT", "M??tois"),
        (b"OBJECT  = 'M\xe9tois'", "OBJECT", "M?tois"),
        (b"OBJECT  = 'a\tb\0c'", "OBJECT", "a?b?c"),
        ("object  = 'M31'", "OBJECT", "M31"),
        ("GAIN    = 1.5 / 'e-/ADU", "GAIN", 1.5),
        ("GAIN    = 1.5D2", "GAIN", 150.0),
        ("EMPTY   = / nothing", "EMPTY", None),
        ("HIERARCH ESO TEL ALT = 1,2", "ESO TEL ALT", "1,2"),
        ("HIERARCH ESO DET GAIN = 1.5 / gain", "ESO DET GAIN", 1.5),
    ],
)
def test_values_are_read_or_taken_for_text(line, keyword, value):
    header = header_of(line)
    assert header[keyword] == value
    assert_safe(header)


@pytest.mark.parametrize(
    "lines",
    [
        ["FOO/BAR = 4"],
        ["EXPTIME = 30 s", "CONTINUE  'more'"],
    ],
)
def test_cards_beyond_mending_become_comments_and_the_log_says_so(lines, caplog):
    with caplog.at_level(logging.DEBUG, "astropy.gpustack"):
        header = header_of(*lines)
    assert header["COMMENT"][0] == lines[0].ljust(80)[:72].rstrip()
    assert f"a.fits: card set aside as a comment: {lines[0][:60]}" in caplog.text
    assert_safe(header)


def test_long_strings_go_on_in_the_next_card():
    header = header_of("LONG    = 'ab&'", "CONTINUE  'cd&'", "CONTINUE  'ef' / end")
    assert header["LONG"] == "abcdef"
    assert_safe(header)


WORDS = ["'", "''", "&", "=", "= ", " ", "/", "HIERARCH ", "CONTINUE", "COMMENT ", "KEY     ",
         "key", "1", ".", "-", "E5", "T", "(1, 2)", "1e400", "é", "\0", "END", "A.B"]  # fmt: skip


@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=12).map("".join), max_size=4))
@example(["CONTINUE  'x'"])
@example(["KEY     = 'a&'", "CONTINUE  3"])
def test_whatever_a_card_says_the_header_can_be_read(lines):
    assert_safe(header_of(*(line for line in lines if line.rstrip() != "END")))


@given(st.binary(max_size=80))
def test_whatever_bytes_a_card_has_the_header_can_be_read(line):
    assert_safe(header_of(line if line.rstrip() != b"END" else b""))


@pytest.mark.parametrize("kind", ["plain", "tiles"])
def test_a_stack_of_frames_with_broken_cards(tmp_path, kind):
    path = tmp_path / "a.fits"
    if kind == "plain":
        path.write_bytes(image_bytes(RAW, EXPTIME=30.5, OBJECT="Metois", BUNIT="adu"))
    else:
        header = fits.Header({"EXPTIME": 30.5, "OBJECT": "Metois", "BUNIT": "adu"})
        fits.CompImageHDU(RAW, header, compression_type="GZIP_1").writeto(path)
    content = path.read_bytes().replace(b"Metois", b"M\xe9toi\x01")
    start = content.index(b"EXPTIME ")
    path.write_bytes(content[:start] + b"EXPTIME = 30 s".ljust(80) + content[start + 80 :])
    (frame,) = open_frames(path)
    assert frame.header["OBJECT"] == "M?toi?"
    assert frame.header["EXPTIME"] == "30 s"
    assert frame.coordinates.wcs is None
    result = stack([path, RAW * units.adu])
    result.write(tmp_path / "out.fits")
    assert fits.getheader(tmp_path / "out.fits")["EXPTIME"] == "30 s"
    np.testing.assert_array_equal(result.data, RAW)


@pytest.mark.parametrize("codec", ["RICE_1", "HCOMPRESS_1", "PLIO_1"])
def test_of_the_primary_header_of_tiles_nothing_is_said(tmp_path, codec):
    """astropy reads it whenever it opens the file; its warning would be an error here."""
    path, raw = tmp_path / "a.fits", np.arange(16, dtype="i2").reshape(4, 4)
    tiles = fits.CompImageHDU(raw, compression_type=codec, tile_shape=(4, 4))
    primary = fits.PrimaryHDU(header=fits.Header({"OBSERVER": "Metois", "BUNIT": "adu"}))
    fits.HDUList([primary, tiles]).writeto(path)
    path.write_bytes(path.read_bytes().replace(b"Metois", b"M\xe9tois"))
    (frame,) = open_frames(path)
    np.testing.assert_array_equal(frame.whole(), raw)
    assert frame.header["OBSERVER"] == "M?tois"


@pytest.mark.parametrize(
    "goes_on", ["CONTINUE= 64", "CONTINUE  'more'", "CONTINUE  'more&'", "CONTINUE"]
)
@pytest.mark.parametrize(
    "line",
    ["GAIN    = 1.5 / of a chip", "GAIN    = 'high' / of a chip", "COMMENT of a chip", "GAIN"],
)
def test_a_card_that_goes_on_where_it_may_not(line, goes_on):
    assert_safe(header_of(line, goes_on))
