"""A result written to its file in bands gives the same file as a result written as a whole."""

import copy
import gzip
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.wcs import WCS, DistortionLookupTable

from gpustack import RangeClip, ToFile, stack
from gpustack.clips import parse_clip
from gpustack.errors import (
    FrameError,
    InputError,
    MissingFileError,
    OutputError,
    RecipeError,
    WriteError,
)
from gpustack.maps.extensions import EXTENSIONS
from gpustack.recipe import Recipe
from gpustack.streaming import ResultFile
from gpustack.streaming.filesink import as_stored

N, SHAPE = 7, (61, 50)

pytestmark = [
    pytest.mark.filterwarnings("ignore:frames differ in EXPTIME"),
    pytest.mark.usefixtures("stopped_clock"),
]

MAPS = tuple(name for name in EXTENSIONS if name != "flags")


def coordinates():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cdelt = [-1e-4, 1e-4]
    wcs.wcs.crval = [10, 20]
    return wcs


def frames(folder, dtype="f4", flags=None, shape=SHAPE):
    """Write files with outliers, masks, and one column without samples; return a glob."""
    rng = np.random.default_rng(5)
    for i in range(N):
        plane = rng.normal(1000 + 10 * i, 20, shape)
        plane[rng.random(shape) < 0.03] += 5000
        masked = rng.random(shape) < 0.05
        masked[..., 3] = True
        bits = np.where(masked, 4, 0).astype(flags or "u1")
        header = coordinates().to_header() if len(shape) == 2 else fits.Header()
        header.update(BUNIT="adu", EXPTIME=10.0 * i)
        hdus = [
            fits.PrimaryHDU(plane.astype(dtype), header),
            fits.ImageHDU(bits, name="MASK"),
            fits.ImageHDU(np.full(shape, 20, "f4"), name="UNCERT"),
        ]
        fits.HDUList(hdus).writeto(folder / f"f{i}.fits")
    return str(folder / "f*.fits")


def both(folder, given, name="out.fits", maps=MAPS, **how):
    """The bytes of a file written in bands, and of one written as a whole."""
    to = ToFile(folder / f"rows-{name}", maps)
    stack(given, outputs=to, backend="cpu", memory="200kB", **how)
    whole = stack(given, outputs=to.outputs(False), backend="cpu", **how)
    whole.write(folder / f"whole-{name}", maps=maps)
    return [(folder / f"{way}-{name}").read_bytes() for way in ("rows", "whole")]


def names(path):
    """The names of the HDUs of a file."""
    with fits.open(path) as hdus:
        return [hdu.name for hdu in hdus]


CASES = {
    "mean": {},
    "median": {"clips": "sigma:spread=mad_std", "combine": "median", "maps": ("count",)},
    "grown": {"clips": "mad grow", "maps": MAPS},
    "sum": {"combine": "sum", "dtype": "float64", "maps": ("low", "high", "reason", "frames")},
    "scaled": {"scale": "median", "weights": "noise", "maps": ("weight", "sigma", "coverage")},
    "minimum": {"combine": "min", "maps": ("rejections", "exposure")},
    "propagated": {"uncertainty": "propagated", "weights": "variance", "maps": MAPS},
}


@pytest.mark.parametrize("name", ["out.fits", "out.fits.gz"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_streamed_file_is_the_same_file(tmp_path, case, name):
    how = {**case, "clips": [parse_clip(text) for text in case.get("clips", "").split()]}
    rows, whole = both(tmp_path, frames(tmp_path), name, how.pop("maps", ()), **how)
    assert rows == whole
    assert sorted(path.name[0] for path in tmp_path.glob("*out*")) == ["r", "w"]


@pytest.mark.parametrize("flags", ["i2", "u2", "i4", "i8"])
@pytest.mark.parametrize("dtype", ["i2", "u2", "f8"])
def test_files_are_the_same_for_any_dtype_and_flags(tmp_path, dtype, flags):
    given = frames(tmp_path, dtype, flags)
    rows, whole = both(tmp_path, given, maps=tuple(EXTENSIONS))
    assert rows == whole


@pytest.mark.parametrize("shape", [(50,), (3, 20, 50), (2, 2, 15, 50)])
def test_files_are_the_same_for_any_number_of_axes(tmp_path, shape):
    rows, whole = both(tmp_path, frames(tmp_path, shape=shape))
    assert rows == whole
    with fits.open(tmp_path / "rows-out.fits") as hdus:
        assert hdus[0].shape == hdus["COUNT"].shape == shape
        assert hdus["REJECTED"].shape == (N, *shape)


def test_lookup_tables_of_coordinates_follow(tmp_path):
    wcs = coordinates()
    table = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    wcs.cpdis1, wcs.cpdis2 = (
        DistortionLookupTable(one.copy(), (1, 1), (1, 1), (10, 10)) for one in (table, table.T)
    )
    hdus = wcs.to_fits(relax=True)
    data = np.random.default_rng(1).normal(size=SHAPE).astype("f4")
    header = hdus[0].header
    header["BUNIT"] = "adu"
    paths = []
    for i in range(3):
        paths.append(str(tmp_path / f"{i}.fits"))
        fits.HDUList([fits.PrimaryHDU(data + i, header), *hdus[1:]]).writeto(paths[-1])
    rows, whole = both(tmp_path, paths, maps=("count", "frames"))
    assert rows == whole
    assert names(tmp_path / "rows-out.fits")[-3:] == ["FRAMES", "WCSDVARR", "WCSDVARR"]


def test_frames_in_memory(tmp_path):
    cube = np.random.default_rng(2).normal(size=(N, *SHAPE))
    ccds = [CCDData(plane, unit="adu") for plane in cube]
    maps = tuple(name for name in MAPS if name != "exposure")
    for given, unit in ((cube, u.adu), (ccds, None)):
        rows, whole = both(tmp_path, given, maps=maps, unit=unit)
        assert rows == whole
        for path in tmp_path.glob("*-out.fits"):
            path.unlink()


# Results whose arrays are in files


def test_the_result_reads_its_file(tmp_path):
    given = frames(tmp_path)
    to = ToFile(tmp_path / "out.fits", MAPS)
    found, expected = stack(given, outputs=to), stack(given, outputs=to.outputs(False))
    assert found.data.shape == expected.data.shape
    for name in ("data", "mask", "uncertainty", "count", "low", "high", "reason", "rejections"):
        there, here = np.asarray(getattr(found, name)), np.asarray(getattr(expected, name))
        assert there.dtype == here.dtype
        np.testing.assert_array_equal(there, here)
    assert str(found.frames) == str(expected.frames)
    assert not found.on_device
    np.testing.assert_array_equal(found.to_ccddata().data, expected.data)
    assert isinstance(found.to_host().count, np.ndarray)
    found.write(tmp_path / "copy.fits", maps=MAPS)
    assert (tmp_path / "copy.fits").read_bytes() == (tmp_path / "out.fits").read_bytes()


def test_what_the_file_has_not_the_result_has_not(tmp_path):
    recipe = Recipe(outputs=("uncertainty", "count", "rejected", "sigma"))
    found = stack(frames(tmp_path), recipe, outputs=ToFile(tmp_path / "out.fits", ("count",)))
    assert names(tmp_path / "out.fits") == ["PRIMARY", "MASK", "UNCERT", "COUNT"]
    assert found.recipe.outputs == recipe.outputs
    assert found.sigma is None
    assert found.count.shape == SHAPE


def test_a_recipe_gives_a_result_that_can_be_had(tmp_path):
    given = frames(tmp_path)
    found = stack(given, Recipe(), outputs=ToFile(tmp_path / "out.fits"))
    expected = stack(given, Recipe())
    assert found.to_host().count is None
    np.testing.assert_array_equal(found.to_host().data, expected.data)
    np.testing.assert_array_equal(found.to_ccddata().uncertainty.array, expected.uncertainty)
    found.write(tmp_path / "copy.fits")
    assert (tmp_path / "copy.fits").read_bytes() == (tmp_path / "out.fits").read_bytes()


@pytest.mark.parametrize("name", ["out.fits", "out.fits.gz"])
def test_an_image_is_read_as_an_array_is(tmp_path, name):
    given = frames(tmp_path, "u2", "u2")
    to = ToFile(tmp_path / name, tuple(EXTENSIONS))
    found, expected = stack(given, outputs=to), stack(given, outputs=to.outputs(False))
    keys = [0, -1, np.int64(3), slice(2, 9), slice(None, None, 7), slice(50, 3, -3), slice(9, 2)]
    keys += [(), ..., None, (3, 4), (slice(5, 8), slice(None, None, 2)), (..., 1), [4, 2]]
    keys += [(-2, ...), (slice(1, 3), None, 0), expected.mask]
    for image in ("data", "mask", "uncertainty", "flags", "reason", "sigma"):
        there, here = getattr(found, image), getattr(expected, image)
        assert (there.ndim, len(there), there.dtype) == (here.ndim, len(here), here.dtype)
        for key in keys:
            assert there[key].dtype == here.dtype
            np.testing.assert_array_equal(there[key], here[key])
        for bad in (len(here), (0, 50), (0, 0, 0)):
            with pytest.raises(IndexError):
                there[bad]
    assert found.to_host().reason.flags.writeable
    for key in (*keys[:-2], ([1, 2], 3), (1, slice(None), [0, 2]), (np.int64(2), ..., 1)):
        np.testing.assert_array_equal(found.rejections[key], expected.rejections[key])
    assert repr(found.data) == f"float32 image of {SHAPE} in {tmp_path / name}"


def test_of_rows_only_they_are_read(tmp_path, monkeypatch):
    found = stack(frames(tmp_path), outputs=ToFile(tmp_path / "out.fits"))
    asked = []
    read = ResultFile.read
    monkeypatch.setattr(ResultFile, "read", lambda *given: asked.append(given[2:]) or read(*given))
    found.data[7], found.data[3:9, 2], found.data[8:2:-2], found.data[4:4]
    assert asked == [(7, 8), (3, 9), (4, 9)]


def test_an_image_of_a_file_is_not_pickled(tmp_path):
    found = stack(frames(tmp_path), outputs=ToFile(tmp_path / "out.fits"))
    for of_it in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match=r"out\.fits; StackResult\.to_host\(\) reads it"):
            of_it(found.data)
    pickle.dumps(found.to_host().data)


@pytest.mark.parametrize("name", ["out.fits", "out.fits.gz"])
def test_a_result_does_not_read_the_file_of_another(tmp_path, name):
    to = ToFile(tmp_path / name, overwrite=True)
    found = stack(frames(tmp_path), outputs=to)
    again = stack(str(tmp_path / "f*.fits"), outputs=to)
    for ask in (np.asarray, len, str):
        ask(again.data)
    for ask in (lambda: np.asarray(found.data), found.to_host, lambda: found.mask[3]):
        with pytest.raises(FrameError, match=rf"{name}: it no longer holds this result: changed"):
            ask()
    (tmp_path / name).unlink()
    with pytest.raises(MissingFileError, match=rf"{name}: it no longer holds .* no such file"):
        again.to_ccddata()


def test_a_result_knows_its_file_in_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = stack(frames(tmp_path), outputs=ToFile("out.fits"))
    (tmp_path / "below").mkdir()
    monkeypatch.chdir("below")
    assert found.to_host().data.shape == SHAPE


def test_a_result_without_a_value_is_told_of(tmp_path):
    with pytest.warns(match="no pixel of the result has a value"):
        stack(np.ones((3, 4, 5)), RangeClip(low=2), outputs=ToFile(tmp_path / "out.fits"))
    stack(np.ones((3, 4, 5)), outputs=ToFile(tmp_path / "other.fits"))


# Faults


def test_maps_that_are_none_or_not_made(tmp_path):
    with pytest.raises(RecipeError, match="'count'"):
        ToFile("out.fits", ("counts",))
    to = ToFile(tmp_path / "out.fits", ("count",))
    with pytest.raises(InputError, match="expected count among the outputs"):
        stack(np.ones((3, 4, 5)), Recipe(outputs=()), outputs=to)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ((None,), RecipeError, "ToFile path: expected the name of a file, got None"),
        ((b"a.fits",), RecipeError, "ToFile path: .*, got b'a.fits'"),
        (("x.txt",), OutputError, "x.txt: expected a name ending in .fits, "),
        ((".", ("count",)), OutputError, r"\.: expected a name ending"),
        (("x.fits", (), "no"), RecipeError, "ToFile overwrite: expected True or False, got 'no'"),
        (("x.fits", (), 1), RecipeError, "ToFile overwrite: expected True or False, got 1"),
        (("x.fits", 3), RecipeError, "maps: expected some of"),
    ],
)
def test_a_file_that_is_none_is_told_at_once(given, error, said):
    with pytest.raises(error, match=said):
        ToFile(*given)


def test_a_file_is_named_by_tofile_alone():
    for outputs in ("x.fits", Path("x.fits"), [ToFile("x.fits")], ["count", "X.FIT.GZ"]):
        with pytest.raises(RecipeError, match=r"ToFile\(path\) alone for a file, got .*[xX]\."):
            stack(np.ones((3, 4, 5)), outputs=outputs)
    with pytest.raises(RecipeError, match="outputs: expected one of 'uncertainty'"):
        stack(np.ones((3, 4, 5)), outputs="counts")


def test_the_file_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "out.fits"
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists"):
        stack("no frames", outputs=ToFile(path))

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stack(np.ones((3, 4, 5)), outputs=ToFile(path, overwrite=True), progress=stop)
    assert [(left.name, left.read_bytes()) for left in tmp_path.iterdir()] == [(path.name, b"mine")]


def test_a_disk_that_fills_meanwhile_is_the_fault_of_writing(tmp_path, monkeypatch):
    lay_out = ResultFile.lay_out

    def full(*_):
        raise OSError(28, "No space left on device")

    def laid_out(self, result):
        lay_out(self, result)
        monkeypatch.setattr("gpustack.streaming._write", full)

    monkeypatch.setattr(ResultFile, "lay_out", laid_out)
    with pytest.raises(WriteError, match=r"out\.fits: could not be written: .*No space left"):
        stack(np.ones((3, 400, 50)), outputs=ToFile(tmp_path / "out.fits"), memory="1MB")
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_is_cut_short_goes_on(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr("os.write", lambda file, part: write(file, part[:1000]))
    rows, whole = both(tmp_path, frames(tmp_path))
    assert rows == whole


def test_a_disk_that_is_too_small_is_known_before_the_work(tmp_path, monkeypatch):
    def refuse(file, start, size):
        assert size > 2 * 61 * 50 * 4
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", refuse, raising=False)
    monkeypatch.setattr("gpustack.maker.execute", lambda *_: pytest.fail("it worked first"))
    said = r"No space left on device: expected [\d,]{6,} bytes free, got [\d,]+"
    with pytest.raises(WriteError, match=said):
        stack(frames(tmp_path), outputs=ToFile(tmp_path / "out.fits"))
    assert not list(tmp_path.glob("*out*")) + list(tmp_path.glob(".*"))


def test_a_file_system_that_sets_no_room_aside(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("os.posix_fallocate", refuse, raising=False)
    rows, whole = both(tmp_path, frames(tmp_path))
    assert rows == whole


# Values as they are stored


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_values_are_stored_as_astropy_stores_them(tmp_path, dtype, order):
    kind = np.dtype(dtype)
    rng = np.random.default_rng(3)
    values = np.frombuffer(rng.bytes(kind.itemsize * 36), kind).reshape(4, 9).copy(order)
    if kind.kind == "f":
        values = rng.normal(size=(4, 9)).astype(kind, order)
    fits.writeto(tmp_path / "a.fits", values)
    stored = as_stored(values, kind).tobytes()
    assert (tmp_path / "a.fits").read_bytes()[2880 : 2880 + len(stored)] == stored


def test_a_packed_file_is_no_larger(tmp_path):
    stack(frames(tmp_path), outputs=ToFile(tmp_path / "a.fits.gz"))
    stack(str(tmp_path / "f*.fits"), outputs=ToFile(tmp_path / "a.fits"))
    assert (
        gzip.decompress((tmp_path / "a.fits.gz").read_bytes()) == (tmp_path / "a.fits").read_bytes()
    )


def test_a_result_that_is_written_is_read_only(tmp_path):
    found = stack(frames(tmp_path), outputs=ToFile(tmp_path / "out.fits"))
    with pytest.raises(ValueError, match=r"out.fits: the result is written, and read-only"):
        found.data[0:1] = 0
    with pytest.raises(AttributeError):
        found.data.reshape(-1)
    assert found.data.shape == SHAPE
