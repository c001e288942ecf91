"""Detector noise from header keywords: the same as with numbers, or an error that says why."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from click.testing import CliRunner

from gpustack import NoiseClip, NoiseModel, Recipe, explain, stack
from gpustack.cli import cli
from gpustack.engine import run
from gpustack.errors import RecipeError
from gpustack.frames import open_frames
from gpustack.header import read_recipe

KEYS = {"RDNOISE": 5.5, "GAIN": 1.5, "FLATERR": 0.01}
READ = {"rdnoise": "!RDNOISE", "gain": "!gain", "snoise": "! flaterr "}
GIVEN = dict(zip(READ, KEYS.values(), strict=True))


def frames(*headers):
    planes = np.random.default_rng(4).normal(1000, 30, (len(headers), 9, 11))
    planes[0, 2, 3] += 400
    return [
        CCDData(plane, unit="adu", header=fits.Header(header))
        for plane, header in zip(planes, headers, strict=True)
    ]


def assert_same(got, want):
    for name in ("data", "mask", "count", "low", "high"):
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name), err_msg=name)
    assert got.recipe == want.recipe


@pytest.mark.parametrize("scale", [None, "median"])
@pytest.mark.parametrize("value", [NoiseClip, NoiseModel])
def test_keywords_are_as_the_numbers_in_the_headers(value, scale):
    field = "clips" if value is NoiseClip else "combine"
    got = stack(frames(*[KEYS] * 6), **{field: value(**READ)}, scale=scale)
    assert got.high.any() == (value is NoiseClip)
    assert_same(got, stack(frames(*[KEYS] * 6), **{field: value(**GIVEN)}, scale=scale))
    history = "\n".join(got.header["HISTORY"])
    assert f"rdnoise of {value.name} by !RDNOISE" in history
    assert f"snoise of {value.name} by !FLATERR" in history


def test_the_command_line_reads_them_too(tmp_path):
    for i, frame in enumerate(frames(*[KEYS] * 4)):
        frame.write(tmp_path / f"n{i}.fits")
    clip, out = "noise:rdnoise=!RDNOISE,gain=!GAIN", tmp_path / "out.fits"
    words = ["combine", f"{tmp_path}/n*.fits", "--clip", clip, "-o", str(out)]
    assert CliRunner().invoke(cli, words).exit_code == 0
    assert read_recipe(fits.getheader(out)).clips == (NoiseClip(rdnoise=5.5, gain=1.5),)


def test_one_pixel_is_explained_with_the_numbers():
    told = explain(frames(*[KEYS] * 6), 3, 2, clips=NoiseClip(**READ))
    assert told.recipe.clips == (NoiseClip(**GIVEN),)


def test_a_recipe_keeps_the_keywords_as_text_and_json_and_in_words():
    recipe = Recipe(clips=NoiseClip(**READ), combine=NoiseModel(gain="!GAIN"))
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert Recipe(clips=str(recipe.clips[0]), combine=str(recipe.combine)) == recipe
    assert "!RDNOISE electrons of read-out noise, !GAIN electrons" in " ".join(recipe.in_words())


def test_a_run_that_reads_no_headers_says_so():
    recipe = Recipe(clips=NoiseClip(gain="!GAIN"))
    with pytest.raises(RecipeError, match="gain: expected a number, got GAIN, a keyword"):
        run(open_frames(frames(KEYS, KEYS)), recipe)


BAD = {
    "none": ([{"GAIN": 2}, {}], "noise gain: .*GAIN, got none in frame 1"),
    "text": ([{"GAIN": "2 e"}], "noise gain: .*GAIN, got '2 e' in frame 0"),
    "two": ([{"GAIN": 2}, {"GAIN": 2.5}], "one GAIN .* got 2 in frame 0 and 2.5 in frame 1; "),
    "not a gain": ([{"GAIN": 0}], "gain: expected a number > 0.*got 0.0, as GAIN in frame 0"),
}


@pytest.mark.parametrize(("headers", "message"), BAD.values(), ids=BAD)
def test_numbers_that_cannot_be_had_are_errors_that_name_the_frame(headers, message):
    with pytest.raises(RecipeError, match=message):
        stack(frames(*headers), NoiseClip(gain="!GAIN"))


@pytest.mark.parametrize("text", ["GAIN", "!", "!\u00e9", "", "!A,B", "!A=B"])
def test_what_is_no_keyword_is_refused(text):
    with pytest.raises(RecipeError, match=r"(?i)NoiseClip gain: expected a .*keyword"):
        NoiseClip(gain=text)
