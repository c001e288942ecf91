"""Recipes: accepted values, text and JSON forms, and derived properties."""

import copy
import json
import math
import pickle
from dataclasses import FrozenInstanceError, asdict, fields
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpustack.clips import (
    CLIPS,
    AvgSigmaClip,
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
    parse_clip,
)
from gpustack.combines import AVERAGES, METHODS, WEIGHTED, NoiseModel
from gpustack.errors import RecipeError
from gpustack.recipe import MAPS, OUTPUTS, Recipe

# Strategies for values.

finite = st.floats(allow_nan=False, allow_infinity=False)
thresholds = st.none() | st.floats(min_value=0, allow_infinity=False)
small = st.integers(0, 50)
keeps = st.integers(-50, 50)
positive = st.floats(1e-300, 1e300)


def _range_clip(low, high):
    return RangeClip(low, high) if None in (low, high) or low <= high else RangeClip(high, low)


clips = st.one_of(
    st.builds(_range_clip, st.none() | finite, st.none() | finite),
    st.builds(ExtremaClip, small, small, st.sampled_from(["valid", "all", "share"])),
    st.builds(
        SigmaClip,
        thresholds,
        thresholds,
        st.sampled_from(["mean", "median"]),
        st.just("std"),
        st.none() | st.integers(1, 50),
        small,
    ),
    st.builds(SigmaClip, thresholds, thresholds, spread=st.just("mad_std")),
    st.builds(SigmaClip, center=st.just("trimmed_mean"), about=st.just("center"), keep=keeps),
    st.builds(MADClip, thresholds, thresholds, st.none() | st.integers(1, 50), keeps),
    st.builds(WinsorizedClip, thresholds, thresholds, st.none() | st.integers(1, 50), keeps),
    st.builds(PercentileClip, thresholds, thresholds, keeps),
    st.builds(PercentileRankClip, thresholds, thresholds, finite.filter(bool), keeps),
    st.builds(NoiseClip, thresholds, thresholds, positive, positive, positive, keep=keeps),
    st.builds(AvgSigmaClip, thresholds, thresholds, keep=keeps),
    st.builds(ESDClip, st.floats(0, 1), st.floats(0.001, 0.999), keeps),
)
models = st.builds(NoiseModel, st.floats(0, 1e300), positive, st.floats(0, 1e300))
grows = st.builds(Grow, st.floats(1, allow_infinity=False))
replacing = st.builds(SigmaMedianClip, thresholds, thresholds, st.none() | st.integers(1, 50))
numbers = st.lists(finite, min_size=1, max_size=6)


@st.composite
def recipes(draw):
    combine = draw(st.sampled_from(METHODS) | models)
    replaces = combine == "mean" and draw(st.booleans())
    weighted = not replaces and (isinstance(combine, NoiseModel) or combine in WEIGHTED)
    some_weights = st.lists(st.floats(0, 1e300), min_size=1) | st.sampled_from(
        ["sample", "variance"]
    )
    spreads = ["auto"] + ["std", "mad_std"] * (combine in (*AVERAGES, "sum"))
    spreads += ["propagated"] * (len(spreads) > 1 and not replaces)
    grown = grows.map(lambda grow: [SigmaClip(), grow])
    last = replacing.map(lambda clip: [clip]) if replaces else st.just([]) | grown
    maps = [name for name in MAPS if name != "sigma" or combine in AVERAGES]
    return Recipe(
        clips=[
            *sorted(draw(st.lists(clips, max_size=4)), key=lambda clip: clip.name != "range"),
            *draw(last),
        ],
        combine=combine,
        scale=draw(st.none() | numbers.filter(all) | st.sampled_from(["mean", "median"])),
        zero=draw(st.none() | numbers),
        weights=draw(st.none() | some_weights) if weighted else None,
        clip_on=draw(st.sampled_from(["normalized"] if replaces else ["normalized", "raw"])),
        uncertainty=draw(st.sampled_from(spreads)),
        dtype=draw(st.sampled_from([None, "float32", "float64"])),
        outputs=draw(st.sets(st.sampled_from((*OUTPUTS, *maps)))),
    )


# Round trips through text and JSON.


@given(clips | grows | replacing)
def test_a_clip_prints_as_the_text_it_is_parsed_from(clip):
    text = str(clip)
    assert text.isprintable()
    assert " " not in text
    assert parse_clip(text) == clip


@given(recipes())
def test_json_and_back_is_the_same_recipe(recipe):
    again = Recipe.from_json(recipe.to_json())
    assert again == recipe
    assert hash(again) == hash(recipe)
    assert again.to_json() == recipe.to_json()


@given(recipes())
def test_json_is_strict_and_one_line(recipe):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    text = recipe.to_json()
    assert text.isprintable()
    json.loads(text, parse_constant=refuse)


@given(recipes())
def test_a_recipe_prints_as_one_line_that_names_its_steps(recipe):
    text = str(recipe)
    assert text.isprintable()
    for clip in recipe.clips:
        assert str(clip) in text
    assert str(recipe.combine) in text.rpartition(" -> ")[2]


@given(recipes())
def test_recipes_are_values(recipe):
    assert copy.deepcopy(recipe) == recipe
    assert pickle.loads(pickle.dumps(recipe)) == recipe


@pytest.mark.parametrize(
    ("recipe", "line"),
    [
        (Recipe(), "mean"),
        (Recipe(combine="median", dtype="float64"), "median (float64)"),
        (Recipe(scale=[1, 2, 3]), "scale=[1,2,3] -> mean"),
        (
            Recipe([RangeClip(0, 60000), SigmaClip(3, 2.5)], scale="median", zero=[0.1, 2]),
            "scale=median -> zero=[0.1,2] -> range:low=0,high=60000 -> "
            "sigma:low=3,high=2.5,center=median,spread=std,maxiters=none,ddof=0,"
            "about=mean,poisson=false,keep=0 -> mean",
        ),
        (
            Recipe([ExtremaClip()], "sum", scale=[1, 2], weights=[1, 2, 3, 4], clip_on="raw"),
            "scale=[1,2] -> weights=[1,2,3,...]x4 -> extrema:nlow=1,nhigh=1,among=valid -> "
            "clip_on=raw -> sum",
        ),
        (
            Recipe(weights="variance", uncertainty="propagated"),
            "weights=variance -> mean, uncertainty=propagated",
        ),
    ],
)
def test_the_line_of_a_recipe(recipe, line):
    assert str(recipe) == line


def test_a_share_of_samples_is_not_one_less_by_rounding():
    assert 0.29 * 100 < 29
    assert ESDClip(outliers=0.29).most(100) == 29
    np.testing.assert_array_equal(ESDClip(outliers=0.29).most(np.array([99, 100])), [28, 29])


def test_medians_may_replace_raw_samples_that_nothing_normalizes():
    assert Recipe([SigmaMedianClip()], clip_on="raw").replaces


def test_the_json_of_a_recipe():
    recipe = Recipe([SigmaClip(high=None)], "median", scale=[1, 0.5], outputs=["count"])
    assert json.loads(recipe.to_json()) == {
        "clips": [{"clip": "sigma", **asdict(SigmaClip(high=None))}],
        "combine": "median",
        "scale": [1.0, 0.5],
        "zero": None,
        "weights": None,
        "clip_on": "normalized",
        "uncertainty": "auto",
        "dtype": None,
        "outputs": ["count"],
    }


@pytest.mark.parametrize(
    ("text", "clip"),
    [
        ("sigma", SigmaClip()),
        ("range:", RangeClip()),
        ("grow", Grow(1)),
        ("grow:radius=1.5", Grow(1.5)),
        ("sigmamedian", SigmaMedianClip(3, 3)),
        ("sigmamedian:low=none,high=2.5,maxiters=4", SigmaMedianClip(None, 2.5, 4)),
        ("extrema:nhigh=0,nlow=2", ExtremaClip(2, 0)),
        ("range:low=-1.5e3", RangeClip(-1500, None)),
        ("range:low=-inf,high=inf", RangeClip()),
        ("sigma:low=None,maxiters=NONE", SigmaClip(low=None)),
        (
            "sigma:low=3,high=3,center=median,spread=std,ddof=1,maxiters=none",
            SigmaClip(3, 3, "median", "std", None, 1),
        ),
    ],
)
def test_parse_clip(text, clip):
    assert parse_clip(text) == clip


def test_a_noise_model_is_a_value_or_its_text():
    model = NoiseModel(rdnoise=5, gain=2)
    assert str(model) == "nmodel:rdnoise=5,gain=2,snoise=0"
    assert Recipe(combine="nmodel:gain=2,rdnoise=5").combine == model
    assert Recipe(combine="nmodel").combine == Recipe(combine="nmodel:").combine == NoiseModel()
    recipe = Recipe(combine=model, weights=[1, 2])
    assert str(recipe) == "weights=[1,2] -> nmodel:rdnoise=5,gain=2,snoise=0"
    assert json.loads(recipe.to_json())["combine"] == {"combine": "nmodel", **asdict(model)}


# Accepted values become plain Python values.


@pytest.mark.parametrize(
    "three",
    [3, 3.0, np.float32(3), np.int16(3), np.uint8(3), np.array(3.0), np.longdouble(3), Fraction(3)],
    ids=lambda value: type(value).__name__,
)
def test_any_real_number_becomes_a_float(three):
    for value in (RangeClip(three).low, SigmaClip(three).low, Recipe(zero=[three]).zero[0]):
        assert type(value) is float
        assert value == 3.0


@pytest.mark.parametrize("two", [2, np.int64(2), np.uint8(2), np.array(2)], ids=repr)
def test_any_whole_number_becomes_an_int(two):
    clip = SigmaClip(maxiters=two, ddof=two)
    for value in (ExtremaClip(two).nlow, clip.maxiters, clip.ddof):
        assert type(value) is int
        assert value == 2


@pytest.mark.parametrize(
    "spelling",
    [
        np.float32,
        np.dtype("float32"),
        "float32",
        "f4",
        "<f4",
        ">f4",
        "single",
    ],
    ids=repr,
)
def test_any_spelling_of_a_dtype_becomes_its_name(spelling):
    recipe = Recipe(dtype=spelling)
    assert recipe == Recipe(dtype="float32")
    assert type(recipe.dtype) is str
    assert Recipe.from_json(recipe.to_json()) == recipe


@pytest.mark.parametrize(
    "numbers",
    [[1, 2.5], (1, 2.5), np.array([1, 2.5], ">f4"), (x for x in (1, 2.5)), np.ma.array([1, 2.5])],
    ids=lambda value: type(value).__name__,
)
def test_numbers_a_frame_become_a_tuple(numbers):
    weights = Recipe(weights=numbers).weights
    assert weights == (1.0, 2.5)
    assert {type(weight) for weight in weights} == {float}


def test_words_become_plain_text():
    recipe = Recipe([SigmaClip(center=np.str_("mean"))], combine=np.str_("sum"))
    assert type(recipe.combine) is str
    assert type(recipe.clips[0].center) is str


def test_infinite_thresholds_are_none():
    assert RangeClip(-math.inf, math.inf) == RangeClip()
    assert SigmaClip(math.inf, math.inf) == SigmaClip(None, None)


def test_outputs_stand_in_one_order():
    assert Recipe(outputs=["low", "count", "count"]).outputs == ("count", "low")
    assert Recipe(outputs="high").outputs == ("high",)
    assert Recipe(outputs=["rejections", "low"]).outputs == ("low", "rejections")
    assert Recipe(outputs=()).outputs == ()


# Derived properties.


@pytest.mark.parametrize(
    "value", [Recipe(), NoiseModel(), *(clip() for clip in CLIPS.values())], ids=repr
)
def test_values_are_frozen_and_have_slots(value):
    with pytest.raises(FrozenInstanceError):
        setattr(value, fields(value)[0].name, None)
    assert not hasattr(value, "__dict__")


@pytest.mark.parametrize(
    ("clips", "leading"),
    [
        ([], 0),
        ([SigmaClip(), RangeClip(0, 1)], 0),
        ([RangeClip(0, 1), SigmaClip(), RangeClip(0, 1)], 1),
        ([RangeClip(0, 1), RangeClip(0, None)], 2),
    ],
)
def test_raw_ranges_are_those_that_stand_first(clips, leading):
    assert Recipe(clips).raw_ranges == tuple(clips[:leading])


def test_what_grows_stands_last():
    grow = Grow(2)
    assert Recipe([RangeClip(0, 1), SigmaClip(), grow]).grow is grow
    assert Recipe([SigmaClip()]).grow is Recipe().grow is None


@pytest.mark.parametrize(
    ("values", "normalizes"),
    [({}, False), ({"scale": [2]}, True), ({"zero": [0]}, True), ({"scale": "mean"}, True)],
)
def test_normalizes(values, normalizes):
    assert Recipe(**values).normalizes is normalizes


@pytest.mark.parametrize(
    ("values", "spread"),
    [
        ({"combine": "mean"}, "std"),
        ({"combine": "sum"}, "std"),
        ({"combine": "median"}, "mad_std"),
        ({"combine": "median", "uncertainty": "std"}, "std"),
        ({"combine": "mean", "uncertainty": "mad_std"}, "mad_std"),
        ({"combine": "max"}, None),
        ({"combine": "lower_median"}, "mad_std"),
        ({"combine": "lmedian"}, "mad_std"),
        ({"combine": "quadrature"}, None),
        ({"combine": NoiseModel()}, None),
        ({"combine": "mean", "outputs": ["count"]}, None),
    ],
)
def test_the_spread_of_the_uncertainty(values, spread):
    assert Recipe(**values).spread == spread


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(scale="median", weights="sample"),
        Recipe(scale=[1] * 5, zero=[1] * 5, weights=[1] * 5),
        Recipe([ExtremaClip(2, 2)]),
        Recipe([ExtremaClip(2, 2), ExtremaClip(4, 0)]),
    ],
    ids=str,
)
def test_recipes_that_fit_five_frames(recipe):
    recipe.check_frames(5)


def test_one_clip_needs_no_list():
    assert Recipe(clips=SigmaClip()) == Recipe(clips=[SigmaClip()])


def test_texts_stand_for_clips():
    recipe = Recipe(clips=["range:high=9", SigmaClip(2, 2)])
    assert recipe.clips == (RangeClip(high=9), SigmaClip(2, 2))
    assert Recipe(clips="sigma:low=2,high=2").clips == (SigmaClip(2, 2),)
    with pytest.raises(RecipeError, match="'grow', got 'kappa'"):
        Recipe(clips="kappa")
