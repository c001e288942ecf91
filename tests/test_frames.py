"""Frames from arrays and file names: views instead of copies, masks, units, lists and globs."""

import logging
import os

import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from astropy.nddata import CCDData, NDData
from astropy.table import Column, MaskedColumn
from astropy.utils.masked import Masked
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fitsmaker import image_bytes
from gpustack.backends.base import Samples, working_dtype
from gpustack.backends.loading import load
from gpustack.backends.tiles import TilePixels
from gpustack.errors import FrameError, GpustackError, InputError, MismatchError
from gpustack.frames import check_agree, open_frames
from gpustack.frames.base import decode
from gpustack.recipe import Recipe
from opened import one, values

# Arrays

CUBE = np.arange(4 * 6 * 8, dtype="f4").reshape(4, 6, 8)
VIEWS = {
    "2-D": CUBE[0],
    "1-D": CUBE[0, 0],
    "cube": CUBE,
    "reversed": CUBE[0][::-1, ::-1],
    "strided": CUBE[0][1::2, ::3],
    "transposed": CUBE[0].T,
    "strided along x": CUBE[:, :, ::2],
    "reversed cube": CUBE[::-1, ::-1],
    "Fortran order": np.asfortranarray(CUBE[1]),
    "big-endian": CUBE.astype(">f4")[2],
    "broadcast": np.broadcast_to(CUBE[0, 0], (5, 8)),
    "float16": CUBE[0].astype("f2"),
    "uint64": CUBE[0].astype("u8"),
    "bool": CUBE[0] > 20,
}


@pytest.mark.parametrize("array", VIEWS.values(), ids=VIEWS)
def test_arrays_are_passed_on_as_views(array):
    frame = one(array)
    flat = array.reshape(-1, array.shape[-1])
    rows = frame.read(0, len(flat)).data
    assert np.shares_memory(rows, array)
    assert frame.row_bytes == 0
    np.testing.assert_array_equal(rows, flat)
    np.testing.assert_array_equal(frame.read(len(flat) - 1, len(flat)).data, flat[-1:])
    assert (frame.shape, frame.name) == (array.shape, "frame 0")
    assert (frame.unit, frame.coordinates.wcs) == (None, None)


@given(
    cube=hnp.arrays(np.int16, hnp.array_shapes(min_dims=1, max_dims=4, max_side=5)), data=st.data()
)
def test_rows_of_any_view_are_those_of_the_flattened_array(cube, data):
    array = cube.transpose(data.draw(st.permutations(range(cube.ndim))))
    array = array[data.draw(hnp.basic_indices(array.shape, min_dims=1, allow_newaxis=True))]
    if array.size == 0:
        return
    flat = array.reshape(-1, array.shape[-1])
    start = data.draw(st.integers(0, len(flat) - 1))
    stop = data.draw(st.integers(start + 1, len(flat)))
    frame = one(np.ma.MaskedArray(array, array > 0))
    samples = frame.read(start, stop)
    np.testing.assert_array_equal(samples.data, flat[start:stop])
    np.testing.assert_array_equal(samples.mask, flat[start:stop] > 0)
    assert np.shares_memory(samples.data, cube) or frame.row_bytes
    np.testing.assert_array_equal(frame.whole().mask, array > 0)


def test_a_view_that_does_not_flatten_is_copied_by_rows():
    array = CUBE.transpose(1, 0, 2)
    frame = one(array)
    samples = frame.read(3, 5)
    np.testing.assert_array_equal(samples.data, array.reshape(-1, 8)[3:5])
    assert samples.data.flags.owndata
    assert frame.row_bytes == 8 * 4


def test_read_only_arrays_stay_untouched():
    array = CUBE[0].copy()
    array.flags.writeable = False
    frame = one(array)
    assert not frame.read(0, 2).data.flags.writeable
    whole = frame.whole()
    whole += 1
    np.testing.assert_array_equal(array, CUBE[0])


def test_whole_is_decoded_and_masks_what_is_not_finite():
    array = np.array([[1, np.nan], [-np.inf, 4]], ">f8")
    whole = one(np.ma.MaskedArray(array, [[True, False], [False, False]])).whole()
    assert whole.dtype == np.float64
    np.testing.assert_array_equal(whole.mask, [[True, True], [True, False]])


@pytest.mark.parametrize(
    ("dtype", "working"), [("f2", "f4"), ("u2", "f4"), ("?", "f4"), ("i4", "f8"), ("g", "f8")]
)
def test_arrays_have_a_working_dtype(dtype, working):
    frame = one(np.ones((2, 2), dtype))
    assert frame.dtype == working
    np.testing.assert_array_equal(frame.whole(), np.ones((2, 2)))


def test_quantity_brings_its_unit():
    frame = one(np.ones((2, 3)) * units.Jy)
    assert frame.unit == units.Jy
    assert type(frame.data) is np.ndarray


# CCDData


MASK = np.arange(48).reshape(6, 8) % 3 == 0
WITH_MASK = {
    "MaskedArray": (np.ma.MaskedArray(CUBE[0], MASK), None),
    "MaskedArray of Quantity": (np.ma.MaskedArray(CUBE[0] << units.adu, MASK), units.adu),
    "Masked": (Masked(CUBE[0], MASK), None),
    "Masked Quantity": (Masked(CUBE[0] << units.adu, MASK), units.adu),
    "CCDData of Masked": (CCDData(Masked(CUBE[0], MASK), unit="adu"), units.adu),
}


@pytest.mark.parametrize(("item", "unit"), WITH_MASK.values(), ids=WITH_MASK)
def test_arrays_bring_their_mask_and_unit(item, unit):
    frame = one(item)
    samples = frame.read(0, 6)
    assert type(samples.data) is type(samples.mask) is np.ndarray
    assert np.shares_memory(samples.data, CUBE)
    np.testing.assert_array_equal(samples.mask, MASK)
    assert frame.unit == unit


class Odd(np.ndarray):
    """A subclass of ndarray whose meaning is unknown."""


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        (CUBE[0].view(Odd), "Odd"),
        (np.ma.MaskedArray(CUBE[0].view(Odd), MASK), "Odd"),
        (CUBE[0].view(np.recarray), "recarray"),
        (Column(CUBE[0], unit="adu"), "Column"),
        (MaskedColumn(CUBE[0], unit="adu"), "MaskedArray"),
    ],
)
def test_arrays_whose_meaning_would_be_lost(item, kind):
    with pytest.raises(FrameError, match=rf"frame 0: expected .* got {kind}.*numpy\.asarray"):
        one(item)


@pytest.mark.parametrize("kind", [np.memmap, np.matrix])
def test_arrays_that_are_plain_by_another_name(kind, tmp_path):
    if kind is np.memmap:
        item = np.memmap(tmp_path / "a", "f4", "w+", shape=(2, 3))
    else:
        item = np.ones((2, 3)).view(np.matrix)
    assert type(one(item).read(0, 2).data) is np.ndarray


def test_ccddata_is_referred_to_with_all_that_it_has():
    wcs = WCS(naxis=2)
    header = fits.Header({"EXPTIME": 5.0})
    ccd = CCDData(CUBE[0], unit="adu", mask=CUBE[0] > 20, meta=header, wcs=wcs)
    frame = one(ccd)
    samples = frame.read(1, 4)
    assert np.shares_memory(samples.data, ccd.data)
    assert np.shares_memory(samples.mask, ccd.mask)
    assert frame.header is ccd.header
    assert frame.coordinates.wcs is wcs
    assert (frame.unit, frame.row_bytes) == (units.adu, 0)


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (None, None),
        (np.ma.nomask, None),
        (True, np.ones((2, 2), bool)),
        (np.array([[0, 2], [256, 0]], "i2"), [[False, True], [True, False]]),
        (np.array([[0, 0.5], [0, 0]]), [[False, True], [False, False]]),
        ([[0, 1], [0, 0]], [[False, True], [False, False]]),
    ],
    ids=["none", "nomask", "scalar", "bits", "float", "list"],
)
def test_masks_of_any_type_become_bool(mask, expected):
    got = one(NDData(np.ones((2, 2)), mask=mask)).read(0, 2).mask
    assert (got is None) if expected is None else got.dtype == bool
    np.testing.assert_array_equal(got, expected)


def test_a_mask_of_another_shape_is_an_error():
    with pytest.raises(FrameError, match=r"frame 0: mask: expected .*\(2, 2\).* got .*\(3,\)"):
        one(NDData(np.ones((2, 2)), mask=np.ones(3, bool)))


def test_metadata_that_is_no_header_becomes_one_where_it_can(caplog):
    meta = {"exptime": 3.0, "observer of it": "me", "table": [1, 2], ("A", 1): 2}
    with caplog.at_level(logging.DEBUG, logger="astropy.gpustack"):
        frame = one(CCDData(np.ones((2, 2)), unit="adu", meta=meta))
    assert frame.header["EXPTIME"] == 3.0
    assert frame.header["observer of it"] == "me"
    assert len(frame.header) == 2
    assert "table" in caplog.text


# Names, globs, lists


@pytest.fixture
def folder(tmp_path):
    for name, value in [("b.fits", 2), ("a.fits", 1), ("c[1].fits", 3), ("c1.fits", 4)]:
        (tmp_path / name).write_bytes(image_bytes(np.full((2, 2), value, "i2"), BUNIT="adu"))
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("a.fits", [1]), ("*.fits", [1, 2, 4, 3]), ("[ab].fits", [1, 2]), ("c[1].fits", [3]),
     ("c[123].fits", [4]), ("?.fits", [1, 2]), ("**/b.fits", [2])],
)  # fmt: skip
def test_globs_are_expanded_in_order_and_names_taken_as_they_are(folder, pattern, expected):
    assert values(open_frames(str(folder / pattern))) == expected
    assert values(open_frames([str(folder / pattern), folder / "b.fits"])) == [*expected, 2]


def test_frames_come_from_anything_iterable(folder):
    ccd = CCDData(np.full((2, 2), 7), unit="adu")
    items = [folder / "a.fits", str(folder / "b.fits"), ccd, np.full((2, 2), 8)]
    for inputs in (items, tuple(items), iter(items), (item for item in items)):
        frames = open_frames(inputs, unit="adu")
        assert values(frames) == [1, 2, 7, 8]
        names = [os.path.basename(frame.name) for frame in frames]  # noqa: PTH119
        assert names == ["a.fits", "b.fits", "frame 2", "frame 3"]
    assert values(open_frames(np.array(items[1:2]))) == [2]
    assert values(open_frames(ccd)) == [7]


def test_an_array_alone_holds_frames_along_its_first_axis():
    assert [frame.shape for frame in open_frames(CUBE)] == [(6, 8)] * 4
    masked = open_frames(np.ma.MaskedArray(CUBE, CUBE > 50))
    np.testing.assert_array_equal(masked[1].whole().mask, CUBE[1] > 50)
    masked = open_frames(Masked(CUBE, CUBE > 50))
    np.testing.assert_array_equal(masked[1].whole().mask, CUBE[1] > 50)


@pytest.mark.parametrize("array", [CUBE[0], np.ma.MaskedArray(CUBE[0]), CUBE[0, 0] * units.adu])
def test_one_image_alone_is_not_taken_for_frames(array):
    """Otherwise its rows would be stacked."""
    message = rf"frames: expected .* \(frame, y, x\) or a list .*, got shape \({array.shape[0]},"
    with pytest.raises(InputError, match=message):
        open_frames(array)
    assert [frame.shape for frame in open_frames([array])] == [array.shape]


@pytest.mark.parametrize("inputs", [[], (), iter(()), np.empty((0, 3, 3))])
def test_no_frames(inputs):
    with pytest.raises(InputError, match=r"no frames: expected .*, got none"):
        open_frames(inputs)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (None, "frames: expected .*, got None"),
        (5, "frames: expected .*, got 5"),
        ([None], "frame 0: expected .*, got NoneType"),
        ([np.ones((2, 2)), 3.5], "frame 1: expected .*, got float"),
        ([[[1, 2], [3, 4]]], "frame 0: expected .*, got list"),
        (np.array(5), r"frames: expected .*, got shape \(\)"),
        (np.ones(3), r"frames: expected .*, got shape \(3,\)"),
        ([np.ones((2, 2), complex)], "frame 0: expected .*real.*, got dtype complex128"),
        ([np.ones((2, 2), object)], "got dtype object"),
        ([np.full((2, 2), "a")], "got dtype <U1"),
        ([np.zeros((2, 2), "M8[s]")], "got dtype datetime64"),
        ([np.ones((2, 0))], r"frame 0: expected at least one row .*, got shape \(2, 0\)"),
        ([np.array(1.0)], r"frame 0: expected at least one row .*, got shape \(\)"),
        ("/nowhere/*.fits", r"/nowhere/\*\.fits: expected files that match, got none"),
        ("/nowhere/a.fits[1]", r"^/nowhere/a\.fits: expected a FITS file, got no such file"),
        (b"bytes.fits", "frame 0: expected .*, got int"),
    ],
)
def test_unusable_input_is_named(inputs, message):
    with pytest.raises(InputError, match=message):
        open_frames(inputs)


@pytest.mark.parametrize("unit", ["bananas", object()])
def test_unusable_unit(unit):
    with pytest.raises(InputError, match="unit: expected a unit that astropy knows, got"):
        open_frames(np.ones((1, 2, 2)), unit=unit)


@pytest.mark.parametrize(
    "samples",
    [
        Samples(np.array([[-0.0, 1.0]]), bzero=-0.0),
        Samples(np.array([[0, 1]], "i2"), bscale=-1.0),
        Samples(np.array([[0, 1]], "u1"), blank=0),
        Samples(np.array([[1.0, 2.0]]), blank=1),
        Samples(np.array([[1, 2]], ">i4"), np.array([[True, False]]), bzero=0.25, bscale=0.1),
        Samples(np.array([[1, 3]], "i2"), bscale=0.1, bzero=0.3),
        Samples(np.array([[3e38, np.nan]], "f4"), bscale=10.0),
    ],
)
def test_samples_are_decoded_as_the_backend_decodes_them(samples):
    dtype = working_dtype(samples.data.dtype)
    values, invalid = decode(samples, dtype)
    tile = np.empty((1, 2), dtype)
    with np.errstate(over="ignore"):
        loaded = load([samples], TilePixels(slice(0, 1), slice(0, 2), slice(0, 2)), Recipe(), tile)
    assert np.where(invalid, np.inf, values).tobytes() == (loaded.rows[0] + 0.0).tobytes()
    assert loaded.in_range[0] == np.count_nonzero(~invalid)


# Agreement


def test_frames_that_agree():
    same = [CCDData(np.ones((2, 3)), unit=unit) for unit in ("m", units.Unit("100 cm"))]
    check_agree(open_frames(same))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            [np.ones((2, 3)), np.ones((2, 3)), np.ones((3, 2))],
            r"shape: expected \(2, 3\) as in frame 0, got \(3, 2\) in frame 2",
        ),
        (
            [CCDData(np.ones(3), unit=unit) for unit in ("adu", "electron")],
            "unit: expected adu as in frame 0, got electron in frame 1",
        ),
        (
            [np.ones(3), CCDData(np.ones(3), unit="adu")],
            "unit: expected none as in frame 0, got adu in frame 1",
        ),
        (
            [CCDData(np.ones(3), unit=unit) for unit in ("", "adu")],
            "unit: expected dimensionless as in frame 0, got adu in frame 1",
        ),
    ],
)
def test_frames_that_disagree_are_named_with_what_they_have(inputs, message):
    with pytest.raises(MismatchError, match=message) as caught:
        check_agree(open_frames(inputs))
    assert isinstance(caught.value, (GpustackError, TypeError, ValueError))


def test_a_missing_file_is_a_file_not_found_error_too(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nope\.fits: expected a FITS file, got no such"):
        open_frames(tmp_path / "nope.fits")


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    fits.writeto(tmp_path / "dark.fits", np.ones((2, 3)))
    for name in ("~/dark.fits", "~/*.fits"):
        (frame,) = open_frames(name, unit="ADU")
        assert frame.name == str(tmp_path / "dark.fits")
        assert frame.unit == units.adu


def test_other_images_of_the_same_shape_are_told_of(tmp_path, caplog):
    amplifiers = [fits.ImageHDU(np.full((2, 3), i), name="SCI", ver=i) for i in (1, 2)]
    amplifiers.append(fits.ImageHDU(np.ones((2, 3)), name="MASK"))
    fits.HDUList([fits.PrimaryHDU(), *amplifiers]).writeto(tmp_path / "amps.fits")
    open_frames(tmp_path / "amps.fits", unit="adu")
    assert "using HDU 1; hdu= (--hdu) chooses one, FILE[*] reads all" in caplog.text
    caplog.clear()
    open_frames(tmp_path / "amps.fits", unit="adu", hdu=2)
    guide = fits.ImageHDU(np.ones((4, 4)), name="GUIDE")
    fits.HDUList([fits.PrimaryHDU(), amplifiers[0], guide]).writeto(tmp_path / "guided.fits")
    open_frames(tmp_path / "guided.fits", unit="adu")
    assert not caplog.text


def test_a_unit_in_place_of_another_is_told_of(tmp_path, caplog):
    fits.writeto(tmp_path / "e.fits", np.ones((2, 3)), fits.Header({"BUNIT": "electron"}))
    open_frames(tmp_path / "e.fits", unit="adu")
    assert "using the given unit adu instead of its own, electron" in caplog.text
