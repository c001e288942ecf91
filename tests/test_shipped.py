"""The source distribution, the wheel, and the package installed from it."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from email.parser import Parser
from importlib.util import find_spec
from pathlib import Path

import pytest

import gpustack
from gpustack.cli import about
from skips import skip_without

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "gpustack"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def python(*arguments, cwd, program=sys.executable):
    """Run a fresh interpreter without PYTHONPATH and return what it prints."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [program, *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def build(kind, source, out):
    """Build a source tree with the installed hatchling; return the path of the result."""
    python("-m", "hatchling", "build", "-t", kind, "-d", out, cwd=source)
    return next(out.iterdir())


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The folder of the unpacked source distribution of this checkout."""
    folder = tmp_path_factory.mktemp("sdist")
    python("-m", "tarfile", "-e", build("sdist", ROOT, folder / "out"), folder, cwd=folder)
    return folder / f"gpustack-{gpustack.__version__}"


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    """The wheel built from the source distribution."""
    return build("wheel", sdist, tmp_path_factory.mktemp("wheel") / "out")


@pytest.fixture(scope="module")
def shipped(wheel):
    """The names of the files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def files(folder):
    """The files of a folder of this checkout, relative to it."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if "__pycache__" not in name}


def test_a_wheel_ships_the_package_and_the_kernels_inside_it(shipped):
    package = {f"gpustack/{name}" for name in files(PACKAGE)}
    kernels = {f"gpustack/kernels/{name}" for name in files(ROOT / "kernels")}
    assert "gpustack/py.typed" in package
    assert "gpustack/kernels/README.md" in kernels
    info = f"gpustack-{gpustack.__version__}.dist-info"
    assert {name for name in shipped if not name.startswith(info)} == package | kernels
    assert f"{info}/licenses/LICENSE" in shipped


def test_a_checkout_and_its_source_distribution_build_the_same_wheel(wheel, tmp_path):
    assert build("wheel", ROOT, tmp_path / "out").read_bytes() == wheel.read_bytes()


def test_what_a_wheel_says_of_itself(wheel):
    info = f"gpustack-{gpustack.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        scripts = archive.read(f"{info}/entry_points.txt").decode()
    assert metadata["Version"] == gpustack.__version__
    assert metadata["License-Expression"] == "BSD-3-Clause"
    # True for this version: it was only run on an H200, and only on Linux.
    assert "CUDA (run on one device)" in metadata["Summary"]
    assert not [line for line in metadata.get_all("Classifier") if "GPU" in line]
    assert "Operating System :: POSIX :: Linux" in metadata.get_all("Classifier")
    assert set(metadata.get_all("Provides-Extra")) >= {"cuda12", "cuda13", "plot", "dev", "test"}
    assert "gpustack = gpustack.cli:main" in scripts
    needed = [name for name in metadata.get_all("Requires-Dist") if "extra ==" not in name]
    assert not any("cupy" in name for name in needed)


def test_a_wheel_runs(wheel, tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(wheel)!r}); import gpustack; "
        "from importlib.resources import files; "
        "print(gpustack.__file__, files('gpustack').joinpath('kernels/README.md').is_file())"
    )
    said = python("-c", code, cwd=tmp_path)
    assert said.startswith(str(wheel))
    assert said.split()[-1] == "True"


def test_a_source_distribution_has_what_its_tests_need(sdist):
    for folder in ("gpustack", "kernels", "tests"):
        assert files(sdist / folder) == files(ROOT / folder)
    top = {path.name for path in sdist.iterdir() if path.is_file()}
    assert top >= {"pyproject.toml", "Makefile", "README.md", "LICENSE", "CONTRIBUTING.md"}


def test_the_oldest_versions_are_those_that_are_allowed():
    needs = [*PROJECT["dependencies"]]
    for extra, more in PROJECT["optional-dependencies"].items():
        if extra not in {"cuda12", "cuda13", "docs", "dev"}:
            needs += more
    # Requirements with two bounds, and those to build the package, are not needed to run it.
    least = {
        f"{name} == {version}"
        for name, version in re.findall(
            r"^([\w-]+) [=>]= ([\d.]+)$", "\n".join(needs), re.MULTILINE
        )
        if name != "hatchling"
    }
    lines = (ROOT / "tests" / "oldest.txt").read_text().splitlines()
    assert least == {line for line in lines if "==" in line}


def test_what_the_container_is_made_of_builds_the_whole_wheel(wheel, tmp_path):
    lines = (ROOT / "Containerfile").read_text().splitlines()
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    heeded = (ROOT / ".dockerignore").read_text().splitlines()
    assert sorted(copied) == [line[1:] for line in heeded if line.startswith("!")]
    (tmp_path / "src").mkdir()
    for name in copied:
        source, target = ROOT / name, tmp_path / "src" / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    made = build("wheel", tmp_path / "src", tmp_path / "out")
    assert zipfile.ZipFile(made).namelist() == zipfile.ZipFile(wheel).namelist()


def test_the_container_takes_extras_that_there_are_and_a_python_that_is_tried():
    text = (ROOT / "Containerfile").read_text()
    extras = re.search(r"'\.\[(.*)\]'", text)[1].split(",")
    assert set(extras) <= set(PROJECT["optional-dependencies"])
    python = re.search(r"python:(\d+\.\d+)-slim", text)[1]
    assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]


def test_what_is_cited_is_this_version():
    lines = (ROOT / "CITATION.cff").read_text().splitlines()
    assert f"version: {gpustack.__version__}" in lines
    assert f"license: {PROJECT['license']}" in lines


def test_nothing_that_is_shipped_is_a_cache_or_a_result(sdist, shipped):
    names = {*shipped, *files(sdist)}
    kept = re.compile(r"\.(pyc|so|orig|swp|log)$|/(\.[a-z_]+_cache|_build|dist|build|\.venv)/")
    assert not [name for name in names if kept.search(name)]


def test_the_description_is_markdown_with_code_that_an_index_can_show(wheel):
    info = f"gpustack-{gpustack.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload() == (ROOT / "README.md").read_text()


#: The schemes of the folders of the packages with which the tests run.
LENT = ("purelib", "platlib")


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder of a virtual environment in which only the wheel is installed.

    Its requirements are taken from the environment of the tests, so that no network is needed.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    pip = (
        "-m",
        "pip",
        "--python",
        str(folder / "bin/python"),
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--no-warn-script-location",
    )
    python(*pip, str(wheel), cwd=folder)
    paths = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", "venv", vars=paths))
    (packages / "lent.pth").write_text("\n".join(sysconfig.get_paths()[key] for key in LENT))
    return folder


def test_what_is_installed_runs_elsewhere(installed, tmp_path):
    program = installed / "bin" / "gpustack"
    for words in (["--version"], ["info"]):
        said = python(program, *words, cwd=tmp_path, program=installed / "bin/python")
        version, where = re.match(r"gpustack (\S+), Python [\d.]+, (\S+)\n", said).groups()
        assert version == gpustack.__version__
        assert where == about.without_home(str(next(installed.glob("lib/*/*/gpustack"))))
    # A very small run, which shows that everything that the demo needs is installed.
    words = ["demo", "--frames", "8", "--size", "128", "-o", "out"]
    python(program, *words, cwd=tmp_path, program=installed / "bin/python")
    assert (tmp_path / "out").is_dir()


#: Scripts of a user who has gpustack installed, one with errors.
RIGHT = (ROOT / "tests" / "downstream" / "script.py").read_text()
WRONG = """from gpustack import SigmaClip, stack, stuck
stack([1], SigmaClip(low="three"))
stack([1], uncertainty="some").nothing
"""


@pytest.fixture(scope="module")
def mypy(installed, tmp_path_factory):
    """The errors that mypy reports for both scripts: file, line and code of each."""
    if find_spec("mypy") is None:
        skip_without("mypy, which reads the types of what is installed")
    folder = tmp_path_factory.mktemp("scripts")
    for name, script in (("right.py", RIGHT), ("wrong.py", WRONG)):
        (folder / name).write_text(script)
    words = ["--strict", "--config-file=", "--cache-dir", str(folder / "cache")]
    words += ["--python-executable", str(installed / "bin/python"), "right.py", "wrong.py"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.endswith("(checked 2 source files)\n"), done.stdout
    return re.findall(r"(\w+\.py):(\d+): error: .*\[(.*)\]", done.stdout)


def test_type_checkers_know_the_types_of_what_is_installed(mypy):
    assert not [one for one in mypy if one[0] == "right.py"]


def test_type_checkers_find_what_is_wrong(mypy):
    assert [one[1:] for one in mypy if one[0] == "wrong.py"] == [
        ("1", "attr-defined"),
        ("2", "arg-type"),
        ("3", "attr-defined"),
        ("3", "arg-type"),
    ]


def test_type_checkers_know_all_public_names_and_no_others():
    source = (PACKAGE / "__init__.py").read_text()
    found = re.findall(r"    from gpustack\.([\w.]+) import (\w+) as (\w+)\n", source)
    assert sorted(found) == sorted((home, name, name) for name, home in gpustack._HOMES.items())
