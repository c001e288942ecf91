"""Unsuitable or missing uncertainties are errors, but only if variances are needed."""

import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from astropy.nddata import (
    CCDData,
    NDData,
    StdDevUncertainty,
    UnknownUncertainty,
    VarianceUncertainty,
)

from fitsmaker import header_bytes, image_bytes, image_header
from gpustack import stack
from gpustack.errors import FrameError
from gpustack.frames.resident import ResidentFrame
from opened import one
from traced import traced

# Errors only when variances are needed


def beside(path, content):
    """Write an image of shape (2, 3) followed by `content`; return the path."""
    path.write_bytes(image_bytes(np.ones((2, 3), "i2"), BUNIT="adu") + content)
    return path


BROKEN = {
    "shape": (
        image_bytes(np.ones((3, 2), "i2"), extension=True, EXTNAME="UNCERT"),
        r"UNCERT extension: expected the shape of the image, \(2, 3\), got \(3, 2\)",
    ),
    "axes": (
        image_bytes(np.ones((1, 2, 3), "i2"), extension=True, EXTNAME="VAR"),
        r"VAR extension: expected the shape .* got \(1, 2, 3\)",
    ),
    "UTYPE": (
        image_bytes(np.ones((2, 3), "i2"), extension=True, EXTNAME="UNCERT", UTYPE="Guess"),
        "UNCERT extension: expected UTYPE StdDevUncertainty, .* or none, got 'Guess'",
    ),
    "BSCALE": (
        image_bytes(np.ones((2, 3), "i2"), extension=True, EXTNAME="ERR", BSCALE="two"),
        "BSCALE: expected a number",
    ),
    "tiles": (
        header_bytes({
            "XTENSION": "BINTABLE", "BITPIX": 8, "NAXIS": 2, "NAXIS1": 8, "NAXIS2": 2, "PCOUNT": 0,
            "GCOUNT": 1, "TFIELDS": 1, "TTYPE1": "COMPRESSED_DATA", "TFORM1": "1PB",
            "ZIMAGE": True, "ZCMPTYPE": "ZIP", "ZBITPIX": 16, "ZNAXIS": 2, "ZNAXIS1": 3,
            "ZNAXIS2": 2, "EXTNAME": "UNCERT",
        }.items()) + bytes(2880),
        "ZCMPTYPE one of .*got 'ZIP'",
    ),
    "tiles 1 TB": (
        header_bytes({
            "XTENSION": "BINTABLE", "BITPIX": 8, "NAXIS": 2, "NAXIS1": 8, "NAXIS2": 1, "PCOUNT": 0,
            "GCOUNT": 1, "TFIELDS": 1, "TTYPE1": "COMPRESSED_DATA", "TFORM1": "1PB",
            "ZIMAGE": True, "ZCMPTYPE": "GZIP_1", "ZBITPIX": 16, "ZNAXIS": 2, "ZNAXIS1": 1 << 20,
            "ZNAXIS2": 1 << 20, "EXTNAME": "UNCERT",
        }.items()) + bytes(2880),
        r"expected the shape of the image, \(2, 3\), got \(1048576, 1048576\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_no_error_until_it_is_wanted(tmp_path, content, message):
    path = beside(tmp_path / "a.fits", content)
    frame = one(path)
    assert frame.has_variance
    np.testing.assert_array_equal(stack([path, np.ones((2, 3)) * units.adu]).data, 1)
    with traced() as taken:
        for _ in range(2):
            with pytest.raises(FrameError, match=rf"a\.fits: .*{message}"):
                frame.read_variance(0, 1)
    assert taken.peak < 4 << 20


def test_a_terabyte_is_refused_before_anything_is_allocated(tmp_path):
    huge = image_header("f4", (1 << 19, 1 << 19), extension=True, EXTNAME="UNCERT")
    with pytest.raises(FrameError, match=r"cut off in the data of HDU 1: expected 1,099,511,627"):
        one(beside(tmp_path / "a.fits", huge))


NONE = {
    "array": (np.ones((2, 3)), "CCDData with an uncertainty"),
    "no uncertainty": (CCDData(np.ones((2, 3)), unit="adu"), "CCDData with an uncertainty"),
    "unknown": (
        CCDData(np.ones((2, 3)), unit="adu", uncertainty=UnknownUncertainty(np.ones((2, 3)))),
        "StdDevUncertainty, VarianceUncertainty, InverseVariance, got none that is one",
    ),
    "empty": (
        CCDData(np.ones((2, 3)), unit="adu", uncertainty=StdDevUncertainty(None)),
        "CCDData with an uncertainty",
    ),
}


@pytest.mark.parametrize(("item", "message"), NONE.values(), ids=NONE)
def test_frames_in_memory_that_have_none(item, message):
    frame = one(item)
    assert not frame.has_variance
    with pytest.raises(FrameError, match=f"frame 0: variance: expected .*{message}"):
        frame.read_variance(0, 1)


def test_files_and_devices_that_have_none(tmp_path):
    path = beside(tmp_path / "a.fits", image_bytes(np.ones((2, 3), "i2"), extension=True))
    resident = ResidentFrame("frame 1", np.ones((2, 3)), None, fits.Header())
    for frame, message in ((one(path), "UNCERT or VAR or ERR"), (resident, "got a cupy array")):
        assert not frame.has_variance
        with pytest.raises(FrameError, match=f"variance: expected .*{message}"):
            frame.read_variance(0, 1)
    assert resident.flags_dtype is None
    with pytest.raises(FrameError, match=r"flags: expected .*got a cupy array"):
        resident.read_flags(0, 1)


@pytest.mark.parametrize("array", [np.ones((3, 2)), np.ones(3), np.ones((2, 3), complex)])
def test_an_uncertainty_in_memory_that_does_not_fit(array):
    frame = one(NDData(np.ones((2, 3)), uncertainty=StdDevUncertainty(array)))
    assert frame.has_variance
    message = rf"frame 0: uncertainty: expected real numbers of shape \(2, 3\).*{array.dtype} of"
    with pytest.raises(FrameError, match=message):
        frame.read_variance(0, 1)


# Units


@pytest.mark.parametrize(
    ("name", "bunit", "message"),
    [
        ("ERR", "electron", "ERR extension: expected a unit that converts to Jy, .*got electron"),
        ("VAR", "mJy", "VAR extension: expected a unit that converts to Jy2, .*got mJy"),
        ("UNCERT", "bananas", "UNCERT extension: .* that astropy knows, got BUNIT 'bananas'"),
        ("ERR", "mag(AB)", "ERR extension: expected a unit that converts to Jy, .*got mag"),
    ],
)
def test_units_that_do_not_convert(tmp_path, name, bunit, message):
    beside = image_bytes(np.ones((2, 3), "i2"), extension=True, EXTNAME=name, BUNIT=bunit)
    path = tmp_path / "a.fits"
    path.write_bytes(image_bytes(np.ones((2, 3), "i2"), BUNIT="Jy") + beside)
    frame = one(path)
    with pytest.raises(FrameError, match=rf"a\.fits: {message}"):
        frame.read_variance(0, 1)


@pytest.mark.parametrize("utype", ["VarianceUncertainty", "InverseVariance"])
def test_magnitudes_have_no_unit_of_variances(tmp_path, utype):
    cards = {"EXTNAME": "UNCERT", "UTYPE": utype, "BUNIT": "mag2"}
    beside = image_bytes(np.ones((2, 3), "i2"), extension=True, **cards)
    (tmp_path / "a.fits").write_bytes(image_bytes(np.ones((2, 3), "i2"), BUNIT="mag(AB)") + beside)
    message = r"a\.fits: UNCERT extension: expected standard deviations .* mag\(AB\), got .* mag2"
    with pytest.raises(FrameError, match=message):
        one(tmp_path / "a.fits").read_variance(0, 1)


def test_an_unknown_unit_beside_an_image_that_has_none(tmp_path):
    """The image has no unit to replace, so an unknown unit of the variance stays an error."""
    beside = image_bytes(np.ones((2, 3), "i2"), extension=True, EXTNAME="VAR", BUNIT="bananas2")
    path = tmp_path / "a.fits"
    path.write_bytes(image_bytes(np.ones((2, 3), "i2")) + beside)
    with pytest.raises(FrameError, match=r"VAR extension: .* got BUNIT 'bananas2'"):
        one(path, unit="adu").read_variance(0, 1)


def test_a_unit_in_memory_that_does_not_convert():
    ccd = CCDData(np.ones((2, 3)), unit="adu", uncertainty=StdDevUncertainty(np.ones((2, 3))))
    ccd.uncertainty._unit = units.electron
    frame = one(ccd)
    with pytest.raises(FrameError, match=r"frame 0: uncertainty: expected .* to adu, .*electron"):
        frame.read_variance(0, 1)


def test_a_unit_in_memory_of_samples_that_came_without():
    data = NDData(np.ones((2, 3)), uncertainty=VarianceUncertainty(np.ones((2, 3))))
    assert one(data).read_variance(0, 1).tolist() == [[1, 1, 1]]
    data.uncertainty._unit = units.adu**2
    with pytest.raises(FrameError, match=r"uncertainty: expected .* to None, .*, got adu2"):
        one(data).read_variance(0, 1)
