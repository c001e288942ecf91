"""Measures: arguments, text and JSON forms, and errors."""

import json
import pickle
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpustack import Recipe
from gpustack.errors import RecipeError
from gpustack.measures import (
    MEASURES,
    Exposure,
    FromFile,
    Keyword,
    NCombine,
    Noise,
    Overlap,
    Statistic,
    as_measure,
    choices,
    section,
    tidy_numbers,
    with_region_and_reference,
)

REFERENCES = st.none() | st.just("mean") | st.integers(0, 20)
REGIONS = st.sampled_from([None, "[*,*]", "[1:9,3]", "[5:*,2:7]", np.s_[:, 2:5]])
ANY = {
    "scale": st.one_of(
        st.builds(Statistic, st.sampled_from(["median", "mode", "mad"]), REGIONS, REFERENCES),
        st.builds(Exposure, st.sampled_from(["EXPTIME", "exposure"]), REFERENCES),
        st.builds(Keyword, st.just("gain")),
    ),
    "zero": st.builds(Overlap, REFERENCES) | st.builds(FromFile, st.just("sky levels.txt")),
    "weights": st.builds(Noise, REGIONS) | st.just(NCombine()),
}


@given(st.fixed_dictionaries(ANY))
def test_a_recipe_of_measures_goes_to_json_and_back(values):
    recipe = Recipe(**values)
    again = Recipe.from_json(recipe.to_json())
    assert again == recipe
    assert hash(again) == hash(recipe)
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    assert str(recipe).isprintable()
    assert "\n" not in str(recipe)


def test_the_line_of_a_recipe_says_where_numbers_come_from():
    recipe = Recipe(scale="mad", zero=Statistic("mode", np.s_[:9, 4:], "mean"), weights="!GAIN")
    assert str(recipe) == (
        "scale=mad -> zero=mode over [5:*,1:9] relative to the mean -> weights=!GAIN -> mean"
    )
    assert str(Statistic("median", reference=3)) == "median relative to frame 3"


def test_weights_are_printed_without_a_reference_which_they_do_not_use():
    recipe = Recipe(weights=Statistic("median", "[1:9,*]", reference=3))
    assert str(recipe) == "weights=median over [1:9,*] -> mean"


def test_the_json_of_a_measure():
    record = json.loads(Recipe(scale=Statistic("mean", "[1:2, *]")).to_json())["scale"]
    expected = {"kind": "mean", "region": "[1:2,*]", "reference": None}
    assert record == {"measure": "statistic", **expected}


TEXTS = {
    "median": Statistic("median"),
    "mode": Statistic("mode"),
    "mad": Statistic("mad"),
    "exposure": Exposure("EXPTIME"),
    "exposure:key=itime": Exposure("ITIME"),
    "exposure:key=ITIME,reference=2": Exposure("ITIME", 2),
    "exposure:key=1": Exposure("1"),
    "!gain": Keyword("GAIN"),
    "@a/b c.txt": FromFile("a/b c.txt"),
}


@pytest.mark.parametrize(("text", "measure"), TEXTS.items())
def test_texts_stand_for_measures(text, measure):
    assert as_measure("scale", text) == measure
    assert Recipe(scale=text) == Recipe(scale=measure)


@pytest.mark.parametrize(
    "measure", [Statistic("mad"), Exposure(), Keyword("A"), Noise(), Overlap()], ids=str
)
def test_measures_are_frozen_and_have_slots(measure):
    with pytest.raises(FrozenInstanceError):
        setattr(measure, fields(measure)[0].name, None)
    assert not hasattr(measure, "__dict__")


def test_every_measure_can_be_given_as_something_and_all_words_work():
    assert {kind.name for kind in MEASURES.values()} == set(MEASURES)
    for role in ("scale", "zero", "weights"):
        for text in choices(role):
            measure = tidy_numbers(role, text)
            assert measure == "variance" or role in measure.roles


# Regions.


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("[1:10, 5:7]", "[1:10,5:7]"),
        (" [ * , 3 ]", "[*,3]"),
        (np.s_[4:7, 0:10], "[1:10,5:7]"),
        (np.s_[:, :], "[*,*]"),
        (np.s_[2:, np.int64(3) : 5], "[4:5,3:*]"),
        (np.s_[3:9], "[4:9]"),
    ],
)
def test_sections_and_slices_become_one_text(given, text):
    assert Statistic("median", given).region == text
    assert Noise(given).region == text


@given(st.data())
def test_a_region_takes_what_numpy_takes(data):
    shape = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    ends = [sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2))) for n in shape]
    slices = tuple(
        slice(a, max(b, a + 1)) if a < n else slice(0, n)
        for (a, b), n in zip(ends, shape, strict=True)
    )
    cube = np.arange(np.prod(shape)).reshape(shape)
    taken = section(Statistic("mean", slices).region, shape)
    np.testing.assert_array_equal(cube[taken], cube[slices])


def test_the_ends_of_an_axis_go_in_any_order():
    assert section("[9:2,*]", (5, 10)) == section("[2:9,1:5]", (5, 10)) == np.s_[0:5, 1:9]
    assert section(None, (5, 10)) == np.s_[0:5, 0:10]


BAD_REGIONS = [
    ("1:10,5:7", r"\[1:100,1:50\]', x first, or a tuple of slices, x last, got '1:10,5:7'"),
    ("[1:10", r"got '\[1:10'"),
    ("[a:b,*]", r"got '\[a:b,\*\]'"),
    ("[1:10:2,*]", r"got '\[1:10:2,\*\]'"),
    ("[-3:10,*]", r"got '\[-3:10,\*\]'"),
    ("", "got ''"),
    ((), r"got \(\)"),
    ((1, 2), r"got \(1, 2\)"),
    (np.s_[::2, :], r"slices without a step, got slice\(None, None, 2\)"),
    (np.s_[-5:, :], "a whole number >= 0, got -5"),
    (np.s_[5:5, :], r"slices that are not empty, got slice\(5, 5, None\)"),
]


@pytest.mark.parametrize(("region", "message"), BAD_REGIONS, ids=repr)
def test_a_region_that_is_none_is_refused(region, message):
    with pytest.raises(RecipeError, match=rf"Statistic region: expected .*{message}"):
        Statistic("median", region)


@pytest.mark.parametrize("region", ["[*]", "[1:18,*]", "[0:3,*]", "[*,25]", "[*,30:*]", "[1,1,1]"])
def test_a_region_outside_of_the_frames_says_their_shape(region):
    with pytest.raises(RecipeError) as caught:
        section(region, (24, 17))
    for part in ("shape (24, 17)", "17 x 24 with x first", f"got {region}"):
        assert part in str(caught.value)


# Errors.

BAD = {
    "kind": (lambda: Statistic("modus"), "Statistic kind: .*'mad', got 'modus'"),
    "reference word": (
        lambda: Statistic("mean", None, "first"),
        "reference: .*'mean', got 'first'",
    ),
    "reference negative": (lambda: Overlap(-1), "Overlap reference: .* >= 0, got -1"),
    "reference half": (lambda: Exposure(reference=0.5), "Exposure reference: .*got 0.5"),
    "no key": (lambda: Keyword(""), "Keyword key: expected a keyword of a header, got ''"),
    "key of lines": (lambda: Exposure("A\nB"), "Exposure key: expected a keyword"),
    "no path": (lambda: FromFile(""), "FromFile path: expected the name of a file, got ''"),
    "number for path": (lambda: FromFile(3), "FromFile path: .*got 3"),
    "no field of an exposure": (
        lambda: Recipe(scale="exposure:name=ITIME"),
        "scale exposure: expected field=value with field one of key, reference",
    ),
    "zero by exposure of a keyword": (lambda: Recipe(zero="exposure:key=A"), "zero: expected .*"),
    "zero by exposure": (lambda: Recipe(zero="exposure"), "zero: expected .*'overlap'.*'exposure'"),
    "zero by spread": (lambda: Recipe(zero=Statistic("mad")), r"zero: .*got Statistic\(kind='mad'"),
    "scale by overlap": (lambda: Recipe(scale=Overlap()), "scale: .*got Overlap"),
    "scale by noise": (lambda: Recipe(scale="noise"), "scale: .*got 'noise'"),
    "weights by spread": (lambda: Recipe(weights="mad"), "weights: .*'ncombine' .*got 'mad'"),
    "weights of medians": (
        lambda: Recipe(weights=Noise(), combine="median"),
        "expected combine mean, sum, quadrature, nmodel, got combine='median'",
    ),
    "two levels": (
        lambda: Recipe(scale="mode", zero=Statistic("mean", "[1,1]")),
        r"scale='mode' and zero='mean over \[1,1\]': statistics of the level .*'mad'",
    ),
    "json": (
        lambda: Recipe.from_json('{"scale": {"measure": "width"}}'),
        "measure: expected one of statistic, .*'width'",
    ),
    "json field": (
        lambda: Recipe.from_json('{"scale": {"measure": "statistic", "a": 1}}'),
        "expected the JSON of a recipe, got .*'a'",
    ),
}


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD)
def test_a_measure_is_refused(make, message):
    with pytest.raises(RecipeError, match=message):
        make()


def test_place_puts_region_and_reference_where_they_are_heeded():
    values = {"scale": Statistic("mad"), "zero": Overlap(), "weights": Statistic("mean")}
    assert with_region_and_reference(values, "[1:2,*]", 3) == {
        "scale": Statistic("mad", "[1:2,*]", 3),
        "zero": Overlap(3),
        "weights": Statistic("mean", "[1:2,*]"),
    }
    assert with_region_and_reference(values, None, None) == values
    alone = {"scale": [1.0, 2.0], "zero": None, "weights": NCombine()}
    for field, placed in (("region", ("[1,1]", None)), ("reference", (None, 0))):
        with pytest.raises(RecipeError, match=f"{field}: expected a scale, zero or"):
            with_region_and_reference(alone, *placed)
