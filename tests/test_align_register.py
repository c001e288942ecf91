"""`Register`, which aligns frames by their contents, on simulated stars with known places."""

import logging
from functools import cache

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.wcs import WCS
from scipy.signal.windows import tukey

import starfield as sky
from gpustack import Register, stack
from gpustack.align import align_frames
from gpustack.align.phase import FADE, _tukey
from gpustack.align.similarity import Similarity
from gpustack.errors import GpustackWarning
from gpustack.frames import open_frames

SHAPE = (260, 280)
#: The promised accuracy of the places of stars on a stack, in pixels, and of their relative flux.
PLACE, FLUX = 0.1, 0.005
#: Accuracy of measured places anywhere on a frame, in pixels, at this low noise.
MEASURED = 0.03

#: Largest error of shifts of noisy frames, relative to the Cramer-Rao bound.
EFFICIENT = 1.2

DITHERS = [0, 7 - 12j, -21 + 4j, 3 + 30j]
HALVES = [0, 7.55 - 12.3j, -21.2 + 4.7j, 0.45 + 0.53j, 11.1 - 3.9j]


def turned(degrees, scale=1.0, centre=140 + 130j, lands=140 + 130j):
    """Turn and shift of the map that rotates by `degrees` and moves `centre` to `lands`."""
    turn = scale * np.exp(1j * np.radians(degrees))
    return turn, lands - turn * centre


#: The method, and the turn, shift and shape of each frame; they map it onto the reference.
CASES = {
    "whole pixels": ("phase", [(1, shift, SHAPE) for shift in DITHERS]),
    "parts of pixels": ("phase", [(1, shift, SHAPE) for shift in HALVES]),
    "other shapes": ("phase", [(1, 0, SHAPE), (1, 9.3 - 5j, (300, 250)), (1, -8.6j, (240, 330))]),
    "dithers by stars": ("stars", [(1, shift, SHAPE) for shift in HALVES]),
    "0.3 degrees": (
        "stars",
        [(1, 0, SHAPE), *[(*turned(0.3 * d, lands=145 + 127.5j), SHAPE) for d in (1, -1, 2)]],
    ),
    "180 degrees": ("stars", [(1, 0, SHAPE), (*turned(180, lands=133.4 + 137.7j), SHAPE)]),
    "larger pixels": (
        "stars",
        [
            (1, 0, SHAPE),
            (*turned(0.3, 0.45 / 0.26, 80 + 75j), (150, 160)),
            (*turned(180, 0.45 / 0.26, 81.3 + 74.6j), (150, 160)),
        ],
    ),
    "smaller pixels": (
        "stars",
        [
            (1, 0, SHAPE),
            (*turned(-12, 0.26 / 0.45, 240 + 225j), (450, 480)),
            (*turned(90, 0.26 / 0.45, 240 + 225j, 137 + 133.3j), (450, 480)),
        ],
    ),
}


@cache
def field():
    return sky.field(SHAPE)


@pytest.fixture(scope="module")
def stars():
    return field()


@cache
def taken(seed, turn, shift, shape, **options):
    image = sky.taken(field(), shape, turn=turn, shift=shift, seed=seed, **options)
    image.flags.writeable = False
    return image


def frames_of(maps, **options):
    """The frames with these maps; each frame is cached."""
    return [taken(seed, *each, **options) for seed, each in enumerate(maps)]


def judged(stars, maps):
    """The true places and fluxes of the stars whose apertures are on all frames."""
    places, fluxes = stars
    there = sky.inside(places, SHAPE, 16)
    for turn, shift, shape in maps:
        there &= sky.inside((places - shift) / turn, shape, 16)
    assert there.sum() >= 20
    return places[there], fluxes[there]


#: With larger pixels, linear interpolation changes the flux of stars, so another order is used.
ORDERS = {"larger pixels": "bicubic"}


@pytest.fixture(scope="module")
def aligned(stars):
    """A function that returns the frames of a case and their stack; cached."""

    @cache
    def made(case):
        by, maps = CASES[case]
        frames = frames_of(maps)
        return frames, stack(frames, align=Register(by, order=ORDERS.get(case, "bilinear")))

    return made


@pytest.mark.parametrize("case", CASES)
def test_stars_stay_where_they_are_on_the_reference_and_as_bright(stars, aligned, case):
    frames, result = aligned(case)
    places, fluxes = judged(stars, CASES[case][1])
    found, reference = (sky.centroids(image, places) for image in (result.data, frames[0]))
    assert np.abs(found - reference).max() < PLACE
    assert np.abs(found - places).max() < PLACE
    assert np.abs(sky.fluxes_at(result.data, places) / fluxes - 1).max() < FLUX


@pytest.mark.parametrize("case", CASES)
def test_the_table_tells_where_frames_lie(aligned, case):
    (by, maps), table = CASES[case], aligned(case)[1].frames
    shifts = np.array([shift for _, shift, _ in maps])
    np.testing.assert_allclose(table["dx"] + 1j * table["dy"], shifts, atol=4 * MEASURED)
    assert "left_out" not in table.colnames
    if by == "phase":
        assert (table["correlation"] > 0.9).all()
        assert (table["peak_ratio"][1:] > 2).all()
    else:
        turns = np.array([turn for turn, _, _ in maps])
        degrees = np.angle(np.exp(1j * np.radians(table["rotation"])) / turns, deg=True)
        np.testing.assert_allclose(degrees, 0, atol=0.01)
        np.testing.assert_allclose(table["magnification"], np.abs(turns), rtol=1e-3)
        assert (table["stars"] >= 20).all()
        assert (table["rms"] < 0.1).all()


def test_shifts_to_the_hundredth_of_a_pixel(stars):
    maps = CASES["parts of pixels"][1]
    table = stack(frames_of(maps), align="register").frames
    np.testing.assert_allclose(table["dx"] + 1j * table["dy"], HALVES, atol=MEASURED)
    for name in ("dx", "dy"):
        hundredths = 100 * np.asarray(table[name])
        np.testing.assert_allclose(hundredths, np.rint(hundredths), atol=1e-9)


def test_surface_brightness_may_stay_as_it_is():
    frames = [CCDData(image, unit="MJy / sr") for image in frames_of(CASES["smaller pixels"][1])]
    with pytest.warns(
        GpustackWarning, match=r"frame 1 and 1 more: MJy / sr is .* flux='ratio'"
    ) as told:
        scaled = stack(frames, align=Register("stars"))
    assert told[0].filename == __file__
    kept = stack(frames, align=Register("stars", flux="unscaled"))
    levels = [np.median(frame.data) for frame in frames]  # in counts, a third in smaller pixels
    assert np.nanmedian(kept.data) == pytest.approx(np.mean(levels), rel=1e-2)
    assert np.nanmedian(scaled.data) == pytest.approx(levels[0], rel=1e-2)
    assert levels[1] < levels[0] / 2


@pytest.mark.parametrize("length", [1, 2, 3, 20, 21, 22, 511, 2048])
def test_what_fades_is_the_window_of_tukey(length):
    np.testing.assert_allclose(_tukey(length), tukey(length, FADE), atol=1e-15)


def test_whole_pixels_leave_samples_as_they_are(stars):
    frames = frames_of(CASES["parts of pixels"][1])
    result = stack(frames, combine="max", align=Register(upsample=1))
    for frame, shift in zip(frames, HALVES, strict=True):
        dy, dx = round(shift.imag), round(shift.real)
        moved = np.full(SHAPE, -np.inf)
        y, x = (slice(max(by, 0), length + min(by, 0)) for by, length in ((dy, 260), (dx, 280)))
        moved[y, x] = frame[y.start - dy : y.stop - dy, x.start - dx : x.stop - dx]
        assert (result.data >= moved).all()
        assert (result.data == moved).any()
    assert result.frames["dy"].tolist() == [round(shift.imag) for shift in HALVES]


def test_a_measured_shift_that_is_whole_resamples_nothing(stars):
    frames = np.array(frames_of(CASES["whole pixels"][1], noise=0.0))
    aligned = align_frames(open_frames(frames), "register:upsample=4")
    assert [type(frame).__name__ for frame in aligned.frames[1:]] == ["PlacedFrame"] * 3


@pytest.mark.parametrize("by", ["phase", "stars"])
def test_another_reference(stars, by):
    frames = frames_of(CASES["parts of pixels"][1])
    table = stack(frames, align=Register(by, reference=2)).frames
    expected = np.array(HALVES) - HALVES[2]
    np.testing.assert_allclose(table["dx"] + 1j * table["dy"], expected, atol=4 * MEASURED)
    assert table["dy"][2] == table["dx"][2] == 0


@pytest.mark.parametrize("by", ["phase", "stars"])
def test_the_union_holds_all_frames(stars, by):
    maps = CASES["parts of pixels"][1]
    result = stack(frames_of(maps), align=Register(by, extent="union"))
    assert result.data.shape == (260 + 18, 280 + 34)
    places = judged(stars, maps)[0]
    origin = -22 - 13j
    assert np.abs(sky.centroids(result.data, places - origin) + origin - places).max() < PLACE
    assert (result.frames["valid"] > 0.8).all()


def with_wcs(image, crval, keyword):
    header = fits.Header({"OBJECT": keyword})
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], crval, [-1e-4, 1e-4]
    wcs.wcs.crpix = 50, 60
    return CCDData(image, unit="adu", wcs=wcs, meta=header)


@pytest.mark.filterwarnings("ignore:.*rotated, scaled:gpustack.errors.GpustackWarning")
@pytest.mark.parametrize("reference", [0, 1])
def test_coordinates_are_those_of_the_reference(stars, reference):
    images = frames_of(CASES["parts of pixels"][1][:3])
    frames = [with_wcs(image, (10 * k, 5), f"F{k}") for k, image in enumerate(images)]
    result = stack(frames, align=Register(reference=reference))
    assert result.wcs.wcs.crval.tolist() == [10 * reference, 5]
    header = result.to_hdulist()[0].header
    assert (header["CRVAL1"], header["CRPIX1"]) == (10 * reference, 50)
    assert header["OBJECT"] == "F0"


@pytest.mark.filterwarnings("ignore:.*rotated, scaled:gpustack.errors.GpustackWarning")
def test_coordinates_of_the_union_are_where_the_stars_are(stars):
    frames = [
        with_wcs(image, (10 * k, 5), f"F{k}")
        for k, image in enumerate(frames_of(CASES["parts of pixels"][1][:3]))
    ]
    result = stack(frames, align="register:extent=union")
    star = judged(stars, CASES["parts of pixels"][1][:3])[0][0]
    at = frames[0].wcs.all_pix2world(star.real, star.imag, 0)
    x, y = result.wcs.all_world2pix(*at, 0)
    found = sky.centroids(result.data, [x + 1j * y])[0]
    assert abs(found - (x + 1j * y)) < PLACE


def test_frames_without_coordinates_have_none_afterwards(stars):
    images = frames_of(CASES["whole pixels"][1][:3])
    frames = [CCDData(images[0], unit="adu"), with_wcs(images[1], (1, 2), "F1")]
    result = stack(frames, align="register")
    assert result.wcs is None
    assert "CTYPE1" not in result.to_hdulist()[0].header


@pytest.mark.parametrize("by", ["phase", "stars"])
def test_bands_of_any_size_give_the_same_bits(stars, by):
    frames, done = frames_of(CASES["parts of pixels"][1][:3]), []
    whole = stack(frames, align=Register(by), memory="1GB")
    bands = stack(
        frames,
        align=Register(by),
        memory="20MB",
        backend="cpu",
        progress=lambda rows, _: done.append(rows),
    )
    assert len(done) > 2
    for name in ("data", "uncertainty", "mask", "count"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(bands, name))


def test_the_log_tells_of_each_frame_and_the_history_how(stars, caplog):
    frames = frames_of(CASES["whole pixels"][1][:2])
    with caplog.at_level(logging.DEBUG, "astropy.gpustack.align.register"):
        result = stack(frames, align="register:upsample=10")
    assert [record.getMessage()[:14] for record in caplog.records] == [
        "frame 0: dy 0,",
        "frame 1: dy -1",
    ]
    history = "".join(result.header["HISTORY"])
    assert "align: register:by=phase,reference=0,upsample=10" in history
    assert "to frame 0" in history


def spoilt(image, rng):
    """The image with fixed hot pixels, cosmic rays, a gradient, NaN and a saturated column."""
    hot = np.random.default_rng(99).integers(0, 260, (2, 300))
    image = image.copy()
    image[tuple(hot)] += 4000
    for y, x in rng.integers(0, 255, (40, 2)):
        image[y, x : x + 2] += rng.uniform(500, 20000)
    image += np.linspace(0, 3000, image.shape[1])
    image[40:50, 60:75] = np.nan
    image[:, 200] = 65535
    return image


@pytest.mark.parametrize("by", ["phase", "stars"])
def test_what_does_not_move_with_the_stars_does_not_mislead(stars, by):
    images = frames_of(CASES["parts of pixels"][1], noise=20.0)
    frames = [spoilt(image, np.random.default_rng(k)) for k, image in enumerate(images)]
    table = stack(frames, align=Register(by)).frames
    np.testing.assert_allclose(table["dx"] + 1j * table["dy"], HALVES, atol=PLACE)


def test_masked_samples_do_not_count(stars):
    images = frames_of(CASES["parts of pixels"][1][:2])
    masks = [np.zeros(SHAPE, bool) for _ in images]
    images = [image.copy() for image in images]
    for image, mask in zip(images, masks, strict=True):
        image[100:140, 100:140] = 1e6
        mask[100:140, 100:140] = True
    frames = [
        CCDData(image, mask=mask, unit="adu") for image, mask in zip(images, masks, strict=True)
    ]
    table = stack(frames, align="register").frames
    np.testing.assert_allclose(table["dx"] + 1j * table["dy"], HALVES[:2], atol=PLACE)


def test_stars_are_matched_the_same_way_every_time(aligned):
    """astroalign itself uses random numbers."""
    frames, first = aligned("0.3 degrees")
    second = stack(frames, align="register:by=stars")
    np.testing.assert_array_equal(first.data, second.data)


def test_one_frame_is_its_own_reference(stars):
    image = frames_of(CASES["whole pixels"][1][:1])[0]
    with pytest.warns(GpustackWarning, match="only one frame"):
        result = stack([image], align="register")
    np.testing.assert_array_equal(result.data, image)


def faint_pair(seed, shape=(300, 320), noise=25.0, fixed=10.0):
    """Two frames with stars hardly brighter than the noise, a part of which is fixed.

    Also returned are the shift and the Cramer-Rao bound on its length.
    """
    rng = np.random.default_rng(seed)
    places = rng.uniform(20, shape[1] - 20, 60) + 1j * rng.uniform(20, shape[0] - 20, 60)
    fluxes = np.minimum(800 * (rng.pareto(1.3, 60) + 1), 5000)
    shift = complex(*rng.uniform(8, 20, 2))
    stays = rng.normal(0, fixed, shape)
    frames = [
        stays + sky.expose(places - by, fluxes, shape, sigma=4.5, noise=noise, seed=(seed, k))
        for k, by in enumerate((0, shift))
    ]
    scene = sky.expose(places, fluxes, shape, sigma=4.5, noise=0)
    # The factor 2**0.5: both frames have noise.
    least = np.hypot(*sky.least_error(scene, np.hypot(noise, fixed))) * 2**0.5
    return frames, shift, least


def test_faint_frames_are_placed_as_well_as_noise_allows():
    """Using only the light above 3 sigma would give 1.4 times the error."""
    off = []
    for seed in range(20):
        frames, shift, least = faint_pair(seed)
        table = align_frames(open_frames(frames), Register()).columns
        off.append(abs(table["dx"][1] + 1j * table["dy"][1] - shift) / least)
    assert np.sqrt(np.mean(np.square(off))) < EFFICIENT


@pytest.mark.parametrize("by", ["phase", "stars"])
@pytest.mark.parametrize("share", [0.45, 0.55, 0.7])
def test_masked_rows_are_no_quiet_sky(by, share):
    """A mask common to all frames must neither lower the noise nor make its edges match."""
    images = []
    for data in frames_of([(1, 0, SHAPE), (1, 3.4 - 2.2j, SHAPE)]):
        mask = np.zeros(SHAPE, bool)
        mask[: int(SHAPE[0] * share)] = True
        images.append(CCDData(data, unit="adu", mask=mask))
    frames = align_frames(open_frames(images), Register(by)).columns
    found = frames["dx"][1] + 1j * frames["dy"][1]
    assert abs(found - (3.4 - 2.2j)) < PLACE


@pytest.mark.parametrize("by", ["phase", "stars"])
def test_a_sample_that_float32_does_not_hold_does_not_mislead(by):
    frames = [image.copy() for image in frames_of([(1, 0, SHAPE), (1, 3 - 2j, SHAPE)])]
    frames[1][100, 100] = 1e300
    table = align_frames(open_frames(frames), Register(by)).columns
    assert abs(table["dx"][1] + 1j * table["dy"][1] - (3 - 2j)) < PLACE


@pytest.mark.parametrize("by", ["phase", "stars"])
def test_a_patch_that_float32_does_not_hold_is_no_patch_of_nan(by):
    frames = [image.copy() for image in frames_of([(1, 0, SHAPE), (1, 3 - 2j, SHAPE)])]
    for frame, value in zip(frames, (1.7e308, -1.7e308), strict=True):
        frame[100:105, 100:105] = value
    align_frames(open_frames(frames), Register(by))


@pytest.mark.parametrize("extent", ["reference", "union"])
def test_the_reference_is_taken_as_it_is(extent):
    """Its header is kept too, in which detector sections still describe its pixels."""
    frames = open_frames(frames_of([(1, 0, SHAPE), (1, 9.3 - 5j, (150, 160))]))
    known = [Similarity(), Similarity(shift=9.5 + 5j)]
    assert align_frames(frames, Register(extent=extent), known).frames[0] is frames[0]
