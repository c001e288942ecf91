"""The map of pixels that is interpolated between nodes, against the transformation itself."""

import numpy as np
import pytest

from gpustack.align.footprint import ITERATED, between, footprint, window
from gpustack.align.pixel_map import SAME, STEP, TOLERANCE, PixelMap
from skies import distorted, tangent

ROWS, COLUMNS = slice(30, 200), slice(5, 260)
TARGET = tangent(crpix=(130.0, 100.0))
FRAMES = {
    "same": TARGET,
    "turned": tangent(degrees=30),
    "upside down": tangent(degrees=180),
    "smaller pixels": tangent(scale=0.3e-4),
    "larger pixels": tangent(scale=5e-4),
    "distorted": distorted(),
    "strongly distorted": distorted(amount=8),
    "another projection": tangent(kind="GLON-CAR", crval=(136.0, -36.0), scale=3e-4),
    "wide": tangent(scale=0.05, degrees=10),
    "across the pole": tangent(crval=(40.0, 89.999)),
}
#: Of areas between nodes where SIP terms bend the frame by 8 pixels in 100; real ones bend it by
#: a hundredth of that, and are right to 1e-6.
AREA = 3e-3


@pytest.fixture(params=FRAMES.values(), ids=FRAMES)
def transform(request):
    return between(TARGET, request.param)


def all_pixels(rows, columns):
    y, x = np.mgrid[rows, columns]
    return x, y


def test_it_is_the_transformation(transform):
    x, y = all_pixels(ROWS, COLUMNS)
    made = PixelMap.of(transform, ROWS, COLUMNS).at(x, y)
    for got, exact in zip(made, transform(x, y), strict=True):
        np.testing.assert_array_equal(np.isnan(got), np.isnan(exact))
        np.testing.assert_allclose(got, exact, rtol=0, atol=TOLERANCE / 2)


def test_a_place_does_not_depend_on_the_window(transform):
    x, y = all_pixels(ROWS, COLUMNS)
    whole = PixelMap.of(transform, ROWS, COLUMNS).at(x, y)
    rows, columns = slice(77, 79), slice(100, 190)
    part = PixelMap.of(transform, rows, columns).at(*all_pixels(rows, columns))
    for one, other in zip(part, whole, strict=True):
        # Distortions are inverted for all pixels together, until the last is good enough.
        np.testing.assert_allclose(one, other[47:49, 95:185], rtol=0, atol=ITERATED)


def test_the_extent_holds_every_pixel(transform):
    rows, columns = slice(64, 99), slice(21, 140)
    made = PixelMap.of(transform, ROWS, COLUMNS)
    x, y = made.at(*all_pixels(rows, columns))
    for place, (low, high) in zip((y, x), made.extent(rows, columns), strict=True):
        assert low - TOLERANCE <= np.nanmin(place, initial=low)
        assert high + TOLERANCE >= np.nanmax(place, initial=high)


def test_areas_are_how_much_of_the_frame_a_pixel_covers(transform):
    made = PixelMap.of(transform, ROWS, COLUMNS)
    x, y = all_pixels(ROWS, COLUMNS)
    half = 0.5
    right, left = transform(x + half, y), transform(x - half, y)
    up, down = transform(x, y + half), transform(x, y - half)
    across, along = np.subtract(right, left), np.subtract(up, down)
    exact = np.abs(across[0] * along[1] - across[1] * along[0])
    good = np.isfinite(exact) & np.isfinite(made.area(ROWS, COLUMNS))
    np.testing.assert_allclose(made.area(ROWS, COLUMNS)[good], exact[good], rtol=AREA)
    assert good.mean() > 0.3


def test_where_nodes_do_not_tell_it_is_exact():
    """A wave as long as the nodes are apart, on a part of the grid alone."""

    def transform(x, y):
        wave = np.where(np.asarray(x) > 128, 0.1 * np.sin(np.asarray(x) / STEP), 0.0)
        return x + wave, y + 0.0

    made = PixelMap.of(transform, ROWS, COLUMNS)
    x, y = all_pixels(ROWS, COLUMNS)
    assert not made.rough.all()
    np.testing.assert_allclose(made.at(x, y)[0], transform(x, y)[0], rtol=0, atol=TOLERANCE)


def test_what_bends_by_more_than_a_ten_thousandth_of_a_pixel_between_nodes_is_exact():
    def transform(x, y):
        return x + 3.9e-6 * np.square(x), y + 0.0

    made = PixelMap.of(transform, ROWS, COLUMNS)
    x, y = all_pixels(ROWS, COLUMNS)
    np.testing.assert_allclose(made.at(x, y)[0], transform(x, y)[0], rtol=0, atol=1e-4)


def test_the_extent_holds_what_nodes_do_not_tell_of():
    def transform(x, y):
        return x + np.where(np.asarray(x) % STEP == 0, 0.0, 50.0), y + 0.0

    made = PixelMap.of(transform, ROWS, COLUMNS, rough=True)
    assert made.extent(slice(64, 80), slice(64, 80)) == [(64, 79), (64, 129)]


def test_what_lies_beyond_the_horizon_has_no_place():
    behind = between(TARGET, tangent(crval=(190.0, -20.0)))
    made = PixelMap.of(behind, ROWS, COLUMNS)
    assert np.isnan(made.at(*all_pixels(ROWS, COLUMNS))).all()


def test_a_shift_by_whole_pixels_is_seen():
    def offset(**places):
        return PixelMap.of(between(TARGET, tangent(**places)), ROWS, COLUMNS).offset

    assert offset(crpix=(130.0, 100.0)) == (0, 0)
    assert offset(crpix=(123.0, 104.0)) == (-4, 7)
    assert offset(crpix=(123.0 + 10 * SAME, 104.0)) is None
    assert offset(crpix=(130.0, 100.0), degrees=180) is None
    assert offset(crpix=(130.0, 100.0), degrees=1e-5) is None
    assert offset(crval=(190.0, -20.0)) is None


def test_footprints():
    to_target = between(tangent(crpix=(60.0, 50.0)), TARGET)
    covered = footprint(to_target, (100, 120))
    np.testing.assert_allclose(covered, (69.5, 189.5, 49.5, 149.5), atol=1e-6)
    rows, columns = window(to_target, (100, 120), (90, 400))
    assert (rows.start, rows.stop) == (47, 90)
    assert columns.start <= 69
    assert 190 <= columns.stop <= 193
    for away in (
        tangent(crpix=(400.0, 50.0)),
        tangent(crpix=(60.0, 300.0)),
        tangent((190.0, -20.0)),
    ):
        assert window(between(away, TARGET), (100, 120), (90, 400)) is None


@pytest.mark.parametrize("beyond", [1000.0, np.nan])
def test_areas_beside_a_tear_are_those_of_one_side(beyond):
    """Of pixel 230, the centre of which is before the tear, two corners are beyond it."""

    def transform(x, y):
        return x + np.where(np.asarray(x) > 230.3, beyond, 0.0), y + 0.0

    columns = slice(0, 512)
    made = PixelMap.of(transform, ROWS, columns)
    expected = np.where(np.isfinite(transform(np.arange(512.0), 0.0)[0]), 1.0, np.nan)
    whole = made.area(ROWS, columns)
    np.testing.assert_array_equal(whole, np.tile(expected, (len(whole), 1)))
    # Nodes tell of all places up to 224, but of no slope there.
    assert not made.is_rough(ROWS, slice(0, 224))
    np.testing.assert_array_equal(made.area(ROWS, slice(0, 224)), whole[:, :224])
