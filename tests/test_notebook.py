"""The HTML that notebooks show for results, combiners and recipes."""

import base64
import struct
import subprocess
import sys

import numpy as np
import pytest
from astropy.nddata import CCDData

from gpustack import (
    Combiner,
    ExtremaClip,
    Grow,
    NoiseModel,
    PercentileRankClip,
    RangeClip,
    Recipe,
    SigmaClip,
    stack,
)
from gpustack.clips import CLIPS
from gpustack.markup import table
from gpustack.plain_words import clip_words
from webpage import Checked


def shown(value):
    """The parsed and checked HTML of a value, and its text."""
    html = value._repr_html_()
    page = Checked(html)
    return page, "".join(page.text)


def test_a_recipe_in_words():
    recipe = Recipe(
        clips=(RangeClip(high=60000), SigmaClip(3, 4, maxiters=5, keep=2), Grow(2)),
        combine="median",
        scale="median",
        zero=(1.0, 2.0),
    )
    assert recipe.in_words() == [
        "Leave out samples that are masked, NaN or infinite.",
        "Reject raw values above 60000.",
        "For each frame, subtract its zero and multiply by its scale (median).",
        "Reject samples more than 3 standard deviations below or 4 above the median, "
        "at most 5 times; at least 2 survive.",
        "Also reject samples within 2 pixels of a rejected sample of the same frame.",
        "Take the median of the remaining samples.",
    ]
    page, text = shown(recipe)
    assert [tag for tag, _ in page.tags].count("li") == 6
    assert "sigma:low=3,high=4" in text


WORDS = {
    "one side": (SigmaClip(None, 3), "more than 3 standard deviations above the median"),
    "the other side": (SigmaClip(3, None), "more than 3 standard deviations below the median"),
    "no side": (SigmaClip(None, None), "Reject nothing, as there are no thresholds"),
    "no range": (RangeClip(), "Reject nothing"),
    "once": (SigmaClip(maxiters=1), ", once"),
    "at most": (SigmaClip(keep=-2), "; at most 2 are rejected"),
    "photons": (SigmaClip(poisson=True), "by the photon noise of its frame"),
    "range": (RangeClip(1, 2), "below 1 or above 2"),
    "on a bound": (PercentileRankClip(2, 4), "at least 2 times the distance of the sample at rank"),
    "within a pixel": (Grow(), "within 1 pixel of"),
    "extrema": (ExtremaClip(1, 2), "Reject the lowest and the 2 highest samples of each pixel"),
    "extrema, one each": (ExtremaClip(), "Reject the lowest and the highest sample of each pixel"),
    "extrema of one side": (ExtremaClip(0, 1), "Reject the highest sample of each pixel"),
    "extrema, none": (ExtremaClip(0, 0), "Reject nothing"),
    "extrema of all": (ExtremaClip(1, 2, "all"), "invalid ones counted as the highest"),
    "extrema of shares": (
        ExtremaClip(1, 2, "share"),
        "fewer in proportion where samples are invalid",
    ),
}


@pytest.mark.parametrize(("clip", "words"), WORDS.values(), ids=WORDS)
def test_a_clip_in_words(clip, words):
    assert words in clip_words(clip)


@pytest.mark.parametrize("scale", [None, (1.0, 2.0)])
def test_values_in_the_frames_are_told_of_where_others_are_made_of_them(scale):
    words = " ".join(Recipe(SigmaClip(), scale=scale, clip_on="raw").in_words())
    assert ("judged by their raw values" in words) == (scale is not None)
    words = Recipe([SigmaClip(), RangeClip(0, 1)], scale=scale, clip_on="raw").in_words()
    assert [step for step in words if "raw values below" in step] == [
        "Reject raw values below 0 or above 1."
    ]


@pytest.mark.parametrize("kind", CLIPS.values(), ids=CLIPS)
def test_each_clip_has_words(kind):
    said = clip_words(kind())
    assert said.startswith(("Reject", "Also reject", "Replace"))
    assert "None" not in said


@pytest.mark.parametrize("combine", ["mean", "sum", "quadrature", NoiseModel(5, 2, 0.01)])
def test_each_combine_has_words(combine):
    weights = (1.0, 2.0)
    assert Recipe(combine=combine, weights=weights).in_words()[-1].endswith("weight of its frame.")


def test_a_result():
    frames = [CCDData(np.full((4, 6), float(k)), unit="adu") for k in range(13)]
    _, text = shown(stack(frames, SigmaClip(2, 2)))
    assert "6 x 4 pixels, adu" in text
    assert "frame 9" in text
    assert "frame 10" not in text
    assert "and 3 more" in text
    assert "Take the mean of the remaining samples." in text


def test_a_result_of_as_many_frames_as_are_shown():
    _, text = shown(stack(np.arange(240.0).reshape(10, 4, 6)))
    assert "frame 9" in text
    assert "more" not in text


def test_names_of_files_are_text():
    cells = [("<script>alert(1)</script>", '"&"')]
    page = Checked(table(["<b>"], cells, [[True, False]]))
    assert [tag for tag, _ in page.tags if tag in ("script", "b")] == []
    assert "<script>alert(1)</script>" in "".join(page.text)


def test_a_thumbnail_where_matplotlib_is_loaded():
    code = (
        "import sys, numpy as np; from gpustack import stack; "
        "noise = np.random.default_rng(0).normal(size=(3, 900, 50)); "
        "r = stack(noise, scale=[1, 1, 1]); assert '<img' not in r._repr_html_(); "
        "assert 'matplotlib' not in sys.modules; import matplotlib; print(r._repr_html_())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    (image,) = [attrs for tag, attrs in Checked(done.stdout).tags if tag == "img"]
    assert image["src"].startswith("data:image/png;base64,iVBOR")
    assert len(image["src"]) < 20_000
    picture = base64.b64decode(image["src"].partition(",")[2])
    # The first chunk of a PNG begins with width and height: every 5th pixel, so 200 at most.
    assert struct.unpack(">II", picture[16:24]) == (10, 180)


def test_a_combiner():
    combiner = Combiner([CCDData(np.ones((4, 6)), unit="adu") for _ in range(3)])
    combiner.sigma_clipping(2, 3)
    combiner.weights = np.ones(3)
    _, text = shown(combiner)
    for words in ("3 images of 6 x 4 pixels, adu, float64", "more than 2 standard", "With weights"):
        assert words in text
