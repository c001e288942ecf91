"""Alignment through the command line, with the cuda backend, and with derived maps."""

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner

from gpustack import Grow, MADClip, Reproject, stack
from gpustack.cli import cli
from gpustack.header import read_recipe
from skies import noisy, tangent


def images(n=5):
    return [
        noisy(tangent((10 + 3e-4 * i, 20.0), degrees=3 * i), seed=i, masked=0.02) for i in range(n)
    ]


@pytest.fixture
def folder(tmp_path):
    for i, image in enumerate(images()):
        image.write(tmp_path / f"f{i}.fits")
    return tmp_path


CLIPS = (MADClip(2.5, 2.5), Grow(1.5))
MAPS = ("uncertainty", "count", "low", "high", "rejected", "reason", "coverage", "sigma", "weight")


def test_cuda_aligns_as_the_cpu_does(cuda):
    results = [
        stack(images(), CLIPS, align=Reproject(extent="union"), backend=name, outputs=MAPS)
        for name in ("cpu", "cuda")
    ]
    for name in ("mask", "count", "low", "high", "reason", "coverage"):
        np.testing.assert_array_equal(*(getattr(result, name) for result in results), err_msg=name)
    for name in ("data", "uncertainty", "sigma"):
        np.testing.assert_allclose(*(getattr(result, name) for result in results), rtol=1e-6)


def test_maps_of_any_limit_are_the_same():
    align = Reproject("optimal")
    whole, small = (
        stack(images(), CLIPS, align=align, outputs=MAPS, memory=memory) for memory in (None, "8MB")
    )
    for name in MAPS:
        if name != "rejected":
            np.testing.assert_array_equal(getattr(whole, name), getattr(small, name), err_msg=name)
    assert whole.coverage.max() == 5
    assert whole.coverage[0, 0] == 0


def test_the_command_line(folder):
    out = folder / "out.fits"
    asked = ["combine", f"{folder}/f*.fits", "-o", str(out), "--align", "wcs:extent=union"]
    done = CliRunner().invoke(cli, [*asked, "--maps", "coverage,frames"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    expected = stack(f"{folder}/f*.fits", align="wcs:extent=union", outputs=("coverage",))
    with fits.open(out) as hdus:
        np.testing.assert_array_equal(hdus[0].data, expected.data)
        np.testing.assert_array_equal(hdus["COVERAGE"].data, expected.coverage)
        assert read_recipe(hdus[0].header).combine == "mean"
        assert "CRPIX1" in hdus["COVERAGE"].header, "maps lie on the sky as the image does"


def test_frames_that_are_left_out_are_listed(folder):
    noisy(None).write(folder / "f9.fits")
    asked = ["combine", f"{folder}/f*.fits", "-o", f"{folder}/out.fits", "--align", "wcs"]
    assert "f9.fits: align: wcs: expected a celestial WCS, got none" in str(
        CliRunner().invoke(cli, asked).exception
    )
    with pytest.warns(UserWarning, match=r"f9\.fits: left out"):
        done = CliRunner().invoke(cli, [*asked, "--skip-unaligned", "--maps", "frames"])
    assert done.exit_code == 0, done.output
    with fits.open(folder / "out.fits") as hdus:
        assert hdus[0].header["NCOMBINE"] == 5
        left = list(hdus["FRAMES"].data["left_out"])
    assert left[:5] == [""] * 5
    assert "celestial WCS" in left[5]


def test_skipping_needs_an_alignment(folder):
    done = CliRunner().invoke(
        cli, ["combine", f"{folder}/f*.fits", "-o", f"{folder}/o.fits", "--skip-unaligned"]
    )
    assert done.exit_code != 0
    assert "--skip-unaligned: expected --align, got none" in str(done.exception) + done.output


def test_explain_on_the_command_line(folder):
    asked = ["explain", "60", "50", f"{folder}/f*.fits", "--align", "wcs", "--combine", "median"]
    done = CliRunner().invoke(cli, asked, catch_exceptions=False)
    assert done.exit_code == 0
    assert "f4.fits" in done.output
