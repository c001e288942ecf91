"""Read rows of FITS files: all ways to store samples, memory, and numbers of open files."""

import gzip
import math
import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fitsmaker import empty_primary, image_bytes, image_header
from gpustack.errors import FrameError
from gpustack.frames import open_frames
from traced import traced

RAW = ["u1", "i2", "i4", "i8", "f4", "f8"]
SIGN_BIT = {"u1": -128, "i2": 2**15, "i4": 2**31, "i8": 2**63}
KINDS = ["plain", "gzip", "extension", "gzip extension", "tiles"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("frames")


def one(path, **options):
    (frame,) = open_frames(path, unit="adu", **options)
    return frame


def values_of(samples, dtype):
    """The values of samples and where they are invalid: a reference implementation."""
    values = samples.data.astype(dtype) * np.dtype(dtype).type(samples.bscale)
    values = values + np.dtype(dtype).type(samples.bzero)
    invalid = ~np.isfinite(values)
    if samples.blank is not None:
        invalid |= samples.data == samples.blank
    if samples.mask is not None:
        invalid |= samples.mask
    return values, invalid


def save(folder, content, kind):
    """Write an image HDU, made by `content(extension=...)`, in one of the KINDS."""
    inside = "extension" in kind
    data = (empty_primary() if inside else b"") + content(extension=inside)
    path = folder / "frame.fits"
    path.write_bytes(gzip.compress(data, 1) if "gzip" in kind else data)
    return path


def expected_values(path, hdu):
    """The image as astropy reads it."""
    with warnings.catch_warnings(action="ignore"):
        return fits.getdata(path, hdu)


@st.composite
def stored_images(draw):
    """Raw samples as stored in files, with the header cards to decode them."""
    kind = draw(st.sampled_from(RAW))
    raw = draw(hnp.arrays(np.dtype(kind), hnp.array_shapes(min_dims=1, max_dims=3, max_side=7)))
    cards = {"BSCALE": draw(st.sampled_from([None, 1.0, 0.5, -3.0]))}
    cards["BZERO"] = draw(st.sampled_from([None, 0, 17.25, SIGN_BIT.get(kind, 1)]))
    if kind in SIGN_BIT and draw(st.booleans()):
        cards["BLANK"] = int(draw(st.sampled_from(raw.ravel().tolist())))
    return raw, cards


@given(image=stored_images(), kind=st.sampled_from(KINDS[:4]), data=st.data())
def test_rows_of_any_range_are_what_astropy_reads(folder, image, kind, data):
    raw, cards = image
    path = save(folder, lambda extension: image_bytes(raw, extension=extension, **cards), kind)
    frame = one(path)
    count, width = math.prod(raw.shape[:-1]), raw.shape[-1]
    start = data.draw(st.integers(0, count - 1))
    stop = data.draw(st.integers(start + 1, count))
    buffer = data.draw(st.sampled_from([None, np.empty(count * frame.row_bytes + 3, np.uint8)]))
    samples = frame.read(start, stop, buffer)
    got, invalid = values_of(samples, frame.dtype)
    whole = frame.whole()
    assert whole.shape == raw.shape
    np.testing.assert_array_equal(whole.mask.reshape(count, width)[start:stop], invalid)
    assert samples.data.shape == (stop - start, width)
    assert buffer is None or np.shares_memory(samples.data, buffer)
    # BLANK is not compared with astropy, which fails if it is 0 or integers are unsigned.
    blank = np.zeros(raw.shape, bool) if "BLANK" not in cards else raw == cards.pop("BLANK")
    path = save(folder, lambda extension: image_bytes(raw, extension=extension, **cards), kind)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = expected_values(path, frame.image.hdu.index).astype(frame.dtype)
    expected, blank = (array.reshape(count, width)[start:stop] for array in (expected, blank))
    np.testing.assert_array_equal(invalid, blank | ~np.isfinite(expected))
    np.testing.assert_array_equal(got[~invalid], expected[~invalid])


@given(
    raw=hnp.arrays(
        st.sampled_from(["u1", "i2", "u2", "i4", "u4", "f4", "f8"]),
        hnp.array_shapes(min_dims=1, max_dims=3, max_side=9),
    ),
    data=st.data(),
)
def test_rows_of_tiles_are_what_astropy_reads(folder, raw, data):
    tile = tuple(data.draw(st.integers(1, length)) for length in raw.shape)
    path = folder / "tiles.fits.fz"
    codecs = ["GZIP_1", "GZIP_2", "NOCOMPRESS"] + ["RICE_1"] * (raw.dtype.kind != "f")
    codec = data.draw(st.sampled_from(codecs))
    hdu = fits.CompImageHDU(raw, compression_type=codec, tile_shape=tile, quantize_level=0)
    hdu.writeto(path, overwrite=True)
    frame = one(path)
    count = math.prod(raw.shape[:-1])
    start = data.draw(st.integers(0, count - 1))
    stop = data.draw(st.integers(start + 1, count))
    got, invalid = values_of(frame.read(start, stop), frame.dtype)
    expected = raw.reshape(count, -1)[start:stop].astype(frame.dtype)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(invalid, ~np.isfinite(expected))


@pytest.mark.parametrize("kind", ["u1", "i2", "i4"])
def test_blank_of_tiles_is_invalid(folder, kind):
    raw = np.arange(30, dtype=kind).reshape(5, 6)
    hdu = fits.CompImageHDU(raw)
    hdu.header["BLANK"] = 17
    hdu.writeto(folder / "blank.fits", overwrite=True)
    np.testing.assert_array_equal(one(folder / "blank.fits").whole().mask, raw == 17)


def test_bytes_are_handed_on_as_they_lie_in_the_file(folder):
    raw = np.arange(12, dtype="i2").reshape(3, 4)
    path = save(folder, lambda extension: image_bytes(raw, BZERO=32768), "plain")
    samples = one(path).read(1, 3)
    assert samples.data.dtype == np.dtype(">i2")
    assert (samples.bscale, samples.bzero, samples.blank) == (1, 32768, None)
    assert samples.data.tobytes() == path.read_bytes()[2880 + 8 : 2880 + 24]


def test_small_unsigned_64_bit_integers_keep_every_digit(folder):
    values = np.array([[0, 1, 2, 3, 2**53]], np.uint64)
    raw = (values ^ np.uint64(2**63)).view("i8")
    path = save(
        folder, lambda extension: image_bytes(raw, BZERO=2**63, BLANK=-(2**63) + 2), "plain"
    )
    np.testing.assert_array_equal(one(path).whole().data, values.astype("f8"))
    np.testing.assert_array_equal(one(path).whole().mask, values == 2)


@pytest.mark.parametrize("kind", SIGN_BIT)
@pytest.mark.parametrize("end", ["min", "max"])
def test_blank_may_be_the_lowest_or_highest_of_its_type(folder, kind, end):
    blank = int(getattr(np.iinfo(kind), end))
    raw = np.array([[blank, 1, 2]], kind)
    path = save(folder, lambda extension: image_bytes(raw, BLANK=blank), "plain")
    assert one(path).whole().mask.tolist() == [[True, False, False]]


@pytest.mark.parametrize("blank", [0, 0.5, "none"])
def test_floats_have_no_blank(folder, blank):
    raw = np.zeros((2, 3), "f4")
    frame = one(save(folder, lambda extension: image_bytes(raw, BLANK=blank), "plain"))
    assert frame.read(0, 2).blank is None
    assert not frame.whole().mask.any()


def test_64_bit_integers_under_a_factor_are_not_unsigned(folder):
    raw = np.array([[-(2**62), 0, 2**62]])
    path = save(folder, lambda extension: image_bytes(raw, BSCALE=2.0, BZERO=2**63), "plain")
    assert one(path).whole().data.tolist() == [[0, 2.0**63, 2.0**64]]


@pytest.mark.parametrize("kind", RAW)
def test_samples_are_compared_in_a_dtype_that_holds_them(folder, kind):
    path = save(folder, lambda extension: image_bytes(np.ones((2, 2), kind)), "plain")
    assert one(path).dtype == ("f4" if kind in ("u1", "i2", "f4") else "f8")


def test_a_gzip_stream_is_read_onward_and_backward(folder):
    raw = np.arange(4000, dtype="i4").reshape(400, 10)
    frame = one(save(folder, lambda extension: image_bytes(raw), "gzip"))
    for start in (0, 100, 101, 399, 7, 7):
        np.testing.assert_array_equal(frame.read(start, start + 1).data, raw[start : start + 1])


def test_a_gzip_stream_is_read_to_its_end_once(folder):
    """The checksum includes the data after the image, which would take as long each time."""
    raw = np.arange(6, dtype="i4").reshape(2, 3)
    behind = image_bytes(np.zeros((60, 60)), extension=True)
    frame = one(save(folder, lambda extension: image_bytes(raw) + behind, "gzip"))
    stops = []
    for _ in range(2):
        frame.read(0, 2)
        stops.append(frame.image._streams[-1].tell())
    assert stops == [2 * 2880 + len(behind), 2880 + raw.nbytes]


@pytest.mark.parametrize("kind", KINDS)
def test_threads_may_read_one_frame_at_once(folder, kind):
    raw = np.arange(4000, dtype="i4").reshape(400, 10)
    frame = _frame_of(folder, raw, kind)
    starts = list(range(0, 400, 20)) * 2
    with ThreadPoolExecutor(4) as pool:
        for start, samples in zip(
            starts, pool.map(lambda start: frame.read(start, start + 20), starts), strict=True
        ):
            np.testing.assert_array_equal(samples.data, raw[start : start + 20])


def _frame_of(folder, raw, kind):
    if kind != "tiles":
        return one(save(folder, lambda extension: image_bytes(raw, extension=extension), kind))
    fits.CompImageHDU(raw).writeto(folder / "frame.fits.fz", overwrite=True)
    return one(folder / "frame.fits.fz")


# Limits on memory and open files


def test_two_rows_of_a_huge_file_cost_two_rows(tmp_path):
    width, rows = 1 << 16, 1 << 14
    path = tmp_path / "huge.fits"
    path.write_bytes(image_header("f4", (rows, width)))
    os.truncate(path, 2880 + width * rows * 4)
    with traced() as taken:
        samples = one(path).read(rows - 2, rows)
    assert samples.data.shape == (2, width)
    assert taken.peak < 2 * 2 * width * 4 + 500_000, "500 kB are for headers and Python itself"


@pytest.mark.parametrize("kind", ["gzip", "tiles"])
def test_two_rows_of_a_large_compressed_file_cost_little(tmp_path, kind):
    raw = np.zeros((2000, 5000), "i2")
    frame = _frame_of(tmp_path, raw, kind)
    with traced() as taken:
        frame.read(1500, 1502)
    assert taken.peak < raw.nbytes / 10


MANY = """
import resource, sys
from gpustack.frames import open_frames
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
plain, packed, tiles = sys.argv[1:]
frames = open_frames([plain, packed, tiles] * 70, unit="adu")
for start in (0, 5):
    total = sum(int(frame.read(start, start + 5).data.sum()) for frame in frames)
    print(len(frames), total)
"""


def test_more_frames_than_open_files_are_allowed(tmp_path):
    pytest.importorskip("resource", reason="the limit of open files is a Unix thing")
    raw = np.ones((10, 4), "i2")
    (tmp_path / "a.fits").write_bytes(image_bytes(raw))
    (tmp_path / "b.fits.gz").write_bytes(gzip.compress(image_bytes(raw)))
    fits.CompImageHDU(raw).writeto(tmp_path / "c.fits.fz")
    done = subprocess.run(
        [sys.executable, "-c", MANY, *sorted(map(str, tmp_path.iterdir()))],
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n") == ["210 4200", "210 4200", ""]


# Real files


def test_real_files_are_read_as_astropy_reads_them(real_data):
    paths = sorted(path for path in real_data.rglob("*.f*it*"))
    assert len(paths) > 100
    for path in paths:
        frame = one(path)
        whole = frame.whole()
        expected = expected_values(path, frame.image.hdu.index)
        np.testing.assert_array_equal(whole.data, expected.astype(frame.dtype), str(path))
        np.testing.assert_array_equal(whole.mask, ~np.isfinite(expected), str(path))
        middle = frame.shape[0] // 2
        got, _ = values_of(frame.read(middle, middle + 3), frame.dtype)
        np.testing.assert_array_equal(got, whole.data[middle : middle + 3], str(path))


def test_real_tiles_compressed_once_more_by_gzip(real_data, tmp_path):
    source = real_data / "fpack_misc" / "m13_rice.fits"
    path = tmp_path / "twice.fits.fz.gz"
    path.write_bytes(gzip.compress(source.read_bytes()))
    np.testing.assert_array_equal(one(path).whole(), one(source).whole())


@pytest.mark.parametrize("codec", ["RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1", "PLIO_1"])
def test_threads_that_decompress_at_once_get_what_one_gets(tmp_path, codec):
    raw = np.random.default_rng(5).integers(0, 900, (200, 300)).astype("i2")
    paths = [tmp_path / f"{i}.fits.fz" for i in range(2)]
    for path in paths:
        fits.CompImageHDU(raw, compression_type=codec, tile_shape=(50, 300)).writeto(path)
    frames = [one(path) for path in paths]
    with ThreadPoolExecutor(4) as pool:
        read = pool.map(lambda i: frames[i % 2].read(0, 200).data, range(60))
        assert all(np.array_equal(rows, raw) for rows in read)


UNITS = {
    "electrons/s": "electron / s", "counts": "count", "e-": "electron", "DN/sec": "DN / s",
    "Photons": "photon", "ADU/s": "adu / s", "ELECTRONS": "electron", "COUNTS/S": "count / s",
    "DN sec-1": "DN / s", "DN/S": "DN / S", "E-/S": "electron / s", "electron s-1": "electron / s",
}  # fmt: skip


@pytest.mark.parametrize(("said", "meant"), UNITS.items(), ids=UNITS)
def test_units_in_the_words_of_cameras(tmp_path, said, meant):
    fits.writeto(tmp_path / "a.fits", np.ones((2, 3)), fits.Header({"BUNIT": said}))
    (frame,) = open_frames(tmp_path / "a.fits")
    assert frame.unit == units.Unit(meant)
    (frame,) = open_frames([np.ones((2, 3))], unit=said)
    assert frame.unit == units.Unit(meant)


def test_an_hdu_says_where_its_data_are():
    with pytest.raises(FrameError, match=r"got PrimaryHDU; pass its \.data, a numpy array"):
        open_frames([fits.PrimaryHDU(np.ones((2, 3)))])


@pytest.mark.parametrize("said", ["Counts H", "COUNTS/M2", "flux", "e-2"])
def test_units_that_might_be_others(tmp_path, said):
    fits.writeto(tmp_path / "a.fits", np.ones((2, 3)), fits.Header({"BUNIT": said}))
    with pytest.raises(FrameError, match="expected a unit that astropy knows"):
        open_frames(tmp_path / "a.fits")
