"""`combine` of ccdproc and of gpustack give the same results where ccdproc is right."""

import astropy.units as u
import numpy as np
import pytest
from astropy.stats import mad_std

import gpustack
from parity import FLOAT32, FLOAT64, SCALES, N, assert_same, ccdproc, images


def combined(ccds, **options):
    return [package.combine(ccds, **options) for package in (gpustack, ccdproc)]


def assert_same_combined(ours, theirs, spread=FLOAT64):
    """As `assert_same`, but for `combine`, which keeps the header of the first image."""
    ours.meta["NCOMBINE"] = theirs.meta["NCOMBINE"] = 0
    assert_same(ours, theirs, spread=spread)


OPTIONS = {
    "default": {},
    "median": {"method": "median"},
    "sum": {"method": "sum"},
    "extrema": {"clip_extrema": True},
    "extrema 2, 1": {"clip_extrema": True, "nlow": 2, "nhigh": 1},
    "minmax": {"minmax_clip": True, "minmax_clip_min": 80, "minmax_clip_max": 120},
    "sigma": {"sigma_clip": True, "sigma_clip_low_thresh": 1.7, "sigma_clip_high_thresh": 1.9},
    "sigma of functions": {
        "sigma_clip": True,
        "sigma_clip_low_thresh": 2,
        "sigma_clip_high_thresh": 2,
        "sigma_clip_func": np.ma.median,
        "sigma_clip_dev_func": mad_std,
    },
    "scale": {"scale": SCALES["numbers"]},
    "scale by function": {"scale": lambda image: 1 / np.median(image)},
    "weights": {"weights": np.arange(1.0, N + 1)},
    "uncertainty": {"combine_uncertainty_function": np.nanvar},
    "limited memory": {"mem_limit": 5000},
    "limited memory, function": {"mem_limit": 5000, "combine_uncertainty_function": np.nanvar},
    "float32 images": {"dtype": np.float64},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_combine(options):
    assert_same_combined(*combined(images(12), **options))


def test_the_clips_of_combine_come_in_ccdprocs_order():
    """The order matters: here extrema rank samples that the range rejects afterwards."""
    options = {"clip_extrema": True, "minmax_clip": True, "minmax_clip_min": 90}
    assert_same_combined(*combined(images(13), **options))


def test_combine_of_files_keeps_header_and_wcs_of_the_first(real_data):
    files = sorted(str(path) for path in (real_data / "m13_blue").glob("*.fits"))
    ours, theirs = combined(files, unit=u.adu, method="median", clip_extrema=True)
    assert "NCOMBINE" not in ours.header
    stored = {"BSCALE", "BZERO", "COMMENT", "HISTORY", ""}
    assert set(ours.header) - stored == set(theirs.header) - stored
    for keyword in set(ours.header) - stored:
        assert ours.header[keyword] == theirs.header[keyword], keyword
    assert (ours.wcs is None) == (theirs.wcs is None)
    assert_same_combined(ours, theirs, spread=FLOAT32)


def test_combine_of_files_with_celestial_wcs(real_data):
    name = str(real_data / "galactic_center" / "gc_2mass_h.fits")
    ours, theirs = combined([name] * 3, unit=u.adu)
    assert ours.wcs.to_header_string() == theirs.wcs.to_header_string()
    assert_same_combined(ours, theirs)
