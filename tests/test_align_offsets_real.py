"""Real frames aligned by whole pixels."""

import csv
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import pixel_to_pixel

from gpustack import Offsets, SigmaClip, stack
from gpustack.errors import GpustackWarning
from placing import laid


@pytest.mark.filterwarnings("ignore:.*rotated, scaled:gpustack.errors.GpustackWarning")
@pytest.mark.filterwarnings("ignore:frames differ in")
def test_decam_frames_lie_where_their_coordinates_say(real_data):
    """The centre of each frame is within half a pixel, in y and x, of its place on the result."""
    paths = sorted(real_data.glob("legacypipe_wcs/testcase4_decam/*ooi*.fits"))
    result = stack(paths, SigmaClip(3, 3, spread="mad_std"), unit="adu", align="offsets")
    low = np.min([result.frames["dy"], result.frames["dx"]], axis=1)
    cube = []
    for path, dy, dx in zip(paths, result.frames["dy"], result.frames["dx"], strict=True):
        data, header = fits.getdata(path), fits.getheader(path, 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wcs = WCS(header)
        center = (data.shape[1] - 1) / 2, (data.shape[0] - 1) / 2
        there = pixel_to_pixel(wcs, result.wcs, *center)
        apart = np.subtract(there, center) - (dx - low[1], dy - low[0])
        assert np.abs(apart).max() <= 0.5 + 1e-6
        cube.append(laid(data.astype(float), (dy - low[0], dx - low[1]), result.data.shape, np.nan))
    assert np.array_equal((result.count + result.low + result.high), np.isfinite(cube).sum(axis=0))
    assert result.count.max() == len(paths)


@pytest.mark.filterwarnings("ignore:frames differ in")
def test_decam_corners_are_warned_of(real_data):
    paths = sorted(real_data.glob("legacypipe_wcs/testcase4_decam/*ooi*.fits"))
    with pytest.warns(GpustackWarning, match=r"S1.fits.* up to 1.0\d pixels .* 4 others less"):
        stack(paths, unit="adu", align="offsets")


def test_m13_by_a_file_of_shifts(real_data, tmp_path):
    """Five frames that drift by 46 pixels are aligned on their stars."""
    folder = real_data / "m13_blue"
    lines = [line for line in (folder / "shifts.csv").read_text().splitlines() if line[:1] != "#"]
    shifts = list(csv.DictReader(lines))
    # The table contains how far stars have moved; an offset moves them back.
    text = "".join(f"{-int(row['dx'])} {-int(row['dy'])}\n" for row in shifts)
    (tmp_path / "shifts").write_text(text)
    paths = [folder / row["file"] for row in shifts]
    how = Offsets(f"@{tmp_path}/shifts", "intersection")
    together = stack(paths, combine="median", align=how, unit="adu", outputs=("count",))
    height, width = fits.getdata(paths[0]).shape
    assert together.data.shape == (height - 4, width - 46)
    assert (together.count == 5).all()
    cut = []
    for row, path in zip(shifts, paths, strict=True):
        y, x = int(row["dy"]), int(row["dx"]) + 46
        cut.append(fits.getdata(path)[y : y + height - 4, x : x + width - 46].astype(float))
    np.testing.assert_array_equal(together.data, np.median(cut, axis=0).astype("f4"))
    others = [
        stack(
            paths,
            combine="median",
            unit="adu",
            align=Offsets(turn * offsets(shifts), "intersection"),
        )
        for turn in (1, 0)
    ]
    assert stars(together.data) > 1.1 * max(stars(other.data) for other in others)


def offsets(shifts):
    """The shifts (dy, dx) as in the table, which have the opposite sign of offsets."""
    return np.array([[int(row["dy"]), int(row["dx"])] for row in shifts])


def stars(image):
    """The brightness of the brightest stars above the sky, in sums of 2 x 2 pixels."""
    four = image[:-1, :-1] + image[1:, 1:] + image[1:, :-1] + image[:-1, 1:]
    return np.nanpercentile(four, 99.99) - np.nanmedian(four)
