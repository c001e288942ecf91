"""Lists of file names in a file, given as ``@FILE`` in place of frames."""

import os
from pathlib import Path

import numpy as np
import pytest

from fitsmaker import image_bytes
from gpustack.errors import FrameError
from gpustack.frames import open_frames
from opened import values


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, value in [("b.fits", 2), ("a.fits", 1), ("c1.fits", 4)]:
        (tmp_path / name).write_bytes(image_bytes(np.full((2, 2), value, "i2"), BUNIT="adu"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_list_names_files_and_globs(folder, monkeypatch):
    lines = ["# tonight", "b.fits", "", f"  {folder / 'a.fits'}  ", "c[123].fits"]
    (folder / "night.list").write_text("\r\n".join(lines))
    assert values(open_frames("@night.list")) == [2, 1, 4]
    assert values(open_frames([f"@{folder / 'night.list'}", "a.fits"])) == [2, 1, 4, 1]
    monkeypatch.setenv("HOME", str(folder))
    assert values(open_frames("@~/night.list")) == [2, 1, 4]
    (folder / "a.fits").rename("@night.list")
    assert values(open_frames("@night.list")) == [1]


def test_names_in_a_list_need_not_be_text(folder):
    name = os.fsdecode(b"\xe9t\xe9.fits")
    (folder / "a.fits").rename(name)
    (folder / "night.list").write_bytes(os.fsencode(name))
    assert values(open_frames("@night.list")) == [1]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "got no names$"),
        (
            b"a.fits\n@other.list",
            r"^@night.list, line 2: .* got the name of another list, @other.list",
        ),
        (b"# nothing yet\n\n", "got no names$"),
        (b"SIMPLE\0", "got binary data"),
        (b"a.fits\nx.fits", "x.fits: expected a FITS file, got no such file"),
        (b"a.fits\nx*.fits", r"x\*.fits: expected files that match"),
    ],
)
def test_an_invalid_list_is_an_error(folder, content, problem):
    (folder / "night.list").write_bytes(content)
    with pytest.raises(FrameError, match=problem):
        open_frames("@night.list")


def test_a_list_that_cannot_be_read(folder):
    with pytest.raises(FileNotFoundError, match=r"^@.*one file name per line, got no such file"):
        open_frames(f"@{folder / 'other.list'}")
    with pytest.raises(FrameError, match=r"^@.*got: Is a directory"):
        open_frames(f"@{folder}")


def test_a_path_may_be_a_glob_or_a_list_too(folder):
    (folder / "night.list").write_text("a.fits\n")
    assert values(open_frames(folder / "[ab].fits")) == [1, 2]
    assert values(open_frames([Path("@night.list"), Path("b.fits")])) == [1, 2]


def test_names_count_from_the_current_folder(folder, monkeypatch):
    (folder / "night.list").write_text("a.fits\nb.fits\n")
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    with pytest.raises(
        FrameError, match=r"\.list, line 1: expected .* got a\.fits, which is in \.\."
    ):
        open_frames("@../night.list")


def test_a_byte_order_mark_is_skipped(folder):
    (folder / "night.list").write_bytes(b"\xef\xbb\xbfa.fits\r\nb.fits")
    assert values(open_frames("@night.list")) == [1, 2]


def test_names_that_a_system_cannot_decode(folder, monkeypatch):
    # On Windows, names of files are UTF-8 for Python, and other bytes are none.
    monkeypatch.setattr(
        os, "fsdecode", lambda name: str(name, "utf-8") if isinstance(name, bytes) else name
    )
    (folder / "night.list").write_bytes(b"a.fits\n\xe9t\xe9.fits")
    with pytest.raises(
        FrameError, match=r"^@night\.list, line 2: expected a name in UTF-8, got b'"
    ):
        open_frames("@night.list")


@pytest.mark.parametrize("name", ["@~nosuchuser/x", "@a\0b", "@" + "a" * 5000, "a*" * 3000])
def test_names_that_no_file_has(folder, name):
    with pytest.raises(FrameError):
        open_frames(name)


def test_comments_behind_names(folder):
    (folder / "night.list").write_text("a.fits # clouds\nb.fits  # the best\n")
    assert values(open_frames("@night.list")) == [1, 2]
    (folder / "a.fits").rename("a.fits # clouds")
    assert values(open_frames("@night.list")) == [1, 2]


@pytest.mark.parametrize("section", ["[1:50,1:50]", "[*,3]", "[ 2:3 , * ]"])
def test_sections_are_none_of_a_file(folder, section):
    with pytest.raises(FrameError, match="got none; image sections are not supported"):
        open_frames(f"a.fits{section}")
