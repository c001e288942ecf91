"""`PixelMap`, which interpolates places between nodes, against the transformation itself."""

import numpy as np
import pytest

from gpustack.align.footprint import INVERSE_TOLERANCE, footprint, transform_between, window
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
#: Relative tolerance of areas between nodes, where SIP terms bend the frame by 8 pixels in 100.
#: Real SIP terms bend frames by a hundredth of that, and areas are then accurate to 1e-6.
AREA = 3e-3


@pytest.fixture(params=FRAMES.values(), ids=FRAMES)
def transform(request):
    return transform_between(TARGET, request.param)


def all_pixels(rows, columns):
    y, x = np.mgrid[rows, columns]
    return x, y


def test_places_are_those_of_the_transformation(transform):
    x, y = all_pixels(ROWS, COLUMNS)
    made = PixelMap.of(transform, ROWS, COLUMNS).places_of_pixels(x, y)
    for got, exact in zip(made, transform(x, y), strict=True):
        np.testing.assert_array_equal(np.isnan(got), np.isnan(exact))
        np.testing.assert_allclose(got, exact, rtol=0, atol=TOLERANCE / 2)


def test_a_place_does_not_depend_on_the_window(transform):
    x, y = all_pixels(ROWS, COLUMNS)
    whole = PixelMap.of(transform, ROWS, COLUMNS).places_of_pixels(x, y)
    rows, columns = slice(77, 79), slice(100, 190)
    part = PixelMap.of(transform, rows, columns).places_of_pixels(*all_pixels(rows, columns))
    for one, other in zip(part, whole, strict=True):
        # Distortions are inverted iteratively for all pixels together, until all have converged.
        np.testing.assert_allclose(one, other[47:49, 95:185], rtol=0, atol=INVERSE_TOLERANCE)


def test_the_extent_holds_every_pixel(transform):
    rows, columns = slice(64, 99), slice(21, 140)
    made = PixelMap.of(transform, ROWS, COLUMNS)
    x, y = made.places_of_pixels(*all_pixels(rows, columns))
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


def test_places_are_exact_where_interpolation_between_nodes_is_not():
    """Tested with a wave of a few steps between nodes, on a part of the grid."""

    def transform(x, y):
        wave = np.where(np.asarray(x) > 128, 0.1 * np.sin(np.asarray(x) / STEP), 0.0)
        return x + wave, y + 0.0

    made = PixelMap.of(transform, ROWS, COLUMNS)
    x, y = all_pixels(ROWS, COLUMNS)
    assert not made.rough.all()
    np.testing.assert_allclose(
        made.places_of_pixels(x, y)[0], transform(x, y)[0], rtol=0, atol=TOLERANCE
    )


def test_what_bends_by_more_than_a_ten_thousandth_of_a_pixel_between_nodes_is_exact():
    def transform(x, y):
        return x + 3.9e-6 * np.square(x), y + 0.0

    made = PixelMap.of(transform, ROWS, COLUMNS)
    x, y = all_pixels(ROWS, COLUMNS)
    np.testing.assert_allclose(
        made.places_of_pixels(x, y)[0], transform(x, y)[0], rtol=0, atol=1e-4
    )


def test_the_extent_holds_what_nodes_do_not_tell_of():
    def transform(x, y):
        return x + np.where(np.asarray(x) % STEP == 0, 0.0, 50.0), y + 0.0

    made = PixelMap.of(transform, ROWS, COLUMNS, rough=True)
    assert made.extent(slice(64, 80), slice(64, 80)) == [(64, 79), (64, 129)]


def test_what_lies_beyond_the_horizon_has_no_place():
    behind = transform_between(TARGET, tangent(crval=(190.0, -20.0)))
    made = PixelMap.of(behind, ROWS, COLUMNS)
    assert np.isnan(made.places_of_pixels(*all_pixels(ROWS, COLUMNS))).all()


def test_a_shift_by_whole_pixels_is_seen():
    def offset(**places):
        return PixelMap.of(transform_between(TARGET, tangent(**places)), ROWS, COLUMNS).offset

    assert offset(crpix=(130.0, 100.0)) == (0, 0)
    assert offset(crpix=(123.0, 104.0)) == (-4, 7)
    assert offset(crpix=(123.0 + 10 * SAME, 104.0)) is None
    assert offset(crpix=(130.0, 100.0), degrees=180) is None
    assert offset(crpix=(130.0, 100.0), degrees=1e-5) is None
    assert offset(crval=(190.0, -20.0)) is None


def test_footprints():
    to_target = transform_between(tangent(crpix=(60.0, 50.0)), TARGET)
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
        assert window(transform_between(away, TARGET), (100, 120), (90, 400)) is None


@pytest.mark.parametrize(("tear", "whole"), [(230.3, slice(0, 224)), (250.3, slice(256, 300))])
@pytest.mark.parametrize("along", ["x", "y"])
@pytest.mark.parametrize("beyond", [1000.0, np.nan])
def test_areas_beside_a_tear_are_those_of_one_side(tear, whole, along, beyond):
    """Two corners of the last pixel before the tear are beyond it; cells on it have no slope."""

    def transform(x, y):
        step = np.where(np.asarray(x if along == "x" else y) > tear, beyond, 0.0)
        return x + step, y + step

    both = slice(0, 300)
    expected = np.where(np.isfinite(transform(np.arange(300.0), np.arange(300.0))[0]), 1.0, np.nan)
    made = PixelMap.of(transform, both, both)
    areas = [made.area(both, both), made.area(*((both, whole) if along == "x" else (whole, both)))]
    assert made.is_rough(both, both)
    lines = [(area if along == "x" else area.T) for area in areas]
    np.testing.assert_array_equal(lines[0], np.tile(expected, (300, 1)))
    np.testing.assert_array_equal(lines[1], lines[0][:, whole])


def test_places_around_a_window_do_not_depend_on_the_window():
    """Kernels need the places of pixels around a window."""

    def bent(x, y):
        return x + 1e-6 * x**2, y - 1e-6 * y**2

    whole = PixelMap.of(bent, slice(0, 200), slice(0, 200)).places_of_pixels(
        *all_pixels(slice(63, 97), slice(31, 129))
    )
    part = PixelMap.of(bent, slice(64, 96), slice(32, 128)).places_of_pixels(
        *all_pixels(slice(63, 97), slice(31, 129))
    )
    np.testing.assert_array_equal(part, whole)


def test_a_place_leads_back_or_is_none():
    """Inverting distortions far outside an image often converges to a wrong place."""
    plain, bent = tangent(), distorted(amount=8)
    y, x = np.mgrid[-600:700:40.0, -600:700:40.0]
    there = transform_between(plain, bent)(x, y)
    known = np.isfinite(there[0])
    assert 0.1 < known.mean() < 0.9
    world = bent.all_pix2world(there[0][known], there[1][known], 0)
    back = plain.all_world2pix(*world, 0)
    assert np.hypot(back[0] - x[known], back[1] - y[known]).max() <= 1


def test_the_window_of_a_torn_image_is_all_of_the_grid():
    """Between the sampled points, the image may be anywhere."""

    def torn(x, y):
        return x - np.where(x > 320, 400.0, 0.0), y + 0.0

    assert window(torn, (640, 640), (900, 800)) == (slice(0, 900), slice(0, 800))


def test_the_points_of_an_image_are_transformed_once_for_its_window():
    calls = []

    def moved(x, y):
        calls.append(x.shape)
        return x + 3.0, y + 2.0

    assert window(moved, (640, 640), (700, 650)) is not None
    assert len(calls) == 1


def test_less_than_half_of_a_pixel_is_touched_too():
    def by(shift):
        return window(lambda x, y: (x + shift, y + 0.0), (20, 10), (20, 30))

    assert by(-9.2)[1].start == 0
    assert by(29.8)[1].stop == 30
    assert by(-10.1) is by(30.1) is None
