"""A result in a file contains only the requested maps; the rejected fraction is always counted."""

import numpy as np
import pytest
from astropy.io import fits

from gpustack import Recipe, SigmaClip, ToFile, stack
from gpustack.clips import parse_clip
from gpustack.errors import RecipeError


def frames(folder):
    """Write files with outliers, NaN, and one column of pixels without samples; return a glob."""
    rng = np.random.default_rng(5)
    for i in range(7):
        plane = rng.normal(1000, 20, (61, 50)).astype("f4")
        plane[rng.random(plane.shape) < 0.03] += 5000
        plane[rng.random(plane.shape) < 0.05] = np.nan
        plane[:, 3] = np.nan
        fits.writeto(folder / f"f{i}.fits", plane, fits.Header({"BUNIT": "adu"}))
    return str(folder / "f*.fits")


@pytest.mark.parametrize("maps", [(), ("frames",), ("reason",), ("count",)], ids=str)
@pytest.mark.parametrize("clips", ["", "sigma:spread=mad_std", "extrema", "mad grow"])
def test_how_many_samples_were_rejected_is_told_in_any_case(tmp_path, clips, maps):
    given, how = frames(tmp_path), {"clips": [parse_clip(text) for text in clips.split()]}
    counted = stack(given, outputs=("count", "rejected"), **how)
    to = ToFile(tmp_path / "out.fits", maps)
    found = stack(given, outputs=to, memory="200kB", **how)
    valid, rejected = (np.asarray(counted.frames[name]) for name in ("valid", "rejected"))
    assert found.rejected == counted.rejected == pytest.approx(np.average(rejected, weights=valid))
    assert bool(found.rejected) == bool(clips)
    assert (found.count is None) == ("count" not in maps)
    assert ("rejected" in found.frames.colnames) == ("frames" in maps)
    assert found.frames["valid"].tolist() == counted.frames["valid"].tolist()


def test_without_counts_the_rejected_fraction_is_none(tmp_path):
    given = frames(tmp_path)
    assert stack(given, outputs=()).rejected is None


def test_a_file_without_uncertainties(tmp_path):
    given = frames(tmp_path)
    to = ToFile(tmp_path / "out.fits", ("count",), uncertainty=False)
    clip = SigmaClip(spread="mad_std")
    found, expected = stack(given, clip, outputs=to), stack(given, clip)
    with fits.open(tmp_path / "out.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "MASK", "COUNT"]
    assert found.uncertainty is None
    np.testing.assert_array_equal(found.data, expected.data)
    with pytest.raises(RecipeError, match="uncertainty: expected True or False, got 'none'"):
        ToFile(tmp_path / "out.fits", uncertainty="none")


def test_a_recipe_says_itself_whether_there_is_an_uncertainty(tmp_path):
    to = ToFile(tmp_path / "out.fits", uncertainty=False)
    with pytest.raises(
        RecipeError, match="ToFile uncertainty: expected True where clips is a Recipe"
    ):
        stack(np.ones((3, 4, 5)), Recipe(), outputs=to)
    assert not list(tmp_path.iterdir())
