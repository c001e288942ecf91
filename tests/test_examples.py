"""The examples of the README and of the docstrings run as they stand.

They find five small frames as ``frames/*.fits`` and may write beside them.
"""

import doctest
import importlib
import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
FILES = set(ROOT.glob("gpustack/**/*.py")) - {ROOT / "gpustack/backends/cuda.py"}
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in FILES
)
FENCE = re.compile(r"^```(?P<language>.*)\n(?P<body>(?:.*\n)*?)```$", re.MULTILINE)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Go to a folder with the frames that examples read."""
    (tmp_path / "frames").mkdir()
    rng = np.random.default_rng(1)
    header = fits.Header({"BUNIT": "adu", "EXPTIME": 60.0, "OBJECT": "M 51"})
    for number in range(1, 6):
        sky = rng.normal(1000, 10, (32, 48)).astype(np.float32)
        fits.writeto(tmp_path / f"frames/m51_{number}.fits", sky, header)
    monkeypatch.chdir(tmp_path)


def blocks():
    """The fenced blocks of the README: language, code, and the line it starts at."""
    text = README.read_text()
    for match in FENCE.finditer(text):
        yield match["language"], match["body"], text.count("\n", 0, match.start("body"))


def run(session):
    """Run a session of ``>>>`` lines; say what differs."""
    said = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(session, out=said.append, clear_globs=False)
    assert not said, "".join(said)


@pytest.mark.usefixtures("folder")
def test_the_readme_runs():
    namespace = {"__name__": "readme"}
    examples = [(code, line) for language, code, line in blocks() if language == "python"]
    assert examples, "the README shows no Python"
    for code, line in examples:
        if ">>>" in code:
            parse = doctest.DocTestParser().get_doctest
            run(parse(code, namespace, "README.md", str(README), line))
        else:
            exec(compile("\n" * line + code, README, "exec"), namespace)


def test_every_block_of_the_readme_names_its_language():
    languages = [language for language, _, _ in blocks()]
    assert README.read_text().count("```") == 2 * len(languages)
    assert set(languages) <= {"python", "sh", "console", "text"}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", MODULES)
def test_the_docstrings_run(name):
    for session in doctest.DocTestFinder().find(importlib.import_module(name), name):
        run(session)
