"""The package as a whole: rules of imports, loaded modules, public names and file sizes."""

import ast
import re
import subprocess
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

import gpustack
from forks import forks
from gpustack import errors

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "gpustack"

#: A module or subpackage -> the other distributions that it may import. It may also import the
#: modules above it. CuPy, which one file of the backends imports, has a rule of its own.
MAY_IMPORT = {
    "errors": "",
    "logs": "",
    "lazy_types": "",
    "checks": "numpy",
    "value_texts": "",
    "clips": "numpy scipy",
    "reasons": "",
    "combines": "",
    "measures": "",
    "alignments": "",
    "markup": "",
    "plain_words": "",
    "recipe": "",
    "plan": "",
    "flags": "",
    "cards": "astropy",
    "files": "",
    "images": "",
    "backends": "numpy",
    "progress": "tqdm",
    "frames": "numpy astropy",
    "header": "numpy astropy",
    "maps": "numpy astropy",
    "writing": "numpy astropy",
    "align": "numpy astropy reproject scipy skimage astroalign sep",
    "drawing": "numpy astropy matplotlib",
    "kept_samples": "numpy",
    "provenance": "numpy astropy",
    "result": "numpy astropy",
    "streaming": "numpy astropy",
    "advice": "astropy",
    "normalize": "numpy astropy",
    "run": "numpy astropy",
    "maker": "",
    "cluster": "numpy astropy dask distributed",
    "engine": "numpy",
    "replay": "",
    "live": "numpy astropy",
    "explanation": "numpy astropy",
    "show": "numpy",
    "combiner": "numpy astropy",
    "demo": "numpy astropy",
    "cli": "click tqdm astropy",
    "__main__": "",
}
CUPY_FILE = PACKAGE / "backends" / "cuda" / "device.py"
MODULES = sorted(set(PACKAGE.rglob("*.py")) - {PACKAGE / "__init__.py"})


def dotted(path):
    """The dotted name of a file of the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def place(name):
    """The row of the table that a dotted name belongs to."""
    return name.split(".")[1]


@cache
def parsed(path):
    """The syntax tree of a file."""
    return ast.parse(path.read_text(), path)


@cache
def imports(path):
    """The dotted names that a file imports anywhere."""
    names = []
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno} is relative"
            if node.module == "gpustack":
                names += [_home(alias.name) for alias in node.names]
            else:
                names.append(node.module)
    return names


def _home(name):
    home = gpustack._HOMES.get(name)
    return f"gpustack.{home or name}"


def outside(path):
    """The distributions outside the standard library that a file imports."""
    tops = {name.partition(".")[0] for name in imports(path)}
    return tops - sys.stdlib_module_names - {"gpustack"}


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_go_one_way(path):
    order = list(MAY_IMPORT)
    here = place(dotted(path))
    assert here in order, f"give {here} its place in MAY_IMPORT"
    for name in imports(path):
        if name.startswith("gpustack.") and name != "gpustack.__version__":
            assert place(name) in order[: order.index(here) + 1], f"{here} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_other_distributions_are_imported_where_the_table_says(path):
    allowed = set(MAY_IMPORT[place(dotted(path))].split())
    assert outside(path) <= allowed | ({"cupy", "cupyx"} if path == CUPY_FILE else set())


def test_the_table_has_no_row_for_what_is_gone():
    assert set(MAY_IMPORT) == {place(dotted(path)) for path in MODULES}


BACKENDS = [dotted(path) for path in MODULES if path.is_relative_to(PACKAGE / "backends")]
LOADS = {
    "gpustack": ("import gpustack", {"gpustack"}),
    "command line": ("import gpustack.cli", {"gpustack", "click"}),
    "times of a device": ("import bench.gpu", {"gpustack", "numpy"}),
    "values": ("from gpustack import SigmaClip, Recipe", {"gpustack"}),
    **{
        name: (f"import {name}", {"gpustack", "numpy"})
        for name in BACKENDS
        if name != dotted(CUPY_FILE)
    },
}


def python(*arguments, cwd):
    """Run a fresh interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def loaded():
    """A function that returns the distributions a statement loads in a fresh interpreter."""
    known = {*packages_distributions(), "gpustack"}
    with forks() as bare, forks("import numpy") as ready:

        def after(statement, given=()):
            code = (
                f"before = set(sys.modules); {statement}; "
                "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
            )
            done = (ready if "numpy" in given else bare).run(code)
            assert done.returncode == 0, done.stderr
            return set(done.stdout.split()) & known

        yield after


@pytest.mark.parametrize(("statement", "expected"), LOADS.values(), ids=LOADS)
def test_what_an_import_loads(loaded, statement, expected):
    assert loaded(statement, expected) <= expected


def test_what_a_device_alone_is_tested_with_needs_no_astropy(loaded):
    files = re.findall(r"tests/(test_\w+)\.py", (ROOT / "docs" / "gpu.md").read_text())
    assert "test_cuda_device" in files
    found = loaded(f"sys.path.insert(0, 'tests'); import {', '.join(files)}")
    assert not found & {"astropy", "bottleneck", "ccdproc", "click", "hypothesis", "reproject"}


#: The number of modules that `gpustack --help` may load, including Python's own. It was 144 when
#: this was written; numpy alone would add 100. So the help appears in a tenth of a second.
HELP_MODULES = 170


@pytest.mark.parametrize("words", [["--help"], ["combine", "--help"]], ids=" ".join)
def test_help_loads_few_modules(words):
    code = (
        f"import sys; sys.argv[1:] = {words}; from gpustack.cli import main\n"
        "try: main()\nfinally: print(len(sys.modules), 'numpy' in sys.modules)"
    )
    count, numpy = python("-c", code, cwd=ROOT).split()[-2:]
    assert int(count) <= HELP_MODULES
    assert numpy == "False"


def test_the_whole_package_loads_nothing_optional_or_slow(loaded):
    everything = sorted({dotted(path) for path in MODULES if path != CUPY_FILE})
    found = loaded(f"import {', '.join(everything)}")
    assert {"gpustack", "numpy", "astropy"} <= found
    assert not found & {
        *("cupy", "cupyx", "reproject", "matplotlib", "ccdproc", "skimage", "astroalign", "sep"),
        *("dask", "distributed"),
    }


#: Modules that are slow to load and not needed to combine FITS files into one: coordinates, tables
#: and CCDData of astropy, what they load, SciPy, the cuda backend, and the code for clusters.
SLOW = {
    *("astropy.nddata", "astropy.table", "astropy.wcs", "astropy.coordinates", "astropy.time"),
    *("astropy.utils.masked", "astropy.stats", "scipy", "gpustack.backends.cuda.backend"),
    *("gpustack.explanation", "gpustack.combiner", "gpustack.align.sky", "gpustack.demo"),
    *("gpustack.align.reproject", "gpustack.align.register", "gpustack.replay"),
    *("gpustack.cluster", "asyncio"),
}


@pytest.fixture(scope="module")
def combining():
    """Forks of a process that has loaded what combining files always loads."""
    with forks("import gpustack.cli, gpustack.engine, gpustack.streaming") as one:
        yield one


@pytest.mark.parametrize("clip", ["sigma", "winsorized", "linear", "noise:rdnoise=1"])
def test_combining_files_loads_nothing_slow(combining, tmp_path, clip):
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "BUNIT": "adu"})
    for name in "abc":
        fits.writeto(tmp_path / f"{name}.fits", np.ones((4, 4), np.float32), header)
    words = ["combine", *tmp_path.glob("?.fits"), "--clip", clip, "--backend", "cpu"]
    words += ["-o", tmp_path / "out.fits"]
    done = combining.run("from gpustack.cli import main; main(); print(*sys.modules)", *words)
    assert done.returncode == 0, done.stderr
    assert not SLOW & set(done.stdout.split())
    assert CCDData.read(tmp_path / "out.fits").wcs.wcs.ctype[0] == "RA---TAN"


def test_python_m_is_the_command_line():
    assert python("-m", "gpustack", "--help", cwd=ROOT).startswith("Usage: gpustack [OPTIONS]")


@pytest.mark.parametrize("name", gpustack.__all__)
def test_public_names_resolve(name):
    value = getattr(gpustack, name)
    assert name in dir(gpustack)
    if name != "__version__":
        assert value.__name__ == name
        assert value.__module__.startswith(f"gpustack.{gpustack._HOMES[name]}")
        assert "\n" in value.__doc__.strip() or issubclass(value, Exception)


def test_every_error_is_in_the_tree_that_its_module_draws():
    drawn = re.findall(r"(?:\+--|^   ) (\w+)", errors.__doc__, re.MULTILINE)
    assert drawn == [name for name, value in vars(errors).items() if isinstance(value, type)]


def test_what_callers_catch_is_public():
    caught = {"GpustackError", "InputError", "FrameError", "OutputError", "BackendError"}
    assert caught | {"GpustackWarning"} <= set(gpustack.__all__)


def test_other_names_do_not_resolve():
    with pytest.raises(AttributeError, match="module 'gpustack' has no attribute 'stuck'"):
        gpustack.stuck  # noqa: B018


def test_every_module_says_what_it_is_for():
    for path in MODULES:
        assert ast.get_docstring(parsed(path)), f"{path} has no docstring"


#: Folders of the project's own files; a virtual environment and outputs may be beside them.
FOLDERS = [ROOT / name for name in (".ci", "bench", "docs", "gpustack", "kernels", "tests")]
TEXT = {"", ".cff", ".cu", ".cuh", ".h", ".json", ".md", ".py", ".toml", ".txt", ".yaml"}
TEXTS = sorted(
    path
    for path in (*ROOT.iterdir(), *(path for folder in FOLDERS for path in folder.rglob("*")))
    if path.is_file() and path.suffix in TEXT and not {"__pycache__", "_build"} & {*path.parts}
)


def test_no_file_names_a_path_of_one_machine():
    absolute = re.compile(r"(?<![\w.~])/(?:home|root|tmp|work|Users)/\w")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in TEXTS
        for line in path.read_text().splitlines()
        if absolute.search(line)
    ]
    assert not found


def test_no_file_outgrows_its_subject():
    sizes = {path.name: len(path.read_text().splitlines()) for path in TEXTS}
    assert len(sizes) > len(MODULES)
    assert not {name: size for name, size in sizes.items() if size > 400 and name.endswith(".py")}
