"""Exposures of the NOAO Community Pipeline with their masks (ood) and weight maps (oow)."""

import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_area
from click.testing import CliRunner

from gpustack import Image, SigmaClip, stack
from gpustack.cli import cli

#: Two reductions of one exposure are 1.6 pixels apart, which is irrelevant for these tests.
pytestmark = pytest.mark.filterwarnings("ignore:frames are not aligned")

#: Relative rounding of a float32 result of float64 sums of a few terms.
NEAR = 1e-6

#: Shape -> exposures of that shape; the first two are two reductions of one exposure.
ALIKE = {
    (250, 250): ("150411_035242_{}_z_ls9.N3", "150411_035242_{}_z_v1-N3"),
    (250, 249): ("170329_044212_{}_g_ls9.N3", "180212_083009_{}_z_ls9.N3"),
}


@pytest.fixture(scope="module")
def folder(real_data):
    found = real_data / "legacypipe_wcs"
    if not found.is_dir():
        pytest.skip("no legacypipe_wcs beside the checkout")
    return found


def kind(path, name):
    """The path of the mask or weight map that belongs to an image."""
    return path.with_name(path.name.replace("_ooi_", f"_{name}_"))


def data(path):
    with fits.open(path) as hdus:
        return hdus[1].data.copy()


def image(path):
    return Image(path, mask=kind(path, "ood"), weight=kind(path, "oow"))


def test_what_has_no_weight_is_what_is_flagged(folder):
    """A weight of 0 therefore marks a bad sample, not a good one of unknown weight."""
    images = sorted(folder.glob("*/*_ooi_*.fits"))
    assert len(images) == 18
    flagged = 0
    for path in images:
        weight, mask = data(kind(path, "oow")), data(kind(path, "ood"))
        np.testing.assert_array_equal(weight <= 0, mask != 0, err_msg=path.name)
        flagged += np.count_nonzero(mask)
    assert flagged == 952


@pytest.fixture(params=ALIKE.values(), ids=map(str, ALIKE))
def exposures(request, folder):
    """The paths of the images of two exposures of one shape."""
    return [folder / "testcase4_decam" / f"c4d_{n.format('ooi')}.fits" for n in request.param]


@pytest.mark.filterwarnings("ignore:frames differ in")
def test_the_weighted_mean_is_that_of_numpy(exposures):
    words = {"weights": "variance", "uncertainty": "propagated", "unit": "adu"}
    outputs = ("uncertainty", "count", "weight", "coverage")
    result = stack([image(path) for path in exposures], outputs=outputs, **words)
    x = np.array([data(path) for path in exposures], float)
    w = np.array([data(kind(path, "oow")) for path in exposures], float)
    good = np.array([data(kind(path, "ood")) == 0 for path in exposures]) & (w > 0)
    total = np.where(good, w, 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.where(good, w * x, 0).sum(axis=0) / total
    np.testing.assert_allclose(result.data, expected, rtol=NEAR, atol=1e-4)
    np.testing.assert_array_equal(result.coverage, good.sum(axis=0))
    np.testing.assert_array_equal(result.count, good.sum(axis=0))
    np.testing.assert_allclose(result.weight, total, rtol=1e-14)
    seen = ~result.mask
    np.testing.assert_allclose(result.uncertainty[seen], total[seen] ** -0.5, rtol=NEAR)
    np.testing.assert_array_equal(result.mask, total == 0)


@pytest.mark.filterwarnings("ignore:frames differ in")
def test_bad_samples_are_in_no_median(exposures):
    words = {"combine": "median", "unit": "adu", "outputs": ("count",)}
    by_mask = stack([Image(p, mask=kind(p, "ood")) for p in exposures], **words)
    by_weight = stack([Image(p, weight=kind(p, "oow")) for p in exposures], **words)
    np.testing.assert_array_equal(by_mask.data, by_weight.data)
    np.testing.assert_array_equal(by_mask.count, by_weight.count)


def test_the_command_line(exposures, tmp_path):
    words = ["combine", *map(str, exposures), "-o", str(tmp_path / "deep.fits"), "--unit", "adu"]
    words += ["--masks", "ooi:ood", "--weight-maps", "ooi:oow", "--weights", "variance"]
    words += ["--uncertainty", "propagated", "--clip", "sigma:low=4,high=4", "--maps", "weight"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no clip can reject anything of two frames
        done = CliRunner().invoke(cli, words)
        expected = stack(
            [image(path) for path in exposures],
            SigmaClip(4, 4),
            weights="variance",
            unit="adu",
            outputs=("weight",),
        )
    assert not done.exception, done.exception
    with fits.open(tmp_path / "deep.fits") as hdus:
        np.testing.assert_array_equal(hdus[0].data, expected.data)
        np.testing.assert_array_equal(hdus["WEIGHT"].data, expected.weight)
        assert hdus["WEIGHT"].header["BUNIT"] == "1 / adu2"


def test_their_cards_name_files_of_the_archive(exposures):
    """BPM contains DECALS_..._od[N3], the name in the archive and not that of the file here."""
    from gpustack.errors import MissingFileError

    with pytest.raises(MissingFileError, match=r"expected the mask that BPM of .* names"):
        stack([Image(path, mask="!BPM") for path in exposures], unit="adu")


#: Interpolating coordinates changes a sample by less than this fraction of its noise.
MOVED = 2e-3

#: Name -> glob, number and unit of exposures on different pixels: shifted, of many shapes, or
#: rotated by 180 degrees.
FIELDS = {
    "decam": ("testcase4_decam/c4d_*_ooi_*.fits", 10, "adu"),
    "k4m and turned ksb": ("mzlsbass3/*_ooi_*.fits", 8, "ct / s"),
}


def projected(path, grid):
    """Samples and weights on a grid, by reproject; NaN where a bad sample contributes."""
    from reproject import reproject_interp

    with fits.open(path) as hdus, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = hdus[1].header.copy()
        header.extend(hdus[0].header.copy(strip=True), unique=True)  # INHERIT, RADESYS included
        wcs, x = WCS(header), hdus[1].data.astype(float)
    variance = 1 / np.where(data(kind(path, "ood")) == 0, data(kind(path, "oow")), np.nan)
    x[np.isnan(variance)] = np.nan
    planes = np.array([x, variance.astype(float)])
    (x, variance), _ = reproject_interp((planes, wcs), grid, shape_out=grid.array_shape)
    ratio = proj_plane_pixel_area(grid) / proj_plane_pixel_area(wcs)
    return x * ratio, 1 / (variance * ratio**2)


@pytest.mark.parametrize(("pattern", "n", "unit"), FIELDS.values(), ids=FIELDS)
@pytest.mark.filterwarnings("ignore:frames differ in")
def test_on_one_grid(folder, pattern, n, unit):
    paths = sorted(folder.glob(pattern))
    assert len(paths) == n
    outputs = ("uncertainty", "count", "weight", "coverage")
    result = stack(
        [image(path) for path in paths],
        weights="variance",
        uncertainty="propagated",
        unit=unit,
        align="wcs:extent=union",
        outputs=outputs,
    )
    result.wcs.array_shape = result.data.shape
    x, w = np.moveaxis([projected(path, result.wcs) for path in paths], 1, 0)
    good = np.isfinite(x)
    total = np.where(good, w, 0).sum(axis=0)
    # Interpolated coordinates may miss an edge that is exactly on a pixel.
    assert (result.coverage != good.sum(axis=0)).mean() < 1e-4
    sure = (result.coverage == good.sum(axis=0)) & (total > 0)
    expected = np.where(good, w * x, 0).sum(axis=0)[sure] / total[sure]
    np.testing.assert_allclose(result.weight[sure], total[sure], rtol=1e-4)
    np.testing.assert_allclose(result.uncertainty[sure], result.weight[sure] ** -0.5, rtol=NEAR)
    off = np.abs(result.data[sure] - expected) / result.uncertainty[sure]
    assert off.max() < MOVED
    np.testing.assert_array_equal(result.count, result.coverage)
    assert result.coverage.max() == n
