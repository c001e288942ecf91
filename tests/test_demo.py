"""The demo: its simulation agrees with its stated truth, and its checks detect wrong stacks."""

import sys
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
from astropy.nddata import CCDData
from astropy.stats import mad_std, sigma_clip

from gpustack import demo, drawing
from gpustack.align.project import wcs_project
from gpustack.demo import judge as judging
from gpustack.demo import report, simulate
from gpustack.demo.truth import Truth, make_truth, noise_of, shared_area, tally
from gpustack.errors import MissingPackageError

FRAMES, SIZE, SEED = 20, 128, 1

#: A star's profile is cut where it is fainter than 0.02 electrons per pixel. The wings beyond
#: contain at most this fraction of its flux.
CUT_WINGS = 0.01
#: Tolerance in standard errors, which a right simulation exceeds once in two million.
CHANCE = 5.0


@dataclass(frozen=True)
class Simulated:
    """Exposures on the grid, the truth, and the stack after a correct clip."""

    field: simulate.Field
    exposures: list[simulate.Exposure]
    cube: np.ndarray
    truth: Truth
    marks: np.ndarray
    stack: np.ndarray
    expected: judging.Expected


@pytest.fixture(scope="module")
def simulated():
    field = simulate.make_field(FRAMES, SIZE, SEED)
    taken = list(simulate.exposures(field))
    kinds = [field.on_grid(shot.kinds, i, simulate.OUTSIDE) for i, shot in enumerate(taken)]
    area = shared_area(field)
    cube = np.stack(
        [field.on_grid(shot.data * 1.0, i, np.nan)[area] for i, shot in enumerate(taken)]
    )
    marks = clip(cube, 4)
    return Simulated(
        field,
        taken,
        cube,
        make_truth(field, np.stack(kinds)),
        marks,
        np.mean(cube, axis=0, where=~marks),
        judging.expect(demo.CLIP, FRAMES, SEED),
    )


def clip(cube, spreads):
    """The mask of astropy's sigma_clip.

    Statistics are given as functions, not names: astropy's fast path forgets in later passes which
    samples earlier passes rejected.
    """
    spread = partial(mad_std, ignore_nan=True)
    return sigma_clip(
        cube, sigma=spreads, cenfunc=np.nanmedian, stdfunc=spread, maxiters=None, axis=0
    ).mask


def verdict(simulated, stack=None, marks=None):
    """Name of each check -> whether it passed."""
    checks = judging.check_stack(
        simulated.stack if stack is None else stack,
        simulated.marks if marks is None else marks,
        simulated.truth,
        simulated.expected,
    )
    return {check.name: check.passed for check in checks}


# The simulation


def test_the_same_seed_gives_the_same_exposures(simulated):
    again = simulate.exposures(simulate.make_field(FRAMES, SIZE, SEED))
    for first, second in zip(simulated.exposures, again, strict=True):
        np.testing.assert_array_equal(first.data, second.data)
        np.testing.assert_array_equal(first.kinds, second.kinds)


def test_another_seed_gives_other_exposures(simulated):
    other = next(simulate.exposures(simulate.make_field(FRAMES, SIZE, SEED + 1)))
    assert np.any(other.data != simulated.exposures[0].data)


def test_exposures_are_electrons_as_a_camera_counts_them(simulated):
    shot = simulated.exposures[3]
    assert shot.data.dtype == np.uint16
    assert shot.header["BUNIT"] == "electron"
    assert shot.header["EXPTIME"] == simulate.EXPTIME


@pytest.mark.parametrize("frames", [8, 82, 1000])
def test_no_two_exposures_share_a_dither(frames):
    field = simulate.make_field(frames, SIZE, SEED)
    assert len(np.unique(field.offsets, axis=0)) == frames
    assert np.all(field.offsets[0] == 0)
    assert np.abs(field.offsets).max() <= field.reach < SIZE // 4


def test_the_wcs_agrees_with_the_dither(simulated):
    field = simulated.field
    y, x = np.array([3.0, 90.0]), np.array([17.0, 64.0])
    for index, (dy, dx) in enumerate(field.offsets):
        sky = field.wcs(index).pixel_to_world_values(x, y)
        on_grid = field.wcs(0).world_to_pixel_values(*sky)
        np.testing.assert_allclose(on_grid, (x + dx, y + dy), atol=1e-6)


def test_projecting_by_the_wcs_moves_samples_and_mixes_none(simulated):
    index = 7
    shot = simulated.exposures[index]
    ccd = CCDData(shot.data, unit="electron", wcs=simulated.field.wcs(index))
    aligned = wcs_project(ccd, simulated.field.wcs(0), order="nearest-neighbor")
    moved = simulated.field.on_grid(shot.data.astype(float), index, np.nan)
    np.testing.assert_array_equal(aligned.data, moved)
    np.testing.assert_array_equal(aligned.mask, np.isnan(moved))


def test_a_star_holds_its_flux():
    scene = simulate._scene(np.array([[64.3, 60.8, 20_000.0]]), SIZE, 4)
    assert scene.sum() == pytest.approx(20_000.0, rel=CUT_WINGS)
    # The centre of mass, on the grid padded by 4 pixels.
    rows, columns = np.indices(scene.shape)
    assert np.average(rows, weights=scene) == pytest.approx(64.8, abs=0.01)
    assert np.average(columns, weights=scene) == pytest.approx(68.3, abs=0.01)


def test_clean_samples_scatter_as_the_truth_says(simulated):
    truth = simulated.truth
    deviates = ((simulated.cube - truth.signal) / truth.sigma)[truth.kinds == simulate.CLEAN]
    error = 1.0 / np.sqrt(deviates.size)
    assert abs(deviates.mean()) < CHANCE * error
    assert abs(deviates.std() - 1.0) < CHANCE * error


def test_injected_samples_stand_out_and_clean_ones_do_not(simulated):
    truth = simulated.truth
    deviates = (simulated.cube - truth.signal) / truth.sigma
    assert deviates[truth.injected].min() > simulate.INJECTED - CHANCE
    assert np.abs(deviates[truth.kinds == simulate.CLEAN]).max() < CHANCE + 1.0


def test_every_kind_of_hit_is_there_and_trails_cross_two_exposures(simulated):
    present = [set(np.unique(shot.kinds)) for shot in simulated.exposures]
    assert all({simulate.COSMIC, simulate.HOT} <= kinds for kinds in present)
    crossed = {index for index, kinds in enumerate(present) if simulate.TRAIL in kinds}
    assert crossed == set(simulated.field.crossed)


def test_on_grid_fills_what_an_exposure_does_not_reach():
    field = replace(simulate.make_field(8, SIZE, 0), offsets=np.array([[0, 0], [2, -3]]))
    image = np.arange(SIZE * SIZE).reshape(SIZE, SIZE)
    moved = field.on_grid(image, 1, -1)
    np.testing.assert_array_equal(moved[2:, :-3], image[:-2, 3:])
    assert np.all(moved[:2] == -1)
    assert np.all(moved[:, -3:] == -1)


# The judgement


def test_the_expectation_clips_as_astropy_does(simulated):
    np.testing.assert_array_equal(
        judging._rejected(simulated.cube.reshape(FRAMES, -1), demo.CLIP),
        simulated.marks.reshape(FRAMES, -1),
    )


def test_a_right_stack_passes_every_check(simulated):
    assert all(verdict(simulated).values())


def test_the_plain_mean_fails(simulated):
    plain = verdict(simulated, simulated.cube.mean(axis=0), np.zeros_like(simulated.marks))
    assert not plain["background rms"]
    assert not plain["background bias"]
    assert not plain["injected samples found"]
    assert not plain["clean samples rejected"]


def spoil_pixel(stack):
    spoilt = stack.copy()
    spoilt[5, 7] = np.nan
    return spoilt


def spoil_star(stack):
    """Remove 3% of the light of the brightest pixels, as if the cores of stars were clipped."""
    return np.where(stack > 2 * simulate.SKY, 0.97 * stack, stack)


@pytest.mark.parametrize(
    ("spoil", "broken"),
    [
        pytest.param(lambda s: 1.01 * s, "background bias", id="scale"),
        pytest.param(lambda s: s + 0.5, "background bias", id="zero"),
        pytest.param(lambda s: simulate.SKY + 0.95 * (s - simulate.SKY), "flux", id="faded"),
        pytest.param(lambda s: np.roll(s, 1, axis=1), "worst star", id="shifted"),
        pytest.param(spoil_star, "worst star", id="star cores"),
        pytest.param(spoil_pixel, "pixels without a value", id="no value"),
        pytest.param(lambda s: np.full_like(s, np.nan), "background rms", id="all NaN"),
    ],
)
def test_a_wrong_stack_fails(simulated, spoil, broken):
    results = verdict(simulated, spoil(simulated.stack))
    assert [name for name, passed in results.items() if name.startswith(broken) and not passed]


def test_frames_left_out_fail(simulated):
    marks = simulated.marks.copy()
    marks[: FRAMES // 4] = True
    fewer = np.mean(simulated.cube, axis=0, where=~marks)
    results = verdict(simulated, fewer, marks)
    assert not results["background rms"]
    assert not results["clean samples rejected"]


def test_a_clip_of_three_spreads_is_not_taken_for_one_of_four(simulated):
    marks = clip(simulated.cube, 3)
    results = verdict(simulated, np.mean(simulated.cube, axis=0, where=~marks), marks)
    assert not results["clean samples rejected"]


def test_the_tally_counts_samples_by_kind(simulated):
    kinds = np.zeros((3, 4, 5), dtype=np.uint8)
    kinds[0, 0, :3] = simulate.COSMIC
    kinds[1, 1, :2] = simulate.TRAIL
    kinds[2, 2, 4] = simulate.FAINT
    marks = np.zeros(kinds.shape, dtype=bool)
    marks[0, 0, :2] = marks[2, 2, 4] = marks[2, 3, 3] = True
    truth = replace(simulated.truth, kinds=kinds)
    assert tally(truth, marks) == {
        "cosmic rays": (3, 2),
        "satellite trails": (2, 0),
        "hot pixels": (0, 0),
        "clean": (54, 1),
    }


def test_the_two_noises_part_where_pixels_are_wild(simulated):
    robust, rms = noise_of(simulated.stack, simulated.truth)
    wild = simulated.stack.copy()
    wild[::10, ::10] += 1000.0
    robust_wild, rms_wild = noise_of(wild, simulated.truth)
    assert robust_wild < 1.05 * robust
    assert rms_wild > 10.0 * rms


# Report and picture


@pytest.fixture
def outcome(simulated):
    noises = {"one frame": (20.8, 114.0), "plain mean": (4.9, 31.0), "clipped mean": (4.7, 4.7)}
    return report.Outcome(
        frames=FRAMES,
        size=1000,
        backend="cpu",
        seconds=0.5,
        noises=noises,
        expected=simulated.expected,
        counts=tally(simulated.truth, simulated.marks),
        checks=[
            judging.Check("background bias", 0.1, -0.2, 0.2, "e"),
            judging.Check("worst star", float("nan"), 0.0, 5.0, "sigma"),
        ],
    )


def test_the_report_says_what_was_measured(outcome):
    lines = [line.split() for line in report.report_lines(outcome)]
    assert ["20", "1000", "x", "1000", "cpu", "0.50", "40"] in lines
    assert ["plain", "mean", "4.90", "31.00", "4.67"] in lines
    assert ["background", "bias", "[e]", "0.100", "-0.200", "0.200", "ok"] in lines
    assert ["worst", "star", "[sigma]", "nan", "0", "5", "WRONG"] in lines


def test_columns_of_the_report_are_aligned(outcome):
    lines = report.report_lines(outcome)
    start = next(i for i, line in enumerate(lines) if line.startswith("background noise"))
    assert len({len(line) for line in lines[start : start + 4]}) == 1


def png_size(path):
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])


def test_the_picture_is_wide_and_takes_nan(simulated, tmp_path):
    pytest.importorskip("matplotlib", reason="the picture needs the extra plot")
    image = spoil_pixel(simulated.stack)
    panels = [drawing.Panel("title", "note", image, drawing.brightness(image))] * 3
    counts = simulated.marks.sum(axis=0)
    lost = drawing.Panel(
        "Rejected", "", drawing.signed_rejections(counts, counts), drawing.rejected()
    )
    (tmp_path / "preview.png").write_bytes(drawing.draw([[*panels, lost]]))
    width, height = png_size(tmp_path / "preview.png")
    assert width > 3.5 * height


def test_a_missing_matplotlib_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingPackageError, match=r"pip install matplotlib .*gpustack\[plot\]"):
        demo.run(tmp_path / "demo")
    assert not (tmp_path / "demo").exists()
