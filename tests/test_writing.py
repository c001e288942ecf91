"""Files are written completely or not at all."""

import errno
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gpustack import ToFile, stack
from gpustack.errors import OutputError, WriteError
from gpustack.writing import write_text


@pytest.fixture(scope="module")
def result():
    return stack(np.random.default_rng(3).normal(50, 3, (4, 16, 20)))


@pytest.mark.parametrize("name", ["a.fits", "b.fit", "c.fts", "d.fits.gz", "E.FITS", "F.FIT.GZ"])
def test_names_that_can_be_written(result, tmp_path, name):
    result.write(tmp_path / name)
    np.testing.assert_array_equal(fits.getdata(tmp_path / name), result.data)
    with (tmp_path / name).open("rb") as file:
        assert (file.read(2) == b"\x1f\x8b") == name.lower().endswith(".gz")


def refused(tmp_path):
    (tmp_path / "there.fits").write_bytes(b"mine")
    (tmp_path / "folder.fits").mkdir()
    return {
        "there.fits": "exists",
        "folder.fits": "expected a file to write, got a folder",
        "missing/out.fits": "expected a folder .*missing to write in, found none",
        "out.png": r"expected a name ending in \.fits",
        "out.fits.fz": r"expected a name ending in \.fits",
    }


def test_names_that_are_refused(result, tmp_path):
    for name, match in refused(tmp_path).items():
        with pytest.raises(OutputError, match=match):
            result.write(tmp_path / name)
    assert (tmp_path / "there.fits").read_bytes() == b"mine"
    assert not list(tmp_path.glob(".*"))


def test_overwrite_replaces(result, tmp_path):
    (tmp_path / "there.fits").write_bytes(b"old")
    result.write(tmp_path / "there.fits", overwrite=True)
    assert fits.getheader(tmp_path / "there.fits")["NCOMBINE"] == 4


def test_a_file_that_appears_meanwhile_is_not_lost(result, tmp_path, monkeypatch):
    write = fits.HDUList.writeto

    def write_and_lose_the_race(self, *args, **kwargs):
        write(self, *args, **kwargs)
        (tmp_path / "out.fits").write_bytes(b"theirs")

    monkeypatch.setattr(fits.HDUList, "writeto", write_and_lose_the_race)
    with pytest.raises(OutputError, match="appeared"):
        result.write(tmp_path / "out.fits")
    assert (tmp_path / "out.fits").read_bytes() == b"theirs"
    assert not list(tmp_path.glob(".*"))


def test_a_name_of_bytes_is_refused(result, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("out.fits").touch()
    with os.scandir(b".") as (entry,), pytest.raises(OutputError, match="the name of a file"):
        result.write(entry, overwrite=True)


def test_all_of_a_file_is_there_before_it_gets_its_name(result, tmp_path, monkeypatch):
    link, seen = os.link, []

    def look(old, new):
        seen.append(Path(old).read_bytes())
        link(old, new)

    monkeypatch.setattr(os, "link", look)
    write_text(tmp_path / "out.json", "{}")
    result.write(tmp_path / "out.fits")
    assert seen == [(tmp_path / f"out.{ending}").read_bytes() for ending in ("json", "fits")]


# EPERM on Linux, ENOTSUP on macOS, EINVAL on Windows, EACCES on Android.
@pytest.mark.parametrize(
    "code", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EACCES]
)
@pytest.mark.parametrize("taken", [False, True])
def test_a_file_system_without_hard_links(result, tmp_path, monkeypatch, code, taken):
    def refuse(old, new):
        if taken:
            Path(new).write_bytes(b"theirs")
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    if taken:
        with pytest.raises(OutputError, match=r"out\.fits: appeared while"):
            result.write(tmp_path / "out.fits")
    else:
        result.write(tmp_path / "out.fits")
        np.testing.assert_array_equal(fits.getdata(tmp_path / "out.fits"), result.data)
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert left.keys() == {"out.fits"}
    assert not taken or left["out.fits"] == b"theirs"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, OSError(28, "No space left")])
def test_nothing_is_left_of_an_interrupted_write(result, tmp_path, monkeypatch, error):
    def write_half(self, file, **options):
        file.write(b"half")
        raise error

    monkeypatch.setattr(fits.HDUList, "writeto", write_half)
    expected = OutputError if isinstance(error, OSError) else error
    with pytest.raises(expected):
        result.write(tmp_path / "out.fits")
    assert [path.name for path in tmp_path.glob("*out*")] == []
    assert not list(tmp_path.glob(".*"))


FULL_DISK = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.argv[1:] = ["combine", "a.fits", "b.fits", "-o", *sys.argv[2:]]
from gpustack.cli import main
main()
"""


@pytest.mark.parametrize("name", ["out.fits", "out.fits.gz"])
@pytest.mark.parametrize("room", [0, 5000, 20_000, 60_000])
def test_a_full_disk_is_code_3_and_leaves_what_was_there(tmp_path, name, room):
    # A limit on the file size acts like a full disk, except for the error number.
    pytest.importorskip("resource", reason="limits on file size need POSIX")
    noise = np.random.default_rng(0).normal(size=(2, 100, 100))
    for frame, plane in zip(("a.fits", "b.fits"), noise, strict=True):
        fits.writeto(tmp_path / frame, plane, fits.Header({"BUNIT": "adu"}))
    (tmp_path / name).write_bytes(b"mine")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(room), name, "--overwrite"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert f"gpustack: {name}: could not be written: " in done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / name).read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.fits", "b.fits", name]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("name", ["out.fits", "out.fits.gz"])
def test_a_disk_without_room_says_so(result, tmp_path, monkeypatch, name):
    @contextmanager
    def full(folder):
        with Path("/dev/full").open("wb") as file:
            yield file, tmp_path / "unused"

    monkeypatch.setattr("gpustack.writing.temporary_file", full)
    with pytest.raises(WriteError, match=rf"{name}: could not be written: .*No space left"):
        result.write(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_written_to_is_the_systems_fault(result, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(WriteError, match=r"out\.fits: no permission to write in the folder"):
        result.write(tmp_path / "out.fits")


def test_memory_that_runs_out_in_writing_leaves_nothing(result, tmp_path, monkeypatch):
    def run_out(self, file, **options):
        file.write(b"half")
        raise MemoryError("Unable to allocate 1 TiB")

    monkeypatch.setattr(fits.HDUList, "writeto", run_out)
    with pytest.raises(MemoryError):
        result.write(tmp_path / "out.fits")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out.fits", "out.fits.gz"])
def test_the_same_result_is_the_same_bytes(result, tmp_path, name):
    written = []
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        result.write(tmp_path / folder / name)
        written.append((tmp_path / folder / name).read_bytes())
    assert written[0] == written[1]


def test_the_result_obeys_the_umask(result, tmp_path):
    result.write(tmp_path / "out.fits")
    (tmp_path / "plain").touch()
    assert (tmp_path / "out.fits").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.fixture
def links(tmp_path):
    """A folder in which symbolic links can be made; without them, tests are skipped."""
    try:
        (tmp_path / "probe").symlink_to("nowhere")
    except OSError:
        pytest.skip("this system makes no symbolic links")
    (tmp_path / "probe").unlink()
    return tmp_path


def test_a_link_stays_a_link(result, links):
    (links / "store").mkdir()
    (links / "store" / "real.fits").write_bytes(b"old")
    (links / "out.fits").symlink_to("store/real.fits")
    with pytest.raises(OutputError, match=r"out\.fits: exists"):
        result.write(links / "out.fits")
    result.write(links / "out.fits", overwrite=True)
    assert (links / "out.fits").is_symlink()
    np.testing.assert_array_equal(fits.getdata(links / "store" / "real.fits"), result.data)
    assert [path.name for path in (links / "store").iterdir()] == ["real.fits"]


def test_a_link_to_a_file_yet_to_come_makes_it(result, links):
    (links / "out.fits").symlink_to("later.fits")
    result.write(links / "out.fits")
    assert (links / "out.fits").is_symlink()
    np.testing.assert_array_equal(fits.getdata(links / "later.fits"), result.data)


@pytest.mark.parametrize(
    ("points_to", "match"),
    [
        ("no/such/real.fits", "expected a folder .*such to write in, found none"),
        ("out.fits", "out.fits: .*(loop|empty link)"),
        (os.devnull, "got a device, pipe or empty link"),
    ],
)
def test_a_link_that_leads_to_no_file_is_refused(result, links, points_to, match):
    (links / "out.fits").symlink_to(points_to)
    with pytest.raises(OutputError, match=match):
        result.write(links / "out.fits", overwrite=True)
    assert [path.name for path in links.iterdir()] == ["out.fits"]


def test_a_name_as_long_as_a_file_system_takes(result, tmp_path):
    name = "n" * 250 + ".fits"
    result.write(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["n" * 300 + ".fits", "nul\0.fits"])
def test_a_name_that_no_file_can_have_is_an_output_error(result, tmp_path, name):
    with pytest.raises(OutputError, match=r"\.fits: could not be written: "):
        result.write(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [fits.VerifyError("a card"), ValueError("a value")])
def test_what_astropy_cannot_write_is_an_output_error(result, tmp_path, monkeypatch, error):
    def refuse(self, path, **options):
        raise error

    monkeypatch.setattr(fits.HDUList, "writeto", refuse)
    with pytest.raises(OutputError, match=f"out.fits: could not be written: {error}"):
        result.write(tmp_path / "out.fits")


def test_a_temporary_file_that_cannot_be_removed_hides_no_error(result, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError("read-only")

    monkeypatch.setattr(fits.HDUList, "writeto", refuse)
    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    with pytest.raises(OutputError, match="could not be written: read-only"):
        result.write(tmp_path / "out.fits")


def test_the_temporary_file_says_whose_it_is(result, tmp_path, monkeypatch):
    names = []
    write = fits.HDUList.writeto

    def write_down(self, file, **options):
        names.append(Path(file.name))
        write(self, file, **options)

    monkeypatch.setattr(fits.HDUList, "writeto", write_down)
    result.write(tmp_path / "out.fit.gz")
    assert names[0].parent == tmp_path
    expected = rf"\.gpustack-[0-9a-f]{{1,12}}-{os.getpid()}-[0-9a-f]{{8}}\.part"
    assert re.fullmatch(expected, names[0].name)


def test_a_file_below_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    cube = np.ones((3, 4, 5))
    stack(cube, outputs=ToFile("~/streamed.fits"))
    stack(cube).write("~/written.fits")
    for name in ("streamed", "written"):
        assert (tmp_path / f"{name}.fits").is_file()


@pytest.mark.parametrize("name", [b"out.fits", 3, None])
def test_what_is_no_name(name):
    with pytest.raises(OutputError, match="expected the name of a file to write, got"):
        stack(np.ones((3, 4, 5))).write(name)
