"""Missing or unusable scales, zeros and weights: errors name the frame or the file."""

import sys

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

from gpustack import Exposure, Noise, RangeClip, Statistic, stack
from gpustack.errors import FrameError, GpustackWarning, InputError, RecipeError
from gpustack.frames.sections import read_rows

SHAPE = (12, 10)


def sky(n):
    """Frames of noise about 100, as float64."""
    return np.random.default_rng(3).normal(100, 5, (n, *SHAPE))


def ccd(plane, **header):
    return CCDData(plane, unit="adu", header=fits.Header(header))


def frames_of(*cards):
    return [ccd(plane, **card) for plane, card in zip(sky(len(cards)), cards, strict=True)]


BAD = {
    "no keyword": ([{"GAIN": 1.0}, {}], {"scale": "!GAIN"}, "number in GAIN, got none in frame 1"),
    "text": ([{"GAIN": "1,5"}], {"scale": "!GAIN"}, "scale: .*GAIN, got '1,5' in frame 0"),
    "a truth": ([{"GAIN": True}], {"zero": "!GAIN"}, "zero: .*GAIN, got True in frame 0"),
    "no value": ([{"GAIN": None}], {"weights": "!GAIN"}, "got none in frame 0"),
    "scale of 0": ([{"A": 1}, {"A": 0}], {"scale": "!A"}, "other than 0, got 0 in frame 1"),
    "negative weight": ([{"A": 1}, {"A": -2}], {"weights": "!A"}, ">= 0, got -2 in frame 1"),
    "no weight": (
        [{"A": 0}, {"A": 0}],
        {"weights": "!A"},
        "one above 0 for some frame, got none",
    ),
    "no exposure": ([{"EXPTIME": 3}, {}], {"scale": "exposure"}, "EXPTIME, got none in frame 1"),
    "exposure of 0": (
        [{"EXPTIME": 3}, {"EXPTIME": 0}],
        {"scale": "exposure"},
        "scale: expected EXPTIME above 0, got 0 in frame 1",
    ),
    "no such reference": ([{}, {}], {"scale": Statistic("mean", None, 2)}, "from 0 to 1, got 2"),
    "region": ([{}], {"scale": Statistic("mean", "[1:11,*]")}, r"\(12, 10\).*got \[1:11,\*\]"),
    "region of weights": ([{}], {"weights": Noise("[1]")}, r"2 axes, .*got \[1\]"),
}


@pytest.mark.parametrize(("cards", "values", "message"), BAD.values(), ids=BAD)
def test_numbers_that_are_not_there_name_the_frame(cards, values, message):
    with pytest.raises(RecipeError, match=message):
        stack(frames_of(*cards), **values)


@pytest.mark.parametrize(
    ("value", "got"), [("12,5 e", "an invalid FITS value"), ("", "none"), ("'1 e'", "'1 e'")]
)
def test_a_card_that_is_no_number_names_the_frame(value, got):
    frame = ccd(sky(1)[0])
    frame.header = fits.Header([fits.Card.fromstring(f"GAIN    = {value}")])
    with pytest.raises(RecipeError, match=f"number in GAIN, got {got} in frame 0"):
        stack([frame], scale="!GAIN")


def test_flat_frames_have_neither_spread_nor_noise():
    planes = [sky(1)[0], np.full(SHAPE, 7.0)]
    with pytest.raises(RecipeError, match=r"scale: .*, got .* in frame 0 and 0 in frame 1"):
        stack(planes, scale="mad")
    with pytest.raises(RecipeError, match=r"noise above 0, got 0.0 in frame 1"):
        stack(planes, weights="noise")
    with pytest.raises(RecipeError, match=r"five adjacent samples, .*, got none in all of frame 0"):
        stack(sky(2)[:, :, :4], weights="noise")


def test_a_reference_without_valid_samples_is_refused():
    planes = sky(2)
    planes[1] = np.nan
    with pytest.raises(RecipeError, match="valid samples, got none in frame 1"):
        stack(planes, zero=Statistic("mean", reference=1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n2\n", r"expected 3 numbers, one per frame, got 2 in .*list\.txt"),
        ("1\n2\n3\n4", "expected 3 numbers, one per frame, got 4 in"),
        ("1\n# so\n2 3\n4\n", r"one finite number per line, got '2 3' in .*list\.txt, line 3"),
        ("1\n\nnan\n4\n", "got 'nan' in .*, line 3"),
        ("\xff\n", "got .* in .*, line 1"),
    ],
)
def test_a_bad_file_names_itself_and_the_line(tmp_path, text, message):
    path = tmp_path / "list.txt"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(RecipeError, match=f"zero: .*{message}"):
        stack(sky(3), zero=f"@{path}")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"scale: .* got No such file .* for .*none\.txt"):
        stack(sky(3), scale=f"@{tmp_path}/none.txt")


def test_a_weight_below_0_by_a_statistic_or_a_function_is_refused():
    with pytest.raises(RecipeError, match=r"weights by median: .*got -9.* in frame 0"):
        stack(-sky(2), weights="median")
    with pytest.raises(RecipeError, match=r"weights by a function: .*got -1 in frame 0"):
        stack(sky(2), weights=lambda frame: -1)


@pytest.mark.parametrize(
    "values", [{"scale": "mode"}, {"weights": "noise"}, {"zero": "overlap"}], ids=str
)
def test_frames_on_a_device_stay_there(cuda, values):
    frames = cuda.asarray(sky(2).astype("f4"))
    with pytest.raises(FrameError, match=r"stays on its device: .*numbers, got a statistic"):
        stack(frames, backend="cuda", **values)


FAR = {
    "mean": (1e308, {"scale": "mean"}, "scale by mean: expected finite numbers, got nan in frame"),
    "a mean of all": (
        1e308, {"scale": Statistic("median", None, "mean")}, "expected finite numbers, got inf in",
    ),
    "noise": (1e-157, {"weights": "noise"}, "weights by noise: .* finite numbers, got inf in"),
    "less noise": (1e-200, {"weights": "noise"}, "weights by noise: .* finite .* got inf in"),
}  # fmt: skip


@pytest.mark.parametrize(("level", "values", "message"), FAR.values(), ids=FAR)
def test_numbers_beyond_a_float_name_the_frame(level, values, message):
    frames = sky(3) / 100 * level
    with pytest.raises(RecipeError, match=message):
        stack(frames, **values)


@pytest.mark.parametrize("level", [1e-170, 1.2e306])
def test_levels_near_the_ends_of_a_float_have_ratios(level):
    near = sky(3)
    scales = stack(near, scale="median").frames["scale"]
    found = stack(near * level, scale="median").frames["scale"]
    np.testing.assert_allclose(found, scales, rtol=1e-14)


@pytest.mark.parametrize("name", ["~nosuchuser/numbers", "a\0b", "a" * 5000])
def test_names_that_no_file_has(name):
    with pytest.raises(InputError, match="scale: expected a file with numbers, got"):
        stack(sky(2), scale=f"@{name}")


def test_weights_that_are_no_array():
    with pytest.raises(RecipeError, match="weights: expected numbers, one per frame or per sample"):
        stack(sky(2), weights=[[1], [1, 2]])


def test_a_region_too_narrow_for_a_noise():
    with pytest.raises(RecipeError, match=r"five adjacent samples, .*, got none in \[1:4"):
        stack(sky(2), weights=Noise("[1:4,*]"))


@pytest.mark.parametrize(
    "measured",
    [
        {"scale": Statistic("median", "[1:3,*]")},
        {"zero": Statistic("mode", "[1:3,*]")},
        {"weights": Noise("[1:3,*]")},
        {"weights": Statistic("mean", "[1:3,*]")},
    ],
    ids=["scale", "zero", "noise", "weights"],
)
@pytest.mark.parametrize("why", ["masked", "out of range"])
def test_a_frame_without_a_sample_in_the_region(measured, why):
    planes = np.ma.MaskedArray(sky(3), False)
    if why == "masked":
        planes[1, :, :3] = np.ma.masked
    else:
        planes[1, :, :3] = 5000
    with pytest.raises(RecipeError, match=r"\[1:3,\*\]: .* got none in frame 1, which has some"):
        stack(planes, RangeClip(high=1000), **measured)


def test_a_frame_without_any_sample_has_none_in_the_region_either():
    planes = sky(3)
    planes[1] = np.nan
    planes[2] *= 2
    with pytest.warns(GpustackWarning, match="frame 1: no valid sample"):
        result = stack(planes, scale=Statistic("median", "[1:3,*]"))
    level = [np.median(plane[:, :3]) for plane in planes]
    assert result.recipe.scale == (1, 1, level[0] / level[2])


def test_only_a_frame_without_a_sample_in_the_region_is_looked_at_as_a_whole(monkeypatch):
    planes, looks = sky(3), []
    planes[1] = np.nan
    module = sys.modules["gpustack.normalize.survey"]  # a function of the package has this name
    monkeypatch.setattr(module, "AT_ONCE", 3 * SHAPE[1])

    def looked(frame, *rows):
        looks.append((frame.name, *rows))
        return read_rows(frame, *rows)

    monkeypatch.setattr(module, "read_rows", looked)
    for place in (None, (4, 5)):
        if place:
            planes[1][place] = 100
        with pytest.raises(RecipeError) if place else pytest.warns(GpustackWarning):
            stack(planes, scale=Statistic("median", "[1:3,*]"))
    whole = [("frame 1", start, start + 3) for start in (0, 3, 6, 9)]
    assert looks == whole + whole[:2]


def test_functions_do_not_see_what_a_leading_range_clip_rejects():
    planes = sky(2)
    planes[1] *= 2
    planes[0, :4] = 50000
    for function in (np.ma.mean, np.median):
        result = stack(planes, RangeClip(high=1000), scale=lambda image, of=function: 1 / of(image))
        assert result.recipe.scale == (1 / function(planes[0, 4:]), 1 / function(planes[1]))


@pytest.mark.parametrize(("role", "neutral"), [("scale", 1), ("zero", 0), ("weights", 0)])
def test_functions_are_not_called_for_a_frame_that_a_leading_range_clip_rejects(role, neutral):
    planes = sky(3)
    planes[1] += 5000
    recipe = stack(planes, RangeClip(high=1000), **{role: np.ma.median}).recipe
    numbers = getattr(recipe, role)
    assert numbers == (np.median(planes[0]), neutral, np.median(planes[2]))


@pytest.mark.parametrize("key", ["EXPOSURE", "XPOSURE", "ITIME"])
def test_a_header_without_exptime_that_has_the_exposure_otherwise_is_told_of(key):
    frames = [CCDData(np.ones((3, 4)), unit="adu", meta={key: 10.0 * i}) for i in (1, 2)]
    with pytest.raises(RecipeError, match=rf"none in frame 0, which has {key}$"):
        stack(frames, scale="exposure")
    assert stack(frames, scale=Exposure(key)).data[0, 0] == 0.75
    frames[1].meta["EXPTIME"] = frames[0].meta["EXPTIME"] = "30 s"
    with pytest.raises(RecipeError, match=r"got '30 s' in frame 0$"):
        stack(frames, scale="exposure")
