"""`wcs_project`, against that of ccdproc and against known answers."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, VarianceUncertainty
from astropy.wcs import WCS, Sip
from astropy.wcs.wcsapi import SlicedLowLevelWCS

from gpustack import Reproject, wcs_project
from gpustack.align import align_frames
from gpustack.errors import InputError
from gpustack.frames import open_frames

#: Tolerance for spline orders: two roundings of a sample of about 100.
SPLINE = 1e-13


#: Cards of `image` that do not describe its grid.
KEPT_CARDS = {"DATE-OBS", "MJDREF", "OBJECT"}


def tangent(crval=(10.0, 20.0), degrees=0.0, scale=1e-3, crpix=(20.0, 15.0)):
    """A tangential projection, rotated by `degrees`."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = crval, crpix
    wcs.wcs.cdelt = [-scale, scale]
    turn = np.deg2rad(degrees)
    wcs.wcs.pc = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    return wcs


def image(*, masked=0.05, dtype=float):
    rng = np.random.default_rng(3)
    data = rng.normal(100, 10, (30, 40)).astype(dtype)
    mask = rng.random(data.shape) < masked if masked else None
    wcs = tangent()
    header = wcs.to_header()
    header["OBJECT"] = "field"
    header["DATE-OBS"] = "2026-01-01"
    header["CD1_1"] = 1.0
    return CCDData(data, unit="adu", mask=mask, wcs=wcs, header=header)


TARGETS = {
    "same": tangent(),
    "turned": tangent(degrees=10),
    "shifted, larger pixels": tangent((10.004, 20.003), scale=1.3e-3),
    "smaller pixels": tangent(scale=0.4e-3),
    "elsewhere": tangent((50.0, 20.0)),
}


@pytest.mark.parametrize("masked", [0, 0.05])
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_data_and_mask_are_ccdprocs(target, masked):
    ccdproc = pytest.importorskip("ccdproc")
    ccd = image(masked=masked)
    ours, theirs = (project(ccd, target) for project in (wcs_project, ccdproc.wcs_project))
    np.testing.assert_array_equal(ours.data, theirs.data)
    assert (ours.mask is None) == (theirs.mask is None)
    np.testing.assert_array_equal(ours.mask, theirs.mask)
    assert ours.unit == theirs.unit
    assert ours.wcs is target
    assert {key: ours.header[key] for key in ("OBJECT", "DATE-OBS")} == {
        key: theirs.header[key] for key in ("OBJECT", "DATE-OBS")
    }


@pytest.mark.parametrize("order", ["nearest-neighbor", "bilinear", "biquadratic", "bicubic"])
def test_orders_and_shape(order):
    ccdproc = pytest.importorskip("ccdproc")
    masked = 0 if order in ("biquadratic", "bicubic") else 0.05
    arguments = {"target_wcs": TARGETS["turned"], "target_shape": (25, 50), "order": order}
    ours, theirs = (
        p(image(masked=masked), **arguments) for p in (wcs_project, ccdproc.wcs_project)
    )
    assert ours.shape == (25, 50)
    np.testing.assert_allclose(ours.data, theirs.data, rtol=SPLINE)
    np.testing.assert_array_equal(ours.mask, theirs.mask)


@pytest.mark.parametrize("order", ["biquadratic", "bicubic"])
def test_by_a_spline_a_masked_pixel_reaches_three_pixels_and_no_further(order):
    """Whatever its value. ccdproc masks every second ring up to 14 pixels away, and keeps waves."""
    rng = np.random.default_rng(5)
    data = rng.normal(100, 10, (60, 60))
    wcs, target = tangent(crpix=(30, 30)), tangent(crpix=(30.3, 30.4))
    clean = wcs_project(CCDData(data, unit="adu", wcs=wcs), target, order=order)
    results = []
    for value in (100.0, 1e6, np.nan):
        data[30, 30] = value
        mask = np.zeros(data.shape, bool)
        mask[30, 30] = True
        results.append(
            wcs_project(CCDData(data, unit="adu", wcs=wcs, mask=mask), target, order=order)
        )
    outside = np.isnan(clean.data)
    for result in results:
        y, x = np.nonzero(result.mask & ~outside)
        assert np.hypot(y - 30.4, x - 30.3).max() < 5
        assert len(y) >= 9
        np.testing.assert_array_equal(result.data, results[0].data)
        apart = np.abs(result.data - clean.data)[~result.mask]
        assert apart.max() < 0.01 * 60, "a hundredth of what neighbours differ by"


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, ">f4"])
def test_other_samples(dtype):
    ours = wcs_project(image(dtype=dtype), TARGETS["same"])
    np.testing.assert_allclose(ours.data, image(dtype=dtype).data, rtol=1e-6)
    assert ours.data.dtype == np.float64


def test_counts_stay_what_they_were():
    """Four pixels that replace one contain a quarter of its counts each."""
    ccd = CCDData(np.full((30, 40), 8.0), unit="adu", wcs=tangent())
    finer = wcs_project(ccd, tangent(scale=0.5e-3), (20, 20))
    np.testing.assert_allclose(finer.data, 2.0, rtol=1e-6)
    assert finer.mask is None


def test_what_is_outside_is_nan_and_masked():
    result = wcs_project(image(masked=0), tangent(crpix=(25.0, 15.0)))
    assert np.isnan(result.data[:, :5]).all()
    assert result.mask[:, :5].all()
    assert not result.mask[:, 5:].any()


@pytest.mark.filterwarnings("ignore:'WCS.all_world2pix' failed to converge")
def test_where_a_distortion_leads_from_afar_there_is_no_second_image():
    # Far from an image, its polynomials are arbitrary, and map parts of the sky into the image.
    bent, sky = tangent(scale=0.5), WCS(naxis=2)
    bent.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    terms = np.zeros((3, 3))
    terms[2, 0] = 0.01
    bent.sip = Sip(terms, terms.T, None, None, bent.wcs.crpix)
    sky.wcs.ctype, sky.wcs.crval = ["RA---CAR", "DEC--CAR"], (180.0, 0.0)
    sky.wcs.crpix, sky.wcs.cdelt = (36.5, 18.5), (-5.0, 5.0)
    found = wcs_project(CCDData(np.ones((30, 40)), unit="adu", wcs=bent), sky, (36, 72))
    there = sky.pixel_to_world(*np.nonzero(~found.mask)[::-1])
    assert len(there) > 10
    assert there.separation(bent.pixel_to_world(19, 14)).deg.max() < 20


def test_the_header_loses_the_coordinates_alone():
    ccd = image()
    before = ccd.header.copy()
    result = wcs_project(ccd, TARGETS["turned"])
    assert set(result.header) == KEPT_CARDS
    assert ccd.header == before
    written = WCS(result.to_hdu()[0].header)
    np.testing.assert_allclose(written.wcs.get_pc(), TARGETS["turned"].wcs.get_pc(), rtol=1e-12)


def test_the_header_loses_what_aligned_frames_lose():
    """Cards of sections, physical and alternative coordinates, and an old form of RADESYS."""
    ccd, target = image(masked=0), TARGETS["turned"]
    of_pixels = {"CCDSEC": "[1:9,1:9]", "DATASEC": "[1:9,1:9]", "LTV1": 5.0, "LTM1_1": 1.0}
    ccd.header.update(of_pixels | {"CTYPE1A": "LINEAR", "CRPIX1A": 3.0, "RADECSYS": "FK5"})
    align = Reproject(target, shape=ccd.shape)
    (frame,) = align_frames(open_frames([ccd]), align).frames
    assert set(wcs_project(ccd, target).header) == set(frame.header) == KEPT_CARDS


def test_metadata_that_is_no_header_and_uncertainty():
    ccd = CCDData(
        np.ones((30, 40)),
        unit="adu",
        wcs=tangent(),
        meta={"night": 3},
        mask=np.zeros((30, 40), bool),
        uncertainty=StdDevUncertainty(np.ones((30, 40))),
    )
    result = wcs_project(ccd, TARGETS["same"])
    assert dict(result.meta) == {"night": 3}
    assert result.meta is not ccd.meta
    assert isinstance(result.uncertainty, StdDevUncertainty), "as it was; ccdproc drops it"
    np.testing.assert_allclose(result.uncertainty.array, 1, rtol=1e-6)
    assert result.mask is None


#: The one bad pixel of images that have a variance of 4 elsewhere.
BAD = (12, 25)


def uncertain(kind=VarianceUncertainty, *, value=np.nan, masked=False, dtype=float):
    """An image whose variance is `value` at `BAD`, where it may also be masked."""
    ccd = image(masked=0, dtype=dtype)
    variance = np.full(ccd.shape, 4.0)
    variance[BAD] = value
    with np.errstate(divide="ignore"):
        ccd.uncertainty = VarianceUncertainty(variance).represent_as(kind)
    if masked:
        ccd.mask = np.zeros(ccd.shape, bool)
        ccd.mask[BAD] = True
    return ccd


@pytest.mark.parametrize("kind", [StdDevUncertainty, VarianceUncertainty, InverseVariance])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("masked", [True, False])
def test_on_the_same_grid_an_unknown_variance_is_that_of_one_pixel(kind, value, masked):
    ccd = uncertain(kind, value=value, masked=masked)
    found = wcs_project(ccd, TARGETS["same"]).uncertainty.represent_as(VarianceUncertainty).array
    assert np.argwhere(~np.isfinite(found)).tolist() == [list(BAD)]
    found[BAD] = 4
    np.testing.assert_allclose(found, 4, rtol=1e-6)


@pytest.mark.parametrize(
    ("value", "masked"),
    [(np.nan, False), (np.inf, False), (-1.0, False), (np.nan, True), (1e10, True)],
)
@pytest.mark.parametrize(
    "how",
    [{}, {"order": "bicubic"}, {"method": "adaptive"}, {"method": "exact"}, {"flux": "local"}],
    ids=str,
)
def test_variances_are_those_of_aligned_frames(how, value, masked):
    ccd, target = uncertain(value=value, masked=masked), TARGETS["shifted, larger pixels"]
    found = wcs_project(ccd, target, **how).uncertainty.array
    align = Reproject(target, shape=ccd.shape, **how)
    (frame,) = align_frames(open_frames([ccd]), align).frames
    expected = frame.read_variance(0, ccd.shape[0])
    # Aligned frames are resampled in blocks, at places interpolated between nodes.
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    inside = np.isfinite(wcs_project(image(masked=0), target, **how).data)
    assert 0 < np.isnan(found[inside]).sum() < 40


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16])
def test_an_uncertainty_changes_nothing_of_data_and_mask(dtype, masked):
    ccd, target = uncertain(masked=masked, dtype=dtype), TARGETS["turned"]
    given = wcs_project(ccd, target)
    ccd.uncertainty = None
    bare = wcs_project(ccd, target)
    np.testing.assert_array_equal(given.data, bare.data)
    np.testing.assert_array_equal(given.mask, bare.mask)


def test_wcs_that_are_missing_or_not_celestial():
    spectrum = WCS(naxis=2)
    spectrum.wcs.ctype = ["WAVE", "LINEAR"]
    bare = CCDData(np.ones((2, 2)), unit="adu")
    with pytest.raises(InputError, match=r"ccd\.wcs: expected a celestial WCS, got none"):
        wcs_project(bare, tangent())
    sliced = SlicedLowLevelWCS(tangent(), np.s_[1:, 1:])
    with pytest.raises(InputError, match=r"target_wcs: expected an .*WCS, got SlicedLowLevelWCS"):
        wcs_project(CCDData(np.ones((2, 2)), unit="adu", wcs=tangent()), sliced)
    with pytest.raises(ValueError, match=r"target_wcs: .* not celestial, with axes WAVE, LINEAR"):
        wcs_project(image(), spectrum)
    with pytest.raises(ValueError, match=r"target_wcs: .* not celestial, without a CTYPE$"):
        wcs_project(image(), WCS(fits.Header({"OBJECT": "M13"})))


@pytest.mark.parametrize("shape", [(2, 4, 5), (4,)])
def test_images_of_other_than_two_axes(shape):
    ccd = CCDData(np.ones(shape), unit="adu", wcs=tangent())
    for target_shape in (None, (4, 5)):
        with pytest.raises(ValueError, match=r"ccd: expected an image of two axes, got shape \("):
            wcs_project(ccd, tangent(), target_shape)


def test_real_coordinates(real_data):
    """A survey image projected onto the grid of another."""
    ccdproc = pytest.importorskip("ccdproc")
    folder = real_data / "galactic_center"
    with fits.open(folder / "gc_2mass_h.fits") as hdus:
        ccd = CCDData(hdus[0].data, unit="adu", wcs=WCS(hdus[0].header), header=hdus[0].header)
    with fits.open(folder / "gc_2mass_k.fits") as hdus:
        target, shape = WCS(hdus[0].header), hdus[0].data.shape
    ours, theirs = (p(ccd, target, shape) for p in (wcs_project, ccdproc.wcs_project))
    np.testing.assert_array_equal(ours.data, theirs.data)
    np.testing.assert_array_equal(ours.mask, theirs.mask)


@pytest.mark.parametrize("shape", [(5, 0), (5.5, 3), (-5, 3), (4,), "456", 5])
def test_shapes_that_are_none(shape):
    ccd = CCDData(np.ones((4, 5)), unit="adu", wcs=tangent())
    with pytest.raises(ValueError, match="target_shape: expected"):
        wcs_project(ccd, tangent(), shape)


@pytest.mark.parametrize("given", ["word", 3, ["a"]])
def test_keywords_that_are_none(given):
    ccd = CCDData(np.ones((4, 5)), unit="adu", wcs=tangent())
    with pytest.raises(ValueError, match="add_keyword: expected a mapping"):
        wcs_project(ccd, tangent(), add_keyword=given)


def test_what_is_added_to_the_header_and_orders_by_number():
    ccd = CCDData(np.random.default_rng(1).random((40, 50)), unit="adu", wcs=tangent())
    target = tangent(degrees=10)
    found = wcs_project(ccd, target, order=0, add_keyword={"PROJ": True})
    expected = wcs_project(ccd, target, order="nearest-neighbor", add_keyword=True)
    np.testing.assert_array_equal(found.data, expected.data)
    assert found.header["PROJ"] is True
    assert "PROJ" not in expected.header


@pytest.mark.parametrize("order", [1.0, 7, -1, True, np.array([1, 2])], ids=repr)
def test_orders_that_are_none(order):
    ccd = CCDData(np.ones((4, 5)), unit="adu", wcs=tangent())
    with pytest.raises(ValueError, match="Reproject order: expected one of"):
        wcs_project(ccd, tangent(), order=order)


def test_the_factor_in_the_middle_is_computed_only_for_surface_brightness(monkeypatch):
    """Only the warning about surface brightness needs it."""

    def refuse(*args):
        raise AssertionError

    monkeypatch.setattr("gpustack.align.project.middle_area", refuse)
    assert wcs_project(image(), tangent(degrees=3.0), flux="local").unit == "adu"
