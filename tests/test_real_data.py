"""Real frames of several cameras, against astropy and numpy."""

import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.stats import sigma_clip

from gpustack import ExtremaClip, SigmaClip, stack
from gpustack.errors import GpustackWarning, MismatchError

#: Name -> glob of frames of one shape, as combined for the calibration of a night.
SEQUENCES = {
    "m13_blue": "m13_blue/*.fits",
    "saao": "saao_kb130475/*.fits",
    "darks of 60 s": "itel_t05_darks/*-60_B2.fit",
    "bias in extension 1, gzip": "wht_isis_raw/*.fit.gz",
    "flats, gzip": "lick_kast_blue/b1[123].fits.gz",
}

#: Relative tolerance of means, which differ from numpy's before they are rounded to float32.
MEAN = 2e-7

#: Sequences with more samples than this are compared with astropy only in part.
LARGE = 5_000_000


@pytest.fixture(scope="module", params=SEQUENCES.values(), ids=SEQUENCES)
def sequence(request, real_data):
    """The files of a sequence, and the cube that astropy reads from them, as float64."""
    paths = sorted(real_data.glob(request.param))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the headers are old
        cube = np.array([image_data(path) for path in paths], dtype=np.float64)
    cube.flags.writeable = False
    return paths, cube


def image_data(path):
    """The data of the first HDU that has any."""
    with fits.open(path) as hdus:
        return next(hdu.data.copy() for hdu in hdus if hdu.data is not None)


@pytest.mark.parametrize("combine", ["median", "min", "max"])
def test_order_statistics_are_numpys(sequence, combine):
    paths, cube = sequence
    result = stack(paths, combine=combine, unit="adu")
    expected = getattr(np, combine)(cube, axis=0)
    np.testing.assert_array_equal(result.data, expected.astype(np.float32))


def test_mean_and_spread_are_numpys(sequence):
    paths, cube = sequence
    result = stack(paths, unit="adu")
    np.testing.assert_allclose(result.data, cube.mean(axis=0), rtol=MEAN)
    spread = cube.std(axis=0) / np.sqrt(len(cube))
    np.testing.assert_allclose(result.uncertainty, spread, rtol=MEAN, atol=1e-30)


@pytest.mark.filterwarnings("ignore:.*is not rejected:gpustack.errors.GpustackWarning")
@pytest.mark.parametrize(("center", "passes"), [("mean", None), ("median", 1)])
def test_sigma_clips_are_astropys(sequence, center, passes):
    """Only one pass for the median: in later passes, astropy restores samples within new bounds."""
    paths, cube = sequence
    clip = SigmaClip(1.5, 2, center=center, maxiters=passes)
    result = stack(paths, clip, unit="adu", outputs=("count", "rejected", "rejections"))
    # astropy is slow, so only every third row of large sequences is compared.
    step = 1 if cube.size < LARGE else 3
    how = {"cenfunc": center, "stdfunc": "std", "maxiters": passes, "axis": 0}
    clipped = sigma_clip(cube[:, ::step], sigma_lower=1.5, sigma_upper=2, **how)
    np.testing.assert_array_equal(result.count[::step], clipped.count(axis=0))
    np.testing.assert_allclose(result.data[::step], clipped.mean(axis=0), rtol=MEAN)
    rejected = np.asarray(result.rejections)
    np.testing.assert_array_equal(rejected[:, ::step], clipped.mask)
    np.testing.assert_allclose(result.frames["rejected"], rejected.mean(axis=(1, 2)))


def test_a_repeated_clip_is_a_numpy_loop(real_data):
    paths = sorted(real_data.glob(SEQUENCES["saao"]))
    cube = np.array([image_data(path)[::20] for path in paths], dtype=np.float64)
    result = stack(cube.astype(np.uint16), SigmaClip(1.5, 2), dtype="float32")
    lost = -1
    while lost != (lost := np.isnan(cube).sum()):
        center, spread = np.nanmedian(cube, axis=0), np.nanstd(cube, axis=0)
        cube[(cube < center - 1.5 * spread) | (cube > center + 2 * spread)] = np.nan
    np.testing.assert_array_equal(result.count, np.isfinite(cube).sum(axis=0))
    np.testing.assert_allclose(result.data, np.nanmean(cube, axis=0), rtol=MEAN)


def test_extrema_are_those_of_a_sort(sequence):
    paths, cube = sequence
    result = stack(paths, ExtremaClip(1, 1), unit="adu")
    expected = np.sort(cube, axis=0)[1:-1].mean(axis=0)
    np.testing.assert_allclose(result.data, expected, rtol=MEAN)


def test_bands_of_real_files_change_no_bit(sequence):
    paths, cube = sequence
    whole = stack(paths, SigmaClip(2, 2), unit="adu")
    rows = []
    bands = stack(
        paths,
        SigmaClip(2, 2),
        unit="adu",
        memory=cube.size,
        progress=lambda done, total: rows.append(done),
    )
    assert len(rows) > 1
    np.testing.assert_array_equal(whole.data, bands.data)
    np.testing.assert_array_equal(whole.count, bands.count)


def test_moonlit_frames_agree_after_scaling(real_data):
    """The sky of this night rises tenfold; shifted to the level of the first, the frames agree."""
    paths = sorted(real_data.glob("saao_kb130475/*.fits"))[::3]
    result = stack(paths, SigmaClip(3, 3, spread="mad_std"), unit="adu", zero="median")
    assert np.ptp(result.frames["zero"]) > 1000
    plain = stack(paths, unit="adu", combine="median")
    shifted = stack(paths, unit="adu", combine="median", zero="median")
    assert np.median(shifted.uncertainty) < 0.2 * np.median(plain.uncertainty)


@pytest.fixture(scope="module")
def registered(real_data):
    """The moonlit frames, cropped so that stars are on the same pixels in all."""
    folder = real_data / "saao_kb130475"
    shifts = np.genfromtxt(folder / "shifts.csv", delimiter=",", dtype=None, encoding="ascii")
    # No shift is larger than this.
    edge, size = 8, 512
    return [
        image_data(folder / name)[edge + dy : size - edge + dy, edge + dx : size - edge + dx]
        for name, dy, dx, _ in shifts
    ]


def test_moonlit_frames_matched_in_spread_and_level_lose_few_samples(registered):
    planes = registered
    levels = [np.median(plane) for plane in planes]
    assert max(levels) > 3 * min(levels)
    clip = SigmaClip(4, 4, spread="mad_std")
    plain = stack(planes, clip).frames["rejected"]
    result = stack(planes, SigmaClip(4, 4), scale="mad", zero="median", weights="noise")
    assert max(plain) > 0.5
    assert max(result.frames["rejected"]) < 0.05
    # One frame is smeared, and loses samples beside stars; all others lose few here too.
    robust = np.sort(stack(planes, clip, scale="mad", zero="median").frames["rejected"])
    assert robust[-2] < 0.05 < robust[-1] < 0.07
    spreads = [median_deviation(plane) for plane in planes]
    np.testing.assert_allclose(result.frames["scale"], spreads[0] / np.array(spreads))


def test_no_frame_loses_its_sky_to_a_clip_at_three_sigma(registered):
    """With a sky of 600 to 6000 ADU, each frame keeps 95% of its sky if level and spread match."""
    planes = registered
    matched = {"scale": "mad", "zero": "median"}
    base = stack(planes, combine="median", **matched).data
    sky = np.abs(base - np.median(base)) < 2 * 1.4826 * median_deviation(base)
    assert sky.mean() > 0.8
    result = stack(planes, SigmaClip(3, 3), outputs=["rejections"], **matched)
    lost = [result.rejections[i][sky].mean() for i in range(len(planes))]
    assert max(lost) < 0.05


def median_deviation(plane):
    return np.median(np.abs(plane - np.median(plane)))


def test_sky_levels_from_overlaps_are_those_of_medians(registered):
    """All frames cover the same field, so both methods give nearly the same levels."""
    planes = registered
    by_level = np.array(stack(planes, zero="median").frames["zero"])
    by_overlap = np.array(stack(planes, zero="overlap").frames["zero"])
    assert np.ptp(by_level) > 1000
    assert np.abs(by_level - by_overlap).max() < 0.05 * np.ptp(by_level)


def test_a_clip_takes_cosmic_rays_out_of_darks(real_data):
    paths = sorted(real_data.glob("itel_t05_darks/*-120_B2.fit"))
    worst = stack(paths, combine="max", unit="adu").data
    plain = stack(paths, unit="adu").data
    clipped = stack(paths, SigmaClip(None, 5, spread="mad_std"), unit="adu").data
    # A cosmic ray is far above all other samples of its pixel.
    median = stack(paths, combine="median", unit="adu").data
    hits = worst - median > 2000
    assert hits.sum() > 10
    assert np.median((plain - median)[hits]) > 400
    assert np.abs(np.median((clipped - median)[hits])) < 50


@pytest.mark.filterwarnings("ignore:frames differ in")
@pytest.mark.filterwarnings("ignore:frames are not aligned")  # irrelevant for this test
def test_float_frames_with_weights_for_masks(real_data):
    """DECam exposures of one shape, weighted by their weight maps."""
    folder = real_data / "legacypipe_wcs" / "testcase4_decam"
    images = [path for path in sorted(folder.glob("*_ooi_*")) if has_shape(path, (250, 262))]
    if len(images) < 2:
        images = most_of_one_shape(sorted(folder.glob("*_ooi_*")))
    weights = np.array([image_data(str(path).replace("_ooi_", "_oow_")) for path in images])
    cube = np.array([image_data(path) for path in images], dtype=np.float64)
    result = stack(images, weights=np.maximum(weights, 0), unit="adu")
    with np.errstate(invalid="ignore"):
        total = np.maximum(weights, 0).astype(float)
        expected = (cube * total).sum(axis=0) / total.sum(axis=0)
    np.testing.assert_array_equal(result.mask, ~np.isfinite(expected))
    np.testing.assert_allclose(result.data, expected, rtol=1e-5, atol=1e-6)


def has_shape(path, shape):
    return image_data(path).shape == shape


def most_of_one_shape(paths):
    shapes = [image_data(path).shape for path in paths]
    usual = max(set(shapes), key=shapes.count)
    return [path for path, shape in zip(paths, shapes, strict=True) if shape == usual]


def test_frames_of_different_cameras_are_refused(real_data):
    paths = [real_data / "m13_blue/M13_blue_0001.fits", real_data / "fpack_misc/m13.fits"]
    with pytest.raises(MismatchError, match=r"\(1040, 1392\).*M13_blue_0001.*m13\.fits"):
        stack(paths, unit="adu")


@pytest.mark.parametrize(
    "name",
    [
        "m13_rice.fits",
        "m13_gzip.fits",
        "m13_plio.fits",
        "m13real_rice.fits",
        "panoptes_solved.fits.fz",
    ],
)
def test_compressed_files_stack_as_astropy_reads_them(real_data, name):
    path = real_data / "fpack_misc" / name
    expected = image_data(path)
    with pytest.warns(GpustackWarning, match="only one frame"):
        result = stack(path, unit="adu", combine="median")
    np.testing.assert_array_equal(result.data, expected.astype(result.data.dtype))
