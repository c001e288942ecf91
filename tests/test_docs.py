"""The documentation builds without warnings or network access, and contains every page."""

import os
import re
import subprocess
import sys
from dataclasses import fields
from importlib.util import find_spec

import pytest

import gpustack
from pages import ROOT
from skips import skip_without

DOCS = ROOT / "docs"
#: Public names of the values of a recipe, and of the options for reading frames.
RECIPE_VALUES = [
    name
    for name, home in gpustack._HOMES.items()
    if home in ("clips", "combines", "measures", "alignments", "flags", "images")
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built documentation."""
    for name in ("sphinx", "myst_parser", "numpydoc", "furo"):
        if find_spec(name) is None:
            skip_without(f"{name}, which builds the site: pip install '.[docs]'")
    out = tmp_path_factory.mktemp("site")
    words = ["-W", "--keep-going", "-n", "-q", "-d", out / "doctrees", DOCS, out / "html"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return out / "html"


def test_every_page_is_built(site):
    sources = {path.relative_to(DOCS).with_suffix("") for path in DOCS.rglob("*.md")}
    built = {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")}
    assert {path for path in sources if "_build" not in path.parts} <= built


def test_every_public_name_has_an_entry(site):
    reference = (site / "reference.html").read_text()
    public = set(gpustack.__all__) - {"__version__"}
    assert not {name for name in public if f'id="gpustack.{name}"' not in reference}


@pytest.mark.parametrize("name", RECIPE_VALUES)
def test_recipe_values_say_where_they_come_from(name):
    sections = getattr(gpustack, name).__doc__
    assert "References\n" in sections
    assert "Parameters\n" in sections or not fields(getattr(gpustack, name))


def test_a_broken_link_fails(site, tmp_path):
    for name in ("conf.py", "index.md"):
        (tmp_path / name).write_text((DOCS / name).read_text())
    (tmp_path / "index.md").write_text("# A page\n\nwith a [link](nowhere.md) to nothing.\n")
    words = ["-m", "sphinx", "-W", "-n", "-q", str(tmp_path), str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "nowhere.md" in done.stderr


def words_of(picture):
    """The text of an SVG without embedded images, whose noise differs between numpy versions."""
    return re.sub(r"base64,[^\"]*", "", picture.read_text())


def test_pictures_are_what_their_programs_draw(tmp_path):
    for program in sorted(DOCS.glob("draw_*.py")):
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        words = [sys.executable, str(program), str(tmp_path)]
        subprocess.run(words, env=environment, check=True, capture_output=True)
    kept = {path.name: words_of(path) for path in DOCS.glob("pictures/*")}
    assert {path.name: words_of(path) for path in tmp_path.iterdir()} == kept


def test_pictures_are_small_and_shown():
    pictures = {path.relative_to(DOCS).as_posix() for path in DOCS.glob("pictures/*")}
    text = "".join(path.read_text() for path in DOCS.glob("*.md"))
    assert pictures
    for name in pictures:
        assert f"]({name})" in text, f"no page shows {name}"
        assert (DOCS / name).stat().st_size < 60_000, f"{name} is too large for a repository"
