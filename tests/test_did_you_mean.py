"""Misspelt names: errors suggest the name that was probably meant, and only a similar one."""

import difflib
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.nddata import CCDData

from gpustack import Combiner, NoiseModel, Recipe, SigmaClip, combine, stack
from gpustack.checks import did_you_mean
from gpustack.cli import main
from gpustack.errors import InputError

CUBE = np.ones((5, 2, 2))
IMAGES = [CCDData(plane, unit="adu") for plane in CUBE]

#: Work with a misspelt name -> the name that was meant.
MISSPELT = {
    "clip": (lambda: stack(CUBE, "sgima"), "sigma"),
    "clip in capitals": (lambda: stack(CUBE, "SIGMACLIP"), "sigma"),
    "field of a clip": (lambda: stack(CUBE, "sigma:lwo=3"), "low"),
    "word in a clip": (lambda: stack(CUBE, "sigma:center=meidan"), "median"),
    "field of a value": (lambda: SigmaClip(spread="madstd"), "mad_std"),
    "combine": (lambda: stack(CUBE, combine="meidan"), "median"),
    "field of combine": (lambda: stack(CUBE, combine="nmodel:rdnose=3"), "rdnoise"),
    "output": (lambda: Recipe(outputs=("conut",)), "count"),
    "scale": (lambda: stack(CUBE, scale="meidan"), "median"),
    "weights": (lambda: stack(CUBE, weights="varience"), "variance"),
    "align": (lambda: stack(CUBE, align="regsiter"), "register"),
    "backend": (lambda: stack(CUBE, backend="cdua"), "cuda"),
    "method": (lambda: combine(IMAGES, method="avrage"), "average"),
    "function": (lambda: Combiner(IMAGES).sigma_clipping(func="meidan"), "median"),
}


@pytest.mark.parametrize(("work", "meant"), MISSPELT.values(), ids=MISSPELT)
def test_an_error_suggests_the_name_that_was_meant(work, meant):
    with pytest.raises(InputError, match=rf"; did you mean '{meant}'\?$"):
        work()


@pytest.mark.parametrize(
    ("options", "meant"),
    [
        (["--clip", "sgima"], "sigma"),
        (["--clip", "sigma:lwo=3"], "low"),
        (["--combine", "meidan"], "median"),
        (["--maps", "conut"], "count"),
        (["--scale", "exposre"], "exposure"),
        (["--align", "register:by=strars"], "stars"),
        (["--uncertainty", "propagate"], "propagated"),
        (["--backend", "cdua"], "cuda"),
    ],
    ids=str,
)
def test_the_command_line_suggests_it_too(options, meant, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpustack", "combine", "a.fits", "-o", "o.fits", *options])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert capsys.readouterr().err.endswith(f"; did you mean '{meant}'?\n")


@pytest.mark.parametrize("name", ["-dash.fits", "--clip.fits", "-v1.fits", "--quiet=no.fits"])
def test_a_file_that_looks_like_an_option_is_pointed_out(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    said = []
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", ["gpustack", "combine", name, "a.fits", "-o", "o.fits"])
        with pytest.raises(SystemExit, match="2"):
            main()
        said.append(capsys.readouterr().err)
        Path(name).touch()
    hint = f"gpustack: {name} is a file here; write ./{name}, as in ./*.fits\n"
    assert said[1] == said[0] + hint, "nothing is said where there is no such file"


@pytest.mark.parametrize(
    "given", ["", "xyz", "a" * 100_000, None, 3, b"sgima", ("sgima",), NoiseModel()]
)
def test_nothing_is_suggested_for_what_is_like_no_name(given):
    assert did_you_mean(given, ("sigma", "mad", "range")) == ""


def test_another_programs_name_is_no_misspelling():
    with pytest.raises(InputError, match=r"got 'sigclip'; here it is 'sigma:ddof=1.*'$"):
        stack(CUBE, "sigclip")


def test_names_that_are_right_are_not_compared(monkeypatch):
    monkeypatch.setattr(difflib, "get_close_matches", None)
    given = {"scale": "mad", "zero": "median", "combine": "nmodel:gain=2"}
    recipe = Recipe(clips="sigma:low=3,center=mean", **given)
    assert str(recipe.clips[0]).startswith("sigma:low=3,high=3,center=mean")
