"""The examples of README, docs and docstrings run as they are written.

The examples of a page share variables and a folder with the files of `pages.write_files`. A block
that is not run has a comment before it that says why.
"""

import contextlib
import doctest
import importlib
import io
import re

import pytest
from click.testing import CliRunner

import pages
from gpustack.cli import cli
from pages import ROOT

FILES = set(ROOT.glob("gpustack/**/*.py")) - {ROOT / "gpustack/backends/cuda.py"}
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in FILES
)
#: Commands that are parsed but not run, and why.
PARSED = {"watch": "runs until it is stopped", "demo": "tests/test_demo_run.py runs it"}
#: Commands of other programs that pages show.
OTHERS = {".venv/bin/pre-commit", ".venv/bin/python"}
OTHERS |= {"cmp", "compute-sanitizer", "dask", "docker", "make", "pip", "python"}
#: Number of blocks that are not run, by page; a new one must be added here.
MARKED = {"explain.md": 1, "gpu.md": 3, "scaling.md": 1}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with the frames that docstrings read."""
    pages.write_frames(tmp_path, (32, 48), 5)
    monkeypatch.chdir(tmp_path)


def run(session):
    """Run a session of ``>>>`` lines; fail with the differences."""
    said = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(session, out=said.append, clear_globs=False)
    assert not said, "".join(said)


def run_python(block, page, namespace):
    """Run a block, as a session if it has prompts; a block with a marker is only compiled."""
    if block.marker:
        compile(block.body, page, "exec")
    elif ">>>" in block.body:
        parse = doctest.DocTestParser().get_doctest
        session = parse(block.body, namespace, page.name, str(page), block.line)
        run(session)
        namespace.update(session.globs)
    else:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile("\n" * (block.line + 1) + block.body, page, "exec"), namespace)


def parse_command(words):
    """Parse a command line of gpustack; an unknown command, option or value is an error."""
    command = cli.get_command(None, words[1])
    assert command is not None, f"there is no command {words[1]}"
    command.make_context(words[1], words[2:])


def run_command(words):
    """Run a command line of gpustack in the folder of earlier commands; return its output."""
    done = CliRunner().invoke(cli, words[1:], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def run_shell(block):
    """Parse or run each command of a block; compare the output of a console block with the page."""
    said = []
    for words in block.commands:
        if words[0] != "gpustack":
            assert words[0] in OTHERS, f"{words[0]}: name it in OTHERS"
        elif block.marker or words[1] in PARSED:
            parse_command(words)
        else:
            said.append(run_command(words))
    if block.language == "console" and not block.marker:
        shown = re.sub(r"^\$ (.*\\\n)*.*\n", "", block.body, flags=re.MULTILINE)
        right = doctest.OutputChecker().check_output(shown, "".join(said), doctest.ELLIPSIS)
        assert right, f"line {block.line}: the page shows\n{shown}\nand got\n{''.join(said)}"


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_a_page_runs(page, tmp_path, monkeypatch):
    blocks = [
        block for block in pages.blocks(page) if block.language in ("python", "sh", "console")
    ]
    if not blocks:
        return
    pages.write_files(page, tmp_path)
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "page"}
    for block in pages.blocks(page):
        if block.language == "python":
            run_python(block, page, namespace)
        elif block.language in ("sh", "console"):
            run_shell(block)


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_blocks_name_their_language_and_why_they_are_not_run(page):
    blocks = list(pages.blocks(page))
    assert page.read_text().count("```") == 2 * len(blocks)
    assert {block.language for block in blocks} <= pages.LANGUAGES
    assert not re.search(r"\n\n    \S", pages.without_blocks(page)), "an indented block"
    marked = [block for block in blocks if block.marker]
    assert len(marked) == MARKED.get(page.name, 0)
    markers = re.findall("^<!-- parsed only", page.read_text(), re.MULTILINE)
    assert len(marked) == len(markers), "a marker stands right before a block"


def test_pages_show_python_and_commands():
    languages = [block.language for page in pages.PAGES for block in pages.blocks(page)]
    assert languages.count("python") > 10
    assert languages.count("sh") > 5


@pytest.mark.parametrize(
    "line", ["stuck x.fits", "combine x.fits -o y.fits --clup sigma", "info --all"]
)
def test_a_command_that_does_not_parse_is_found(line):
    with pytest.raises(Exception, match=r"no command|No such option"):
        parse_command(["gpustack", *line.split()])


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", MODULES)
def test_the_docstrings_run(name):
    for session in doctest.DocTestFinder().find(importlib.import_module(name), name):
        run(session)
