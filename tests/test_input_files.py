"""Files that a watch needs beside the frames: masks that arrive late, numbers that change."""

import re

import numpy as np
import pytest
from astropy.io import fits

from gpustack import FrameError, Image, InputError
from gpustack.cli.extras import Restack
from gpustack.errors import MissingFileError
from gpustack.frames.onfile import Stamp
from gpustack.images import paired
from gpustack.live.input_files import Reads, ReadsOf
from gpustack.live.watching import Arrivals, watch


class Enough(Exception):
    """Raised to end a watch."""


def write(path, value=0):
    header = fits.Header({"BUNIT": "adu", "BADPIX": "bad"})
    fits.writeto(path, np.full((8, 9), value, "i2"), header, overwrite=True)


def stacked_after(folder, steps, masks=(), named=()):
    """Run a watch, doing one of `steps` after each stack; return the number of stacks."""
    arrivals = Arrivals(folder, "*_ooi.fits", folder / "out.fits", {}, keys=["BADPIX"])
    left, times, looks = list(steps), [], []

    def pair(frames):
        looks.append(frames)
        if len(looks) > 40:
            raise Enough
        return paired(frames, {"mask": masks}) if masks else frames

    def restack(frames):
        times.append(frames)
        if left:
            left.pop(0)()

    with pytest.raises(Enough):
        watch(arrivals, restack, ReadsOf(pair, named, arrivals.card), interval=0.001)
    assert not left
    return len(times)


STEPS = {
    "comes": (["ooi:ood"], lambda at: write(at / "1_ood.fits")),
    "goes": (["ooi:oob"], lambda at: (at / "1_oob.fits").unlink()),
    "changes": (["ooi:oob"], lambda at: write(at / "1_oob.fits", 1)),
    "with its HDU": (["ooi.fits:oob.fits[0]"], lambda at: write(at / "1_oob.fits", 1)),
    "by a card": (["!BADPIX"], lambda at: write(at / "bad.fits")),
    "by a pattern": (["*_ood.fits"], lambda at: write(at / "1_ood.fits")),
}


@pytest.mark.parametrize(("masks", "step"), STEPS.values(), ids=STEPS)
def test_frames_are_stacked_anew_where_a_mask_is_another(tmp_path, monkeypatch, masks, step):
    monkeypatch.chdir(tmp_path)
    for name in ("1_ooi.fits", "1_oob.fits"):
        write(tmp_path / name)
    assert stacked_after(tmp_path, [lambda: step(tmp_path)], masks) == 2
    assert stacked_after(tmp_path, [lambda: write(tmp_path / "other.fits")], masks) == 1


def test_frames_are_stacked_anew_where_a_file_that_options_name_is_another(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "1_ooi.fits")
    numbers = tmp_path / "numbers"
    steps = [lambda: numbers.write_text("1"), lambda: numbers.write_text("1 2"), numbers.unlink]
    assert stacked_after(tmp_path, steps, named=["~/numbers"]) == 4


def test_a_file_that_has_just_come_or_changed_may_still_grow():
    def reads(**sizes):
        return Reads([], {file: size and Stamp(size, 0, 0) for file, size in sizes.items()})

    assert reads().is_settled_since(reads(a=1))
    assert reads(a=1).is_settled_since(reads(a=1, b=2))
    assert reads(a=None).is_settled_since(reads(a=None))
    assert not reads(a=1).is_settled_since(reads())
    assert not reads(a=1).is_settled_since(reads(a=None))
    assert not reads(a=2).is_settled_since(reads(a=1))


def test_files_that_belong_to_no_frame_are_beside_all():
    def no_pairs(_):
        raise InputError("mask files: expected 2, got 1")

    reads = ReadsOf(no_pairs, ["\0"], dict.get)(["a"])
    assert reads == ("mask files: expected 2, got 1", {"\0": None})
    assert ReadsOf(lambda _: [Image("a", mask="!KEY")], [], lambda *_: 7)(["a"]).stamps == {}


ERRORS = {
    "missing": (MissingFileError("m", "gone"), "m: gone; the last .* until this file exists"),
    "frame": (
        FrameError("a", "bad"),
        "a: bad; the last .* until this frame changes or is removed",
    ),
    "other": (FrameError("m", "bad"), "m: bad"),
    "all": (InputError("bad"), "bad"),
}


@pytest.mark.parametrize(("error", "said"), ERRORS.values(), ids=ERRORS)
def test_what_is_in_the_way_is_told_once(capsys, error, said):
    def fails(_):
        raise error

    restack = Restack(fails)
    restack(["a"])
    first = capsys.readouterr().err
    assert re.fullmatch(f"gpustack: {said}", first.strip())
    restack(["a", "b"])
    assert capsys.readouterr().err == ""
