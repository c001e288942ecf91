"""Values that recipes refuse, and error messages with the expected and the given value."""

import json
import math

import numpy as np
import pytest

from gpustack.clips import (
    AvgSigmaClip,
    Clip,
    ESDClip,
    ExtremaClip,
    Grow,
    MADClip,
    NoiseClip,
    PercentileClip,
    PercentileRankClip,
    RangeClip,
    SigmaClip,
    SigmaMedianClip,
    WinsorizedClip,
    clip_from_record,
    parse,
    parse_clip,
)
from gpustack.combines import NoiseModel
from gpustack.errors import InputError, RecipeError
from gpustack.recipe import Recipe

BAD_CLIPS = {
    "range-text": (RangeClip, {"low": "3"}, r"low: expected a finite number or None, got '3'"),
    "range-nan": (RangeClip, {"high": math.nan}, r"high: expected a finite number.*got nan"),
    "range-inf": (RangeClip, {"low": math.inf}, r"low: expected a finite number.*got inf"),
    "range-bool": (RangeClip, {"low": True}, r"low: expected a finite number.*got True"),
    "range-huge": (RangeClip, {"high": 10**400}, r"high: expected a finite number.*got 1000"),
    "range-array": (RangeClip, {"high": np.ones(2)}, r"high: expected .*got array"),
    "range-masked": (RangeClip, {"low": np.ma.masked}, r"low: expected .*got masked"),
    "range-order": (RangeClip, {"low": 2, "high": 1}, r"low <= high, got low=2.0 and high=1.0"),
    "extrema-negative": (ExtremaClip, {"nlow": -1}, r"nlow: expected .* >= 0, got -1"),
    "extrema-half": (ExtremaClip, {"nhigh": 0.5}, r"nhigh: expected a whole number.*got 0.5"),
    "extrema-none": (ExtremaClip, {"nlow": None}, r"nlow: expected a whole number.*got None"),
    "extrema-bool": (ExtremaClip, {"nlow": True}, r"nlow: expected a whole number.*got True"),
    "extrema-among": (ExtremaClip, {"among": "some"}, r"'valid', 'all', 'share', got 'some'"),
    "sigma-negative": (SigmaClip, {"low": -3}, r"low: expected a number >= 0 or None, got -3"),
    "sigma-nan": (SigmaClip, {"high": math.nan}, r"high: expected a number >= 0.*got nan"),
    "sigma-complex": (SigmaClip, {"high": 1j}, r"high: expected a number >= 0.*got 1j"),
    "sigma-center": (
        SigmaClip,
        {"center": "mode"},
        r"'trimmed_mean', got 'mode'",
    ),
    "sigma-center-none": (
        SigmaClip,
        {"center": None},
        r"'trimmed_mean', got None",
    ),
    "sigma-spread": (SigmaClip, {"spread": np.ones(2)}, r"'std', 'mad_std', got array"),
    "sigma-maxiters": (SigmaClip, {"maxiters": 0}, r"maxiters: expected .* >= 1, got 0"),
    "sigma-maxiters-float": (SigmaClip, {"maxiters": 5.0}, r"maxiters: expected .*got 5.0"),
    "sigma-ddof": (SigmaClip, {"ddof": -1}, r"ddof: expected .* >= 0, got -1"),
    "sigma-ddof-mad": (SigmaClip, {"ddof": 1, "spread": "mad_std"}, r"ddof=1 with .*'mad_std'"),
    "sigma-about-mad": (
        SigmaClip,
        {"about": "center", "spread": "mad_std"},
        r"about: expected spread",
    ),
    "sigma-keep": (SigmaClip, {"keep": 1.5}, r"keep: expected a whole number, got 1.5"),
    "noise-gain": (NoiseClip, {"gain": 0}, r"gain: expected a number > 0 or .*, got 0"),
    "noise-rdnoise": (NoiseClip, {"rdnoise": -1}, r"rdnoise: expected a number >= 0 or .*, got -1"),
    "average-low": (AvgSigmaClip, {"low": -1}, r"AvgSigmaClip low: expected .* >= 0 or None"),
    "average-center": (AvgSigmaClip, {"center": "mode"}, r"'trimmed_mean', got 'mode'"),
    "average-maxiters": (AvgSigmaClip, {"maxiters": 0}, r"maxiters: expected .* >= 1, got 0"),
    "mad-low": (MADClip, {"low": -1}, r"low: expected a number >= 0 or None, got -1"),
    "rank-zero": (PercentileRankClip, {"rank": 0}, r"rank: expected .* other than 0, got 0"),
    "esd-share": (ESDClip, {"outliers": 1.1}, r"outliers: .*between 0 and 1, got 1.1"),
    "esd-significance": (ESDClip, {"significance": 0}, r"between 0 and 1, got 0"),
    "winsorized-maxiters": (WinsorizedClip, {"maxiters": 0}, r"maxiters: expected .* >= 1, got 0"),
    "replacing-low": (SigmaMedianClip, {"low": -1}, r"SigmaMedianClip low: expected .* got -1"),
    "replacing-maxiters": (SigmaMedianClip, {"maxiters": 0}, r"maxiters: expected .* got 0"),
    "grow-small": (Grow, {"radius": 0.99}, r"radius: expected .*pixels >= 1, got 0.99"),
    "grow-infinite": (Grow, {"radius": math.inf}, r"radius: expected .*pixels >= 1, got inf"),
    "grow-nan": (Grow, {"radius": math.nan}, r"radius: expected .*pixels >= 1, got nan"),
    "grow-none": (Grow, {"radius": None}, r"radius: expected .*pixels >= 1, got None"),
    "percentile-high": (PercentileClip, {"high": "x"}, r"high: expected a number >= 0.*got 'x'"),
}


@pytest.mark.parametrize(("clip", "values", "message"), BAD_CLIPS.values(), ids=BAD_CLIPS)
def test_a_clip_refuses(clip, values, message):
    with pytest.raises(RecipeError, match=message) as caught:
        clip(**values)
    assert clip.__name__ in str(caught.value)


BAD_TEXTS = {
    "": r"'linear', 'esd', 'grow', got ''",
    "sigmoid": r"'linear', 'esd', 'grow', got 'sigmoid'",
    " sigma": r"got ' sigma'",
    "Sigma": r"got 'Sigma'",
    "sigma=3": r"such as sigma:low=3,high=3, got 'sigma=3'",
    "sigma:3": r"field=value with field one of low, high, .*, got '3' in 'sigma:3'",
    "sigma:width=3": r"one of low, .* about, poisson, keep, got 'width=3'",
    "sigma:low=3,": r"low: expected a number >= 0 or None, got '3,'",
    "sigma:low=3,high": r"low: expected a number >= 0 or None, got '3,high'",
    "sigma:low=3,low=4": r"expected low once, got it again in 'sigma:low=3,low=4'",
    "sigma:low": r"got 'low'",
    "sigma:low=": r"low: expected a number >= 0 or None, got ''",
    "sigma:low=three": r"low: expected a number >= 0 or None, got 'three'",
    "sigma:low=nan": r"low: expected a number >= 0 or None, got nan",
    "sigma:low=-1": r"low: expected a number >= 0 or None, got -1",
    "sigma:maxiters=2.5": r"maxiters: expected a whole number >= 1, got 2.5",
    "extrema:nlow=1.0": r"nlow: expected a whole number >= 0, got 1.0",
    "extrema:among=none": r"'valid', 'all', 'share', got None",
    "range:low=2,high=1": r"expected low <= high, got low=2.0 and high=1.0",
}


@pytest.mark.parametrize(("text", "message"), BAD_TEXTS.items(), ids=BAD_TEXTS)
def test_parse_clip_refuses(text, message):
    with pytest.raises(RecipeError, match=message):
        parse_clip(text)


BAD_RECIPES = {
    "clip-text": ({"clips": "kappa"}, r"clip: expected one of 'range', .*, got 'kappa'"),
    "clip-texts": (
        {"clips": ["sigma", "low=3"]},
        r"clip: expected a text NAME:field=value.*, got 'low=3'",
    ),
    "clip-number": ({"clips": 3}, r"clips: expected clip values, such as SigmaClip\(\), got 3"),
    "clip-class": ({"clips": [SigmaClip]}, r"clips: expected clip values, .*, got <class"),
    "combine": ({"combine": "mode"}, r"'min', 'max', 'nmodel', got 'mode'"),
    "combine-field": ({"combine": "nmodel:read=5"}, r"combine nmodel: expected .* got 'read=5'"),
    "combine-gain": (
        {"combine": "nmodel:gain=0"},
        r"NoiseModel gain: expected a number > 0 or .*, got 0",
    ),
    "combine-class": ({"combine": NoiseModel}, r"combine: expected one of .*got <class"),
    "combine-function": ({"combine": np.mean}, r"combine: expected one of .*got <function"),
    "clip-on": ({"clip_on": "both"}, r"clip_on: expected one of 'normalized', 'raw', got 'both'"),
    "uncertainty": ({"uncertainty": "mad"}, r"'mad_std', 'propagated', got 'mad'"),
    **{
        f"{spread}-{combine}": (
            {"uncertainty": spread, "combine": combine},
            rf"uncertainty='{spread}': expected .* lmedian, sum, got combine='{combine}'",
        )
        for combine in ("quadrature", "min", "max", "nmodel")
        for spread in ("std", "mad_std", "propagated")
    },
    **{
        f"sigma-{combine}": (
            {"outputs": ["sigma"], "combine": combine},
            rf"outputs: sigma: expected combine mean, .*, got combine='{combine}'",
        )
        for combine in ("sum", "quadrature", "min", "max", "nmodel")
    },
    "weights-by-variance-of-a-median": (
        {"weights": "variance", "combine": "median"},
        r"weights: expected combine mean, sum, quadrature, nmodel, got combine='median'",
    ),
    "scale-by-variance": ({"scale": "variance"}, r"or '@FILE', got 'variance'"),
    "dtype-word": ({"dtype": "double32"}, r"'float32', 'float64' or None, got 'double32'"),
    "dtype-int": ({"dtype": np.int16}, r"'float32', 'float64' or None, got .*int16"),
    "dtype-half": ({"dtype": "float16"}, r"'float32', 'float64' or None, got 'float16'"),
    "dtype-record": ({"dtype": {"a": 1}}, r"'float32', 'float64' or None, got {'a': 1}"),
    "outputs-word": ({"outputs": ["cuont"]}, r"outputs: expected one of .*, got 'cuont'"),
    "outputs-number": ({"outputs": 3}, r"outputs: expected some of .*, got 3"),
    "outputs-none": ({"outputs": None}, r"outputs: expected some of .*, got None"),
    "scale-number": ({"scale": 2.0}, r"scale: expected numbers, one per frame, or .*got 2.0"),
    "scale-word": ({"scale": "mood"}, r"one per frame, or 'median' or 'mean' or .*, got 'mood'"),
    "scale-empty": ({"scale": []}, r"scale: expected numbers, one per frame, .*got \[\]"),
    "scale-0-d": ({"scale": np.array(2.0)}, r"scale: expected numbers, one per frame, .*got array"),
    "scale-2-d": ({"scale": np.ones((3, 1))}, r"scale: expected finite numbers, got array"),
    "scale-set": (
        {"scale": {1.0, 2.0}},
        r"scale: expected numbers, one per frame, .*got {1.0, 2.0}",
    ),
    "scale-0": ({"scale": [1, 0]}, r"scale: expected numbers other than 0, got 0 at index 1"),
    "scale-inf": ({"scale": [1, math.inf]}, r"scale: expected finite .*got inf at index 1"),
    "zero-nan": ({"zero": [math.nan]}, r"zero: expected finite numbers, got nan at index 0"),
    "zero-text": ({"zero": ["1"]}, r"zero: expected finite numbers, got '1' at index 0"),
    "zero-huge": ({"zero": [0, 10**400]}, r"zero: expected finite numbers, got 1000.* at index 1"),
    "zero-masked": (
        {"zero": np.ma.masked_less([5.0, 1.0], 2)},
        r"zero: expected finite numbers, got masked at index 1",
    ),
    "weights-negative": (
        {"weights": [1, 1, -0.5]},
        r"weights: expected finite numbers >= 0, got -0.5 at index 2",
    ),
    "weights-word": ({"weights": "medium"}, r"one per frame, or 'median' or .*, got 'medium'"),
    "weights-median": (
        {"weights": [1, 1], "combine": "median"},
        r"weights: expected combine mean, sum, quadrature, nmodel, got combine='median'",
    ),
    "two-statistics": (
        {"scale": "median", "zero": "mean"},
        r"scale='median' and zero='mean': statistics of the level cannot set both",
    ),
    "grow-not-last": (
        {"clips": [SigmaClip(), Grow(), ExtremaClip()]},
        r"Grow: expected it once, after all other clips, got clips sigma, grow, extrema",
    ),
    "grow-twice": (
        {"clips": [SigmaClip(), Grow(), Grow()]},
        r"Grow: expected it once, .*, got clips sigma, grow, grow",
    ),
    "grow-alone": ({"clips": Grow()}, r"Grow: expected another clip before it.*got clips grow"),
    "grow-ranges": (
        {"clips": [RangeClip(0, 1), Grow()]},
        r"Grow: expected another clip before it.*, got clips range, grow",
    ),
    **{
        f"replacing-{name}": (
            {"clips": [SigmaMedianClip(), *more], **values},
            f"SigmaMedianClip: expected {message}",
        )
        for name, more, values, message in (
            ("not-last", [SigmaClip()], {}, "it once and last, .*, got clips sigmamedian, sigma"),
            ("twice", [SigmaMedianClip()], {}, "it once and last, .* sigmamedian, sigmamedian"),
            ("grow", [Grow()], {}, "it once and last, .*, got clips sigmamedian, grow"),
            ("median", [], {"combine": "median"}, "combine='mean', .*, got combine='median'"),
            ("sum", [], {"combine": "sum"}, "combine='mean', .*, got combine='sum'"),
            ("nmodel", [], {"combine": "nmodel"}, "combine='mean', .*, got combine='nmodel'"),
            ("weights", [], {"weights": [1, 2]}, r"no weights, .*, got weights=\(1.0, 2.0\)"),
            ("sample", [], {"weights": "sample"}, "no weights, .*, got weights='sample'"),
            (
                "raw",
                [],
                {"clip_on": "raw", "scale": [1, 2]},
                "clip_on='normalized', .*, got clip_on='raw' with scale or zero",
            ),
            (
                "propagated",
                [],
                {"uncertainty": "propagated"},
                "another uncertainty, .*, got uncertainty='propagated'",
            ),
        )
    },
    "late-range": (
        {"scale": [1, 2], "clips": [SigmaClip(), RangeClip(0, 1)]},
        r"expected it before all other clips .* got it after another clip",
    ),
}


@pytest.mark.parametrize(("values", "message"), BAD_RECIPES.values(), ids=BAD_RECIPES)
def test_a_recipe_refuses(values, message):
    with pytest.raises(RecipeError, match=message):
        Recipe(**values)


GOOD = json.loads(Recipe([SigmaClip()]).to_json())
BAD_JSON = {
    "no-json": ("{", "Expecting"),
    "nothing": ("", "Expecting"),
    "list": ("[]", "expected an object, got list"),
    "number": ("3", "expected an object, got int"),
    "clips-null": (json.dumps({**GOOD, "clips": None}), "NoneType"),
    "clip-text": (json.dumps({**GOOD, "clips": ["sigma"]}), "expected an object, got 'sigma'"),
    "clip-number": (json.dumps({**GOOD, "clips": [3]}), "clip: expected an object, got 3"),
    "clip-nameless": (json.dumps({**GOOD, "clips": [{"low": 1}]}), "'grow', got None"),
    "clip-name": (json.dumps({**GOOD, "clips": [{"clip": "mu"}]}), "'grow', got 'mu'"),
    "clip-field": (json.dumps({**GOOD, "clips": [{"clip": "sigma", "a": 1}]}), "'a'"),
    "clip-value": (json.dumps({**GOOD, "clips": [{"clip": "sigma", "low": -1}]}), "got -1"),
    "field": (json.dumps({**GOOD, "extra": 1}), "'extra'"),
    "combine": (json.dumps({**GOOD, "combine": {"combine": "mean"}}), "'nmodel', got 'mean'"),
    "combine-field": (json.dumps({**GOOD, "combine": {"combine": "nmodel", "a": 1}}), "'a'"),
    "value": (json.dumps({**GOOD, "scale": [math.nan]}), "got nan at index 0"),
}


@pytest.mark.parametrize(("text", "message"), BAD_JSON.values(), ids=BAD_JSON)
def test_from_json_refuses(text, message):
    with pytest.raises(RecipeError, match="expected the JSON of a recipe, got ") as caught:
        Recipe.from_json(text)
    assert repr(text)[:80] in str(caught.value)
    assert message in str(caught.value)


def test_the_record_of_a_clip_is_not_changed():
    record = {"clip": "sigma", "low": 2.0}
    assert clip_from_record(record) == clip_from_record(record) == SigmaClip(low=2)
    assert record == {"clip": "sigma", "low": 2.0}


def test_a_refusal_is_a_value_error():
    assert issubclass(RecipeError, InputError)
    with pytest.raises(ValueError, match="nlow"):
        ExtremaClip(-1)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe(scale=[1] * 4), "scale: expected 5 numbers, one per frame, got 4"),
        (Recipe(zero=[1] * 6), "zero: expected 5 numbers, one per frame, got 6"),
        (Recipe(weights=[1]), "weights: expected 5 numbers, one per frame, got 1"),
        (Recipe([SigmaClip(), ExtremaClip(2, 3)]), r"got nlow=2 \+ nhigh=3 for 5 frames"),
        (Recipe([ExtremaClip(0, 9, "all")]), r"got nlow=0 \+ nhigh=9 for 5 frames"),
    ],
)
def test_recipes_that_do_not_fit_five_frames(recipe, message):
    with pytest.raises(RecipeError, match=message):
        recipe.check_frames(5)


@pytest.mark.parametrize("number", [10**30, 2**63, -(2**63)])
def test_more_samples_than_any_column_has(number):
    with pytest.raises(RecipeError, match="MADClip keep: expected a number of samples, got"):
        MADClip(keep=number)
    with pytest.raises(RecipeError, match=r"SigmaClip ddof: expected a (number of|whole)"):
        SigmaClip(ddof=number)


@pytest.mark.parametrize("given", [np.array([True, False]), 1, 0.0, "yes", None])
def test_what_is_neither_true_nor_false(given):
    with pytest.raises(RecipeError, match="SigmaClip poisson: expected True or False, got"):
        SigmaClip(poisson=given)


@pytest.mark.parametrize("given", [None, 3, b"sigma"])
def test_what_is_no_text_of_a_clip(given):
    with pytest.raises(RecipeError, match=r"a text NAME:field=value,\.\.\., such as .*, got"):
        parse_clip(given)


def test_json_without_end():
    with pytest.raises(RecipeError, match="expected the JSON of a recipe"):
        Recipe.from_json("[" * 200_000)


@pytest.mark.parametrize("theirs", parse.NAMES_ELSEWHERE)
def test_the_names_of_other_programs_are_known_in_refusals(theirs):
    ours = parse.NAMES_ELSEWHERE[theirs]
    with pytest.raises(RecipeError, match=f"got '{theirs}'; here it is '{ours}'$"):
        parse_clip(theirs)
    assert isinstance(parse_clip(ours), Clip)


@pytest.mark.parametrize("theirs", ["average", "Average"])
def test_an_average_is_a_mean_here(theirs):
    with pytest.raises(RecipeError, match=f"got '{theirs}'; here it is 'mean'$"):
        Recipe(combine=theirs)
