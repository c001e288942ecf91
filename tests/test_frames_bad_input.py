"""Unusable files: the error names the file, what was expected and what was found."""

import bz2
import gzip
import lzma
import os

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from fitsmaker import BLOCK, empty_primary, header_bytes, image_bytes, image_header
from gpustack.errors import FrameError, MissingFileError
from gpustack.frames import open_frames
from traced import traced

RAW = np.arange(2000, dtype="i2").reshape(40, 50)
GOOD = image_bytes(RAW, BUNIT="adu")

#: Bytes that opening a file may allocate, whatever sizes its header contains.
LITTLE_MEMORY = 1 << 20


def tiles_bytes(**changes):
    """A tile-compressed image with changed cards in its table's header; None removes a card."""
    cards = {
        "XTENSION": "BINTABLE", "BITPIX": 8, "NAXIS": 2, "NAXIS1": 8, "NAXIS2": 1, "PCOUNT": 0,
        "GCOUNT": 1, "TFIELDS": 1, "TTYPE1": "COMPRESSED_DATA", "TFORM1": "1PB", "ZIMAGE": True,
        "ZCMPTYPE": "GZIP_1", "ZBITPIX": 16, "ZNAXIS": 2, "ZNAXIS1": 2, "ZNAXIS2": 2,
        "ZTILE1": 2, "ZTILE2": 2,
    }  # fmt: skip
    return empty_primary() + header_bytes({**cards, **changes}.items()) + bytes(BLOCK)


def primary(bitpix, naxis, *axes):
    """A primary header with these values, valid or not."""
    lengths = [(f"NAXIS{n}", length) for n, length in enumerate(axes, 1)]
    return header_bytes([("SIMPLE", True), ("BITPIX", bitpix), ("NAXIS", naxis), *lengths])


TERABYTE = (1 << 10, 1 << 15, 1 << 15)

#: id: (content, options, pattern of the message)
BAD_FILES = {
    "empty": (b"", {}, "expected a FITS file, got an empty one"),
    "text": (b"hello world", {}, "expected a FITS file, beginning with SIMPLE, got b'hello wor'"),
    "zeros": (bytes(10_000), {}, "expected a FITS file, beginning with SIMPLE, got"),
    "header cut off": (GOOD[:300], {}, "cut off in the header.*got none up to byte 300"),
    "no END": (image_header("i2", (2, 2), end=False), {}, "header.*expected an END card"),
    "END far away": (
        b"SIMPLE  =                    T".ljust(9 << 20), {}, "expected an END card"
    ),
    "data cut off": (
        GOOD[: BLOCK + 3999], {}, "in the data of HDU 0: expected 4,000 bytes .* on, got 3,999"
    ),
    "no data": (image_header("i2", (2, 2)), {}, "expected 8 bytes from byte 2,880 on, got 0"),
    "1 TB": (
        image_header("u1", TERABYTE), {}, "expected 1,099,511,627,776 bytes from byte 2,880 on"
    ),
    "exabytes of exabytes": (image_header("f8", (1 << 60,) * 9), {}, "cut off in the data"),
    # Its trailer says 2880 bytes, which equals the size in the header modulo 2**32.
    "gzip 2**63 bytes": (
        gzip.compress(image_header("u1", (1, (1 << 63) - 1))), {}, "expected 9,223,372,036"
    ),
    "gzip 1 TB": (
        gzip.compress(image_header("u1", TERABYTE)), {}, "expected 1,099,511,627,776 bytes from"
    ),
    "tiles 1 TB": (
        tiles_bytes(ZNAXIS1=1 << 20, ZNAXIS2=1 << 20, ZTILE1=1 << 20, ZTILE2=1 << 20),
        {},
        "expected compressed data for an image of 2,199,023,255,552 bytes.*got 8 bytes",
    ),
    "tiles by the trillion": (tiles_bytes(NAXIS2=1 << 40), {}, "expected 8,796,093,022,208 bytes"),
    "too few tiles": (tiles_bytes(ZTILE2=1), {}, r"expected 1 tiles .* 2 tiles of shape \(1, 2\)"),
    "too many tiles": (tiles_bytes(NAXIS2=2), {}, r"expected 2 tiles .* 1 tiles of shape \(2, 2\)"),
    "no tile size": (tiles_bytes(ZTILE1=0), {}, r"expected 1 tiles .* of shape \(2, 0\)"),
    "unknown codec": (tiles_bytes(ZCMPTYPE="ZIP"), {}, "ZCMPTYPE one of RICE_1.*got 'ZIP'"),
    "Rice of another size": (
        tiles_bytes(ZCMPTYPE="RICE_1", ZNAME1="BYTEPIX", ZVAL1=-64),
        {},
        "expected BYTEPIX one of 1, 2, 4 and BLOCKSIZE >= 1, got -64 and 32",
    ),
    "Rice in blocks of 0": (
        tiles_bytes(ZCMPTYPE="RICE_ONE", ZNAME1="BLOCKSIZE", ZVAL1=0), {}, "got 4 and 0"
    ),
    "Rice told in small letters": (
        tiles_bytes(ZCMPTYPE="RICE_1", ZNAME1="blocksize", ZVAL1=32, ZNAME2="bytepix", ZVAL2=8),
        {},
        "expected BYTEPIX one of 1, 2, 4 and BLOCKSIZE >= 1, got 8 and 32",
    ),
    "tiles of no type": (tiles_bytes(ZBITPIX=None), {}, "ZBITPIX one of 8, .*None"),
    "tiles of no shape": (tiles_bytes(ZNAXIS2=None), {}, "ZNAXIS2: expected a whole number"),
    "gzip header cut off": (gzip.compress(GOOD)[:60], {}, "expected an intact gzip file"),
    "gzip data cut off": (
        gzip.compress(GOOD, 0)[:5000], {}, "data of HDU 0: expected 4,000 bytes from byte 2,880"
    ),
    "gzip of nothing": (gzip.compress(b""), {}, "beginning with SIMPLE, got b''"),
    "only the gzip sign": (b"\x1f\x8b", {}, "expected an intact gzip file"),
    "broken gzip": (b"\x1f\x8b\x08" + b"\xff" * 50, {}, "expected an intact gzip file"),
    "no image": (empty_primary(), {}, "expected an image with data, got HDUs 0 PRIMARY no image"),
    "NAXIS1 = 0": (image_header("i2", (5, 0)), {}, r"got HDUs 0 PRIMARY image \(5, 0\)"),
    "HDU number": (GOOD, {"hdu": 3}, r"an image in HDU 3, got HDUs 0 PRIMARY image \(40, 50\)"),
    "HDU name": (GOOD, {"hdu": "SCI"}, "an image in HDU 'SCI', got HDUs 0 PRIMARY"),
    "HDU version": (GOOD, {"hdu": ("PRIMARY", 2)}, r"an image in HDU \('PRIMARY', 2\), got"),
    "HDU without image": (
        empty_primary() + GOOD, {"hdu": 0}, "an image in HDU 0, got HDUs 0 PRIMARY no image"
    ),
    "second HDU cut off": (
        GOOD + image_bytes(RAW, extension=True)[:4000], {}, "cut off in the data of HDU 1"
    ),
    "second header cut off": (
        GOOD + image_header("i2", (2, 2), extension=True)[:200], {}, "cut off in the header"
    ),
    "BITPIX": (primary(17, 1, 5), {}, "expected BITPIX one of 8, 16.*got 17"),
    "NAXIS": (primary(8, -2), {}, "NAXIS and axes >= 0, got -2 axes"),
    "NAXIS1": (primary(8, 1, -5), {}, r"NAXIS and axes >= 0, got 1 axes of \(-5,\)"),
    "NAXIS1 of no number": (primary(8, 1, True), {}, "NAXIS1: expected a whole.*got True"),
    "many axes": (primary(8, 1 << 40, 5), {}, "NAXIS1099511627776: expected a whole number"),
    "no BITPIX": (
        header_bytes([("SIMPLE", True), ("NAXIS", 0)]), {}, "BITPIX: expected a whole number"
    ),
    "unreadable card": (
        primary(8, 1, 5).replace(b"   5", b"  5?"), {}, "NAXIS1: expected a whole number.*got '5"
    ),
    "columns of no number": (image_bytes(RAW, TFIELDS="x"), {}, "TFIELDS: expected a whole number"),
    "columns without end": (
        image_bytes(RAW, TFIELDS=1 << 60), {}, "expected TFIELDS from 0 to 999 in HDU 0, got 1152"
    ),
    "BSCALE": (image_bytes(RAW, BSCALE="two"), {}, "BSCALE: expected a number.*got 'two'"),
    "BSCALE without end": (
        image_bytes(RAW, BSCALE=1e300).replace(b"1e+300", b"1E+999"),
        {},
        "BSCALE: expected a number.*got inf",
    ),
    "BZERO": (image_bytes(RAW, BZERO=True), {}, "BZERO: expected a number.*got True"),
    "BLANK": (image_bytes(RAW, BLANK=0.5), {}, "BLANK: expected a whole number.*got 0.5"),
    "MASK of another shape": (
        GOOD + image_bytes(RAW[1:], extension=True, EXTNAME="MASK"),
        {},
        r"MASK extension: expected the shape of the image, \(40, 50\), got \(39, 50\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "options", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_unusable_file_is_named_before_anything_is_allocated(tmp_path, content, options, message):
    path = tmp_path / "bad.fits"
    path.write_bytes(content)
    del content
    with traced() as taken, pytest.raises(FrameError, match=rf"bad\.fits: .*{message}"):
        open_frames(path, unit="adu", **options)
    allowance = 2 * path.stat().st_size if "END card" in message else 0
    assert taken.peak < LITTLE_MEMORY + allowance


def test_names_that_are_no_readable_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    cases = {
        "missing.fits": "expected a FITS file, got no such file",
        ".": "expected a FITS file, got a directory",
        "pipe": "expected a FITS file, got a device or pipe",
        "a\0b": "expected a file name, got: (stat: )?embedded null",
        "n" * 300: "expected a readable file, got: File name too long",
    }
    for name, message in cases.items():
        with pytest.raises(FrameError, match=message):
            open_frames(os.path.join(tmp_path, name))  # noqa: PTH118 - keeps "."


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    (tmp_path / "a.fits").write_bytes(GOOD)

    def refuse(self, *_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(FrameError, match=r"a\.fits: expected a readable file, got: Permission"):
        open_frames(tmp_path / "a.fits")


# Damage


def kinds(tmp_path):
    """Write a good file of every kind and return their paths."""
    noise = np.random.default_rng(0).integers(-32768, 32768, (300, 300)).astype("i2")
    (tmp_path / "plain.fits").write_bytes(image_bytes(noise, BUNIT="adu"))
    (tmp_path / "gzip.fits.gz").write_bytes(gzip.compress(image_bytes(noise, BUNIT="adu")))
    fits.CompImageHDU(noise, fits.Header({"BUNIT": "adu"})).writeto(tmp_path / "tiles.fits.fz")
    return sorted(tmp_path.iterdir())


def test_a_damaged_gzip_file_is_found_by_its_check_sum(tmp_path):
    noise = np.random.default_rng(0).integers(-99, 99, (30, 30)).astype("i2")
    whole = gzip.compress(image_bytes(noise, BUNIT="adu"), 0)  # stored, so bits can be changed
    for path, place in ((tmp_path / "sample.gz", 3000), (tmp_path / "sum.gz", -6)):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        (frame,) = open_frames(path)
        frame.read(0, 20)  # the damage shows at the end of the file
        for _ in range(2):
            with pytest.raises(FrameError, match="expected an intact gzip file, got: CRC"):
                frame.read(20, 30)


@pytest.fixture(scope="module")
def good_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    kinds(folder)
    return folder


@given(
    name=st.sampled_from(["plain.fits", "gzip.fits.gz", "tiles.fits.fz"]),
    changes=st.dictionaries(st.integers(0, 3 * BLOCK), st.integers(0, 255), max_size=3),
    kept=st.none() | st.floats(0, 1),
)
def test_damage_is_a_frame_error_or_no_error(good_files, name, changes, kept):
    content = bytearray((good_files / name).read_bytes())
    for place, byte in changes.items():
        content[place] = byte
    if kept is not None:
        del content[int(kept * len(content)) :]
    path = good_files / f"damaged {name}"
    path.write_bytes(content)
    try:
        (frame,) = open_frames(path, unit="adu")
        if np.prod(frame.shape) < 1 << 20:
            frame.whole()
            frame.coordinates.wcs  # noqa: B018
    except FrameError:
        return


PACKED = {"bzip2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("name", PACKED)
def test_files_that_are_to_be_unpacked(tmp_path, name):
    path = tmp_path / "frame.fits"
    path.write_bytes(PACKED[name](image_bytes(np.ones((2, 2), "i2"), BUNIT="adu")))
    with pytest.raises(FrameError, match=f"expected a FITS file.*, got one packed by {name}"):
        open_frames([path])


def test_a_name_that_is_empty():
    with pytest.raises(MissingFileError, match=r"^'': expected the name of a file"):
        open_frames([""])


def test_no_copies_of_data_hide_that_a_file_is_cut_off(tmp_path):
    whole = image_bytes(np.ones((200, 200), "f4"), BUNIT="adu", PCOUNT=0, GCOUNT=0)
    (tmp_path / "cut.fits").write_bytes(whole[:5760])
    with pytest.raises(FrameError, match="GCOUNT >= 1, got -32, 0, 0"):
        open_frames([tmp_path / "cut.fits"])


def test_a_blank_that_is_no_number(tmp_path):
    (tmp_path / "b.fits").write_bytes(image_bytes(np.ones((2, 2), "i2"), BUNIT="adu", BLANK=True))
    with pytest.raises(FrameError, match="BLANK: expected a whole number in the header, got True"):
        open_frames([tmp_path / "b.fits"])
