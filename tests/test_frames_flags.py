"""Integer masks read by their bits: MASK and DQ extensions, the mask and flags of CCDData."""

import gzip

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, FlagCollection, NDData
from astropy.nddata.bitmask import bitfield_to_boolean_mask
from astropy.utils.masked import Masked
from click.testing import CliRunner
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import gpustack
from fitsmaker import image_bytes, image_header
from gpustack import Flags, stack
from gpustack.cli import cli
from gpustack.errors import FrameError, InputError
from gpustack.frames import open_frames
from gpustack.header import read_recipe
from parity import ccdproc

TYPES = ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8"]
KINDS = ["plain", "gzip", "tiles"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("flags")


def one(item, **options):
    (frame,) = open_frames([item], unit="adu", **options)
    return frame


def save(folder, bits, kind="plain", name="DQ"):
    """Write a file of an image and its integer mask; return its path."""
    image = np.ones(bits.shape, "f4")
    hdus = [fits.ImageHDU(image, name="SCI"), fits.ImageHDU(bits, name=name)]
    if kind == "tiles":
        options = {"compression_type": "GZIP_1", "quantize_level": 0}
        hdus = [fits.CompImageHDU(hdu.data, hdu.header, name=hdu.name, **options) for hdu in hdus]
    path = folder / "frame.fits"
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path, overwrite=True)
    if kind == "gzip":
        path.write_bytes(gzip.compress(path.read_bytes(), 1))
    return path


def marked(bits, flags):
    """The mask that `flags` select, computed with Python integers."""
    size = 8 * bits.itemsize
    counted = [
        (int(value) % 2**size) & (flags.bad if flags.bad is not None else ~(flags.good or 0))
        for value in bits.ravel()
    ]
    return (np.array(counted, object) != 0).reshape(bits.shape)


def test_the_definition_is_that_of_astropy():
    bits = np.arange(64, dtype="u2").reshape(8, 8)
    for number in (0, 1, 6, 12, 63, 64):
        ignoring = bitfield_to_boolean_mask(bits, ignore_flags=number)
        using = bitfield_to_boolean_mask(bits, ignore_flags=number, flip_bits=True)
        np.testing.assert_array_equal(marked(bits, Flags(good=number)), ignoring)
        np.testing.assert_array_equal(marked(bits, Flags(bad=number)), using)


#: Few bits, so that masks contain some of them and not others; and the sign bits.
NUMBERS = st.one_of(st.integers(0, 31), st.sampled_from([7, 15, 31, 63]).map(lambda n: 1 << n))
FLAGS = st.one_of(
    st.just(Flags()),
    st.builds(Flags, bad=NUMBERS),
    st.builds(Flags, good=NUMBERS),
)
SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, max_side=6)


@st.composite
def masks(draw, types=TYPES):
    """Integers made of a few low bits and the highest bit."""
    dtype = np.dtype(draw(st.sampled_from(types)))
    unsigned = np.dtype(f"u{dtype.itemsize}")
    top = 1 << (8 * dtype.itemsize - 1)
    some = st.builds(lambda low, high: low | high * top, st.integers(0, 15), st.booleans())
    return draw(hnp.arrays(unsigned, draw(SHAPES), elements=some)).view(dtype)


def assert_flagged(frame, bits, flags, start, stop):
    """Assert that a frame returns these bits, and the mask that `flags` select of them."""
    flat = bits.reshape(-1, bits.shape[-1])
    assert frame.masked
    assert frame.flags_dtype is not None
    got = frame.read_flags(start, stop)
    assert got.dtype.newbyteorder("=") == frame.flags_dtype
    assert got.dtype == bits.dtype.newbyteorder("=")
    np.testing.assert_array_equal(got, flat[start:stop])
    samples = frame.read(start, stop)
    assert samples.mask.dtype == bool
    np.testing.assert_array_equal(samples.mask, marked(flat, flags)[start:stop])
    np.testing.assert_array_equal(frame.whole().mask, marked(bits, flags))


@given(
    bits=masks(),
    flags=FLAGS,
    kind=st.sampled_from(KINDS),
    name=st.sampled_from(["MASK", "DQ"]),
    data=st.data(),
)
def test_bits_of_files(folder, bits, flags, kind, name, data):
    assume(name == "DQ" or bits.dtype != np.uint8)
    frame = one(save(folder, bits, kind, name), flags=flags)
    count = bits.size // bits.shape[-1]
    start = data.draw(st.integers(0, count - 1))
    stop = data.draw(st.integers(start + 1, count))
    assert_flagged(frame, bits, flags, start, stop)
    buffer = np.empty((stop - start) * frame.row_bytes, np.uint8)
    mask = marked(bits.reshape(count, -1), flags)[start:stop]
    np.testing.assert_array_equal(frame.read(start, stop, buffer).mask, mask)


@pytest.mark.parametrize("flags", [Flags(bad=4), Flags(good=1)])
def test_a_mask_of_bools_that_a_ccddata_wrote_has_no_bits(folder, flags):
    mask = np.array([[True, False, False]])
    path = folder / "bools.fits"
    CCDData(np.ones(mask.shape), unit="adu", mask=mask).write(path, overwrite=True)
    beside = save(folder, np.array([[0, 1, 4]], "i2"))
    bools, bits = open_frames([path, beside], unit="adu", flags=flags)
    assert bools.flags_dtype is None
    assert bits.flags_dtype is not None
    np.testing.assert_array_equal(bools.whole().mask, mask)
    np.testing.assert_array_equal(bits.whole().mask, [[False, False, True]])
    with pytest.raises(InputError, match="flags"):
        stack([path, path], flags=flags)


@given(bits=masks(), flags=FLAGS, swapped=st.booleans(), data=st.data())
def test_bits_of_arrays(bits, flags, swapped, data):
    if swapped:
        bits = bits.astype(bits.dtype.newbyteorder())
    bits = bits.transpose(data.draw(st.permutations(range(bits.ndim))))
    before = bits.copy()
    frame = one(NDData(np.ones(bits.shape), mask=bits), flags=flags)
    count = bits.size // bits.shape[-1]
    start = data.draw(st.integers(0, count - 1))
    flat = bits.reshape(count, -1)
    np.testing.assert_array_equal(frame.read_flags(start, count), flat[start:])
    np.testing.assert_array_equal(frame.read(start, count).mask, marked(flat, flags)[start:])
    np.testing.assert_array_equal(bits, before)


DQ = np.array([[0, 1, 2], [4, 8, 12]], "u2")


@pytest.mark.parametrize(
    ("mask", "own", "expected"),
    [
        (None, DQ, DQ == 4),
        (DQ == 1, DQ, (DQ == 4) | (DQ == 1)),
        (DQ, DQ * 2, (DQ != 0) | (DQ == 2)),
    ],
    ids=["flags", "mask and flags", "mask that became bool"],
)
def test_a_ccddata_has_its_bits_in_flags_and_a_mask_beside_them(mask, own, expected):
    ccd = CCDData(np.ones((2, 3)), unit="adu", mask=mask, flags=own)
    frame = one(ccd, flags=Flags(bad=4))
    np.testing.assert_array_equal(frame.read(0, 2).mask, expected | (own & 4 != 0))
    assert frame.row_bytes == 3
    assert np.shares_memory(frame.read_flags(0, 2), ccd.flags)


def test_a_number_is_the_mask_of_all_samples():
    for flags, masked in ((Flags(bad=4), True), (Flags(good=4), False)):
        frame = one(NDData(np.ones((2, 3)), mask=4), flags=flags)
        np.testing.assert_array_equal(frame.read_flags(0, 2), np.full((2, 3), 4))
        np.testing.assert_array_equal(frame.read(0, 2).mask, np.full((2, 3), masked))


def test_without_flags_a_ccddata_has_its_mask_alone():
    frame = one(CCDData(np.ones((2, 3)), unit="adu", mask=DQ == 1, flags=DQ))
    np.testing.assert_array_equal(frame.read(0, 2).mask, DQ == 1)
    np.testing.assert_array_equal(frame.read_flags(0, 2), DQ)
    unmasked = one(CCDData(np.ones((2, 3)), unit="adu", flags=DQ))
    assert not unmasked.masked
    assert unmasked.read(0, 2).mask is None


def test_blank_bits_are_invalid_whatever_they_are(tmp_path):
    raw = np.array([[0, 1, 2, 3]], "i2")
    for bzero in (None, 32768):
        mask = image_bytes(raw, extension=True, EXTNAME="DQ", BLANK=1, BZERO=bzero)
        path = tmp_path / "blank.fits"
        path.write_bytes(image_bytes(np.ones((1, 4), "i2")) + mask)
        got = one(path, flags=Flags(bad=2)).read(0, 1).mask
        np.testing.assert_array_equal(got, [[False, True, True, True]])


# Which extension


def mef(path, *planes):
    """Write a file of planes (name, EXTVER, values) and return its path; None omits EXTVER."""
    hdus = [fits.ImageHDU(np.asarray(v), name=name, ver=ver) for name, ver, v in planes]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path, overwrite=True)
    return path


ONES = np.ones((2, 3), "f4")


def test_dq_masks_the_image_with_its_extver(tmp_path):
    path = mef(
        tmp_path / "a.fits",
        *[("SCI", 1, ONES), ("DQ", 1, DQ), ("VAR", 1, ONES)],
        *[("SCI", 2, ONES), ("DQ", 2, DQ * 2), ("VAR", 2, ONES)],
        ("SCI", 3, ONES),
    )
    for version, bits in ((1, DQ), (2, DQ * 2)):
        frame = one(path, hdu=("SCI", version))
        np.testing.assert_array_equal(frame.read_flags(0, 2), bits)
        np.testing.assert_array_equal(frame.read(0, 2).mask, bits != 0)
    assert not one(path, hdu=("SCI", 3)).masked
    np.testing.assert_array_equal(one(path, hdu=("VAR", 2)).read_flags(0, 2), DQ * 2)


def test_mask_goes_before_dq_and_neither_masks_the_other(tmp_path, caplog):
    caplog.set_level("DEBUG", "astropy.gpustack")
    path = mef(tmp_path / "a.fits", ("DQ", None, DQ), ("MASK", None, DQ * 2), ("SCI", None, ONES))
    frame = one(path)
    assert frame.image.hdu.name == "SCI"
    np.testing.assert_array_equal(frame.read_flags(0, 2), DQ * 2)
    for name in ("DQ", "MASK"):
        assert not one(path, hdu=name).masked
    assert "ignoring" not in caplog.text


def test_a_mask_of_another_image_does_not_hide_dq(tmp_path):
    planes = [("SCI", 1, ONES), ("MASK", 2, DQ * 2), ("DQ", 1, DQ)]
    path = mef(tmp_path / "a.fits", *planes)
    np.testing.assert_array_equal(one(path).read_flags(0, 2), DQ)


def test_dq_of_another_shape(tmp_path):
    path = mef(tmp_path / "a.fits", ("SCI", None, ONES), ("DQ", None, DQ[:1]))
    with pytest.raises(FrameError, match=r"a\.fits: DQ extension: .*\(2, 3\), got \(1, 3\)"):
        one(path)


def test_dq_of_a_terabyte_is_refused_before_anything_is_allocated(tmp_path):
    path = tmp_path / "a.fits"
    huge = image_header("i2", (1 << 20, 1 << 20), extension=True, EXTNAME="DQ")
    path.write_bytes(image_bytes(np.ones((2, 3), "i2")) + huge)
    with pytest.raises(FrameError, match=r"cut off in the data of HDU 1: expected 2,199,023"):
        one(path)


def test_code_for_ccdproc_does_not_see_dq(tmp_path):
    names = []
    for number in range(3):
        path = mef(tmp_path / f"{number}.fits", ("SCI", None, ONES * number), ("DQ", None, DQ))
        names.append(str(path))
    theirs, ours = (package.combine(names, unit="adu") for package in (ccdproc, gpustack))
    np.testing.assert_array_equal(ours.data, theirs.data)
    assert not ours.mask.any()


# What has no bits


@pytest.mark.parametrize("name", ["MASK", "DQ"])
@pytest.mark.parametrize(
    ("raw", "cards", "got"),
    [
        (np.zeros((2, 3), "f4"), {}, "float32 with BSCALE 1 and BZERO 0"),
        (np.zeros((2, 3), "i2"), {"BSCALE": 0.5}, "int16 with BSCALE 0.5 and BZERO 0"),
        (np.zeros((2, 3), "i2"), {"BZERO": 1}, "int16 with BSCALE 1 and BZERO 1"),
    ],
)
def test_masks_of_files_without_bits(tmp_path, name, raw, cards, got):
    path = tmp_path / "a.fits"
    mask = image_bytes(raw, extension=True, EXTNAME=name, **cards)
    path.write_bytes(image_bytes(np.ones((2, 3), "i2")) + mask)
    frame = one(path)
    assert frame.masked
    assert frame.flags_dtype is None
    assert one(path, flags=Flags()).whole().mask.any() == ("BZERO" in cards)
    with pytest.raises(FrameError, match=rf"a\.fits: {name} extension: expected int.*bad=4.*{got}"):
        one(path, flags=Flags(bad=4))
    with pytest.raises(FrameError, match=r"flags: expected integers in .* MASK or DQ .*got HDUs"):
        frame.read_flags(0, 1)


MASKED = {
    "bool": NDData(ONES, mask=ONES > 0),
    "float": NDData(ONES, mask=ONES),
    "bool and flags of floats": CCDData(ONES, unit="adu", mask=ONES > 0, flags=ONES),
    "bool and named flags": CCDData(ONES, unit="adu", mask=ONES > 0,
                                    flags=FlagCollection(shape=(2, 3))),
    "MaskedArray": np.ma.MaskedArray(ONES, ONES > 0),
    "Masked": Masked(ONES, ONES > 0),
}  # fmt: skip


@pytest.mark.parametrize("item", MASKED.values(), ids=MASKED)
def test_masks_in_memory_without_bits(item):
    frame = one(item, flags=Flags())
    assert frame.flags_dtype is None
    assert frame.read(0, 2).mask.all()
    with pytest.raises(FrameError, match=r"frame 0: mask: .* which flags good=3 need"):
        one(item, flags=Flags(good=3))
    with pytest.raises(FrameError, match=r"frame 0: flags: expected CCDData .*, got none"):
        frame.read_flags(0, 1)


def test_frames_without_a_mask_are_taken_as_they_are_but_not_all(tmp_path):
    bits = CCDData(ONES, unit="adu", flags=DQ)
    frames = open_frames([CCDData(ONES, unit="adu"), bits], flags=Flags(bad=4))
    assert [frame.masked for frame in frames] == [False, True]
    (tmp_path / "a.fits").write_bytes(image_bytes(np.ones((2, 3), "i2"), BUNIT="adu"))
    for items in ([ONES, ONES], [tmp_path / "a.fits"] * 2):
        with pytest.raises(InputError, match=r"flags bad=4: expected .*MASK or DQ.*got none in 2"):
            open_frames(items, flags=Flags(bad=4))
    frame = one(tmp_path / "a.fits")
    with pytest.raises(FrameError, match=r"flags: .*EXTVER 1 or none, got HDUs 0 PRIMARY image"):
        frame.read_flags(0, 1)


@pytest.mark.parametrize("flags", ["4,8", 12, {"bad": 4}])
def test_flags_that_are_none(flags):
    with pytest.raises(InputError, match=r"flags: expected Flags\(bad=...\) or .*, got"):
        open_frames([ONES], flags=flags)


# Stacks


def test_a_stack_heeds_the_bits_and_says_so(tmp_path):
    names = []
    for number in range(3):
        bits = DQ if number == 2 else DQ * 0
        planes = [("SCI", None, ONES * number), ("DQ", None, bits)]
        names.append(mef(tmp_path / f"{number}.fits", *planes))
    all_bits = stack(names, unit="adu")
    np.testing.assert_array_equal(all_bits.count, 3 - (DQ != 0))
    assert not any("flags" in line for line in all_bits.header["HISTORY"])
    for flags, line in ((Flags(bad=4), "flags: bad=4"), (Flags(good="1,2,8"), "flags: good=11")):
        result = stack(names, unit="adu", flags=flags)
        np.testing.assert_array_equal(result.count, 3 - marked(DQ, flags))
        assert any(text.startswith(line) for text in result.header["HISTORY"])
        assert read_recipe(result.header) == result.recipe


@pytest.mark.parametrize("word", ["--bad-bits", "--good-bits"])
def test_the_command_line(tmp_path, word):
    for number in range(3):
        mef(tmp_path / f"{number}.fits", ("SCI", None, ONES * number), ("DQ", None, DQ))
    out = tmp_path / "out.fits"
    files = [str(tmp_path / f"{number}.fits") for number in range(3)]
    words = ["combine", *files, "-o", str(out), "--unit", "adu", word, "4|8"]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0
    flags = Flags(**{word[2:].partition("-")[0]: 12})
    np.testing.assert_array_equal(fits.getdata(out, "MASK") != 0, marked(DQ, flags))


def test_a_bad_pixel_mask_beside_the_image(folder):
    """The pipeline of Las Cumbres Observatory writes such masks."""
    bits = np.array([[0, 1, 4]], np.uint8)
    images = [fits.ImageHDU(np.ones(bits.shape, "f4"), name="SCI"), fits.ImageHDU(bits, name="BPM")]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(folder / "bpm.fits")
    frame = one(folder / "bpm.fits")
    np.testing.assert_array_equal(frame.whole().mask, bits != 0)
    frame = one(folder / "bpm.fits", flags=Flags(bad=4))
    np.testing.assert_array_equal(frame.whole().mask, bits == 4)
