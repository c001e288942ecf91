"""Reports of runs: their contents, and how they are written and read."""

import gzip
import hashlib
import json
import os
import platform
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import astropy
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from click.testing import CliRunner

import gpustack
from gpustack import Flags, InputError, Offsets, Recipe, Register, SigmaClip, stack
from gpustack.cli import cli
from gpustack.errors import FrameError, OutputError
from gpustack.provenance import Watch, dumps, read_report, versions
from gpustack.provenance.draft import _seconds
from gpustack.provenance.hashes import hash_pieces
from gpustack.provenance.schema import plain
from gpustack.writing import write_text
from reports import SHAPE, N, kept, save

pytestmark = pytest.mark.filterwarnings("ignore::gpustack.errors.GpustackWarning")


@pytest.fixture
def night(tmp_path, monkeypatch):
    """The names of exposures in the current folder, which is also the home of the user."""
    names = [os.path.relpath(name, tmp_path) for name in save(tmp_path)]
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return names


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def unit_of(name, hdu):
    """The bytes of a data unit without padding, at the place that astropy reports."""
    raw = Path(name).read_bytes()
    raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    with fits.open(name, disable_image_compression=True) as hdus:
        header, start = hdus[hdu].header, hdus[hdu].fileinfo()["datLoc"]
    axes = [header[f"NAXIS{i + 1}"] for i in range(header["NAXIS"])]
    size = abs(header["BITPIX"]) // 8 * (int(np.prod(axes)) + header.get("PCOUNT", 0))
    return raw[start : start + size]


def parts(report, f=0):
    """The hashes of the parts of an input that are read."""
    return {what: part["sha256"] for what, part in report["inputs"][f]["parts"].items()}


@pytest.mark.parametrize("kind", ["plain", "gzip", "tiles", "uint16"])
def test_hashes_are_those_of_the_data_units(tmp_path, kind):
    path = tmp_path / "a.fits"
    data = np.arange(2 * 3000 * 3, dtype="u2" if kind == "uint16" else "f4").reshape(6000, 3)
    image = fits.CompImageHDU if kind == "tiles" else fits.ImageHDU
    header = fits.Header({"BUNIT": "adu"})
    mask = fits.ImageHDU(np.zeros(data.shape, "u1"), name="MASK")
    fits.HDUList([fits.PrimaryHDU(), image(data, header), mask]).writeto(path)
    if kind == "gzip":
        path.write_bytes(gzip.compress(path.read_bytes()))
    report = stack([path, path], report=True).report
    expected = {"data": sha256(unit_of(path, 1)), "mask": sha256(unit_of(path, 2))}
    assert parts(report) == parts(report, 1) == expected


def test_arrays_hash_as_they_would_in_a_file(night):
    data = fits.getdata(night[0]).astype("f4")
    spread = StdDevUncertainty(np.full(SHAPE, 8.0, "f4"))
    ccd = CCDData(data, mask=data > 100, uncertainty=spread, unit="adu")
    turned = CCDData(np.asfortranarray(data[::-1, ::-1].copy())[::-1, ::-1], unit="adu")
    report = stack([ccd, turned], report=True).report
    assert parts(report) == {
        "data": sha256(unit_of(night[0], 0)),
        "mask": sha256((data > 100).astype("u1").tobytes()),
    }
    assert parts(report, 1) == {"data": sha256(unit_of(night[0], 0))}
    used = stack([ccd, ccd], weights="variance", report=True).report
    assert parts(used)["variance"] == sha256(np.full(SHAPE, 8.0, ">f4").tobytes())


def test_long_doubles_hash_as_the_float64_that_they_are_combined_as():
    data = np.random.default_rng(1).random((3, *SHAPE))
    report = stack(list(data.astype(np.longdouble)), unit="adu", report=True).report
    assert [parts(report, f) for f in range(3)] == [
        {"data": sha256(plane.astype(">f8").tobytes())} for plane in data
    ]


def test_bits_of_memory_and_weights_of_samples():
    data, bits = np.ones((3, *SHAPE)), np.full(SHAPE, 4, "i2")
    frames = [CCDData(plane, unit="adu", flags=bits) for plane in data]
    weights = np.random.default_rng(1).random(data.shape)
    report = stack(frames, weights=weights, flags=Flags(good=4), report=True).report
    assert parts(report)["flags"] == sha256(bits.astype(">i2").tobytes())
    assert report["weights"] == {"sha256": sha256(weights.astype(">f8").tobytes())}
    assert report["arguments"]["flags"] == {"bad": None, "good": 4}


def test_variances_are_hashed_where_they_are_used(night):
    unused, used = (
        stack(night, report=True, **words).report for words in ({}, {"weights": "variance"})
    )
    assert parts(unused).keys() == {"data", "mask"}
    assert parts(used)["variance"] == sha256(unit_of(night[0], 2))


def test_an_uncertainty_that_is_a_number():
    frames = [CCDData(np.ones(SHAPE), unit="adu", uncertainty=StdDevUncertainty(2.0))] * 3
    report = stack(frames, weights="variance", report=True).report
    assert parts(report)["variance"] == sha256(np.array([2.0], ">f8").tobytes())


def test_a_file_that_is_shorter_than_its_headers_said(tmp_path):
    (tmp_path / "a.fits").write_bytes(bytes(4000))
    assert hash_pieces(str(tmp_path / "a.fits"), 0, 4000) == [sha256(bytes(4000))]
    with pytest.raises(FrameError, match=r"a\.fits: cut off: expected 1 more bytes up to 4,001"):
        hash_pieces(str(tmp_path / "a.fits"), 0, 2000, 4001)


def test_cupy_arrays(cuda):
    data = np.random.default_rng(1).random((3, *SHAPE)).astype("f4")
    report = stack(cuda.asarray(data), report=True).report
    assert [parts(report, f) for f in range(3)] == [
        {"data": sha256(plane.astype(">f4").tobytes())} for plane in data
    ]
    assert report["backend"]["used"] == "cuda"
    assert "CuPy" in report["backend"]["device"]


def test_what_a_report_says_of_a_run(night):
    result = kept(
        Path(), "m*.fits", SigmaClip(1.7, 1.9), scale="median", weights="exposure", maps=["count"]
    )
    report = read_report("run.json")
    assert report == result.report
    assert report["gpustack_report"] == 1
    assert report["versions"] == {
        "gpustack": gpustack.__version__,
        "Python": platform.python_version(),
        "numpy": np.__version__,
        "astropy": astropy.__version__,
    }
    assert report["backend"] == {"asked": "cpu", "used": "cpu", "device": platform.machine()}
    assert Recipe.from_json(json.dumps(report["recipe"])) == result.recipe
    assert [item["name"] for item in report["inputs"]] == night
    for f, item in enumerate(report["inputs"]):
        row = {name: result.frames[name][f] for name in result.frames.colnames[1:]}
        assert item["numbers"] == row
        assert item["parts"]["data"] | {"header_sha256": 0} == {
            "given": night[f],
            "path": f"~/{night[f]}",
            "hdu": 0,
            "apart": False,
            "header_sha256": 0,
            "sha256": sha256(unit_of(night[f], 0)),
        }
    assert report["inputs"][1]["numbers"]["rejected"] > 0
    assert report["date"] == result.header["DATE"]


def test_what_a_report_says_of_the_output(night):
    output = kept(Path(), night, maps=iter(["count", "frames"])).report["output"]
    assert (output["given"], output["path"]) == ("out.fits", "~/out.fits")
    assert output["maps"] == ["count", "frames"]
    assert output["sha256"] == sha256(Path("out.fits").read_bytes())
    names = ["PRIMARY", "MASK", "UNCERT", "COUNT", "FRAMES"]
    assert output["hdus"] == [
        {"name": name, "sha256": sha256(unit_of("out.fits", i))} for i, name in enumerate(names)
    ]


def test_seconds_of_each_stage(night):
    stages = {"open", "measure", "hash", "stream", "read", "write"}
    seconds = kept(Path(), night).report["seconds"]
    assert seconds.keys() == stages
    assert all(number >= 0 for number in seconds.values())
    places = Offsets([(0, 0)] * len(night))
    assert "align" in stack(night, align=places, report=True).report["seconds"]


def test_seconds_of_reads_are_those_of_all_of_them():
    watch = Watch(reads=[1.0, 2.0], seconds={"stream": 1.5})
    assert _seconds(watch) == {"stream": 1.5, "read": 3.0}


def test_a_stage_that_goes_on_again_takes_longer():
    watch = Watch(seconds={"open": 5.0})
    with watch("open"):
        pass
    assert watch.seconds["open"] > 5


def test_a_package_that_is_not_installed_has_no_version(monkeypatch):
    def version(name):
        if name == "sep":
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr("gpustack.provenance.draft.version", version)
    told = versions(Register())
    assert told["astroalign"] == "1"
    assert "sep" not in told


def test_a_report_contains_neither_home_nor_host(night):
    kept(Path(), night)
    text = Path("run.json").read_text()
    assert str(Path.home()) not in text
    assert platform.node() not in text


def test_a_folder_whose_name_begins_as_that_of_the_user_is_none_of_theirs(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    names = save(tmp_path / "me2", n=2)
    (first, _) = stack(names, report=True).report["inputs"]
    assert first["parts"]["data"]["path"] == names[0]


def test_the_header_says_with_what(night):
    history = "".join(stack(night, backend="cpu").header["HISTORY"])
    expected = f"with Python {platform.python_version()}, numpy {np.__version__}, astropy "
    assert expected in history
    assert f"; backend cpu on {platform.machine()}" in history


def test_nothing_is_read_unless_it_is_asked_for(night, monkeypatch):
    monkeypatch.setattr("gpustack.engine.hashed", lambda *_: pytest.fail("hashed"))
    monkeypatch.setattr("gpustack.result.output_record", lambda *_: pytest.fail("hashed"))
    result = stack(night)
    result.write("out.fits")
    assert result.report is None


def test_numbers_that_json_does_not_have(night):
    report = stack(night, weights=np.ones((N, *SHAPE)), report=True).report
    assert report["inputs"][0]["numbers"]["weight"] is None
    assert "NaN" not in dumps(report)


def test_what_json_does_not_have_is_null():
    values = (np.nan, np.inf, -np.inf, np.float32(np.inf), np.ma.masked)
    assert plain({"values": values}) == {"values": [None] * 5}
    assert plain((np.int16(3), True, Path("a"), np.array([0.5, np.nan]))) == [
        3,
        True,
        "a",
        [0.5, None],
    ]


def run(*words):
    done = CliRunner().invoke(cli, ["combine", *words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_on_the_command_line(night):
    run("m*.fits", "-o", "out.fits", "--scale", "median", "--maps", "count", "--report", "r.json")
    report = read_report("r.json")
    assert report["output"]["sha256"] == sha256(Path("out.fits").read_bytes())
    assert report["arguments"]["align"] is None
    assert report["origins"] == ["scale by median, relative to m0.fits"]
    assert sorted(path.name for path in Path().glob("*") if path.name not in night) == [
        "out.fits",
        "r.json",
    ]


REFUSED = {
    "there.json": r"there\.json: exists; replace it with overwrite=True \(--overwrite\)",
    "report.txt": r"report\.txt: expected a name ending in \.json, \.html",
    "missing/r.json": "expected a folder .*missing to write in, found none",
}


@pytest.mark.parametrize(("name", "match"), REFUSED.items(), ids=REFUSED)
def test_names_that_are_refused_before_the_work(night, name, match):
    Path("there.json").write_text("mine")
    with pytest.raises(OutputError, match=match):
        run("m*.fits", "-o", "out.fits", "--report", name)
    assert not Path("out.fits").exists()
    assert Path("there.json").read_text() == "mine"


def test_overwrite(night):
    Path("there.json").write_text("mine")
    run("m*.fits", "-o", "out.fits", "--report", "there.json", "--overwrite")
    assert read_report("there.json")["date"]


def test_whole_or_not_at_all(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gpustack.writing.os.fsync", full)
    with pytest.raises(OutputError, match=r"r\.json: could not be written: .*No space"):
        write_text(tmp_path / "r.json", "{}")
    assert list(tmp_path.iterdir()) == []


BAD = {
    "no JSON": (lambda r: "{", r"expected the JSON of a report, got: "),
    "a list": (
        lambda r: [],
        "expected a report of gpustack, got JSON without the key gpustack_report",
    ),
    "another": (lambda r: r | {"gpustack_report": 2}, "expected gpustack_report 1, got 2"),
    "no recipe": (lambda r: {k: v for k, v in r.items() if k != "recipe"}, "recipe: .*got none"),
    "inputs": (lambda r: r | {"inputs": {}}, r"inputs: expected list, got \{\}"),
    "a backend": (lambda r: r | {"backend": {"used": "cpu"}}, "backend: asked: expected str"),
    "an input": (lambda r: r | {"inputs": [3]}, r"inputs\[0\]: expected an object, got 3"),
    "no data": (
        lambda r: r | {"inputs": [r["inputs"][0] | {"parts": {}}]},
        r"inputs\[0\]: parts: expected data, got none",
    ),
    "an HDU": (
        lambda r: r["inputs"][1]["parts"]["data"].update(hdu=True) or r,
        r"inputs\[1\]: parts: data: hdu: expected int, got True",
    ),
    "an output": (lambda r: r | {"output": {}}, "output: given: expected str, got none"),
    "origins": (lambda r: r | {"origins": ["", 3]}, "origins: expected only text, got 3"),
    "maps": (
        lambda r: r["output"].update(maps=[None]) or r,
        "output: maps: expected only text, got None",
    ),
    "a place": (
        lambda r: r["inputs"][0].update(found=[1, 0, 0]) or r,
        r"inputs\[0\]: found: expected 4 numbers, got 3",
    ),
    "a hash": (
        lambda r: r["output"]["hdus"][1].update(sha256=None) or r,
        r"output: hdus\[1\]: sha256: expected str, got None",
    ),
}


@pytest.mark.parametrize(("alter", "match"), BAD.values(), ids=BAD)
def test_what_is_no_report(night, alter, match):
    kept(Path(), night)
    altered = alter(read_report("run.json"))
    Path("bad.json").write_text(altered if isinstance(altered, str) else json.dumps(altered))
    with pytest.raises(InputError, match=r"bad\.json: .*" + match):
        read_report("bad.json")


def test_no_such_report():
    with pytest.raises(InputError, match=r"none\.json: expected a report, got: No such file"):
        read_report("none.json")


@pytest.mark.parametrize(
    ("content", "got"),
    [(b"\xff", "got bytes that are not UTF-8"), (b"[" * 100_000, "got: .*recursion")],
)
def test_what_is_no_json(tmp_path, content, got):
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(InputError, match=rf"bad\.json: .* of a report, {got}"):
        read_report(tmp_path / "bad.json")


def test_the_documented_schema_is_that_of_the_code(night):
    kept(Path(), night)
    text = (Path(gpustack.__file__).parents[1] / "docs" / "provenance.md").read_text()
    report = read_report("run.json")
    sections = [report[name] for name in ("backend", "arguments", "seconds", "output")]
    part = report["inputs"][0]["parts"]["data"]
    for key in {key for section in (report, *sections, part) for key in section}:
        assert f"`{key}`" in text
