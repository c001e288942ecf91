"""Scale, zero and weights on the command line: measures, region and reference."""

import re

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner

from gpustack import Keyword, Noise, Overlap, Statistic, stack
from gpustack.cli import cli
from gpustack.errors import GpustackWarning, InputError
from gpustack.header import read_recipe

pytestmark = pytest.mark.filterwarnings(
    "ignore:frames differ in EXPTIME", "ignore:frames differ in GAIN"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with four frames of increasing sky level."""
    rng = np.random.default_rng(5)
    for i in range(4):
        plane = rng.normal(100 * (i + 1), 5, (12, 10)).astype(np.float32)
        header = fits.Header({"BUNIT": "adu", "EXPTIME": 10.0 * (i + 1), "GAIN": 1 + i / 4})
        fits.writeto(tmp_path / f"m{i}.fits", plane, header)
    (tmp_path / "levels.txt").write_text("# of the sky\n1\n2\n3\n4\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def combine(*words):
    """Run ``gpustack combine`` on the frames, in this process."""
    words = ["combine", "m*.fits", "-o", "out.fits", "--overwrite", *words]
    return CliRunner().invoke(cli, words)


def on(region, reference=None):
    return {"region": region, "reference": reference}


WRITTEN = {
    "mode": (["--scale", "mode"], {"scale": "mode"}),
    "spread and level": (["--scale", "mad", "--zero", "mean"], {"scale": "mad", "zero": "mean"}),
    "exposure": (["--scale", "exposure", "--zero", "mode"], {"scale": "exposure", "zero": "mode"}),
    "keyword": (["--weights", "!gain"], {"weights": Keyword("GAIN")}),
    "file": (["--scale", "@levels.txt"], {"scale": [1, 2, 3, 4]}),
    "noise": (["--weights", "noise"], {"weights": Noise()}),
    "ncombine": (["--weights", "ncombine"], {"weights": [1, 1, 1, 1]}),
    "region and reference": (
        ["--scale", "median", "--region", "[2:9,3:*]", "--reference", "2"],
        {"scale": Statistic("median", np.s_[2:, 1:9], 2)},
    ),
    "to the mean": (["--zero", "overlap", "--reference", "mean"], {"zero": Overlap("mean")}),
    "region of several": (
        ["--scale", "mad", "--zero", "median", "--weights", "noise", "--region", "[1:5,*]"],
        {
            "scale": Statistic("mad", **on("[1:5,*]")),
            "zero": Statistic("median", **on("[1:5,*]")),
            "weights": Noise("[1:5,*]"),
        },
    ),
}


@pytest.mark.parametrize(("words", "values"), WRITTEN.values(), ids=WRITTEN)
def test_combine_writes_the_result_of_stack(folder, words, values):
    done = combine(*words)
    assert done.exit_code == 0, done.output
    expected = stack("m*.fits", **values)
    np.testing.assert_array_equal(fits.getdata("out.fits"), expected.data)
    recipe = read_recipe(fits.getheader("out.fits"))
    assert (recipe.scale, recipe.zero, recipe.weights) == (
        expected.recipe.scale,
        expected.recipe.zero,
        expected.recipe.weights,
    )


def test_the_header_says_what_was_asked_for(folder):
    assert combine("--scale", "mode", "--region", "[2:9,*]", "--reference", "1").exit_code == 0
    said = list(fits.getheader("out.fits")["HISTORY"])
    assert "scale by mode over [2:9,*], relative to m1.fits" in said


BAD = {
    "no measure": (["--scale", "noise"], "scale: expected .*'mad' .*got 'noise'"),
    "no keyword": (["--weights", "!RDNOISE"], "number in RDNOISE, got none in m0.fits"),
    "no file": (["--zero", "@sky.txt"], "zero: .* for sky.txt"),
    "short file": (
        ["--zero", "@short.txt"],
        "expected 4 numbers, one per frame, got 2 in short.txt",
    ),
    "bad line": (["--zero", "@bad.txt"], "'two' in bad.txt, line 2"),
    "bad section": (["--scale", "mode", "--region", "1:5"], r"'\[1:100,1:50\]'.* got '1:5'"),
    "outside": (["--scale", "mode", "--region", "[1:11,*]"], r"\(12, 10\).*got \[1:11,\*\]"),
    "no such frame": (["--scale", "mode", "--reference", "4"], "frame from 0 to 3, got 4"),
    "not finite": (["--scale", "inf,1,1,1"], "scale: expected finite numbers, got inf at index 0"),
    "no number": (["--scale", "1,2,x,4"], "scale: expected .* got '1,2,x,4'"),
    "no such word": (["--scale", "mode", "--reference", "-1"], "'mean', got '-1'"),
    "region of none": (["--scale", "exposure", "--region", "[1,1]"], "region: expected a scale"),
    "reference of none": (
        ["--weights", "median", "--reference", "0"],
        "reference: expected a sc",
    ),
}


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD)
def test_bad_input_says_what_is_wrong_with_it(folder, words, message):
    (folder / "short.txt").write_text("1\n2\n")
    (folder / "bad.txt").write_text("1\ntwo\n3\n4\n")
    done = combine(*words)
    said = str(done.exception) if isinstance(done.exception, InputError) else done.output
    assert done.exit_code != 0
    assert re.search(message, said), said
    assert not (folder / "out.fits").exists()


def test_numbers_may_be_negative_and_in_powers_of_ten(folder):
    assert combine("--zero", "-1.5e2,2,.5,+3").exit_code == 0
    assert read_recipe(fits.getheader("out.fits")).zero == (-150.0, 2.0, 0.5, 3.0)


def test_options_that_add_up(folder):
    bits = np.zeros((12, 10), "i2")
    bits[0, :3] = 1, 2, 4
    hdus = [fits.PrimaryHDU(np.ones((12, 10)), fits.Header({"BUNIT": "adu"}))]
    fits.HDUList([*hdus, fits.ImageHDU(bits, name="DQ")]).writeto("dq.fits")
    words = ["combine", "dq.fits", "dq.fits", "dq.fits", "-o", "out.fits"]
    words += ["--bad-bits", "1", "--bad-bits", "4"]
    words += ["--maps", "count, low", "--maps", "", "--maps", "sigma"]
    words += ["--clip", "range:low=0, high=9"]
    with pytest.warns(GpustackWarning, match="given 3 times"):
        assert CliRunner().invoke(cli, words).exit_code == 0
    with fits.open("out.fits") as out:
        assert out["COUNT"].data[0, :4].tolist() == [0, 3, 0, 3]
        assert {"LOW", "SIGMA"} <= {hdu.name for hdu in out}
