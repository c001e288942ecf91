"""Replays of changed inputs: each changed file is named, and nothing is written."""

import json
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner

import gpustack
from gpustack import Image, SigmaClip
from gpustack.cli import cli
from gpustack.errors import BackendError, FrameError, GpustackError, GpustackWarning, InputError
from gpustack.provenance import versions
from gpustack.replay import replay
from reports import kept, save

pytestmark = pytest.mark.filterwarnings("error::gpustack.errors.GpustackWarning")


@pytest.fixture
def night(tmp_path, monkeypatch):
    """The current folder, with exposures, masks of two of them, and a run with its report."""
    names = [Path(name).name for name in save(tmp_path)]
    monkeypatch.chdir(tmp_path)
    for f in (0, 1):
        fits.writeto(f"mask{f}.fits", fits.getdata(names[f], "DQ"))
    images = [Image(name, mask=f"mask{f}.fits") if f < 2 else name for f, name in enumerate(names)]
    kept(tmp_path, images, SigmaClip(1.7, 1.9), weights="variance")
    return tmp_path


def change(name, hdu=0, at=(1, 2), to=1234):
    """Change one pixel of a file."""
    with fits.open(name, mode="update") as hdus:
        hdus[hdu].data[at] = to


def edit(**changes):
    """Change values of the report: ``section__key=value``."""
    report = json.loads(Path("run.json").read_text())
    for keys, value in changes.items():
        *sections, last = keys.split("__")
        place = report
        for section in sections:
            place = place[section]
        place[last] = value
    Path("run.json").write_text(json.dumps(report))


def refused():
    """Assert that a replay writes nothing, and return the differences that it reports."""
    done = replay("run.json", "again.fits")
    assert done.verdict == ""
    assert not Path("again.fits").exists()
    return done.differences


CHANGES = {
    "a pixel": (lambda: change("m3.fits"), ["m3.fits: the data of "]),
    "pixels of two": (
        lambda: (change("m0.fits"), change("m5.fits")),
        ["m0.fits: the data of ", "m5.fits: the data of "],
    ),
    "a mask": (lambda: change("mask1.fits"), ["m1.fits: mask: the data of "]),
    "a mask beside it": (
        lambda: change("m4.fits", "DQ"),
        ["m4.fits: mask: the data of "],
    ),
    "a variance": (
        lambda: change("m2.fits", "UNCERT"),
        ["m2.fits: variance: the data of "],
    ),
    "no mask": (
        lambda: fits.update("m4.fits", fits.getdata("m4.fits", "DQ"), fits.Header(), "DQ"),
        ["m4.fits: mask: expected one, got none"],
    ),
    "gone": (lambda: Path("m2.fits").unlink(), ["m2.fits: expected the file "]),
    "all that is gone": (
        lambda: [Path(name).unlink() for name in ("m2.fits", "mask0.fits", "m4.fits")],
        ["m0.fits: mask: expected the file ", "m2.fits: expected", "m4.fits: expected"],
    ),
}


@pytest.mark.parametrize(("alter", "expected"), CHANGES.values(), ids=CHANGES)
def test_each_that_is_another_is_named(night, alter, expected):
    alter()
    said = refused()
    assert len(said) == len(expected)
    for line, start in zip(said, expected, strict=True):
        assert line.startswith(start)


def test_what_the_hash_was_and_is(night):
    then = json.loads(Path("run.json").read_text())["inputs"][3]["parts"]["data"]["sha256"]
    change("m3.fits")
    (said,) = refused()
    assert (
        f"{night / 'm3.fits'}[0] differ from the report; expected SHA-256 {then[:12]}..., got "
        in said
    )


def test_a_mask_that_has_come(night):
    with fits.open("m4.fits", mode="append") as hdus:
        assert "MASK" not in hdus
        hdus.append(fits.ImageHDU(np.zeros(hdus[0].shape, "u1"), name="MASK"))
    (said,) = refused()
    assert said.startswith("m4.fits: mask: the data of ")


def test_a_mask_where_there_was_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.fits", "b.fits"):
        fits.writeto(name, np.ones((4, 5), "f4"), fits.Header({"BUNIT": "adu"}))
    kept(tmp_path, ["a.fits", "b.fits"])
    fits.append("b.fits", np.zeros((4, 5), "u1"), fits.Header({"EXTNAME": "MASK"}))
    assert refused() == ["b.fits: mask: expected none, got one"]


def test_a_header_is_only_noted(night):
    fits.setval("m1.fits", "OBSERVER", value="other")
    fits.setval("m0.fits", "OBSERVER", value="other")
    done = replay("run.json", "again.fits")
    assert done.notes == [
        f"m{f}.fits: the header of {night / f'm{f}.fits'} differs from the report" for f in (0, 1)
    ]
    assert done.verdict == "the same data in each HDU, with other headers", "that of the first"
    assert done.differences == []


def test_a_header_that_changes_the_data(night):
    fits.setval("m1.fits", "BZERO", value=1.0)
    done = replay("run.json", "again.fits")
    assert done.verdict == "the result differs"
    assert done.notes[0].startswith("m1.fits: the header of")
    assert done.differences[0].startswith(
        "again.fits: the data of PRIMARY differ from the report; expected"
    )


def test_a_result_of_other_hdus(night):
    hdus = json.loads(Path("run.json").read_text())["output"]["hdus"]
    edit(output__hdus=[hdu | {"name": hdu["name"].replace("MASK", "DQ")} for hdu in hdus])
    done = replay("run.json", "again.fits")
    there, here = "PRIMARY, DQ, UNCERT", "PRIMARY, MASK, UNCERT"
    assert done.differences == [f"again.fits: expected HDUs {there}, got {here}"]
    assert done.verdict == "the result differs"


def test_other_versions_are_warned_of(night):
    edit(versions__numpy="1.0", versions__reproject="0.1")
    with pytest.warns(GpustackWarning) as said:
        done = replay("run.json", "again.fits")
    differ = f"numpy 1.0 then, {np.__version__} here; reproject 0.1 then, none here"
    told = f"versions differ from those of the report: {differ}; the bytes may differ"
    assert str(said[0].message) == told
    assert done.verdict == "the same bytes", "of this numpy the header tells as then"


def test_a_version_that_was_not_told_then(night):
    edit(versions={name: told for name, told in versions().items() if name != "numpy"})
    with pytest.warns(GpustackWarning, match=f": numpy none then, {np.__version__} here; the"):
        replay("run.json", "again.fits")


def test_a_version_in_the_header(night, monkeypatch):
    monkeypatch.setattr("gpustack.provenance.draft.__version__", "9")
    monkeypatch.setattr("gpustack.header.__version__", "9")
    with pytest.warns(GpustackWarning, match=f"gpustack {gpustack.__version__} then, 9 here"):
        done = replay("run.json", "again.fits")
    assert done.verdict == "the same data in each HDU, with other headers"


def test_another_device_is_noted(night):
    edit(backend__device="VAX")
    (note,) = replay("run.json", "again.fits").notes
    assert note.startswith("device: VAX then, ")


def test_the_backend_is_that_of_the_report(night, monkeypatch):
    monkeypatch.setattr("gpustack.backends.device.problem", lambda: "there is none")
    edit(backend__used="cuda")
    with pytest.raises(BackendError, match="there is none"):
        replay("run.json", "again.fits")


def test_a_file_that_is_none_any_more(night):
    Path("m3.fits").write_bytes(b"SIMPLE")
    with pytest.raises(FrameError, match=r"m3\.fits"):
        replay("run.json", "again.fits")


def test_frames_from_memory_cannot_be_replayed(tmp_path):
    kept(tmp_path, np.ones((4, 3, 3)))
    with pytest.raises(
        InputError, match=r"run\.json: cannot be replayed: frame 0 came from memory"
    ):
        replay(tmp_path / "run.json", tmp_path / "again.fits")


def test_an_input_is_not_overwritten(night):
    before = Path("m3.fits").read_bytes()
    Path("link.fits").symlink_to("m3.fits")
    for name in ("m3.fits", "link.fits"):
        with pytest.raises(FrameError, match=r"m3\.fits: expected another output, got one of the"):
            replay("run.json", name, overwrite=True)
    assert Path("m3.fits").read_bytes() == before


def nodes(tree, path=()):
    """Yield the paths of all values of a tree of dicts and lists."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items:
        yield *path, key
        if isinstance(value, (dict, list)):
            yield from nodes(value, (*path, key))


@pytest.mark.parametrize("junk", [None, -1, {"x": []}], ids=str)
def test_a_report_that_somebody_changed_raises_nothing_else(tmp_path, monkeypatch, junk):
    monkeypatch.chdir(tmp_path)
    names = [Path(name).name for name in save(tmp_path, n=2, shape=(5, 4))]
    result = kept(Path(), names, align="offsets:source=[(0,0),(1,1)]", scale="median")
    for path in list(nodes(result.report)):
        report = json.loads(json.dumps(result.report))
        place = report
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = junk
        Path("run.json").write_text(json.dumps(report))
        with suppress(GpustackError), warnings.catch_warnings():
            warnings.simplefilter("ignore", GpustackWarning)  # about other versions
            replay("run.json", "again.fits", overwrite=True)


def command(*words):
    done = CliRunner().invoke(cli, ["replay", *words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_help():
    said = command("--help").output
    assert "gpustack combine night/*.fits -o deep.fits --scale median --clip sigma --report" in said
    assert "Exit codes: 0 the same data, 1 an input or the result differs" in said


def test_exit_codes_and_what_is_said(night):
    done = command("run.json", "-o", "again.fits")
    assert (done.exit_code, done.stdout) == (0, "again.fits: the same bytes\n")
    change("m3.fits")
    done = command("run.json", "-o", "third.fits")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "gpustack: m3.fits: the data of" in done.stderr
    assert "third.fits: not made, as the inputs differ" in done.stderr


def test_a_result_that_is_another_is_code_1(night):
    fits.setval("m1.fits", "BZERO", value=1.0)
    done = command("run.json", "-o", "again.fits")
    assert done.exit_code == 1
    assert "gpustack: note: m1.fits: the header of" in done.stderr
    assert "gpustack: again.fits: the data of PRIMARY differ" in done.stderr
