"""The tables of the pages for users of ccdproc, IRAF and Siril: each row is run.

A row has a call of the peer, the keywords of `stack`, and the options of the command line. The
last two must give the same bits, and for methods of ccdproc the same values as the peer.
"""

import re
import shlex
from dataclasses import dataclass

import ccdproc
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from click.testing import CliRunner

import gpustack
import pages
from gpustack.cli import cli

NAMES = {name: getattr(gpustack, name) for name in gpustack.__all__}
_ROW = re.compile(
    r"^\| (?P<peer>[^|]+) \| `(?P<python>[^`|]+)` \| `(?P<shell>--[^`|]+)` \|$", re.MULTILINE
)


@dataclass(frozen=True)
class Row:
    """A row of a table of a page."""

    page: str
    peer: str
    python: str
    shell: str

    def __str__(self):
        return f"{self.page}: {self.peer}"


def rows(page):
    """The rows of the tables of a page."""
    return [
        Row(page, **match.groupdict())
        for match in _ROW.finditer((pages.ROOT / "docs" / page).read_text())
    ]


ROWS = [row for page in ("ccdproc.md", "from-iraf.md", "from-siril.md") for row in rows(page)]
METHODS = [row for row in ROWS if re.fullmatch(r"`\w+_\w+\(.*\)`", row.peer)]


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """A folder with a night of frames with DQ extensions, and the files that rows name."""
    folder = tmp_path_factory.mktemp("night")
    pages.write_night(folder)
    rng = np.random.default_rng(5)
    for number, path in enumerate(sorted(folder.glob("night/*.fits"))):
        with fits.open(path, mode="update") as hdus:
            hdus[0].header.update({"RELWT": 1 + number, "NCOMBINE": 1 + number % 2})
            bits = rng.choice([0, 2, 4, 8], hdus[0].data.shape, p=[0.97, 0.01, 0.01, 0.01])
            hdus.append(fits.ImageHDU(bits.astype(np.int16), name="DQ"))
    for name, least in (("zeros", 0), ("scales", 1)):
        numbers = "\n".join(map(str, range(least, least + 12)))
        (folder / f"{name}.txt").write_text(numbers)
    (folder / "offsets.txt").write_text("\n".join(f"{i} {-i}" for i in range(12)))
    return folder


def ours(row, files):
    """The result of `stack` for the files with the keywords of a row."""
    return gpustack.stack(files, **eval(f"dict({row.python})", dict(NAMES)))


@pytest.mark.filterwarnings("ignore::gpustack.errors.GpustackWarning")
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_python_and_shell_are_the_same(row, night, monkeypatch, tmp_path):
    """`Register` is slow, so its rows use only four frames, moved along x, along y and both."""
    monkeypatch.chdir(night)
    files = "night/[0258].fits" if "Register" in row.python else "night/*.fits"
    result = ours(row, files)
    words = ["combine", files, "-o", str(tmp_path / "out.fits"), *shlex.split(row.shell)]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    with fits.open(tmp_path / "out.fits") as hdus:
        np.testing.assert_array_equal(hdus[0].data, result.data)
        asked = re.findall(r"--maps (\S+)", row.shell)
        names = {"rejections": "REJECTED"}
        for name in asked[0].split(",") if asked else ():
            assert names.get(name, name.upper()) in hdus


@pytest.mark.parametrize("row", METHODS, ids=str)
def test_ccdproc_gives_the_same(row, tmp_path, monkeypatch):
    pages.write_frames(tmp_path, (20, 30))
    paths = sorted(tmp_path.glob("frames/*.fits"))
    monkeypatch.chdir(tmp_path)
    for package in (ccdproc, gpustack):
        combiner = package.Combiner([CCDData.read(path) for path in paths])
        given = eval(f"combiner.{row.peer.strip('`')}", {"combiner": combiner, "np": np})
        image = combiner.average_combine() if given is None else given
        np.testing.assert_allclose(image.data, ours(row, map(str, paths)).data, rtol=1e-6)


def test_tables_are_found():
    assert len(METHODS) == 7
    assert len(ROWS) > 60
