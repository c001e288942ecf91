"""Messages of the command line: errors at the end of a run, summaries, and quiet runs."""

import errno
import os
import re
import signal
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from gpustack import stack
from gpustack.cli import cli, main
from gpustack.cli.shown import loudness_options, print_summary, stray_lines, summary, warn
from gpustack.errors import GpustackWarning


@pytest.fixture
def ends(monkeypatch):
    """A function that runs a command which raises an error, and returns the exit code."""

    def run(error):
        def fail(**_):
            raise error

        monkeypatch.setattr(sys, "argv", ["gpustack"])
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        monkeypatch.setattr(cli, "main", fail)
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code

    return run


@pytest.mark.parametrize(("text", "said"), [((), "out of memory"), (("of all",), "of all")])
def test_memory_that_runs_out_is_told_of(ends, capsys, text, said):
    assert ends(MemoryError(*text)) == 3
    assert capsys.readouterr().err == f"gpustack: {said}\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_for_what_is_said(ends, capsys, number):
    error = os.strerror(number)
    assert ends(OSError(number, error)) == 3
    assert capsys.readouterr().err == f"gpustack: stdout: could not be written: {error}\n"


def test_other_errors_of_the_system_are_not_taken_for_that(ends):
    with pytest.raises(OSError, match="broken"):
        ends(OSError(errno.EIO, "broken"))


@pytest.mark.parametrize(
    ("words", "terminal", "said"),
    [
        ([], False, "gpustack: warning: hot\n"),
        ([], True, "gpustack: warning: hot\na.fits: 2 frames of 3 x 3, .*\n"),
        (["-v"], False, "gpustack: warning: hot\n.* name .*\nframe 1 .*\na.fits: 2 frames .*\n"),
        (["-q"], False, ""),
        (["-q"], True, ""),
    ],
)
def test_what_is_said_of_a_run(monkeypatch, words, terminal, said):
    @click.command
    @loudness_options
    def command():
        monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
        warn(UserWarning("hot"))
        print_summary(stack(np.ones((2, 3, 3))), Path("a.fits"), 1.0)

    monkeypatch.delitem(sys.modules, "tqdm", raising=False)  # it would write lines above its bars
    assert re.fullmatch(said, CliRunner().invoke(command, words).stderr, re.DOTALL)


def test_the_summary_counts(tmp_path):
    cube = np.ones((4, 20, 50))
    cube[3, :, :10] = 9
    few = stack(cube, "range:high=5")  # 200 of 4000 samples
    line = summary(few, tmp_path / "a.fits", 2.0)
    assert "a.fits: 4 frames of 50 x 20, " in line
    assert line.endswith("; 5% of samples rejected; 2.0 s, 0 Mpx/s")
    with pytest.warns(GpustackWarning, match="only one frame"):
        alone = stack(cube[:1])
    assert "a.fits: 1 frame of 50 x 20, " in summary(alone, tmp_path / "a.fits", 1.0)


def test_frames_whose_numbers_stray_are_told_of():
    columns = {
        "name": [f"s{f}.fits" for f in range(9)],
        "scale": [1, 0.98, 1.01, 0.02, 1, 1.02, 0.99, 1, 1],
        "weight": np.array([2.0, 2, 2.1, 7, 2, 1.9, 2, 0.25, 2]),
        "valid": np.ones(9),
    }
    assert list(stray_lines(columns)) == [
        "s3.fits: out of line: scale 0.02, weight 7",
        "s7.fits: out of line: weight 0.25",
    ]
    assert not list(stray_lines({"name": columns["name"], "scale": np.ones(9)}))


def test_of_many_that_stray_it_is_told_how_many():
    scale = np.where(np.arange(40) < 8, 50.0, 1.0)
    said = list(stray_lines({"name": [f"{f}.fits" for f in range(40)], "scale": scale}))
    assert said[0] == "0.fits: out of line: scale 50"
    assert said[5:] == ["3 more frames are out of line"]


def test_frames_that_are_left_out_stray_nowhere():
    """They are reported as left out, and their numbers are not compared with the others."""
    columns = {
        "name": [f"s{f}.fits" for f in range(9)],
        "weight": np.array([2.0, 2, 0, 2.1, 0, 2, 7, 1.9, 0]),
        "valid": np.array([1.0, 1, 0, 1, 0, 1, 1, 1, 0]),
        "left_out": ["", "", "no stars", "", "no stars", "", "", "", ""],
    }
    assert list(stray_lines(columns)) == ["s6.fits: out of line: weight 7"]
