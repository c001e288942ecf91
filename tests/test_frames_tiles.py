"""Compressed streams that do not fit their tile, with which decoders would overrun their buffer."""

import gzip

import numpy as np
import pytest
from astropy.io import fits

from gpustack.engine import run
from gpustack.errors import FrameError
from gpustack.frames import open_frames, tiles
from gpustack.recipe import Recipe
from traced import traced

#: Bytes: more than reading a small file takes, and far less than a damaged one claims to have.
LITTLE = 10_000_000

NOISE = np.random.default_rng(3).integers(-3000, 3000, (50, 300)).astype("i2")


def written(path, tile):
    fits.CompImageHDU(NOISE, compression_type="HCOMPRESS_1", tile_shape=tile).writeto(path)
    return path


def with_card(path, keyword, value):
    """Change the integer value of a card in the file, in place."""
    raw = path.read_bytes()
    at = raw.index(f"{keyword:<8}=".encode())
    card = f"{keyword:<8}= {value:>20}".encode().ljust(80)
    path.write_bytes(raw[:at] + card + raw[at + 80 :])


def test_tiles_that_are_cut_at_the_edges_are_theirs(tmp_path):
    (frame,) = open_frames(written(tmp_path / "a.fits", (20, 128)), unit="adu")
    np.testing.assert_array_equal(frame.read(7, 50).data, NOISE[7:])


def test_tiles_wider_than_their_image_take_the_memory_of_theirs(tmp_path):
    path = tmp_path / "a.fits"
    image = fits.CompImageHDU(NOISE, compression_type="GZIP_1", tile_shape=(20, 300))
    image.writeto(path)
    with_card(path, "ZTILE1", 2**31 - 1)
    (frame,) = open_frames(path, unit="adu")
    result = run([frame, frame], Recipe(), memory="1MB", backend="cpu")
    np.testing.assert_array_equal(result.data, NOISE)


def test_streams_are_looked_at_once(tmp_path, monkeypatch):
    looks = []
    monkeypatch.setattr("gpustack.frames.planes.check_streams", lambda *of: looks.append(of))
    (frame,) = open_frames(written(tmp_path / "a.fits", (20, 128)), unit="adu")
    for start in range(0, 50, 10):
        frame.read(start, start + 10)
    assert len(looks) == 1


@pytest.mark.parametrize("around", ["", ".gz"])
def test_a_tile_that_claims_a_gigabyte_takes_no_memory(tmp_path, around):
    image = fits.CompImageHDU(NOISE, compression_type="GZIP_1")
    image.writeto(tmp_path / "a.fits")
    with fits.open(tmp_path / "a.fits", disable_image_compression=True) as opened:
        at = opened[1].fileinfo()["datLoc"] + 20 * opened[1].header["NAXIS1"]
    raw = (tmp_path / "a.fits").read_bytes()
    raw = raw[:at] + np.array(1 << 30, ">i4").tobytes() + raw[at + 4 :]
    path = tmp_path / f"broken.fits{around}"
    path.write_bytes(gzip.compress(raw) if around else raw)
    (frame,) = open_frames(path, unit="adu")
    with traced() as taken, pytest.raises(FrameError, match=r"broken\.fits.*: expected an intact"):
        frame.read(15, 25)
    assert taken.peak < LITTLE


def test_planes_of_a_cube_are_tiles(tmp_path):
    cube = NOISE.reshape(2, 25, 300)
    image = fits.CompImageHDU(cube, compression_type="HCOMPRESS_1", tile_shape=(1, 25, 300))
    image.writeto(tmp_path / "a.fits")
    (frame,) = open_frames(tmp_path / "a.fits", unit="adu")
    np.testing.assert_array_equal(frame.whole(), cube)


def test_tiles_that_are_compressed_otherwise_have_no_stream(tmp_path):
    """Floats without noise are not quantised to integers, which HCOMPRESS would need."""
    raw = np.vstack([NOISE[:25], np.full((25, 300), 0.1)]).astype("f4")
    image = fits.CompImageHDU(raw, compression_type="HCOMPRESS_1", tile_shape=(25, 300))
    image.writeto(tmp_path / "a.fits")
    with fits.open(tmp_path / "a.fits", disable_image_compression=True) as hdus:
        assert [len(stream) > 0 for stream in hdus[1].data["COMPRESSED_DATA"]] == [True, False]
    (frame,) = open_frames(tmp_path / "a.fits", unit="adu")
    np.testing.assert_array_equal(frame.whole()[25:], raw[25:])


#: Bytes allowed for headers and for Python itself.
BESIDE = 500_000

#: With 4 bytes per sample, a square of this side fills zlib's output buffer without excess.
SIDE = 593


@pytest.mark.parametrize(
    ("codec", "kind", "level", "rows"),
    [
        ("GZIP_2", "u1", 16, SIDE),
        ("GZIP_2", "i2", 16, SIDE),
        ("GZIP_2", "i4", 16, SIDE),
        ("GZIP_2", "i8", 16, SIDE),
        ("GZIP_2", "f4", 0, SIDE),
        ("GZIP_2", "f8", 0, SIDE),
        ("RICE_1", "f4", 16, SIDE),
        ("RICE_1", "f8", 16, SIDE),
        ("HCOMPRESS_1", "f4", 16, SIDE),
        ("HCOMPRESS_1", "i2", 16, 20),
    ],
)
def test_a_row_takes_no_more_than_is_said_of_its_tile(tmp_path, codec, kind, level, rows):
    raw = np.random.default_rng(3).normal(3000, 1000, (SIDE, SIDE)).clip(0).astype(kind)
    image = fits.CompImageHDU(raw, None, None, codec, (rows, SIDE), quantize_level=level)
    image.writeto(tmp_path / "a.fits")
    (frame,) = open_frames(tmp_path / "a.fits", unit="adu")
    with traced() as taken:
        frame.read(0, 1)
    assert taken.peak < frame.held_bytes + BESIDE


def test_a_mask_in_tiles_takes_their_memory_too(tmp_path):
    bits = (NOISE % 7 == 0).astype("i2")
    mask = fits.CompImageHDU(bits, compression_type="GZIP_1", tile_shape=bits.shape, name="DQ")
    fits.HDUList([fits.PrimaryHDU(NOISE), mask]).writeto(tmp_path / "a.fits")
    (frame,) = open_frames(tmp_path / "a.fits", unit="adu")
    assert frame.held_bytes == frame.mask.held_bytes > bits.nbytes
    np.testing.assert_array_equal(frame.read(0, 50).mask, bits != 0)


@pytest.mark.parametrize(("tile", "rows"), [((50, 300), 9), ((20, 128), 45)])
def test_a_stream_of_more_rows_than_its_tile(tmp_path, tile, rows):
    path = written(tmp_path / "a.fits", tile)
    with_card(path, "ZNAXIS2", rows)
    (frame,) = open_frames(path, unit="adu")
    with pytest.raises(FrameError, match=r"a\.fits: tile \d+: expected an HCOMPRESS stream of"):
        frame.read(0, rows)


def test_a_stream_of_something_else(tmp_path):
    path = written(tmp_path / "a.fits", (50, 300))
    path.write_bytes(path.read_bytes().replace(b"\xdd\x99", b"\xdd\x98"))
    (frame,) = open_frames(path, unit="adu")
    with pytest.raises(FrameError, match=r"begins with b'\\xdd\\x98'"):
        frame.read(0, 50)


@pytest.mark.parametrize(
    ("at", "word", "says"),
    [
        (2, b"\x9c\x07", "claims 51 words and a header of -25593"),
        (8, b"\x00\x01", r"claims 32819 words and a header of 7"),
    ],
    ids=["header", "length"],
)
def test_a_list_that_says_of_itself_what_cannot_be(tmp_path, at, word, says):
    path = tmp_path / "a.fits"
    image = fits.CompImageHDU(np.abs(NOISE[:, :44]), compression_type="PLIO_1")
    image.writeto(path)
    raw = path.read_bytes()
    list_ = raw.index(b"\x00\x00\x00\x07\xff\x9c", raw.rindex(b"END     "))
    length = int.from_bytes(raw[list_ + 6 : list_ + 8])
    path.write_bytes(raw[: list_ + at] + word + raw[list_ + at + 2 :])
    (frame,) = open_frames(path, unit="adu")
    says = says.replace("51", str(length)).replace("32819", str(length + (1 << 15)))
    with pytest.raises(FrameError, match=rf"a\.fits: tile 0: expected a PLIO list .*{says}"):
        frame.read(0, 50)


@pytest.mark.parametrize(
    ("words", "is_right"),
    [
        ([0, 0, 4, 1], True),  # the old header of three words
        ([0, 0, 5, 1], False),
        ([0, 7, -100, 7, 0, 0, 0], True),
        ([0, 7, -100, 8, 0, 0, 0], False),
        ([0, 2, -100, 7, 0, 0, 0], False),
        ([0, 7], False),
    ],
)
def test_the_headers_of_lists(words, is_right):
    says = tiles._problem_of_plio(np.array(words, np.int16).tobytes(), (1, 5))
    assert (says == "") is is_right
