"""The progress bar of a run, and the log."""

import subprocess
import sys
from io import StringIO
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from astropy import log as astropy_log

from gpustack import InputError, stack
from gpustack.logs import logger
from gpustack.progress import Bar, in_notebook, progress_callback

CUBE = np.ones((3, 40, 5), "f4")


class Terminal(StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self):
        return True


def test_a_bar_is_drawn_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    stack(CUBE, progress=True)
    assert "stacking: 100%" in sys.stderr.getvalue()
    assert "40/40" in sys.stderr.getvalue()


def test_nothing_is_drawn_elsewhere(capfd):
    stack(CUBE, progress=True)
    stack(CUBE, progress=False)
    assert capfd.readouterr().err == ""


def test_a_callable_is_called():
    seen = []
    stack(CUBE, progress=lambda *numbers: seen.append(numbers))
    assert seen[-1] == (40, 40)


def test_a_run_that_fails_leaves_no_half_line():
    terminal = Terminal()
    bar = Bar(terminal)
    bar(1, 4)
    bar.close()
    bar.close()
    assert terminal.getvalue().endswith("\n")


def test_a_notebook_draws_though_it_is_no_terminal(monkeypatch):
    assert not in_notebook()
    kernel = ModuleType("ipykernel.kernelapp")
    kernel.IPKernelApp = SimpleNamespace(initialized=lambda: True)
    monkeypatch.setitem(sys.modules, "ipykernel.kernelapp", kernel)
    assert isinstance(progress_callback(True, StringIO()), Bar)


@pytest.mark.parametrize("given", ["yes", 1.5, 1])
def test_what_cannot_be_called_is_refused_before_the_work(given):
    with pytest.raises(InputError, match=f"progress: expected a callable, .* got {given!r}"):
        stack(["not-there.fits"], progress=given)


def test_the_log_is_that_of_astropy():
    with astropy_log.log_to_list() as told:
        logger("gpustack.some.place").warning("%d frames", 3)
        logger("gpustack.some.place").debug("not at this level")
    assert [(r.origin, r.getMessage()) for r in told] == [("gpustack.some.place", "3 frames")]


def test_the_level_of_the_log_is_that_of_astropy(capsys):
    with astropy_log.log_to_list() as told:
        stack(CUBE, backend="auto")
        assert not told
        before = astropy_log.level
        astropy_log.setLevel("DEBUG")
        try:
            stack(CUBE, backend="auto")
        finally:
            astropy_log.setLevel(before)
    assert any("backend auto" in r.getMessage() for r in told)
    assert "[gpustack.backends]" in capsys.readouterr().out, "as astropy shows it"


def test_astropy_need_not_be_there():
    code = (
        "import sys; from gpustack.logs import logger; logger('gpustack.x').warning('seen'); "
        "assert 'astropy' not in sys.modules; import astropy; print(type(astropy.log).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("AstropyLogger\n", "seen\n")
