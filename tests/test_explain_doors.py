"""`explain` and its command line: what is read, printed and refused."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, NDData, VarianceUncertainty
from click.testing import CliRunner

from gpustack import (
    ESDClip,
    ExtremaClip,
    Grow,
    Noise,
    RangeClip,
    Recipe,
    SigmaClip,
    SigmaMedianClip,
    Statistic,
    explain,
    stack,
)
from gpustack.cli import cli
from gpustack.errors import FrameError, GpustackError, InputError, MismatchError, RecipeError
from gpustack.frames import ArrayFrame, FitsFrame
from tolerances import bits

DOCS = Path(__file__).parents[1] / "docs" / "explain.md"
SHAPE = (12, 10)
#: At data[4, 6]: the sky rises from frame to frame, and the third has a cosmic ray.
SAMPLES = (1003.5, 1031, 1520.25, np.nan, 1075, 1094.75)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with six frames."""
    rng = np.random.default_rng(8)
    for i in range(6):
        plane = (rng.normal(1000, 10, SHAPE) * (1 + i / 50)).astype(np.float32)
        plane[4, 6] = SAMPLES[i]
        fits.writeto(tmp_path / f"m{i}.fits", plane, fits.Header({"BUNIT": "adu"}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mask_in(frame):
    """Add to the file a MASK extension that is set at data[4, 6]."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[4, 6] = 1
    with fits.open(frame, mode="append") as hdus:
        hdus.append(fits.ImageHDU(mask, name="MASK"))


@pytest.mark.usefixtures("folder")
def test_why_a_sample_is_invalid():
    mask_in("m1.fits")
    whole = np.full(SHAPE, 1000, np.int16)
    whole[4, 6] = -7
    fits.writeto("m6.fits", whole, fits.Header({"BUNIT": "adu", "BLANK": -7}))
    samples = explain("m*.fits", 6, 4, scale=[1, 1, 1, 1, 1e38, 1, 1]).samples
    assert samples["fate"].tolist() == [
        *("used", "masked", "used", "not finite", "not finite when normalised", "used", "blank"),
    ]  # fmt: skip
    np.testing.assert_array_equal(samples["raw"][[1, 4]], np.float32([1031, 1075]))
    np.testing.assert_array_equal(np.isnan(samples["raw"]), [0, 0, 0, 1, 0, 0, 1])
    np.testing.assert_array_equal(np.isnan(samples["value"]), [0, 1, 0, 1, 1, 0, 1])


RECIPES = {
    "statistics": {"scale": "median", "zero": [1, 2, 3, 4, 5, 6], "weights": "noise"},
    "a region": {"scale": Statistic("mean", "[1:5,*]"), "weights": Noise("[2:9,1:12]")},
    "a function": {"scale": lambda frame: 1 / np.ma.median(frame), "combine": "median"},
    "weights of samples": {"weights": np.arange(6.0 * 120).reshape(6, *SHAPE), "combine": "sum"},
    "float64": {"dtype": "float64", "zero": "median", "clip_on": "raw"},
    "no uncertainty": {"combine": "max"},
}


@pytest.mark.parametrize("options", RECIPES.values(), ids=RECIPES)
@pytest.mark.usefixtures("folder")
def test_numbers_are_taken_from_whole_frames_as_a_stack_takes_them(options):
    clips = [RangeClip(high=5000), SigmaClip(1.5, 1.5)]
    found = explain("m*.fits", 6, 4, clips, **options)
    result = stack("m*.fits", clips, backend="cpu", **options)
    assert found.recipe == result.recipe
    assert found.unit == result.unit == u.adu
    for name in ("data", "uncertainty", "count", "low", "high"):
        map_, given = getattr(result, name), getattr(found, name)
        assert (given is None) == (map_ is None)
        if given is not None:
            np.testing.assert_array_equal(bits(np.asarray(given, map_.dtype)), bits(map_[4, 6]))
    columns = ["name", "scale", "zero"]
    assert found.samples[columns].as_array().tolist() == result.frames[columns].as_array().tolist()
    x = (found.samples["raw"].astype(float) - found.samples["zero"]) * found.samples["scale"]
    np.testing.assert_array_equal(found.samples["value"], x.astype(found.samples["value"].dtype))
    if "weights" in options and not isinstance(options["weights"], np.ndarray):
        np.testing.assert_array_equal(found.samples["weight"], result.frames["weight"])
    elif "weights" in options:
        np.testing.assert_array_equal(found.samples["weight"], options["weights"][:, 4, 6])


@pytest.mark.usefixtures("folder")
def test_a_recipe_of_a_result_can_be_asked_about():
    result = stack("m*.fits", SigmaClip(1.5, 1.5), scale="median", combine="median")
    found = explain("m*.fits", 6, 4, result.recipe)
    assert (found.recipe, found.data) == (result.recipe, result.data[4, 6])


@pytest.mark.parametrize("kind", [FitsFrame, ArrayFrame])
@pytest.mark.usefixtures("folder")
def test_one_row_of_each_frame_is_read_once(monkeypatch, kind):
    frames = [f"m{i}.fits" for i in range(6)]
    if kind is ArrayFrame:
        frames = [CCDData.read(frame) for frame in frames]
    read, asked = kind.read, []

    def spy(frame, start, stop, into=None):
        asked.append((start, stop))
        return read(frame, start, stop, into)

    monkeypatch.setattr(kind, "read", spy)
    explain(frames, 6, 4, [SigmaClip(1.5, 1.5), ExtremaClip(1, 0)], scale=[1, 2, 1, 2, 1, 2])
    assert asked == [(4, 5)] * 6


@pytest.mark.usefixtures("folder")
def test_where_rejections_grow_the_rows_near_are_read_once(monkeypatch):
    read, asked = FitsFrame.read, []

    def spy(frame, start, stop, into=None):
        asked.append((start, stop))
        return read(frame, start, stop, into)

    monkeypatch.setattr(FitsFrame, "read", spy)
    for y, rows in ((4, (2, 7)), (0, (0, 3)), (11, (9, 12))):
        asked.clear()
        explain("m*.fits", 6, y, [SigmaClip(1.5, 1.5), Grow(2.9)])
        assert asked == [rows] * 6


CUBE = np.zeros((3, 4, 5))
BAD = {
    "x": ((CUBE, 5, 0), {}, InputError, r"image of 5 x 4 pixels, got x=5, y=0 .* 6, 1 counted"),
    "y": ((CUBE, 0, 4), {}, InputError, "got x=0, y=4"),
    "negative": ((CUBE, -1, 0), {}, InputError, "got x=-1, y=0"),
    "no number": ((CUBE, 1.5, 0), {}, InputError, "x: expected a whole number, got 1.5"),
    "three axes": ((np.zeros((3, 2, 4, 5)), 0, 0), {}, InputError, r"\(2, 4, 5\) in frame 0"),
    "one axis": (([np.zeros(4)], 0, 0), {}, InputError, r"two axes, got shape \(4,\) in frame 0"),
    "no frames": (([], 0, 0), {}, InputError, "no frames"),
    "no file": ((["nope.fits"], 0, 0), {}, FrameError, "nope.fits"),
    "shapes": (([CUBE[0], CUBE[0].T], 0, 0), {}, MismatchError, "frame 1"),
    "recipe": ((CUBE, 0, 0), {"scale": [1, 0, 1]}, RecipeError, "other than 0"),
    "too many": ((CUBE, 0, 0, ExtremaClip(2, 1)), {}, RecipeError, "for 3 frames"),
}


@pytest.mark.parametrize(("arguments", "options", "error", "match"), BAD.values(), ids=BAD)
def test_bad_input_says_what_is_wrong_with_it(arguments, options, error, match):
    with pytest.raises(error, match=match) as caught:
        explain(*arguments, **options)
    assert isinstance(caught.value, GpustackError)


def test_a_pixel_outside_is_found_before_frames_are_measured():
    with pytest.raises(InputError, match="got x=9"):
        explain(CUBE, 9, 0, scale=lambda frame: pytest.fail("it measured first"))


def test_cupy_arrays_are_not_copied_silently(cuda):
    frames = [cuda.asarray(frame) for frame in CUBE]
    with pytest.raises(FrameError, match="frame 0: explain: expected a file or numpy array"):
        explain(frames, 0, 0)


def told(column, *clips, **options):
    """The lines that are printed for one pixel."""
    return str(explain(np.array(column, float)[:, None, None], 0, 0, clips, **options))


TOLD = {
    "none": (
        [5, 6],
        [],
        r"mean = 5.5 \+- 0.353553391: 2 of 2 samples; 0 rejected low, 0 high",
    ),
    "empty": ([np.nan], [SigmaClip()], r"no sample was left\n\nmean = nan \+- nan, masked: 0 of 1"),
    "range": ([5, 60], [RangeClip(high=9)], "60  rejected high by clip 1, range: above 9"),
    "no bound": ([5, 60], [RangeClip(high=9)], "  bounds none to 9; 0 rejected low, 1 high"),
    "the lowest": ([5, 6], [ExtremaClip(1, 0)], "5  rejected low by clip 1, extrema: the lowest"),
    "highest": ([5, 6, 7], [ExtremaClip(0, 2)], "6  rejected high .*: among the 2 highest"),
    "of all": ([5, np.nan], [ExtremaClip(0, 1, "all")], "0 rejected low, 0 high, 1 invalid"),
    "all": ([5, 6], [ExtremaClip(1, 0, "all")], "the lowest of all frames, invalid ones too"),
    "esd": ([1, 2, 1, 2, 1, 2, 99], [ESDClip()], "99  rejected high .* esd: an outlier by the te"),
    "replaced": (
        [1, 2, 1, 2, 2, 1, 2, 1, 2, 99, 1, 2],
        [SigmaMedianClip()],
        r"99  rejected high by clip 1, sigmamedian, pass 1: above [0-9.]+, replaced by 2\n",
    ),
    "undefined": ([5, 6], [SigmaClip(ddof=2)], "center 5.5, bounds undefined; 0 rej"),
    "not finite": ([5, np.inf], [], r"inf  invalid: not finite"),
}


@pytest.mark.parametrize(("column", "clips", "said"), TOLD.values(), ids=TOLD)
def test_printed_lines(column, clips, said):
    assert re.search(said, told(column, *clips))


def test_bounds_on_raw_values_say_so():
    said = told([5, 6, 70], RangeClip(high=9), SigmaClip(), scale=[1, 2, 1])
    assert "bounds none to 9 on raw; 0 rejected low, 1 high" in said
    assert said.count("on raw") == 1
    said = told([5, 6, 70], RangeClip(high=9), SigmaClip(), scale=[1, 2, 1], clip_on="raw")
    assert said.count("on raw") == 2


def test_neighbours_are_named_as_the_pixel_is():
    cube = np.zeros((4, 5, 6))
    cube[2, 1, 3] = cube[2, 3, 4] = cube[3, 2, 2] = 9
    cube[1, 1:4, 1:4] = 9
    cube[1, 2, 2] = 0
    said = str(explain(cube, 2, 2, [ExtremaClip(0, 1), Grow(1.5)]))
    assert said.startswith("Pixel 3, 3 counted from 1")
    fates = [line.split("  ")[-1] for line in said.splitlines()[3:7]]
    assert fates == [
        "used",
        "rejected by clip 2, grow: neighbour of rejected (3, 2), (2, 3), (4, 3) and 4 more",
        "rejected by clip 2, grow: neighbour of rejected (4, 2)",
        "rejected high by clip 1, extrema: the highest",
    ]
    assert "2  grow:radius=1.5\n       2 rejected as neighbours\n" in said
    assert said.endswith("1 of 4 samples; 0 rejected low, 1 high, 2 as neighbours, 0 invalid")


def command(*words):
    """Run ``gpustack explain`` in this process."""
    return CliRunner().invoke(cli, ["explain", *words])


WORDS = ["--scale", "median", "--clip", "range:high=60000", "--clip", "sigma:low=1.5,high=1.5"]


@pytest.mark.usefixtures("folder")
def test_the_command_line_counts_from_1_x_first():
    done = command("7", "5", "m*.fits", *WORDS)
    clips = [RangeClip(high=60000), SigmaClip(1.5, 1.5)]
    assert done.output == f"{explain('m*.fits', x=6, y=4, clips=clips, scale='median')}\n"
    assert done.output.startswith("Pixel 7, 5 counted from 1, x first: data[4, 6]\n")


@pytest.mark.usefixtures("folder")
def test_the_options_of_a_recipe_are_those_of_combine():
    own = {"output", "overwrite", "reports", "preview", "maps", "quiet", "verbose", "x", "y"}
    own |= {"backend", "memory", "device_memory", "dask"}
    names = [[p.name for p in cli.commands[name].params] for name in ("combine", "explain")]
    shared = [[name for name in some if name not in own] for some in names]
    assert sorted(shared[0]) == sorted(shared[1])
    assert {"clips", "scale", "region", "reference", "hdu", "unit", "dtype"} < {*shared[1]}
    words = ["--scale", "mode", "--region", "[2:9,*]", "--reference", "1", "--combine", "median"]
    scale = Statistic("mode", "[2:9,*]", 1)
    expected = explain("m*.fits", 6, 4, combine="median", scale=scale, dtype="float64")
    assert command("7", "5", "m*.fits", *words, "--dtype", "float64").output == f"{expected}\n"


OUTSIDE = {
    "x": ("11", "1", r"image of 10 x 12 pixels, .* is 11, 1 counted from 1"),
    "y": ("1", "13", "is 1, 13 counted from 1"),
    "zero": ("0", "1", r"'X': expected a whole number >= 1, got '0'"),
    "a word": ("1", "m0.fits", "'Y': expected a whole number >= 1, got 'm0.fits'"),
}


@pytest.mark.parametrize(("x", "y", "match"), OUTSIDE.values(), ids=OUTSIDE)
def test_a_pixel_outside_is_one_line_and_code_2(folder, x, y, match):
    words = [sys.executable, "-m", "gpustack", "explain", x, y, "m0.fits", "m1.fits"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.search(match, done.stderr)
    assert "Traceback" not in done.stderr


def test_explain_prints_to_a_pipe_in_any_locale(folder):
    words = [sys.executable, "-m", "gpustack", "explain", "7", "5", "m0.fits", "m1.fits"]
    done = subprocess.run(words, capture_output=True, check=True, env=os.environ | {"LC_ALL": "C"})
    assert done.stderr == b""
    assert done.stdout.decode("ascii").endswith("0 rejected low, 0 high, 0 invalid\n")


def test_the_docs_show_what_it_prints(folder):
    ((typed, printed),) = re.findall(r"```console\n\$ (.*)\n((?:.*\n)+?)```", DOCS.read_text())
    assert printed == command(*shlex.split(typed)[2:]).output


@pytest.mark.parametrize("outputs", [(), ("count",)])
def test_a_recipe_without_an_uncertainty_among_its_outputs_is_explained(outputs):
    spread = VarianceUncertainty(np.full((2, 2), 4.0))
    frames = [NDData(np.full((2, 2), value), uncertainty=spread) for value in (1.0, 3.0)]
    recipe = Recipe(uncertainty="propagated", outputs=outputs)
    found = explain(frames, 1, 1, recipe)
    assert found.recipe == recipe
    assert found.uncertainty == pytest.approx(np.sqrt(8) / 2)
    with pytest.raises(FrameError, match="variance"):
        explain(np.ones((2, 2, 2)), 1, 1, recipe)
