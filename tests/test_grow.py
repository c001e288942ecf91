"""`Grow` and maps of reasons: every backend against the oracle, also in bands."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle_maps
from bands import Files
from gpustack import ExtremaClip, Grow, RangeClip, SigmaClip, stack
from gpustack.backends.base import Samples
from gpustack.backends.cpu import CpuBackend
from gpustack.clips import MADClip
from gpustack.errors import InputError, MemoryLimitError
from gpustack.maps import derived, execute
from gpustack.maps.grow import dilated, half_width
from gpustack.reasons import Reason
from gpustack.recipe import MAPS, OUTPUTS, Recipe
from maprun import exposures, least, run_maps
from oracle import solve
from recipes import GROWN, ROUTES, grown, recipe
from stacks import TIED, outputs, plain, rows_of, sky, tall, with_variances
from stacks import stack as stack_of
from tolerances import IMAGES, assert_agrees, assert_same_bits, assert_sigma
from traced import traced

FRAMES = 6
STACKS = ("masked", "mixed-masks", "fits-uint16", "infinite", "ties", "one-row", "one-column")


def agrees(got, band, asked, want=None, *, ties=True):
    """Assert that outputs and maps of `band` are those of the oracle."""
    (out, maps), want = got, solve(band, asked) if want is None else want
    assert_agrees(out, want, asked.combine, ties=ties)
    if "sigma" in maps:
        assert_sigma(maps["sigma"], oracle_maps.sigma(band, asked, want), want)
    sure = ~want.close
    np.testing.assert_array_equal(maps["reason"][sure], oracle_maps.reason(want.reasons)[sure])
    rejected = oracle_maps.rejections(want.reasons)
    np.testing.assert_array_equal(maps["rejections"][..., sure], rejected[..., sure])
    covered = oracle_maps.coverage(want.reasons)
    np.testing.assert_array_equal(maps["coverage"], covered)  # independent of decisions
    weight = oracle_maps.weight(band, asked, want)
    np.testing.assert_allclose(maps["weight"][sure], weight[sure], rtol=1e-14)
    seconds = oracle_maps.exposure(want.reasons, exposures(len(want.valid)))
    np.testing.assert_allclose(maps["exposure"][sure], seconds[sure], rtol=1e-14)


def same(one, other):
    """Assert that outputs and maps are equal bit for bit."""
    assert_same_bits(one[0], other[0])
    np.testing.assert_array_equal(one[0].valid, other[0].valid)
    np.testing.assert_array_equal(one[0].rejected, other[0].rejected)
    for name, map_ in one[1].items():
        np.testing.assert_array_equal(map_, other[1][name], err_msg=name)


@cache
def solved(name, stack_name):
    """The oracle's answer, cached for all backends."""
    asked = grown(name, FRAMES)
    return solve(stack_of(stack_name, FRAMES, asked), asked)


@pytest.mark.parametrize("stack_name", STACKS)
@pytest.mark.parametrize("name", GROWN)
def test_what_grows(backend, name, stack_name):
    asked = grown(name, FRAMES)
    band = stack_of(stack_name, FRAMES, asked)
    # A doubtful sample makes all pixels within the radius doubtful, so any number may be.
    agrees(run_maps(backend, band, asked), band, asked, solved(name, stack_name))


def test_the_stacks_leave_no_doubt():
    for name in GROWN:
        for stack_name in set(STACKS) - set(TIED):
            close = solved(name, stack_name).close
            assert close.mean() <= 0.1 or name == "huge", (name, stack_name, close.mean())


def test_growing_has_something_to_do():
    for name in set(GROWN) - {"nothing-to-grow"}:
        assert (solved(name, "masked").reasons == Reason.GROW).any(), name


@pytest.mark.parametrize("name", ROUTES)
def test_maps_of_recipes_that_do_not_grow(backend, name):
    asked = recipe(name, FRAMES)
    band = stack_of("mixed-masks", FRAMES, asked)
    agrees(run_maps(backend, band, asked), band, asked)


@pytest.mark.parametrize("step", [1, 2, 7])
@pytest.mark.parametrize("name", ["sigma", "everything", "all", "sample", "raw", "huge"])
def test_bands_change_no_bit(backend, cut, name, step):
    asked = grown(name, 5)
    rows = 16 if step < 7 else 31  # more than four bands
    band = rows_of(tall(weights=asked.weights == "sample"), 0, rows)
    told, whole = [], run_maps(backend, band, asked)
    cut(step)
    same(whole, run_maps(backend, band, asked, progress=lambda *args: told.append(args)))
    assert told == sorted(set(told))
    assert told[-1] == (rows, rows)
    assert len(told) > 4


@pytest.mark.parametrize("name", ["median", "everything", "sample-everything"])
def test_bands_of_recipes_that_do_not_grow_change_no_bit(backend, cut, name):
    asked = recipe(name, 5)
    band = tall(weights=asked.weights == "sample")
    whole = run_maps(backend, band, asked)
    cut(4)
    same(whole, run_maps(backend, band, asked))


def test_every_row_is_clipped_once_and_combined_once(backend, monkeypatch, cut):
    bands = []
    kept = type(backend).stream

    def stream(self, source, *rest):
        bands.append((source.start, source.stop, source.masks is not None))
        kept(self, source, *rest)

    monkeypatch.setattr(type(backend), "stream", stream)
    band, asked = tall(), grown("everything", 5)
    cut(3)
    run_maps(backend, band, asked)
    for masked in (False, True):
        ends = [(start, stop) for start, stop, held in bands if held is masked]
        assert len(ends) > 1
        assert [row for start, stop in ends for row in range(start, stop)] == list(range(31))


SMALL = st.builds(SigmaClip, st.just(1.3), st.just(1.1), st.sampled_from(["mean", "median"]))
ANY = SMALL | st.builds(ExtremaClip, st.integers(0, 1), st.integers(0, 2))
GROWS = st.builds(Grow, st.sampled_from([1, 1.5, 2, 2.5, 3, 1e9]))


@st.composite
def cases(draw):
    """A stack of small integers, its masks, and a recipe with `Grow`."""
    n, rows, width = draw(st.integers(1, 6)), draw(st.integers(1, 9)), draw(st.integers(1, 19))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    data = rng.integers(0, 9, (n, rows, width)).astype(draw(st.sampled_from(["f4", "f8", "u2"])))
    masks = rng.random(data.shape) < draw(st.sampled_from([0, 0.2]))
    ranges = draw(st.sampled_from([[], [RangeClip(1, 7)]]))
    clips = [*ranges, *draw(st.lists(ANY, min_size=1, max_size=2)), draw(GROWS)]
    combine = draw(st.sampled_from(["mean", "median", "sum", "min", "max"]))
    return data, masks, Recipe(clips=clips, combine=combine)


EXAMPLES = settings(max_examples=settings.default.max_examples * 2 // 5)  # the oracle is slow


@EXAMPLES
@given(case=cases())
def test_any_stack_agrees_with_the_oracle(backend, case):
    asked, band = case[2], plain(*case[:2])
    agrees(run_maps(backend, band, asked), band, asked)


@EXAMPLES
@given(case=cases(), seed=st.integers(0, 99))
def test_the_order_of_frames_changes_no_bit(backend, case, seed):
    data, masks, asked = case
    # No rank clips, which distinguish equal samples by frame; sums may round differently.
    asked = replace(asked, clips=[RangeClip(1, 7), MADClip(1.3, 1.1), asked.grow])
    order = np.random.default_rng(seed).permutation(len(data))
    seconds = np.array(exposures(len(data)))
    one = run_maps(backend, plain(data, masks), asked)
    other = run_maps(backend, plain(data[order], masks[order]), asked, seconds=seconds[order])
    assert_same_bits(one[0], other[0], ("mask", "count", "low", "high"))
    for name in ("reason", "exposure"):
        np.testing.assert_array_equal(one[1][name], other[1][name])
    np.testing.assert_array_equal(one[1]["rejections"][order], other[1]["rejections"])
    np.testing.assert_array_equal(one[0].rejected[order], other[0].rejected)


@EXAMPLES
@given(case=cases())
def test_what_has_grown_is_as_if_it_had_been_masked(backend, case):
    data, masks, asked = case
    out, _ = run_maps(backend, plain(data, masks), asked)
    ungrown = replace(asked, clips=asked.clips[:-1])
    clipped, _ = run_maps(backend, plain(data, masks), ungrown)
    assert_same_bits(out, clipped, ("low", "high"))
    before = clipped.reasons
    grown_over = out.reasons == Reason.GROW
    np.testing.assert_array_equal(np.where(grown_over, 0, out.reasons), before)
    for f, frame in enumerate(before):
        near = dilated(frame == Reason.CLIP, asked.grow.radius)
        np.testing.assert_array_equal(grown_over[f], near & (frame == 0))
    count = out.count + out.low + out.high + grown_over.sum(axis=0)
    np.testing.assert_array_equal(count, (~masks).sum(axis=0))
    np.testing.assert_array_equal(out.rejected, clipped.rejected + grown_over.sum(axis=(1, 2)))
    alone = run_maps(backend, plain(data, out.marks), replace(asked, clips=()))
    assert_same_bits(out, alone[0], ("data", "uncertainty", "mask", "count"))


@pytest.mark.parametrize("radius", [1, 1.4, 1.5, 2, 5**0.5, 2.3, 3.7, 8, 40])
def test_a_disc_is_what_the_formula_says(radius):
    marks = np.zeros((15, 21), bool)
    marks[7, 3] = marks[0, 20] = True
    y, x = np.mgrid[:15, :21]
    expected = (y - 7) ** 2 + (x - 3) ** 2 <= radius * radius
    expected |= y**2 + (x - 20) ** 2 <= radius * radius
    np.testing.assert_array_equal(dilated(marks, radius), expected)


@pytest.mark.parametrize("radius", [1, 2.3, 6, 7.4, 9, 12.5, 40])
@pytest.mark.parametrize("column", [0, 1, 2, 10, 18, 20])
def test_a_disc_at_an_edge_has_no_gap(radius, column):
    marks = np.zeros((15, 21), bool)
    marks[4, column] = True
    y, x = np.mgrid[:15, :21]
    expected = (y - 4) ** 2 + (x - column) ** 2 <= radius * radius
    np.testing.assert_array_equal(dilated(marks, radius), expected)


@given(st.floats(1, 1e6), st.integers(0, 1000))
def test_the_half_width_of_a_disc(radius, dy):
    if dy <= radius:
        dx = half_width(radius, dy)
        assert dx * dx + dy * dy <= radius * radius < (dx + 1) ** 2 + dy * dy


def test_masks_and_ranges_do_not_grow(backend):
    data = np.full((9, 5, 5), 10.0, "f4") + np.arange(9, dtype="f4").reshape(9, 1, 1) / 9
    data[0, 2, 2] = 500
    masks = np.zeros(data.shape, bool)
    clips = [RangeClip(high=400), MADClip(9, 9), Grow(1)]
    for clip, expected in ((clips, 0), (clips[1:], 4)):
        out, _ = run_maps(backend, plain(data, masks), Recipe(clips=clip))
        assert (out.reasons == Reason.GROW).sum() == expected
    masks[0, 2, 2] = True
    out, _ = run_maps(backend, plain(data, masks), Recipe(clips=clips[1:]))
    assert (out.reasons == Reason.GROW).sum() == 0


def test_where_everything_has_grown_over_nothing_is_left(backend):
    band = plain(sky(4).astype("f4"))
    asked = Recipe(clips=[ExtremaClip(1, 1), Grow(100)], combine="sum")
    out, maps = run_maps(backend, band, asked)
    assert out.mask.all()
    assert not out.count.any()
    assert not out.data.any()
    assert maps["rejections"].all()
    assert not maps["exposure"].any()


# The public API: stack and explain.


@pytest.fixture
def cube():
    return sky(7, (2, 6, 13)).astype("f4")


def test_planes_do_not_grow_into_each_other(cube):
    clips = [MADClip(6, 6), Grow(2)]
    whole = stack(cube, clips, outputs=(*OUTPUTS, "reason", "rejections"))
    assert whole.reason.shape == cube.shape[1:]
    assert whole.rejections.shape == np.asarray(whole.rejections).shape == cube.shape
    for i in range(2):
        plane = stack(cube[:, i], clips, outputs=(*OUTPUTS, "reason", "rejections"))
        for name in (*IMAGES, "reason"):
            np.testing.assert_array_equal(getattr(whole, name)[i], getattr(plane, name))
        for f in range(len(cube)):
            np.testing.assert_array_equal(whole.rejections[f][i], plane.rejections[f])


def test_a_frame_of_one_axis_grows_along_it():
    rows = np.full((5, 9), 10.0)
    rows[2, 4] = 99
    found = stack(list(rows), [MADClip(), Grow(2)], outputs=("count", "reason"))
    assert found.count.tolist() == [5, 5, 4, 4, 4, 4, 4, 5, 5]
    assert found.reason.tolist() == [0, 0, 16, 16, 8, 16, 16, 0, 0]


def test_a_limit_that_leaves_no_room_says_so():
    band, asked = tall(), grown("everything", 5)
    need = least(band, asked, Files)
    match = rf"the reasons .* \({need:,} bytes .* its neighbours\) .*, got {need:,} bytes"
    with pytest.raises(MemoryLimitError, match=match):
        run_maps(CpuBackend(), band, asked, need, Files)
    match = rf"one row of all frames, 220 bytes.*\(of {need + 100:,} bytes, .* take {need:,}\)"
    with pytest.raises(MemoryLimitError, match=match):
        run_maps(CpuBackend(), band, asked, need + 100, Files)


def test_without_a_limit_some_rows_fit_in_any_case(cube, monkeypatch):
    monkeypatch.setattr("gpustack.run.limit.DEFAULT_MEMORY", 100)
    assert stack(cube[:, 0], [MADClip(9, 9), Grow(1)]).count.shape == (6, 13)


@pytest.mark.parametrize("radius", [None, 1.5, 20])
def test_the_limit_holds(radius):
    memory = 4_000_000
    clips = [SigmaClip(3, 3), *([] if radius is None else [Grow(radius)])]
    asked = Recipe(clips=clips, outputs=(*OUTPUTS, *MAPS), uncertainty="propagated")
    band = with_variances(plain(sky(20, (600, 128)).astype("f4")))
    source = Files(band, np.dtype("f4"), [np.ones((600, 128), "i2")] * 20)
    out = replace(outputs(source.band, asked), reasons=None)
    maps = derived(asked, source, np.dtype("f4"), exposures(20))
    with traced() as taken:
        execute(CpuBackend(), source, asked, out, list(maps.values()), memory)
    assert memory / 4 < taken.peak <= memory


@pytest.mark.filterwarnings("ignore:frames differ in EXPTIME")
def test_exposures_come_from_the_headers(tmp_path):
    from astropy.io import fits

    names = [tmp_path / f"{i}.fits" for i in range(3)]
    for i, name in enumerate(names):
        cards = fits.Header({"BUNIT": "adu", "EXPTIME": 10.5 + i})
        fits.writeto(name, np.full((2, 2), 5 + i, "f4"), cards)
    found = stack(names, RangeClip(high=6), outputs="exposure")
    assert found.exposure.dtype == np.float32
    np.testing.assert_array_equal(found.exposure, 22)
    fits.delval(names[1], "EXPTIME")
    with pytest.raises(InputError, match=r"exposure: .* number in EXPTIME, got none in .*1\.fits"):
        stack(names, outputs="exposure")
    fits.setval(names[1], "EXPTIME", value=-1)
    with pytest.raises(InputError, match=r"exposure: expected EXPTIME >= 0, got -1 in .*1\.fits"):
        stack(names, outputs="exposure")


@pytest.mark.parametrize("seconds", [1e39, 1e308])
def test_exposures_beyond_all_numbers_are_infinite_and_no_warning(tmp_path, seconds):
    from astropy.io import fits

    names = [tmp_path / f"{i}.fits" for i in range(3)]
    for name in names:
        cards = fits.Header({"BUNIT": "adu", "EXPTIME": seconds})
        fits.writeto(name, np.ones((2, 2), "f4"), cards)
    found = stack(names, outputs="exposure")
    np.testing.assert_array_equal(found.exposure, np.inf)
    assert found.header["EXPTIME"] == seconds


def test_maps_are_made_only_when_asked_for(cube):
    found = stack(cube)
    assert [getattr(found, name) for name in MAPS] == [None] * len(MAPS)
    assert found.recipe.outputs == OUTPUTS


def test_a_cube_of_rejections_is_an_array_of_bits(cube):
    found = stack(cube, ExtremaClip(1, 1), outputs="rejections").rejections
    assert (len(found), found.shape) == (7, cube.shape)
    assert found.packed.nbytes * 8 == 7 * 12 * 16
    np.testing.assert_array_equal(np.asarray(found), found[:])
    np.testing.assert_array_equal(np.asarray(found).sum(axis=0), 2)
    assert np.asarray(found, np.uint8).dtype == np.uint8
    with pytest.raises(ValueError, match="bits have to be unpacked, got copy=False"):
        np.asarray(found, copy=False)


def test_reasons_of_samples_and_the_rest_agree(cube):
    from gpustack.engine import run
    from gpustack.frames import open_frames

    asked = Recipe(clips=[MADClip(5, 5), Grow(1)], outputs=(*OUTPUTS, "reason", "rejections"))
    found = run(open_frames(cube), asked, reasons=True, backend="cpu", memory="100kB")
    assert found.reasons.shape == cube.shape
    np.testing.assert_array_equal(np.bitwise_or.reduce(found.reasons), found.reason)
    np.testing.assert_array_equal(found.reasons != 0, np.asarray(found.rejections))


def test_weights_of_samples_go_with_their_rows():
    data = sky(5, (12, 7)).astype("f4")
    weights = np.random.default_rng(3).random(data.shape)
    asked = Recipe(weights="sample", clips=[MADClip(6, 6), Grow(1.5)])
    bands = []
    found = stack(
        data,
        asked.clips,
        weights=weights,
        memory="2kB",
        progress=lambda done, _: bands.append(done),
    )
    assert len(bands) > 4
    want = solve([Samples(d, None, w) for d, w in zip(data, weights, strict=True)], asked)
    np.testing.assert_allclose(found.data, want.data, rtol=1e-6)
