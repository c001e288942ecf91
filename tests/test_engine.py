"""`stack`: its inputs, how options are resolved, warnings and errors."""

import sys

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData

from gpustack import ExtremaClip, RangeClip, Recipe, SigmaClip, stack
from gpustack.engine import run
from gpustack.errors import (
    BackendError,
    FrameError,
    GpustackWarning,
    InputError,
    MemoryLimitError,
    MismatchError,
    RecipeError,
)
from gpustack.frames import open_frames
from stacks import plain
from stacks import run as run_backend

SHAPE = (24, 17)
CLIPS = [RangeClip(high=5000), SigmaClip(low=2, high=2, spread="mad_std")]


@pytest.fixture
def cube():
    rng = np.random.default_rng(7)
    cube = rng.normal(100, 5, (9, *SHAPE)).astype(np.float32)
    cube[rng.random(cube.shape) < 0.02] += 300
    cube[rng.random(cube.shape) < 0.02] = np.nan
    return cube


@pytest.fixture
def files(cube, tmp_path):
    """A folder with the planes of the cube as FITS files."""
    for i, plane in enumerate(cube):
        header = fits.Header({"BUNIT": "adu", "EXPTIME": 10.0, "OBJECT": "M 13"})
        fits.writeto(tmp_path / f"frame_{i}.fits", plane, header)
    return tmp_path


def same(one, other):
    for name in ("data", "uncertainty", "mask", "count", "low", "high"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    np.testing.assert_array_equal(one.frames["rejected"], other.frames["rejected"])


def test_arrays_ccddata_and_files_give_the_same_bits(cube, files):
    from_cube = stack(cube, CLIPS)
    same(from_cube, stack(iter(list(cube)), CLIPS))
    same(from_cube, stack([CCDData(plane, unit="adu") for plane in cube], CLIPS))
    same(from_cube, stack(f"{files}/*.fits", CLIPS))
    same(from_cube, stack(sorted(files.glob("*.fits")), CLIPS))


def test_no_memory_limit_changes_a_bit(cube, files):
    whole = stack(f"{files}/*.fits", CLIPS)
    rows = []
    for limit in ("30kB", "40 kB"):
        result = stack(
            f"{files}/*.fits", CLIPS, memory=limit, progress=lambda done, of: rows.append(done)
        )
        same(whole, result)
    assert rows.count(SHAPE[0]) == 2
    assert len(rows) > 4, "the limit did not cut the frames into bands"


def test_progress_ends_at_the_last_row(cube):
    calls = []
    stack(cube, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (SHAPE[0], SHAPE[0])


def test_a_statistic_brings_each_frame_to_the_first(cube):
    plane = np.nan_to_num(cube[0], nan=100)
    scaled = stack([plane, plane * 2, plane / 4], scale="median", combine="max")
    np.testing.assert_allclose(scaled.frames["scale"], [1, 0.5, 4], rtol=1e-6)
    np.testing.assert_allclose(scaled.data, plane, rtol=1e-6)
    shifted = stack([plane, plane + 7, plane - 3], zero="mean", combine="max")
    np.testing.assert_allclose(shifted.frames["zero"], [0, 7, -3], atol=1e-4)
    np.testing.assert_allclose(shifted.data, plane, atol=1e-4)


def test_a_statistic_goes_with_the_numbers_of_the_other(cube):
    plane = np.nan_to_num(cube[0], nan=100)
    bias = [100, 200, 300]
    flats = [bias[i] + plane * factor for i, factor in enumerate((1, 2, 4))]
    scaled = stack(flats, scale="median", zero=bias, combine="max")
    np.testing.assert_allclose(scaled.frames["scale"], [1, 1 / 2, 1 / 4], rtol=1e-6)
    np.testing.assert_allclose(scaled.data, plane, rtol=1e-5)
    shifted = stack(flats, zero="median", scale=[1, 1 / 2, 1 / 4], combine="max")
    np.testing.assert_allclose(shifted.data, flats[0], rtol=1e-5)


def test_a_recipe_is_run_again(cube):
    first = stack(cube, CLIPS, combine="median", scale="median", dtype="float64")
    again = stack(cube, first.recipe)
    same(first, again)
    assert again.recipe == first.recipe
    with pytest.raises(RecipeError, match="expected none where clips is a Recipe"):
        stack(cube, first.recipe, weights=np.ones(9))


def test_normalising_is_rounded_once():
    sky = np.full((2, 3, 3), 1000.5, np.float32)
    near = float(sky[0, 0, 0]) - 1000.4999
    np.testing.assert_allclose(stack(sky, zero=[1000.4999] * 2).data, near, rtol=1e-6)


def test_weights_that_are_not_finite_count_nothing():
    weights = np.ones((3, 2, 2))
    weights[2], weights[1, 0, 0] = np.nan, np.inf
    result = stack([np.full((2, 2), v) for v in (1.0, 3.0, 100.0)], weights=weights)
    np.testing.assert_array_equal(result.data, [[1, 2], [2, 2]])


def test_masked_samples_stay_out_of_a_statistic():
    bright = np.full(SHAPE, 10.0)
    bright[:4] = 1e6
    masked = np.ma.array(bright, mask=bright > 100)
    result = stack([np.full(SHAPE, 20.0), masked], scale="mean")
    np.testing.assert_array_equal(result.frames["scale"], [1, 2])


def test_a_callable_gets_each_frame_as_a_masked_array(cube):
    seen = []

    def inverse_median(frame):
        seen.append(frame)
        return 1 / np.ma.median(frame)

    result = stack(cube, combine="median", scale=inverse_median)
    assert all(isinstance(frame, np.ma.MaskedArray) for frame in seen)
    assert [frame.mask.sum() for frame in seen] == list(np.isnan(cube).sum((1, 2)))
    np.testing.assert_allclose(result.data, 1, atol=0.1)


def test_weights_a_frame_and_a_sample_agree(cube):
    weights = np.arange(1.0, 10)
    spread_out = np.broadcast_to(weights[:, None, None], cube.shape)
    one, other = stack(cube, weights=weights), stack(cube, weights=spread_out)
    np.testing.assert_array_equal(one.data, other.data)
    np.testing.assert_array_equal(one.frames["weight"], weights)
    assert np.isnan(other.frames["weight"]).all()


def test_only_wanted_outputs_are_made(cube):
    result = stack(cube, CLIPS, outputs=("count",))
    assert result.uncertainty is None
    assert result.low is None
    assert result.high is None
    assert result.count.dtype == np.uint16
    assert result.frames.colnames == ["name", "scale", "zero", "weight"]


@pytest.mark.parametrize(
    ("given", "asked", "expected"),
    [
        (np.uint16, None, np.float32),
        (np.float32, None, np.float32),
        (np.float32, "float64", np.float64),
        (np.int32, None, np.float64),
        (np.float64, np.float32, np.float32),
    ],
)
def test_dtype_of_the_result(given, asked, expected):
    result = stack(np.ones((3, 4, 4), given), dtype=asked)
    assert result.data.dtype == result.uncertainty.dtype == expected


@pytest.mark.parametrize("shape", [(5,), (3, 4, 5), (2, 3, 4, 5)])
def test_frames_of_any_number_of_axes(shape):
    rng = np.random.default_rng(1)
    planes = [rng.normal(size=shape) for _ in range(5)]
    result = stack(planes, combine="median")
    np.testing.assert_array_equal(result.data, np.median(planes, axis=0))
    assert result.mask.shape == result.count.shape == shape


@pytest.mark.parametrize("name", ["report", "look"])
def test_what_is_true_or_false_is_no_name_of_a_file(name, cube):
    with pytest.raises(RecipeError, match=f"{name}: expected True or False, got 'run.json'"):
        stack(cube, **{name: "run.json"})


def test_no_value_anywhere_warns():
    with pytest.warns(GpustackWarning) as told:
        stack(np.full((2, 3, 3), np.nan))
    assert "no pixel of the result has a value" in str(told[-1].message)


def ccd(shape=SHAPE, unit="adu"):
    return CCDData(np.ones(shape), unit=unit)


REFUSED = {
    "no frames": (lambda: stack([]), InputError, "no frames"),
    "shapes": (
        lambda: stack([ccd(), ccd((3, 4))]),
        MismatchError,
        r"shape: expected \(24, 17\) as in frame 0, got \(3, 4\) in frame 1",
    ),
    "units": (
        lambda: stack([ccd(), ccd(unit="electron")]),
        MismatchError,
        "expected adu .*frame 0, got electron .*frame 1",
    ),
    "extrema": (
        lambda: stack([ccd()] * 3, ExtremaClip(2, 1)),
        RecipeError,
        r"nlow \+ nhigh < number of frames.*nlow=2 \+ nhigh=1 for 3 frames",
    ),
    "negative weight": (lambda: stack([ccd()] * 2, weights=[1, -1]), RecipeError, "-1"),
    "negative sample weight": (
        lambda: stack([ccd()] * 2, weights=-np.ones((2, *SHAPE))),
        RecipeError,
        "expected numbers >= 0, got -1.0 for frame 0",
    ),
    "no weight": (
        lambda: stack([ccd()] * 2, weights=[0, 0]),
        RecipeError,
        "one above 0 for some frame",
    ),
    "scale of 0": (lambda: stack([ccd()] * 2, scale=[1, 0]), RecipeError, "other than 0"),
    "complex weights": (
        lambda: stack([ccd()] * 2, weights=np.ones((2, *SHAPE), complex)),
        RecipeError,
        "weights: expected real numbers, got complex128",
    ),
    "a word for weights": (lambda: stack([ccd()] * 2, weights="sample"), RecipeError, "'sample'"),
    "one word for outputs": (lambda: stack([ccd()] * 2, outputs=None), RecipeError, "outputs: "),
    "a word for clips": (lambda: stack([ccd()] * 2, "kappa"), RecipeError, "clip: .*'kappa'"),
    "a class for a clip": (lambda: stack([ccd()] * 2, SigmaClip), RecipeError, "clips: "),
    "no dtype": (lambda: stack([ccd()] * 2, dtype="foo"), RecipeError, "dtype: .*'foo'"),
    "two statistics": (
        lambda: stack([ccd()] * 2, scale="mean", zero="mean"),
        RecipeError,
        "statistics of the level cannot set both",
    ),
    "weights too few": (
        lambda: stack([ccd()] * 3, weights=[1, 2]),
        RecipeError,
        "weights: expected 3 numbers, one per frame, got 2",
    ),
    "weights of another shape": (
        lambda: stack([ccd()] * 3, weights=np.ones((3, 2, 2))),
        RecipeError,
        r"expected shape \(3, 24, 17\) or \(3,\), got \(3, 2, 2\)",
    ),
    "scale too many": (lambda: stack([ccd()] * 2, scale=[1, 2, 3]), RecipeError, "2 numbers.*3"),
    "scale of no finite number": (
        lambda: stack([ccd()] * 2, scale=lambda frame: np.nan),
        RecipeError,
        "scale: expected a finite number, got nan for frame 0",
    ),
    "scale of another sign": (
        lambda: stack([np.ones(SHAPE), -np.ones(SHAPE)], scale="mean"),
        RecipeError,
        "of one sign, got 1 in frame 0 and -1 in frame 1",
    ),
    "unknown statistic": (lambda: stack([ccd()] * 2, zero="mood"), RecipeError, "got 'mood'"),
    "unknown backend": (
        lambda: stack([ccd()], backend="tpu"),
        InputError,
        "'auto', 'cpu', 'cuda', got 'tpu'",
    ),
}


def test_cuda_where_it_cannot_work_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    match = r"'cuda' cannot be used on this machine: CuPy .*gpustack\[cuda13\]"
    with pytest.raises(BackendError, match=match):
        stack([ccd()] * 2, backend="cuda")


@pytest.mark.parametrize(("call", "error", "match"), REFUSED.values(), ids=REFUSED)
def test_refused_with_both_sides(call, error, match):
    with pytest.raises(error, match=match):
        call()


@pytest.mark.parametrize("memory", [100, 700, 5000])
def test_a_limit_below_one_row_is_refused(files, memory):
    row = 9 * SHAPE[1] * 4
    match = (
        rf"at least one row of all frames, {row} bytes.* buffers, .* bytes, got {memory:,} bytes"
    )
    with pytest.raises(MemoryLimitError, match=match):
        stack(f"{files}/*.fits", memory=memory)


def test_a_file_without_unit_says_what_to_give(files, cube):
    fits.writeto(files / "bare.fits", cube[0])
    with pytest.raises(FrameError, match=r"bare\.fits.*unit"):
        stack(files / "bare.fits")


def test_units_come_through(files):
    assert stack(f"{files}/*.fits").unit == u.adu
    assert stack(np.ones((2, 3, 3)), unit="electron").unit == u.electron
    assert stack(np.ones((2, 3, 3))).unit is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("combine", "median"), ("scale", [1, 2]), ("outputs", ()), ("dtype", "float64")],
)
def test_nothing_beside_a_recipe_changes_it(name, value):
    cube = np.ones((2, 3, 3))
    with pytest.raises(RecipeError, match=f"{name}: expected none where clips is a Recipe"):
        stack(cube, Recipe(), **{name: value})


def test_pixels_without_weight_have_no_uncertainty(backend):
    cube = np.full((2, 2, 2), 5.0)
    cube[1] = np.nan
    for clip_on in ("raw", "normalized"):
        recipe = Recipe(weights=(0, 1), scale=(1, 2), clip_on=clip_on)
        got = run_backend(backend, plain(cube), recipe)
        assert got.mask.all()
        assert np.isnan(got.uncertainty).all()


@pytest.mark.parametrize("center", ["median", "mean", "trimmed_mean"])
def test_the_noise_of_levels_is_that_of_the_column_where_frames_are_as_they_are(backend, center):
    band = plain(np.random.default_rng(3).normal(100, 10, (12, 9, 8)).astype("f4"))
    clips = [SigmaClip(1.37, 1.73, center, poisson=poisson) for poisson in (False, True)]
    scales = {"scale": (0.5, 2.0) * 6, "clip_on": "raw"}
    for more in ({}, scales):
        plain_one, other = (run_backend(backend, band, Recipe(clip, **more)) for clip in clips)
        assert plain_one.rejected.all()
        for name in ("data", "count", "low", "high"):
            np.testing.assert_array_equal(getattr(plain_one, name), getattr(other, name))


def test_numbers_that_are_none_are_told_plainly():
    cube = np.ones((2, 3, 3))
    with pytest.raises(RecipeError, match=r"scale: expected numbers, one per frame, or .*got 2.0"):
        stack(cube, scale=2.0)
    with pytest.raises(RecipeError, match=r"got -1.0 at index 0"):
        stack(cube, weights=np.array([-1.0, 1.0]))
    with pytest.raises(RecipeError, match=r"expected a finite number, got None for frame 0"):
        stack(cube, scale=lambda image: None)


@pytest.mark.parametrize("value", [0, -1, "foo", np.nan, [1]])
@pytest.mark.parametrize("name", ["memory", "device_memory"])
def test_a_limit_is_checked_on_every_machine(name, value):
    with pytest.raises(InputError, match=f"{name}: expected at least 1 byte"):
        stack(np.ones((2, 3, 3)), **{name: value})


def test_a_recipe_of_another_number_of_frames(cube):
    with pytest.raises(RecipeError, match="scale: expected 9 numbers, one per frame, got 2"):
        run(open_frames(cube), Recipe(scale=[1, 2]), backend="cpu")
