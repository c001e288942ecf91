"""Real sequences without coordinates, aligned by what is seen on them."""

import warnings

import numpy as np
import pytest
from astropy.io import fits
from scipy.ndimage import gaussian_filter, median_filter

import starfield as sky
from gpustack import Register, stack

#: Of the places of stars in a stack, in pixels: what is promised.
PLACE = 0.1
#: Windows that places are weighed by, in pixels: stars are wider than the simulated ones.
WIDTH = 2.5
#: A frame of m13_blue has stars 3 times as bright as its noise, so that each is where it is to
#: a pixel, and 30 of them together to this, in pixels.
FAINT = 0.35


def image_data(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about headers of the last century
        return fits.getdata(path).astype(float)


def sequence(folder):
    """Files, and the whole shifts (y, x) that somebody else measured: of stars, not of frames."""
    lines = (folder / "shifts.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines if ".fits," in line and line[0] != "#"]
    shifts = np.array([[float(row[1]), float(row[2])] for row in rows])
    return [folder / row[0] for row in rows], shifts


@pytest.fixture(scope="module")
def saao(real_data):
    return sequence(real_data / "saao_kb130475")


@pytest.fixture(scope="module")
def m13(real_data):
    return sequence(real_data / "m13_blue")


def moved(table):
    return np.column_stack((table["dy"], table["dx"]))


@pytest.mark.parametrize("by", ["phase", "stars"])
def test_thirty_crowded_frames_some_of_them_moonlit_or_cloudy(saao, by):
    paths, shifts = saao
    result = stack(paths, zero="median", unit="adu", align=Register(by))
    np.testing.assert_allclose(moved(result.frames), -shifts, atol=1)
    places = sky.peaks(result.data, margin=20)
    assert len(places) > 100
    found, reference = (
        sky.centroids(image, places, WIDTH) for image in (result.data, image_data(paths[0]))
    )
    apart = np.abs(found - reference)
    assert np.median(apart) < PLACE
    assert apart[:30].max() < PLACE


def test_phase_and_stars_agree(saao):
    """Where the middle of each frame lies."""
    paths = saao[0][::5]
    one, other = (stack(paths, unit="adu", align=Register(by)).frames for by in ("phase", "stars"))
    turn = other["magnification"] * np.exp(1j * np.radians(other["rotation"]))
    middle = 255.5 + 255.5j
    lies = turn * middle + other["dx"] + 1j * other["dy"]
    assert np.abs(one["dx"] + 1j * one["dy"] + middle - lies).max() < PLACE


def test_whole_pixels_are_those_that_somebody_else_measured(saao):
    paths, shifts = saao
    table = stack(paths, unit="adu", align=Register(upsample=1)).frames
    np.testing.assert_allclose(moved(table), -shifts, atol=1)


def test_faint_frames_whose_hot_pixels_do_not_move(m13):
    """Raw and short: what all frames have in common at no shift is brighter than their stars."""
    paths, shifts = m13
    result = stack(paths, zero="median", unit="adu", align="register")
    np.testing.assert_allclose(moved(result.frames), -shifts, atol=1)
    assert (result.frames["peak_ratio"][1:] > 1.5).all()


def test_another_reference_finds_the_same_shifts(m13):
    paths, _ = m13
    first, third = (
        moved(stack(paths, unit="adu", align=Register(reference=k)).frames) for k in (0, 2)
    )
    np.testing.assert_allclose(third - third[2], first - first[2], atol=FAINT)


def smooth(image):
    smoothed = gaussian_filter(median_filter(image, 3), 2)
    return smoothed - gaussian_filter(smoothed, 15)


def test_faint_stars_lie_where_those_of_the_reference_do(m13):
    """All of them together, by how the reference differs from a stack of the others."""
    paths, _ = m13
    weights = [0.0, 1, 1, 1, 1]
    result = stack(paths, zero="median", unit="adu", weights=weights, align="register")
    level = np.nanmedian(result.data)
    others = smooth(np.nan_to_num(result.data.astype(float), nan=level))
    places = sky.peaks(others, apart=5, margin=60, smooth=0.1)
    assert len(places) >= 20
    around = np.zeros(others.shape, bool)
    for place in places:
        y, x = round(place.imag), round(place.real)
        around[y - 6 : y + 7, x - 6 : x + 7] = True
    up, across = (slope[around] for slope in np.gradient(others))
    terms = np.column_stack((-up, -across, others[around], np.ones(around.sum())))
    (y, x, gain, _), *_ = np.linalg.lstsq(terms, smooth(image_data(paths[0]))[around])
    assert np.hypot(y, x) / gain < FAINT


def test_a_frame_of_another_field_is_left_out(saao, m13):
    paths = [*saao[0][:2], m13[0][0]]
    with pytest.warns(match="M13_blue_0001.fits: left out: align: expected something"):
        table = stack(paths, unit="adu", align=Register(skip=True)).frames
    assert [bool(reason) for reason in table["left_out"]] == [False, False, True]
