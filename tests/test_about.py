"""`gpustack info` and `gpustack --version`, which users paste into bug reports."""

import os
import re
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

import gpustack
from gpustack.cli import about, cli

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

#: Extras for developers of gpustack, not for its users.
FOR_WORK = {"bench", "docs", "test", "dev"}


def said(*words):
    """Run the command line and return its output."""
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    return done.output


def test_info_lists_dependencies_and_packages_of_extras():
    extras = [
        need
        for name, needs in PROJECT["optional-dependencies"].items()
        for need in needs
        if name not in FOR_WORK
    ]
    named = [re.match(r"[\w-]+", need)[0] for need in (*PROJECT["dependencies"], *extras)]
    assert {name for name in named if name != "gpustack"} == set(about.PACKAGES) - {"cupy"}


def test_packages_are_told_with_their_versions_or_as_missing():
    told = dict(about.packages())
    assert told["numpy"] == version("numpy")
    assert list(told) == list(about.PACKAGES)
    assert about._version("no-such-package") == "not installed"


def test_the_version_is_the_first_line_of_info():
    assert said("--version") == said("info").splitlines(keepends=True)[0]
    assert said("--version").startswith(f"gpustack {gpustack.__version__}")


def test_info_names_the_machine():
    names = [name for name, _ in about.machine()]
    assert names == ["system", "processor", "memory"]
    output = said("info")
    for name in names:
        assert re.search(rf"^  {name} +\S", output, re.MULTILINE)


def test_memory_is_unknown_without_proc_files(monkeypatch):
    monkeypatch.setattr(about, "_line", lambda file, name: None)
    assert dict(about.machine())["memory"].startswith("unknown, unknown available; limit")
    assert dict(about.machine())["processor"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name : a b\nother : c\n", "a b"),
        ("other name : no\nname:   12 kB\n", "12 kB"),
        ("other: 1\n", None),
    ],
)
def test_lines_of_what_linux_tells(tmp_path, text, expected):
    (tmp_path / "info").write_text(text)
    assert about._line(str(tmp_path / "info"), "name") == expected
    assert about._line(str(tmp_path / "none"), "name") is None


def test_variables_that_matter_are_told_and_no_secrets(monkeypatch):
    for name in about.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert "environment: no relevant variable is set" in said("info")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    # A variable of the unrelated server called GPUStack.
    monkeypatch.setenv("GPUSTACK_TOKEN", "hidden")
    output = said("info")
    assert re.search(r"^  OMP_NUM_THREADS +3$", output, re.MULTILINE)
    assert re.search(r"^  CUDA_VISIBLE_DEVICES +''$", output, re.MULTILINE)
    assert "hidden" not in output


def test_every_variable_of_ours_is_told():
    found = set()
    for path in (ROOT / "gpustack").rglob("*.py"):
        found |= set(re.findall(r"\bGPUSTACK_[A-Z_]+", path.read_text()))
    assert found == {name for name in about.VARIABLES if name.startswith("GPUSTACK_")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{home}", "~"),
        ("{home}/a{sep}{home}/b", "~/a{sep}~/b"),
        ("in {home}/a", "in ~/a"),
        ("{home}ly/a", "{home}ly/a"),
        ("/other{home}/a", "/other{home}/a"),
        ("", ""),
    ],
)
def test_the_home_folder_is_not_told(monkeypatch, tmp_path, text, expected):
    monkeypatch.setenv("HOME", str(tmp_path / "home.er"))
    words = {"home": str(tmp_path / "home.er"), "sep": os.pathsep}
    assert about.without_home(text.format(**words)) == expected.format(**words)


def test_the_home_folder_is_not_told_on_windows(monkeypatch):
    monkeypatch.setattr(os, "sep", "\\")
    monkeypatch.setattr(os, "pathsep", ";")
    monkeypatch.setenv("HOME", r"C:\Users\me")
    assert about.without_home(r"C:\Users\me\a;C:\Users\me") == r"~\a;~"
    assert about.without_home(r"C:\Users\media") == r"C:\Users\media"


def test_a_home_that_is_all_is_shown(monkeypatch):
    monkeypatch.setenv("HOME", "/")
    assert about.without_home("/usr/lib") == "/usr/lib"


def git(folder, *words):
    who = ("-c", "user.name=n", "-c", "user.email=e@example.org")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def test_the_commit_of_a_checkout(tmp_path):
    assert about._commit(tmp_path) is None
    git(tmp_path, "init")
    assert about._commit(tmp_path) is None
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "one")
    assert re.fullmatch(r"[0-9a-f]{10,}", about._commit(tmp_path))
    (tmp_path / "file").write_text("2")
    assert about._commit(tmp_path).endswith("-dirty")


def test_a_checkout_without_git(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", "")
    assert about._commit(tmp_path) is None
