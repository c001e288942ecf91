"""`LiveStack`, to which frames are added one by one, against `stack` of the same frames."""

import warnings
import weakref

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from hypothesis import given
from hypothesis import strategies as st

from gpustack import Flags, InputError, LiveStack, stack
from gpustack.errors import FrameError, GpustackWarning, MismatchError, RecipeError
from gpustack.live import COMBINES

#: Relative tolerance of the last bit, for sums of float64 that `stack` sorts first.
LAST_BIT = 4e-16


def cube(n, seed, dtype):
    rng = np.random.default_rng(seed)
    data = rng.normal(100, 30, (n, 7, 9))
    if np.dtype(dtype).kind == "f":
        data[rng.random(data.shape) < 0.1] = np.nan
        data[:, 0, 0] = np.nan
    return data.astype(dtype)


@pytest.mark.parametrize("combine", COMBINES)
@given(
    st.integers(1, 12), st.integers(0, 2**32), st.sampled_from(["f4", "f8", "u2"]), st.booleans()
)
def test_the_result_is_that_of_stack(combine, n, seed, dtype, numbers):
    frames = cube(n, seed, dtype)
    rng = np.random.default_rng(seed)
    given = {}
    if numbers:
        given = {"scale": rng.uniform(0.5, 2, n), "zero": rng.normal(0, 5, n)}
        if combine in ("mean", "sum"):
            given["weights"] = rng.uniform(0, 2, n)
    live = LiveStack(combine)
    for f, frame in enumerate(frames):
        row = {name.removesuffix("s"): value[f] for name, value in given.items()}
        live.add(frame, **row)
    result = live.result()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a single frame, and pixels without a value
        expected = stack(frames, combine=combine, **given)
    np.testing.assert_array_equal(result.mask, expected.mask)
    np.testing.assert_array_equal(result.count, expected.count)
    assert result.data.dtype == expected.data.dtype
    rtol = np.finfo(np.float32).eps if result.data.dtype == np.float32 else LAST_BIT
    np.testing.assert_allclose(result.data, expected.data, rtol=rtol, atol=1e-13)
    assert result.recipe.combine == expected.recipe.combine
    for name in ("scale", "zero", "weight", "valid"):
        np.testing.assert_allclose(result.frames[name], expected.frames[name])


@pytest.mark.parametrize("combine", COMBINES)
@pytest.mark.parametrize("dtype", ["f4", "u2"])
@pytest.mark.parametrize("result_dtype", [None, "float64"])
def test_normalised_samples_are_rounded_as_in_a_stack(combine, dtype, result_dtype):
    """Rounding samples at another step would change every tenth pixel."""
    frames = cube(5, 3, dtype)[:, :, 1:]
    given = {"zero": [0, 1.3, 2.7, -0.4, 3.3], "scale": [1, 1.1, 0.7, 0.93, 1.3]}
    for names in (["zero"], ["scale"], ["zero", "scale"], []):
        live = LiveStack(combine, dtype=result_dtype)
        for f, frame in enumerate(frames):
            live.add(frame, **{name: given[name][f] for name in names})
        numbers = {name: given[name] for name in names}
        expected = stack(frames, combine=combine, dtype=result_dtype, backend="cpu", **numbers)
        if result_dtype is None:
            np.testing.assert_array_equal(live.result().data, expected.data)
        else:
            np.testing.assert_allclose(live.result().data, expected.data, rtol=LAST_BIT)


def test_samples_that_normalising_makes_infinite_take_no_part():
    live = LiveStack()
    for frame in (np.array([[3e38, 1]], "f4"), np.array([[2, 1]], "f4")):
        live.add(frame, scale=2.0)
    assert live.result().data.tolist() == [[4, 2]]
    assert live.result().count.tolist() == [[1, 2]]


def test_numbers_that_are_none_are_said_as_they_were_given():
    with pytest.raises(RecipeError, match="scale: expected a finite number, got 'median'"):
        LiveStack().add(np.ones((2, 2)), scale="median")


def test_the_order_of_frames_does_not_matter():
    rng = np.random.default_rng(4)
    frames = rng.normal(0, 1, (40, 50)) * 10.0 ** rng.integers(-8, 8, (40, 50))
    one, other = LiveStack(), LiveStack()
    for row, back in zip(frames, frames[::-1], strict=True):
        one.add(row.reshape(5, 10))
        other.add(back.reshape(5, 10))
    np.testing.assert_allclose(one.result().data, other.result().data, rtol=LAST_BIT)


def test_frames_may_weigh_more_after_some_that_weigh_1():
    live = LiveStack()
    for value, weight in ((1.0, 1), (4.0, 1), (2.0, 3)):
        live.add(np.array([[value, np.nan if value == 4 else value]]), weight=weight)
    np.testing.assert_allclose(live.result().data, [[11 / 5, 7 / 4]], rtol=LAST_BIT)


def test_a_result_stays_as_it_was():
    live = LiveStack()
    live.add(np.ones((2, 2)))
    before = live.result()
    live.add(np.full((2, 2), 3.0))
    assert (before.data == 1).all()
    assert (before.count == 1).all()
    assert len(before.frames) == 1
    assert (live.result().data == 2).all()


def test_files_and_what_the_header_says(tmp_path):
    live = LiveStack("sum")
    for i in range(3):
        header = fits.Header({"BUNIT": "adu", "EXPTIME": 10.0, "OBJECT": "m13"})
        fits.writeto(tmp_path / f"{i}.fits", np.full((4, 5), i, np.int16), header)
        live.add(tmp_path / f"{i}.fits")
        live.result().write(tmp_path / "live.fits", overwrite=True)
    read = CCDData.read(tmp_path / "live.fits")
    assert (read.data == 3).all()
    assert read.header["NCOMBINE"] == 3
    assert read.header["EXPTOT"] == 30
    assert read.header["OBJECT"] == "m13"
    assert read.header["IMCMB003"].endswith("2.fits")


def test_flags_may_be_those_of_some_frames(tmp_path):
    """As in a stack of files, frames without flags are accepted."""
    image = fits.PrimaryHDU(np.full((1, 2), 3.0), fits.Header({"BUNIT": "adu"}))
    image.writeto(tmp_path / "plain.fits")
    quality = fits.ImageHDU(np.array([[4, 2]], np.int16), name="DQ")
    fits.HDUList([image, quality]).writeto(tmp_path / "flagged.fits")
    paths = [tmp_path / "flagged.fits", tmp_path / "plain.fits"]
    live = LiveStack(flags=Flags(bad=4))
    for path in paths:
        live.add(path)
    expected = stack(paths, flags=Flags(bad=4)).count
    np.testing.assert_array_equal(live.result().count, expected)
    assert expected.tolist() == [[1, 2]]


def test_flags_that_no_frame_has_are_told_of():
    live = LiveStack(flags=Flags(bad=4))
    live.add(np.ones((2, 2)))
    with pytest.warns(GpustackWarning, match="flags bad=4: no frame has an integer mask"):
        live.result()


def test_what_cannot_be_added_changes_nothing(tmp_path):
    live = LiveStack(unit="adu")
    with pytest.raises(InputError, match="expected at least one frame, got none"):
        live.result()
    live.add(np.ones((3, 4)))
    (tmp_path / "cut.fits").write_bytes(b"SIMPLE  =")
    for bad, kind in (
        (np.ones((3, 5)), MismatchError),
        (tmp_path / "cut.fits", FrameError),
        (tmp_path / "none.fits", FrameError),
    ):
        with pytest.raises(kind):
            live.add(bad)
    for number in ({"scale": 0}, {"zero": np.nan}, {"weight": -1}, {"scale": "1"}):
        with pytest.raises(RecipeError, match=next(iter(number))):
            live.add(np.ones((3, 4)), **number)
    assert len(live) == 1
    assert (live.result().data == 1).all()


def test_what_does_not_grow():
    with pytest.raises(RecipeError, match="combine: expected one of 'mean', 'sum', 'min', 'max'"):
        LiveStack("median")
    with pytest.raises(RecipeError, match="weight: expected 1 for max, got 2"):
        LiveStack("max").add(np.ones((2, 2)), weight=2)


def test_a_glob_of_several_files_is_refused(tmp_path):
    for i in range(3):
        fits.writeto(tmp_path / f"{i}.fits", np.ones((2, 2)), fits.Header({"BUNIT": "adu"}))
    live = LiveStack()
    with pytest.raises(InputError, match=r"LiveStack: expected one frame, got 3 from '.*\*\.fits'"):
        live.add(str(tmp_path / "*.fits"))
    assert len(live) == 0


def test_errors_name_the_number_of_an_array():
    live = LiveStack()
    for _ in range(2):
        live.add(CCDData(np.ones((2, 2)), unit="adu"))
    with pytest.raises(MismatchError, match="expected adu as in frame 0, got none in frame 2"):
        live.add(np.ones((2, 2)))
    with pytest.raises(FrameError, match=r"^frame 2: "):
        live.add(np.ones((2, 2), complex))
    live.add(CCDData(np.ones((2, 2)), unit="adu"))
    assert live.result().frames["name"].tolist() == ["frame 0", "frame 1", "frame 2"]


def test_the_order_of_frames_with_weights_changes_nothing():
    frames, rng = cube(50, 3, "f8"), np.random.default_rng(1)
    weights = rng.random(50)
    found = []
    for order in (range(50), reversed(range(50)), rng.permutation(50)):
        live = LiveStack()
        for i in order:
            live.add(frames[i], weight=weights[i])
        found.append(live.result().data)
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


def test_samples_that_do_not_count_are_not_computed_with():
    live = LiveStack("sum")
    live.add(np.array([[np.inf, 1.0]]), weight=0)
    for _ in range(2):
        live.add(np.array([[3.0, 1.5e308]]), weight=1)
    assert live.result().data[0, 0] == 6


@pytest.mark.parametrize("combine", ["mean", "sum"])
def test_pixels_whose_samples_have_no_weight_are_masked_as_in_a_stack(combine):
    frames, weights = np.array([[[1.0, 5.0]], [[np.nan, 3.0]]]), (0, 2)
    live = LiveStack(combine)
    for frame, weight in zip(frames, weights, strict=True):
        live.add(frame, weight=weight)
    expected = stack(frames, combine=combine, weights=weights)
    assert expected.mask.tolist() == [[True, False]]
    for name in ("data", "mask", "count"):
        np.testing.assert_array_equal(getattr(live.result(), name), getattr(expected, name))


def test_a_sum_beyond_floats_is_infinite_as_in_a_stack():
    frames, live = [np.full((2, 3), 1e308)] * 3, LiveStack("sum")
    for frame in frames:
        live.add(frame)
    expected = stack(frames, combine="sum")
    np.testing.assert_array_equal(live.result().data, expected.data)
    np.testing.assert_array_equal(live.result().mask, expected.mask)


def test_no_frame_from_memory_is_kept_alive():
    live, kept = LiveStack(), []
    for level in range(3):
        cube = np.full((2, 4, 5), float(level))
        kept.append(weakref.ref(cube))
        live.add(cube[0])
        del cube
    assert [one() is None for one in kept] == [True] * 3
    assert live.result().data.tolist() == np.full((4, 5), 1.0).tolist()
