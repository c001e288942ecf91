"""Real sequences without coordinates, aligned by their contents."""

import warnings
from functools import cache

import numpy as np
import pytest
from astropy.io import fits

import starfield as sky
from gpustack import Register, stack

#: The promised accuracy of the places of stars on a stack, in pixels.
PLACE = 0.1
#: Width of the Gaussian windows for centroids, in pixels: stars are wider than the simulated ones.
WIDTH = 2.5
#: Significance of a displacement, in standard errors: noise alone exceeds it, in two dimensions, in
#: one of 90 cases.
SURE = 3.0
#: Bounds on standard errors for m13_blue in y and x, in pixels: that of the mean of 50 stars is
#: smaller than the first, that of a single star larger than the second (the best has 0.45). With
#: these, no place can be checked to 0.1 pixel.
MEAN_ERROR, STAR_ERROR = 0.2, 0.4
#: Bounds on the mean square of displacements in units of their errors; that of 50 stars in y and x
#: scatters about 1 by 0.14.
AS_NOISE = (0.5, 1.5)
#: Pixels by which three shifts of m13_blue may fail to close, if each has an error of 0.2, as in
#: simulated frames like these.
FAINT = 0.2 * 3**0.5


def image_data(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the headers are old
        return fits.getdata(path).astype(float)


def sequence(folder):
    """The files, and shifts (y, x) of their stars in whole pixels, as measured by others."""
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


#: The frames on which the results of phase and stars are compared.
BOTH = range(0, 30, 5)
#: The frames of saao that are aligned by each method: all by phase. Matching stars is slow; its
#: selection includes frames with moonlight, with clouds and with the largest shifts.
TAKEN = {"phase": [*range(30)], "stars": sorted({*range(0, 30, 3), *BOTH})}


@pytest.fixture(scope="module")
def crowded(saao):
    """A function that returns the stack of saao by each method; cached."""

    @cache
    def made(by):
        paths = [saao[0][k] for k in TAKEN[by]]
        return stack(paths, zero="median", unit="adu", align=Register(by))

    return made


#: Frames used as reference: the first, the middle and the last.
REFERENCES = [0, 2, 4]


@pytest.fixture(scope="module")
def faint(m13):
    """A function that returns the stack of the other frames of m13 on a reference; cached."""

    @cache
    def made(reference):
        weights = [float(k != reference) for k in range(5)]
        align = Register(reference=reference)
        return stack(m13[0], zero="median", unit="adu", weights=weights, align=align)

    return made


def moved(table):
    return np.column_stack((table["dy"], table["dx"]))


@pytest.mark.parametrize("by", TAKEN)
def test_thirty_crowded_frames_some_of_them_moonlit_or_cloudy(saao, crowded, by):
    paths, shifts = saao
    result = crowded(by)
    np.testing.assert_allclose(moved(result.frames), -shifts[TAKEN[by]], atol=1)
    places = sky.peaks(result.data, margin=20)
    assert len(places) > 100
    found, reference = (
        sky.centroids(image, places, WIDTH) for image in (result.data, image_data(paths[0]))
    )
    apart = np.abs(found - reference)
    assert np.median(apart) < PLACE
    assert apart[:30].max() < PLACE


def test_phase_and_stars_agree(crowded):
    """The centre of each frame has the same place on the reference by both methods."""
    one, other = (crowded(by).frames[[TAKEN[by].index(k) for k in BOTH]] for by in TAKEN)
    turn = other["magnification"] * np.exp(1j * np.radians(other["rotation"]))
    middle = 255.5 + 255.5j
    lies = turn * middle + other["dx"] + 1j * other["dy"]
    assert np.abs(one["dx"] + 1j * one["dy"] + middle - lies).max() < PLACE


def test_whole_pixels_are_those_that_somebody_else_measured(saao):
    paths, shifts = (each[::3] for each in saao)
    table = stack(paths, unit="adu", align=Register(upsample=1)).frames
    np.testing.assert_allclose(moved(table), -shifts, atol=1)


def test_faint_frames_whose_hot_pixels_do_not_move(m13, faint):
    """In these short raw exposures, fixed patterns at shift zero are brighter than the stars."""
    table = faint(0).frames
    np.testing.assert_allclose(moved(table), -m13[1], atol=1)
    assert (table["peak_ratio"][1:] > 1.5).all()


@pytest.mark.parametrize("reference", REFERENCES[1:])
def test_another_reference_finds_the_same_shifts(faint, reference):
    first, other = (moved(faint(k).frames) for k in (0, reference))
    np.testing.assert_allclose(other - other[reference], first - first[reference], atol=FAINT)


@pytest.mark.parametrize("reference", REFERENCES)
def test_faint_stars_lie_where_those_of_the_reference_do(m13, faint, reference):
    """Compare the reference with a stack of the other frames, as precisely as its noise allows."""
    paths, result = m13[0], faint(reference)
    level = np.nanmedian(result.data)
    others = np.nan_to_num(result.data.astype(float), nan=level)
    places = sky.peaks(sky.without_sky(others), margin=60, above=6, smooth=3)
    apart, error = sky.displacements(image_data(paths[reference]), others, places)
    assert len(places) > 40
    assert error.min() > STAR_ERROR
    assert AS_NOISE[0] < np.mean((apart / error) ** 2) < AS_NOISE[1]
    mean, mean_error = weighted_mean(apart, error)
    assert 0.1 < mean_error.min() <= mean_error.max() < MEAN_ERROR
    assert np.hypot(*(mean / mean_error)) < SURE


def weighted_mean(values, errors):
    weights = errors**-2
    return np.sum(values * weights, 0) / weights.sum(0), weights.sum(0) ** -0.5


@pytest.mark.filterwarnings("ignore:frames differ in ")
def test_a_frame_of_another_field_is_left_out(saao, m13):
    paths = [*saao[0][:2], m13[0][0]]
    with pytest.warns(match="M13_blue_0001.fits: left out: align: expected a frame that matches"):
        table = stack(paths, unit="adu", align=Register(skip=True)).frames
    assert [bool(reason) for reason in table["left_out"]] == [False, False, True]
