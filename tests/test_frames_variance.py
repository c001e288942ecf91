"""Variances of frames: uncertainties of CCDData, and extensions beside the image in FITS files."""

import gzip
import math

import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from astropy.nddata import (
    CCDData,
    InverseVariance,
    StdDevUncertainty,
    VarianceUncertainty,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fitsmaker import empty_primary, image_bytes, image_header
from gpustack import stack
from gpustack.combiner.rows import RowsFrame
from gpustack.errors import FrameError
from gpustack.frames import FrameSource, open_frames
from opened import one
from traced import traced

CLASSES = {"std": StdDevUncertainty, "var": VarianceUncertainty, "ivar": InverseVariance}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("variance")


def whole(frame):
    """The variances of all rows, in the shape of the frame."""
    return frame.read_variance(0, math.prod(frame.shape[:-1])).reshape(frame.shape)


def variance(kind, values):
    """The variances for uncertainties of this kind, computed number by number."""

    def of(value):
        if kind == "std":
            return value * abs(value) + 0.0
        if kind == "ivar":
            return 1 / value if value else math.inf
        return value

    flat = [of(float(value)) for value in np.asarray(values).ravel()]
    return np.array(flat, np.float64).reshape(np.shape(values))


@pytest.mark.parametrize("kind", CLASSES)
def test_the_definition_is_that_of_astropy_where_it_makes_sense(kind):
    values = np.array([0.25, 1, 2.5, 3e4, np.inf, np.nan])
    expected = CLASSES[kind](values).represent_as(VarianceUncertainty).array
    np.testing.assert_array_equal(variance(kind, values), expected)


#: Unusual values that occur in the uncertainties of pipelines.
ODD = [0.0, -0.0, np.nan, np.inf, -np.inf, -1.0, -0.125]
NUMBERS = st.one_of(st.sampled_from(ODD), st.floats(2.0**-10, 2.0**20, width=32))
SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, max_side=5)
KINDS = st.sampled_from(list(CLASSES))
ARRAYS = hnp.arrays(st.sampled_from(["f4", "f8"]), SHAPES, elements=NUMBERS)
INTEGERS = hnp.arrays(st.sampled_from(["u1", "i2", "u2", "i4"]), SHAPES)


def assert_rows(frame, expected, data):
    """Assert that all rows of the frame, and any part of them, have this variance."""
    assert frame.has_variance
    np.testing.assert_array_equal(whole(frame), expected)
    count = math.prod(frame.shape[:-1])
    start = data.draw(st.integers(0, count - 1))
    stop = data.draw(st.integers(start + 1, count))
    got = frame.read_variance(start, stop)
    assert got.dtype == np.float64
    assert got.dtype.isnative
    assert got.flags.owndata or got.base.flags.owndata
    np.testing.assert_array_equal(got, expected.reshape(count, -1)[start:stop])
    one_by_one = [frame.read_variance(row, row + 1) for row in range(count)]
    np.testing.assert_array_equal(np.concatenate(one_by_one).reshape(frame.shape), expected)


@given(values=ARRAYS | INTEGERS, kind=KINDS, swapped=st.booleans(), data=st.data())
def test_variances_of_ccddata(values, kind, swapped, data):
    if swapped:
        values = values.astype(values.dtype.newbyteorder())
    values = values.transpose(data.draw(st.permutations(range(values.ndim))))
    before = values.copy()
    uncertainty = CLASSES[kind](values, copy=False)
    frame = one(CCDData(np.ones(values.shape), unit="adu", uncertainty=uncertainty))
    assert_rows(frame, variance(kind, values), data)
    np.testing.assert_array_equal(values, before)


def packed(path, hdus, kind):
    """Write HDUs plain, gzip-compressed or tile-compressed."""
    if kind == "tiles":
        options = {"compression_type": "GZIP_1", "quantize_level": 0}
        tiles = [
            fits.CompImageHDU(hdu.data, hdu.header, name=hdu.name or "SCI", **options)
            for hdu in hdus
        ]
        hdus = fits.HDUList([fits.PrimaryHDU(), *tiles])
    hdus.writeto(path, overwrite=True)
    if kind == "gzip":
        path.write_bytes(gzip.compress(path.read_bytes(), 1))
    return path


@given(
    values=ARRAYS | INTEGERS,
    kind=KINDS,
    how=st.sampled_from(["plain", "gzip", "tiles"]),
    masked=st.booleans(),
    data=st.data(),
)
def test_variances_of_files_that_ccddata_wrote(folder, values, kind, how, masked, data):
    image = np.ones(values.shape, "f4")
    mask = image > 0 if masked else None
    ccd = CCDData(image, unit="adu", mask=mask, uncertainty=CLASSES[kind](values))
    frame = one(packed(folder / "frame.fits", ccd.to_hdu(), how))
    assert_rows(frame, variance(kind, values), data)
    np.testing.assert_array_equal(frame.whole().data, image)
    assert frame.whole().mask.all() == masked


@pytest.mark.parametrize("kind", CLASSES)
def test_as_ccddata_reads_it(tmp_path, kind):
    values = np.linspace(0.5, 3, 6).reshape(2, 3)
    CCDData(values, unit="adu", uncertainty=CLASSES[kind](values)).write(tmp_path / "a.fits")
    theirs = CCDData.read(tmp_path / "a.fits").uncertainty.represent_as(VarianceUncertainty)
    np.testing.assert_array_equal(whole(one(tmp_path / "a.fits")), theirs.array)
    fits.delval(tmp_path / "a.fits", "UTYPE", "UNCERT")
    theirs = CCDData.read(tmp_path / "a.fits").uncertainty
    assert theirs.uncertainty_type == "std"
    np.testing.assert_array_equal(whole(one(tmp_path / "a.fits")), theirs.array**2)


@given(
    raw=hnp.arrays(st.sampled_from(["u1", "i2", "i4", "f4", "f8"]), (3, 4),
                   elements=st.integers(0, 100)),
    scale=st.sampled_from([None, 0.5, 0.1, -2.0]),
    zero=st.sampled_from([None, 17.25, 32768]),
    blank=st.none() | st.integers(0, 100),
    kind=KINDS,
)  # fmt: skip
def test_variances_of_scaled_and_blank_integers(folder, raw, scale, zero, blank, kind):
    blank = None if raw.dtype.kind == "f" else blank
    cards = {"EXTNAME": "UNCERT", "UTYPE": CLASSES[kind].__name__}
    content = image_bytes(raw, extension=True, BSCALE=scale, BZERO=zero, BLANK=blank, **cards)
    path = folder / "scaled.fits"
    path.write_bytes(image_bytes(np.ones((3, 4), "i2")) + content)
    values = raw.astype(float) * (1 if scale is None else scale) + (zero or 0)
    values[raw == (-1 if blank is None else blank)] = np.nan
    np.testing.assert_array_equal(whole(one(path, unit="adu")), variance(kind, values))


def test_what_is_negative_stays_so_that_it_can_be_left_out():
    values = np.array([[-2.0, -0.0, 0.0, np.nan, np.inf, -np.inf]])
    expected = {
        "std": [-4, 0, 0, np.nan, np.inf, -np.inf],
        "var": [-2, 0, 0, np.nan, np.inf, -np.inf],
        "ivar": [-0.5, np.inf, np.inf, np.nan, 0, 0],
    }
    for kind, variances in expected.items():
        ccd = CCDData(np.ones((1, 6)), unit="adu", uncertainty=CLASSES[kind](values))
        np.testing.assert_array_equal(whole(one(ccd)), [variances])


def test_a_number_is_that_of_all_samples():
    ccd = CCDData(np.ones((2, 3)), unit="adu", uncertainty=StdDevUncertainty([[2.0] * 3] * 2))
    ccd.uncertainty.array = 0.5
    np.testing.assert_array_equal(whole(one(ccd)), np.full((2, 3), 0.25))


# Units

JY, MJY = units.Jy, units.mJy


@pytest.mark.parametrize(
    ("kind", "unit", "factor"),
    [("std", MJY, 1e-6), ("var", MJY**2, 1e-6), ("ivar", MJY**-2, 1e-6), ("std", JY, 1)],
)
@pytest.mark.parametrize("given_", [None, "adu"])
def test_variances_are_converted_to_the_unit_of_the_samples(kind, unit, factor, given_):
    """With `unit=`, the numbers of both samples and variances stay the same."""
    uncertainty = CLASSES[kind](np.full((2, 3), 4.0), unit=unit)
    frame = one(CCDData(np.ones((2, 3)), unit=JY, uncertainty=uncertainty), unit=given_)
    expected = factor * variance(kind, np.full((2, 3), 4.0))
    np.testing.assert_allclose(whole(frame), expected, rtol=1e-14)  # a product of factors


@pytest.mark.parametrize(
    ("bunit", "name", "bunit_beside", "expected"),
    [
        ("Jy", "ERR", "Jy", 16),
        ("Jy", "ERR", "mJy", 16e-6),
        ("Jy", "ERR", None, 16),
        ("electron", "ERR", "ELECTRONS", 16),
        ("electron", "VAR", "electron*electron", 4),
        ("electron", "VAR", "electron2", 4),
        ("electron", "VAR", "electron", 4),
        ("electron", "VAR", None, 4),
        ("Jy", "VAR", "mJy2", 4e-6),
        ("ADU", "ERR", "adu", 16),
        ("Jy/s/pix", "VAR", "mJy2/s/s/pix2", 4e-6),
        ("bananas", "ERR", "bananas", 16),
        ("bananas", "ERR", "electron", 16),
        ("Jy", "UNCERT", "mJy", 16e-6),
    ],
)
def test_units_of_extensions(tmp_path, bunit, name, bunit_beside, expected):
    """Units as pipelines write them; a copy of the image's unit stands for the right one."""
    beside = image_bytes(np.full((2, 3), 4, "i2"), extension=True, EXTNAME=name, BUNIT=bunit_beside)
    path = tmp_path / "a.fits"
    path.write_bytes(image_bytes(np.ones((2, 3), "i2"), BUNIT=bunit) + beside)
    for given_ in ("electron",) if bunit == "bananas" else (None, "adu"):
        # With `unit=`, the numbers of both samples and variances stay the same.
        np.testing.assert_allclose(whole(one(path, unit=given_)), expected, rtol=1e-14)


def test_an_image_has_its_unit_from_the_primary_header_too(tmp_path):
    beside = [
        image_bytes(np.full((2, 3), 4, "i2"), extension=True, EXTNAME=name, BUNIT=bunit)
        for name, bunit in (("SCI", None), ("VAR", "adu"))
    ]
    path = tmp_path / "a.fits"
    path.write_bytes(empty_primary(BUNIT="adu") + b"".join(beside))
    np.testing.assert_array_equal(whole(one(path)), 4)


def test_a_given_unit_replaces_that_of_variances_that_nobody_knows_too(tmp_path, caplog):
    """The unit of the image is unknown too, and is replaced."""
    beside = image_bytes(np.full((2, 3), 4, "i2"), extension=True, EXTNAME="VAR", BUNIT="bananas2")
    for name in "ab":
        content = image_bytes(np.ones((2, 3), "i2"), BUNIT="bananas") + beside
        (tmp_path / f"{name}.fits").write_bytes(content)
    result = stack(str(tmp_path / "*.fits"), uncertainty="propagated", unit="adu", backend="cpu")
    np.testing.assert_allclose(result.uncertainty, np.sqrt(2), rtol=1e-7)
    _, told = [record.getMessage() for record in caplog.records]
    assert "a.fits: VAR extension: using the unit that goes with adu instead of its own" in told
    assert told.endswith("'bananas2', which is unknown; the same for 1 more")


# Which extension


def planes(path, *those):
    """Write a file of constant images (name, EXTVER, value) and return its path."""
    hdus = [fits.ImageHDU(np.full((2, 3), v, "f4"), name=name, ver=ver) for name, ver, v in those]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path, overwrite=True)
    return path


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["ERR"], 4),
        (["VAR"], 2),
        (["UNCERT"], 4),
        (["ERR", "VAR"], 2),
        (["ERR", "VAR", "UNCERT"], 4),
    ],
)
def test_extensions_of_pipelines(tmp_path, names, expected):
    those = [(name, None, 2) for name in names]
    path = planes(tmp_path / "a.fits", *those, ("SCI", None, 1))
    frame = one(path, unit="adu")
    assert frame.image.hdu.name == "SCI"
    np.testing.assert_array_equal(whole(frame), np.full((2, 3), expected))
    for name in names:
        assert not one(path, unit="adu", hdu=name).has_variance


def test_of_several_the_one_of_the_image_is_taken(tmp_path):
    those = [(name, n, n) for n in (1, 2) for name in ("SCI", "VAR", "DQ")]
    path = planes(tmp_path / "a.fits", *those, ("SCI", 3, 3))
    for n in (1, 2):
        assert (whole(one(path, unit="adu", hdu=("SCI", n))) == n).all()
    frame = one(path, unit="adu", hdu=("SCI", 3))
    assert not frame.has_variance
    message = r"variance: .* UNCERT or VAR or ERR .*EXTVER 3 or none, got HDUs .*; 2 VAR image"
    with pytest.raises(FrameError, match=message):
        frame.read_variance(0, 1)


def test_planes_beside_an_image_are_not_counted_as_other_images(tmp_path, caplog):
    path = planes(tmp_path / "a.fits", *[(name, 1, 1) for name in ("SCI", "ERR", "DQ", "VAR")])
    one(path, unit="adu")
    assert "images of shape" not in caplog.text


# Sources


def test_a_source_gives_variances_where_they_are_asked_for():
    data = np.arange(24.0).reshape(2, 4, 3)
    ccds = [CCDData(d, unit="adu", uncertainty=VarianceUncertainty(d + 1)) for d in data]
    weights = np.ones((2, 4, 3))
    frames, dtype = open_frames(ccds), np.dtype("f8")
    plain = FrameSource(frames, dtype, weights)
    asking = FrameSource(frames, dtype, weights, variance=True)
    assert plain.read(1, 1, 3).variance is None
    samples = asking.read(1, 1, 3)
    np.testing.assert_array_equal(samples.variance, data[1, 1:3] + 1)
    np.testing.assert_array_equal(samples.weight, weights[1, 1:3])
    assert plain.row_bytes == asking.row_bytes == [0, 0]
    assert plain.temporary_bytes == 0
    assert asking.temporary_bytes >= 2 * 8 * 3, "float64, and what it is made of"
    assert asking.most_row_bytes > plain.most_row_bytes


def test_rows_of_a_frame_seen_through_another_dtype():
    data = np.arange(24.0).reshape(8, 3)
    mask = (data % 4).astype("i2")
    ccd = CCDData(data, unit="adu", flags=mask, uncertainty=VarianceUncertainty(data))
    part = RowsFrame(one(ccd), np.dtype("i2"), 2, 7)
    assert part.has_variance
    assert part.flags_dtype is not None
    np.testing.assert_array_equal(part.read_variance(1, 3), data[3:5])
    np.testing.assert_array_equal(part.read_flags(1, 3), mask[3:5])


def test_rows_of_a_large_file_cost_what_a_source_says(tmp_path):
    width, rows = 1 << 14, 1 << 12
    path = tmp_path / "huge.fits"
    with path.open("wb") as file:
        for name in (None, "ERR"):
            file.write(image_header("f4", (rows, width), extension=name is not None, EXTNAME=name))
            file.truncate(file.seek(-(-(file.tell() + 4 * rows * width) // 2880) * 2880))
    source = FrameSource([one(path, unit="adu")], np.dtype("f4"), variance=True)
    for start in (0, rows - 64):
        with traced() as taken:
            samples = source.read(0, start, start + 64)
        assert samples.variance.shape == (64, width)
        assert taken.peak < 64 * (source.row_bytes[0] + source.temporary_bytes) + 500_000, (
            "500 kB are for headers and Python"
        )
