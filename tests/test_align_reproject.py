"""`Reproject`, which resamples frames in a run, against `wcs_project` and a simulated sky."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, VarianceUncertainty
from astropy.wcs import WCS, DistortionLookupTable
from astropy.wcs.utils import proj_plane_pixel_area

from gpustack import Offsets, Reproject, SigmaClip, stack, wcs_project
from gpustack.align import align_frames
from gpustack.align.base import AbsentFrame
from gpustack.align.blocks import SIDE
from gpustack.align.footprint import transform_between
from gpustack.align.map_wcs import FramePixels, GridPixels
from gpustack.align.pixel_map import STEP, PixelMap
from gpustack.align.placed import PlacedFrame
from gpustack.align.resample import Resampling, interpolate, resample
from gpustack.frames import open_frames
from skies import SCALE, distorted, noisy, tangent
from watched import Watched

#: Tolerances: rounding of float32, and places accurate to 1e-4 pixels where samples differ by 80.
INTERPOLATED = {"rtol": 1e-6, "atol": 1e-4 * 80}
ORDERS = ("nearest-neighbor", "bilinear", "biquadratic", "bicubic")
METHODS = ("interp", "adaptive", "exact")


def frames(n=4, **more):
    """Dithered and rotated frames with pixels of two sizes; the first is the target."""
    places = [
        tangent((10 + 0.0007 * i, 20 - 0.0005 * i), degrees=7.0 * i, scale=SCALE * (1 + i % 2 / 2))
        for i in range(n)
    ]
    return [
        noisy(wcs, shape=(100 + 7 * i, 120), seed=i, masked=0.01, **more)
        for i, wcs in enumerate(places)
    ]


def projected(images, wcs, shape, **how):
    """The images projected by `wcs_project`, as a masked cube."""
    made = [wcs_project(image, wcs, shape, **how) for image in images]
    masks = [np.zeros(shape, bool) if one.mask is None else one.mask for one in made]
    return np.ma.MaskedArray([one.data for one in made], masks)


@pytest.mark.parametrize("order", ORDERS)
def test_a_run_gives_what_projecting_each_frame_first_gives(order):
    images = frames()
    cube = projected(images, images[0].wcs, images[0].shape, order=order)
    got = stack(images, align=Reproject(order=order), combine="mean")
    np.testing.assert_array_equal(got.count, (~cube.mask).sum(axis=0))
    if order != "nearest-neighbor":  # half way between two pixels, either may be the nearest
        expected = cube.mean(axis=0)
        np.testing.assert_array_equal(got.mask, expected.mask)
        np.testing.assert_allclose(got.data, expected.filled(np.nan), **INTERPOLATED)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_interpolation_is_that_of_reproject(order, dtype):
    """Including places up to half a pixel beyond the outermost centres, and next to NaN."""
    planes = np.random.default_rng(5).normal(100, 10, (2, 60, 50)).astype(dtype)
    if order in ("nearest-neighbor", "bilinear"):
        planes[0, 20:23, 30] = np.nan
    rows, columns, how = slice(3, 93), slice(-10, 75), Resampling(order=order)
    for degrees in (0, 31):
        frame = tangent(crpix=(25.25, 30.5), degrees=degrees)
        target = tangent(crpix=(35.0, 45.0), scale=0.9 * SCALE)
        pixel_map = PixelMap.of(transform_between(target, frame), rows, columns)
        grid = GridPixels(pixel_map, columns.start, rows.start, 0, 0)
        expected = resample(planes, FramePixels(), grid, (90, 85), how)
        got = interpolate(planes, pixel_map.places_of_window(rows, columns), how)
        rounded = dtype == "float32" and how.is_spline
        np.testing.assert_allclose(got, expected, rtol=1e-7 if rounded else 0, atol=0)
        assert 0.1 < np.isnan(got[1]).mean() < 0.9


def test_half_a_pixel_before_the_first_is_inside_and_after_the_last_is_not():
    places = np.array([[[0.0, 0, 0]], [[-0.5, 1, 2.5]]])
    found = interpolate(np.array([[1.0, 2, 3]]), places, Resampling())
    np.testing.assert_array_equal(found, [[1, 2, np.nan]])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("flux", ["ratio", "local", "unscaled"])
def test_all_methods_and_fluxes_do_as_wcs_project(method, flux):
    images = [noisy(tangent(degrees=20, scale=1.3e-4), shape=(50, 40), masked=0.01)]
    images.append(noisy(tangent(degrees=-4), shape=(45, 50), seed=3))
    how, shape = {"method": method, "flux": flux}, (45, 50)
    cube = projected(images, tangent(), shape, **how)
    align = Reproject(tangent(), shape=shape, **how)
    got = stack(images, align=align, combine="sum", outputs=("count",))
    np.testing.assert_array_equal(got.count, (~cube.mask).sum(axis=0))
    np.testing.assert_allclose(got.data, cube.sum(axis=0).filled(0), rtol=2e-5, atol=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_bands_leave_no_seam(method):
    images = frames(3)[1:]
    target = tangent((10.0011, 20.0003), degrees=-3)
    align = Reproject(target=target, shape=(97, 110), method=method)
    opened = align_frames(open_frames(images), align).frames
    for frame in opened:
        whole = frame.read(0, 97).data
        for rows in (1, 40):
            parts = [frame.read(y, min(y + rows, 97)).data for y in range(0, 97, rows)]
            np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_blocks_leave_no_seam(monkeypatch):
    images = frames(3)
    align = Reproject(extent="union")
    whole = stack(images, align=align)
    assert max(whole.data.shape) < SIDE
    monkeypatch.setattr("gpustack.align.blocks.SIDE", 16)
    parts = stack(images, align=align)
    np.testing.assert_array_equal(parts.data, whole.data)
    np.testing.assert_array_equal(parts.uncertainty, whole.uncertainty)


def test_limits_of_memory_make_no_difference():
    images = frames(4)
    whole = stack(images, SigmaClip(1.4, 1.4), align="wcs")
    small = stack(images, SigmaClip(1.4, 1.4), align="wcs", memory="6MB")
    np.testing.assert_array_equal(small.data, whole.data)
    np.testing.assert_array_equal(small.count, whole.count)


def test_a_frame_on_the_grid_is_not_resampled():
    images = [noisy(tangent(), dtype=">i2"), noisy(tangent(crpix=(57.0, 51.0)), seed=1)]
    opened = align_frames(open_frames(images), Reproject()).frames
    assert [type(frame) for frame in opened] == [PlacedFrame] * 2
    assert opened[1].offset == (-1, 3)
    result = stack(images, align=Reproject(), combine="sum")
    np.testing.assert_array_equal(
        result.data[:99, 3:], images[0].data[:99, 3:] + images[1].data[1:, :117]
    )
    for method in ("adaptive", "exact"):
        opened = align_frames(open_frames(images), Reproject(method=method)).frames
        assert PlacedFrame not in map(type, opened), "they spread a sample over its neighbours"


def test_only_rows_that_lie_on_a_band_are_read():
    images = [noisy(tangent()), noisy(tangent((10.0, 20.004)), seed=1)]
    aligned = align_frames([Watched(f) for f in open_frames(images)], Reproject(extent="union"))
    first, second = aligned.frames
    assert second.shape == (140, 120)
    second.read(0, 37)
    assert second.inner.rows == [], "it begins 40 rows further up"
    second.read(100, 102)
    first_row, *_, last_row = second.inner.rows
    assert first_row >= 100 - 40 - STEP - 4
    assert last_row < 102 - 40 + STEP + 4
    first.read(110, 140)
    assert first.inner.rows == []


TARGETS = {
    "first": ("first", (100, 120)),
    "a WCS": (tangent(degrees=12), (80, 90)),
    "a header": (None, (80, 90)),
    "a file": (None, (80, 90)),
}


@pytest.mark.parametrize("name", TARGETS)
def test_targets(name, tmp_path):
    target, shape = TARGETS[name]
    images = frames(2)
    if name == "a WCS":
        target.array_shape = shape
    elif target is None:
        header = tangent(degrees=12).to_header()
        target = fits.PrimaryHDU(np.zeros(shape, np.uint8), header).header
        if name == "a file":
            path = tmp_path / "target.fits"
            fits.HDUList(
                [fits.PrimaryHDU(), fits.ImageHDU(np.zeros(shape, np.uint8), header)]
            ).writeto(path)
            target = str(path)
    result = stack(images, align=Reproject(target))
    assert result.data.shape == shape
    wcs = images[0].wcs if name == "first" else tangent(degrees=12)
    np.testing.assert_allclose(result.wcs.pixel_scale_matrix, wcs.pixel_scale_matrix)
    expected = projected(images, wcs, shape).mean(axis=0)
    np.testing.assert_allclose(result.data, expected.filled(np.nan), **INTERPOLATED)


def test_a_shape_given_goes_first():
    assert stack(frames(2), align=Reproject(shape=(30, 44))).data.shape == (30, 44)
    assert stack(frames(2), align="wcs:shape=30x44").data.shape == (30, 44)


@pytest.mark.parametrize(
    "how", ["wcs:target=optimal", "wcs:extent=union", "wcs:target=optimal,scale=0.2"]
)
@pytest.mark.parametrize("kind", ["RA---TAN", "GLON-CAR"])
def test_a_grid_around_all_frames_loses_no_pixel(how, kind):
    images = [
        noisy(tangent(kind=kind, degrees=30)),
        noisy(distorted(crval=(10.01, 20.004), degrees=100), seed=1)
        if kind == "RA---TAN"
        else noisy(tangent((10.01, 20.004), kind=kind, degrees=100), seed=1),
    ]
    result = stack(images, align=how, outputs=("count",))
    for image in images:
        height, width = image.shape
        y, x = np.indices(image.shape)
        edge = (y == 0) | (x == 0) | (y == height - 1) | (x == width - 1)
        at = result.wcs.world_to_pixel(image.wcs.pixel_to_world(x[edge], y[edge]))
        assert min(at[0].min(), at[1].min()) >= -0.51
        assert (at[0].max() - result.data.shape[1], at[1].max() - result.data.shape[0]) <= (0, 0)
    # The grid has no rows or columns that no frame touches either.
    for axis in (0, 1):
        touched = result.count.max(axis=axis)
        assert (touched[1:-1] > 0).all()
    if "optimal" in how:
        north = result.wcs.pixel_scale_matrix
        np.testing.assert_allclose(north - np.diag(np.diag(north)), 0, atol=1e-12)
    if "scale" in how:
        np.testing.assert_allclose(abs(np.diag(north)) * 3600, 0.2)


def test_the_header_tells_of_the_grid_alone(tmp_path):
    image = noisy(distorted())
    image.meta = fits.Header({"OBJECT": "field", "CD1_1": 3.0, "CTYPE1": "RA---TAN-SIP"})
    result = stack([image, noisy(tangent(degrees=5))], align=Reproject(tangent(), shape=(50, 60)))
    result.write(tmp_path / "out.fits")
    with fits.open(tmp_path / "out.fits") as hdus:
        header = hdus[0].header
        assert header["CTYPE1"] == "RA---TAN"
        assert header["OBJECT"] == "field"
        assert "A_ORDER" not in header
        assert "CD1_1" not in header
        assert any(line.startswith("align: wcs:") for line in header["HISTORY"])
        np.testing.assert_allclose(WCS(header).wcs.crval, tangent().wcs.crval)
    read = CCDData.read(tmp_path / "out.fits")
    np.testing.assert_allclose(read.wcs.pixel_scale_matrix, tangent().pixel_scale_matrix)


def test_variances_go_along():
    image = noisy(tangent(degrees=33, scale=2e-4))
    image.uncertainty = StdDevUncertainty(np.full(image.shape, 3.0))
    target = tangent()
    (frame,) = align_frames(open_frames([image]), Reproject(target, shape=(100, 100))).frames
    expected = wcs_project(image, target, (100, 100))
    variance = frame.read_variance(20, 70)
    inside = np.isfinite(variance)
    assert inside.mean() > 0.9
    np.testing.assert_array_equal(inside, np.isfinite(expected.data[20:70]))
    np.testing.assert_allclose(variance[inside], expected.uncertainty.array[20:70][inside] ** 2)
    np.testing.assert_allclose(variance[inside], 9 / 16, rtol=1e-6, err_msg="a quarter of the area")


def test_samples_without_weight_count_nothing():
    """Weight maps mark such samples by an inverse variance of 0."""
    image, other = noisy(tangent(degrees=3), level=10), noisy(tangent(), seed=1)
    inverse = np.ones(image.shape)
    inverse[40:60, 50:70] = 0
    image.uncertainty = InverseVariance(inverse)
    other.uncertainty = VarianceUncertainty(np.ones(other.shape))
    result = stack([other, image], weights="variance", align="wcs")
    inside = result.wcs.world_to_pixel(image.wcs.pixel_to_world(60, 50))
    x, y = np.rint(inside).astype(int)
    assert result.data[y, x] == other.data[y, x]
    assert 10 < result.data[y, x + 30] < 90


def test_bits_are_those_of_the_nearest_pixel():
    image = noisy(tangent(degrees=90))
    image.flags = np.zeros(image.shape, np.uint16)
    image.flags[10:20, 30:40] = 4
    target = tangent()
    (frame,) = align_frames(open_frames([image]), Reproject(target, shape=(120, 120))).frames
    bits = frame.read_flags(0, 120)
    y, x = np.indices((120, 120))
    at = image.wcs.world_to_pixel(target.pixel_to_world(x, y))
    inside = (
        (np.rint(at[1]) >= 10)
        & (np.rint(at[1]) < 20)
        & (np.rint(at[0]) >= 30)
        & (np.rint(at[0]) < 40)
    )
    assert bits.dtype == np.uint16
    np.testing.assert_array_equal(bits, np.where(inside, 4, 0))
    assert inside.sum() == 100


def test_frames_without_overlap_are_listed_and_count_nothing():
    images = [*frames(2), noisy(tangent((50.0, 20.0)))]
    with pytest.warns(UserWarning, match="frame 2: left out: none of its pixels are on"):
        result = stack(images, align="wcs", weights=[1, 1, 5])
    assert [bool(why) for why in result.frames["left_out"]] == [False, False, True]
    assert result.header["NCOMBINE"] == 2
    np.testing.assert_array_equal(result.data, stack(images[:2], align="wcs").data)


def test_normalisation_is_measured_on_the_grid():
    """Frames with different levels that overlap in part are combined without a seam."""
    images = []
    for i, level in enumerate((100, 150, 70)):
        wcs = tangent((10 + 0.004 * i, 20.0), degrees=2 * i)
        images.append(CCDData(np.full((100, 120), level, "f4"), unit="adu", wcs=wcs))
    align = Reproject(tangent(), extent="union")
    result = stack(images, align=align, zero="overlap")
    assert np.nanstd(result.data) < 1e-3
    offsets = np.array(result.frames["zero"])
    np.testing.assert_allclose(offsets - offsets[0], [0, 50, -30], atol=1e-3)


def test_a_frame_whose_header_says_the_same_in_other_words_is_taken_as_it_is():
    """With CD instead of PC and CDELT, pixel areas differ by rounding."""
    wcs = tangent(degrees=45)
    header = wcs.to_header()
    for key in [key for key in header if key.startswith(("PC", "CDELT"))]:
        del header[key]
    for (i, j), value in np.ndenumerate(wcs.pixel_scale_matrix):
        header[f"CD{i + 1}_{j + 1}"] = value
    other = WCS(header)
    assert proj_plane_pixel_area(other) != proj_plane_pixel_area(wcs)
    align = Reproject(other, shape=(100, 120))
    (frame,) = align_frames(open_frames([noisy(wcs)]), align).frames
    assert isinstance(frame, PlacedFrame)


def test_an_absent_frame_has_no_valid_sample():
    images = [frames(1)[0], noisy(tangent((50.0, 20.0)))]
    absent = align_frames(open_frames(images), Reproject()).frames[1]
    assert isinstance(absent, AbsentFrame)
    assert absent.whole().mask.all()
    assert np.isnan(absent.read_variance(0, 3)).all()
    assert not absent.read_flags(0, 3).any()


def test_whole_pixels_are_another_alignment():
    with pytest.raises(ValueError, match="align: expected one of 'wcs', 'offsets', 'register'"):
        stack(frames(2), align="shift")
    assert str(Offsets()).startswith("offsets:")


@pytest.mark.parametrize("extent", ["target", "union"])
def test_lookup_tables_are_honoured(tmp_path, extent):
    """The tables are in other HDUs of a file. A grid has none: its header cannot contain them."""
    wcs = tangent()
    table = np.linspace(0, 6, 36, dtype=np.float32).reshape(6, 6)
    # astropy reads tables of both axes or none.
    wcs.cpdis1 = DistortionLookupTable(table, (1, 1), (1, 1), (25, 25))
    wcs.cpdis2 = DistortionLookupTable(table.T.copy(), (1, 1), (1, 1), (25, 25))
    hdus = wcs.to_fits()
    hdus[0].data = noisy(wcs).data
    hdus.writeto(tmp_path / "tables.fits")
    (tables,) = open_frames([tmp_path / "tables.fits"], unit="adu")
    assert tables.coordinates.wcs.cpdis1 is not None
    plain = noisy(tangent(degrees=1), seed=1)
    result = stack([plain, CCDData(hdus[0].data, unit="adu", wcs=wcs)], align="wcs", combine="sum")
    read = stack([plain, tmp_path / "tables.fits"], align="wcs", combine="sum", unit="adu")
    np.testing.assert_array_equal(read.data, result.data)
    expected = wcs_project(CCDData(hdus[0].data, unit="adu", wcs=wcs), plain.wcs, plain.shape)
    inside = ~expected.mask & (read.count == 2)
    difference = read.data - plain.data - expected.data
    np.testing.assert_allclose(difference[inside], 0, atol=0.02)
    first = stack([tmp_path / "tables.fits", plain], align=Reproject(extent=extent), unit="adu")
    assert first.wcs.cpdis1 is None
    first.write(tmp_path / "out.fits")
    assert not any("CPDIS" in key for key in fits.getheader(tmp_path / "out.fits"))
    # When frames are moved by whole pixels, the tables are kept, and written to the file.
    pair = [tmp_path / "tables.fits", plain]
    moved = stack(pair, align=Offsets([(0, 0), (3, -4)]), unit="adu")
    moved.write(tmp_path / "moved.fits")
    with fits.open(tmp_path / "moved.fits") as written:
        again = WCS(written[0].header, written)
    here = [[50.0, 40.0]]
    np.testing.assert_allclose(again.all_pix2world(here, 0), moved.wcs.all_pix2world(here, 0))
    assert again.cpdis1 is not None
