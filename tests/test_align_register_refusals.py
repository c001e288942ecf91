"""Frames that `Register` cannot align: errors that name them, or frames left out."""

import sys
from contextlib import nullcontext
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.nddata import CCDData

import starfield as sky
from gpustack import Register, stack
from gpustack.align import align_frames, stars
from gpustack.align.phase import _ratio
from gpustack.align.similarity import Similarity
from gpustack.align.star_image import _above_sky, _median9
from gpustack.errors import (
    FrameError,
    GpustackWarning,
    InputError,
    MissingPackageError,
    RecipeError,
)
from gpustack.frames import open_frames
from skies import tangent

SHAPE = (260, 280)
BOTH = pytest.mark.parametrize("by", ["phase", "stars"])


@pytest.fixture(scope="module")
def good():
    stars = sky.field(SHAPE)
    return [sky.taken(stars, SHAPE, shift=shift, seed=k) for k, shift in enumerate([0, 3 + 2j])]


@pytest.fixture(scope="module")
def aligned(good):
    """A function that returns the stack of the good frames by each method; cached."""
    return cache(lambda by: stack(good, align=Register(by)))


def noise(seed=7):
    return np.random.default_rng(seed).normal(500, 5, SHAPE)


@cache
def other_field(seed):
    """A frame of another field: stars match those of the first field only by chance."""
    return sky.taken(sky.field(SHAPE, seed=seed), SHAPE, seed=seed)


@cache
def few_stars(count):
    places, fluxes = sky.field(SHAPE)
    inside = np.flatnonzero(sky.inside(places, SHAPE, 20))[:count]
    return sky.taken((places[inside], fluxes[inside]), SHAPE)


#: Frames that cannot be aligned to the first field, and patterns of the error about them.
BAD = {
    "constant": (lambda: np.full(SHAPE, 7.0), "noise, got equal samples"),
    "lost": (lambda: np.full(SHAPE, np.nan), "expected valid samples, got none"),
    "noise alone": (noise, "expected|got nothing"),
    "another field": (lambda: other_field(2), "a frame that matches|stars that match"),
    "one more": (lambda: other_field(3), "a frame that matches|stars that match"),
}


def bad_by(dear):
    """Parametrize with all bad frames and methods, except matching stars on `dear`: it is slow."""
    ways = [(by, name) for by in ("phase", "stars") for name in BAD]
    named = [(by, name) for by, name in ways if (by, name) != ("stars", dear)]
    cases = [(by, *BAD[name]) for by, name in named]
    return pytest.mark.parametrize(("by", "make", "says"), cases, ids=map(" ".join, named))


@bad_by("one more")
def test_a_frame_that_cannot_be_aligned_is_an_error_that_names_it(good, by, make, says):
    with pytest.raises(FrameError, match=f"frame 2: align: .*({says})") as caught:
        stack([*good, make()], align=Register(by))
    assert caught.value.name == "frame 2"


@bad_by("another field")
def test_with_skip_a_frame_that_cannot_be_aligned_is_left_out(good, aligned, by, make, says):
    with pytest.warns(GpustackWarning, match="frame 1: left out: align"):
        result = stack([good[0], make(), good[1]], align=Register(by, skip=True))
    alone = aligned(by)
    np.testing.assert_array_equal(result.data, alone.data)
    table = result.frames
    assert [bool(reason) for reason in table["left_out"]] == [False, True, False]
    assert np.isnan(table["dy"]).tolist() == [False, True, False]
    assert table["valid"][1] == 0


@BOTH
@pytest.mark.parametrize("make", [entry[0] for entry in BAD.values()][:2], ids=list(BAD)[:2])
def test_a_reference_that_cannot_be_aligned_to_is_an_error_in_any_case(good, by, make):
    with pytest.raises(FrameError, match=r"^frame 1: align: expected"):
        stack([good[0], make()], align=Register(by, reference=1, skip=True))


def test_a_frame_that_is_upside_down_is_said_to_match_by_its_stars(good):
    """A flip at the meridian causes this. No shift matches, and there are no coordinates to use."""
    middle = complex(SHAPE[1] - 1, SHAPE[0] - 1) / 2
    turned = sky.taken(sky.field(SHAPE), SHAPE, turn=-1, shift=2 * middle + 3 + 2j, seed=1)
    said = r"next best, .* 1\.5 times is needed; if frames are rotated, .*register:by=stars"
    with pytest.raises(FrameError, match=said):
        stack([good[0], turned], align=Register())
    table = stack([good[0], turned], align=Register("stars")).frames
    assert abs(table["rotation"][1]) == pytest.approx(180, abs=0.1)


def test_a_mirrored_frame_matches_no_stars(good):
    with pytest.raises(FrameError, match="frame 1: align: expected stars that match"):
        stack([good[0], good[1][:, ::-1]], align="register:by=stars")


def test_too_few_stars(good):
    with pytest.raises(FrameError, match=r"frame 1: .*at least 4 stars 5 sigma .* got 3"):
        stack([good[0], few_stars(3)], align="register:by=stars")


def test_three_stars_are_enough_for_a_shift(good):
    table = stack([few_stars(3), few_stars(3)[2:, 3:]], align="register").frames
    assert (table["dy"][1], table["dx"][1]) == (2, 3)


@pytest.mark.filterwarnings("ignore:only one of 15 frames is left")
@pytest.mark.filterwarnings("ignore:9 more frames")
def test_unrelated_fields_are_hardly_ever_aligned():
    """No pair of these unrelated fields may pass for the same field by chance."""
    fields = [other_field(seed) for seed in range(10, 25)]
    with pytest.warns(GpustackWarning, match="left out"):
        table = stack(fields, align="register:skip=true").frames
    assert np.isnan(table["dy"][1:]).all()


@BOTH
def test_the_reference_is_one_of_the_frames(good, by):
    with pytest.raises(InputError, match="reference below 2, the number of frames, got 2"):
        stack(good, align=Register(by, reference=2))


@pytest.mark.parametrize(("by", "name"), [("phase", "skimage"), ("stars", "astroalign")])
def test_a_missing_package_names_the_extra(good, monkeypatch, by, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackageError, match=rf"got no {name}: .*gpustack\[register\]"):
        stack(good, align=Register(by))


def test_a_file_that_cannot_be_read_is_never_left_out(good, tmp_path):
    paths = [tmp_path / f"{k}.fits" for k in range(2)]
    for path, image in zip(paths, good, strict=True):
        CCDData(image, unit="adu").write(path)
    with paths[1].open("r+b") as file:
        file.truncate(20000)
    with pytest.raises(FrameError, match=r"1\.fits"):
        stack(paths, align="register:skip=true")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"by": "eye"}, "Register by: expected one of 'phase', 'stars'"),
        ({"reference": -1}, "Register reference: expected a whole number >= 0"),
        ({"upsample": 0}, "Register upsample: expected a whole number >= 1"),
        ({"upsample": 2.5}, "Register upsample"),
        (
            {"by": "stars", "upsample": 10},
            "Register upsample: expected by='phase' with upsample=10, got by=",
        ),
        ({"order": "cubic"}, "Register order"),
        ({"order": "bicubic", "upsample": 1}, "Register order: .* resampled"),
        ({"extent": "all"}, "Register extent"),
        ({"skip": 1}, "Register skip"),
    ],
)
def test_fields_are_checked(fields, says):
    with pytest.raises(RecipeError, match=says):
        Register(**fields)


def test_a_text_stands_for_the_value(good):
    text = "register:by=stars,reference=1,order=bicubic,extent=union,skip=true"
    expected = Register("stars", 1, order="bicubic", extent="union", skip=True)
    given, value = (stack(good, align=how) for how in (text, expected))
    np.testing.assert_array_equal(given.data, value.data)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (7, 5), (40, 30)])
def test_the_median_of_nine_is_scipys(shape):
    from scipy.ndimage import median_filter

    image = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    np.testing.assert_array_equal(_median9(image), median_filter(image, 3, mode="nearest"))


@BOTH
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 3), (12, 9)])
def test_tiny_frames_are_refused_not_misread(by, shape):
    frames = np.random.default_rng(0).normal(size=(2, *shape))
    with pytest.raises(FrameError, match=r"frame [01]: align: expected"):
        stack(frames, align=Register(by))


def test_shifts_that_make_a_grid_too_large(good):
    frames, shifts = open_frames([good[0]] * 3), (0, 1e8j, -1e8j)
    lie = [Similarity(shift=complex(shift) + 0.5) for shift in shifts]
    said = r"register: .* frame 2 in \[.*\] and frame 1 in \[.*\] lie farthest apart; extent='ref"
    with pytest.raises(InputError, match=said):
        align_frames(frames, Register(extent="union"), lie)


def test_matches_that_may_be_by_chance_are_none(monkeypatch):
    alike = np.array([10 + 10j, 40 + 12j, 15 + 38j, 33 + 30j])
    lists = [np.append(alike, start + 7 * np.arange(6)) for start in (3 + 20j, 3 + 45j)]
    monkeypatch.setattr(stars, "find_stars", lambda name, image: lists[name == "two"])
    monkeypatch.setattr(stars, "_search", lambda *lists: Similarity())
    small, large = SimpleNamespace(size=50 * 50), SimpleNamespace(size=10**12)
    with pytest.raises(FrameError, match="got 4 matches among 10 and 10 stars"):
        stars.Stars("one", small).measure("two", small)
    assert stars.Stars("one", large).measure("two", large)[1]["stars"] == 4


def test_where_the_brightest_moves_apart_from_all_others_no_shift_is_certain():
    places, fluxes = sky.field(SHAPE)
    fluxes = np.append(np.full(fluxes.shape, 600.0), 1e5)
    frames = [
        sky.expose(np.append(places, 140 + 130j + apart) - shift, fluxes, SHAPE, seed=k)
        for k, (shift, apart) in enumerate([(0, 0), (3 - 2j, 8)])
    ]
    said = r"one shift .*, got \(-2, 3\) by all .*, -4\.\d\d\) by what .*; .*register:by=stars"
    with pytest.raises(FrameError, match=said):
        align_frames(open_frames(frames), Register())


def test_what_belongs_to_the_highest_peak_is_an_eighth_of_the_image_around_it():
    """The region is limited to 32 pixels, and the image is periodic."""
    sums, y, x = np.full((64, 400), 0.5), np.arange(-8, 9), np.arange(-32, 33)
    sums[np.ix_(y + 2, x + 398 - 400)] = 0.9
    sums[2, 398] = 1.0
    assert _ratio(sums.copy(), (2, 398)) == 2
    for edge in ((2 + 9, 398), (2 - 9, 398), (2, 398 + 33 - 400), (2, 398 - 33)):
        sums[edge] = 0.8
        assert _ratio(sums.copy(), (2, 398)) == 1 / 0.8
        sums[edge] = 0.5


def test_matches_that_are_far_off_are_none(monkeypatch):
    """There are too many matches for chance, but each is 0.9 pixels off."""
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 1000, (30, 2)) @ [1, 1j]
    off = 0.9 * np.exp(2j * np.pi * np.arange(30) / 30)
    lists = {"one": places, "near": places + off / 2, "far": places + off}
    monkeypatch.setattr(stars, "find_stars", lambda name, image: lists[name])
    monkeypatch.setattr(stars, "_search", lambda *lists: Similarity())
    image = SimpleNamespace(size=1000**2)
    meter = stars.Stars("one", image)
    assert meter.measure("near", image)[1]["stars"] == 30
    with pytest.raises(FrameError, match=r"got 30 matches among 30 and 30 stars, 0\.\d\d px off"):
        meter.measure("far", image)


def test_chance_is_that_of_more_matches_than_the_triangle_alone(monkeypatch):
    monkeypatch.setattr(stars, "find_stars", lambda name, image: np.zeros(10, complex))
    meter = stars.Stars("one", SimpleNamespace(size=5000))
    for size, smaller in ((4000, 4000), (6000, 5000)):
        by_chance = 7 * 10 * np.pi * stars.TOLERANCE**2 / smaller
        assert meter._chance(size, 7, 3) == 1
        assert meter._chance(size, 7, 4) == pytest.approx(-np.expm1(-by_chance))


@pytest.mark.parametrize("under", [0.0, 1e9, np.nan])
def test_what_is_masked_is_at_the_level_of_the_sky_whatever_it_holds(under):
    """Tested on a sky with a gradient of 3000 from one side to the other."""
    image = noise() + np.linspace(0, 3000, SHAPE[1])
    mask = np.zeros(SHAPE, bool)
    mask[100:140, 150:180] = mask[17, 20] = True
    expected = _above_sky("one", np.ma.MaskedArray(image.copy(), mask))
    assert (expected[mask] == 0).all()
    image[mask] = under
    np.testing.assert_array_equal(_above_sky("one", np.ma.MaskedArray(image, mask)), expected)


def test_sep_holds_as_many_pixels_as_a_frame_needs_and_then_as_many_as_before(good):
    import sep

    before = sep.get_extract_pixstack()
    sep.set_extract_pixstack(50)
    try:
        places = stars.find_stars("one", np.ma.MaskedArray(good[0].copy()))
        assert sep.get_extract_pixstack() == 50
    finally:
        sep.set_extract_pixstack(before)
    np.testing.assert_array_equal(
        places, stars.find_stars("one", np.ma.MaskedArray(good[0].copy()))
    )


def test_no_two_stars_match_the_same_star():
    fit, places, others = Similarity(), np.array([1, 0, 50, 90 + 0j]), np.array([0.2, 50, 93 + 0j])
    assert stars._pair(fit, places, others, 2.0).tolist() == [[1, 0], [2, 1]]


def test_the_sky_between_masked_pixels_is_its_own():
    """Their sky level must not be that of the masked region around them, which is darker."""
    image = noise() + np.linspace(0, 100, SHAPE[1])
    mask = np.zeros(SHAPE, bool)
    mask[64:192, 192:256], mask[100:128, 200:] = True, False
    above = _above_sky("one", np.ma.MaskedArray(image, mask))
    assert abs(np.mean(above[100:128, 200:256])) < 5


def test_a_star_that_is_farther_off_than_most_does_not_count(monkeypatch):
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 1000, (30, 2)) @ [1, 1j]
    off = 0.05 * np.exp(2j * np.pi * np.arange(30) / 30)
    off[7] = 1.5
    lists = {"one": places, "two": places + off}
    monkeypatch.setattr(stars, "find_stars", lambda name, image: lists[name])
    monkeypatch.setattr(stars, "_search", lambda *lists: Similarity())
    image = SimpleNamespace(size=1000**2)
    fit, told = stars.Stars("one", image).measure("two", image)
    assert told["stars"] == 29
    assert abs(fit.to_frame(500, 500)[0] - 500) < 0.05


def test_matches_that_may_be_chance_are_said_to_be(monkeypatch):
    places = np.array([10 + 10j, 50 + 20j, 90 + 80j, 150 + 60j, 130 + 110j])
    monkeypatch.setattr(stars, "find_stars", lambda name, image: places)
    monkeypatch.setattr(stars, "_search", lambda *lists: Similarity())
    image = SimpleNamespace(size=200 * 150)
    said = r"got 5 matches among 5 and 5 stars, 0\.00 px off; .* chance .* 5e-05, .* most 1e-08"
    with pytest.raises(FrameError, match=said):
        stars.Stars("one", image).measure("two", image)


def solved(image, degrees, kind=tangent):
    return CCDData(np.asarray(image), unit="adu", wcs=kind(degrees=degrees))


@pytest.mark.parametrize(
    ("by", "degrees", "warns"),
    [("phase", 0.5, True), ("phase", 0.01, False), ("stars", 0.5, False)],
)
def test_turned_frames_are_told_of_where_coordinates_tell(good, by, degrees, warns):
    frames = [solved(good[0], 0), solved(good[1], degrees)]
    said = "frame 1: rotated, .* relative to frame 0: .* from where a shift .*register:by=stars"
    with pytest.warns(GpustackWarning, match=said) if warns else nullcontext([]) as told:
        stack(frames, align=Register(by))
    assert {warning.filename for warning in told} <= {__file__}


def test_coordinates_that_nobody_solved_tell_nothing(good):
    def pointed(degrees):
        wcs = tangent(degrees=degrees, scale=1.0)
        wcs.wcs.cdelt, wcs.wcs.pc = [1, 1], np.eye(2)
        wcs.wcs.crval = 10 + degrees, 20
        return wcs

    stack([solved(good[0], 0, pointed), solved(good[1], 5, pointed)], align=Register())


@BOTH
def test_what_is_wrong_with_the_reference_says_that_it_is_the_reference(good, by):
    frames = [np.full(SHAPE, np.nan), *good]
    said = r"frame 0: align: expected valid samples, got none; it is the reference: choose another"
    with pytest.raises(FrameError, match=said):
        stack(frames, align=Register(by, skip=True))
