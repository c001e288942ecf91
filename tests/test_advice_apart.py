"""Exposures of the sky that lie apart on it, and that nobody aligned, are told of."""

import re
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.wcs import WCS

from gpustack import Offsets, stack
from gpustack.errors import GpustackWarning

SKY = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0,
       "CDELT1": -1e-4, "CDELT2": 1e-4, "CRPIX1": 20.0, "CRPIX2": 20.0}  # fmt: skip
SHAPE = (40, 40)


@pytest.fixture
def exposures(tmp_path):
    """Files with these cards beside, or in place of, those of `SKY`; the paths."""

    def write(*changes, **same):
        for i, cards in enumerate(changes):
            header = fits.Header(SKY | {"BUNIT": "adu"} | same | cards)
            fits.writeto(tmp_path / f"{i}.fits", np.full(SHAPE, 1.0 + i, np.float32), header)
        return [tmp_path / f"{i}.fits" for i in range(len(changes))]

    return write


@pytest.mark.parametrize(
    ("cards", "far"),
    [
        ({"CRPIX1": 23.0, "CRPIX2": 16.0}, "5"),
        ({"CRVAL2": 20.0 + 3e-4}, "3"),
        ({"CDELT1": 1e-4, "CRPIX1": 31.0}, "50"),  # mirrored
        ({"CRVAL1": 190.0, "CRVAL2": -20.0}, "inf"),
        ({"CRPIX1": 20.5, "CRPIX2": 20.5, "CDELT1": 1e-4, "CDELT2": -1e-4}, "57"),  # after a flip
        ({"CRPIX1": 20.5, "CRPIX2": 20.5, "CDELT2": 2e-4}, r"20\.[0-9]"),
    ],
)
def test_the_first_frame_apart_is_named_and_how_far_it_is(exposures, cards, far):
    files = exposures({}, {"CRPIX1": 20.5}, cards, {"CRPIX1": 90.0})
    message = rf"apart by .*: {re.escape(str(files[2]))} {far}.* pixels from .*0\.fits; --align wcs"
    with pytest.warns(GpustackWarning, match=message):
        stack(files)


@pytest.mark.parametrize(
    ("same", "cards"),
    [
        ({}, {"CRPIX1": 20.7, "CRPIX2": 19.3}),  # guided
        ({"IMAGETYP": "Flat Field"}, {"CRPIX1": 90.0}),
        ({"OBSTYPE": "dark"}, {"CRVAL1": 50.0}),
        ({"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"}, {"CRPIX1": 90.0}),
        ({"CDELT1": 1.0, "CDELT2": 1.0}, {"CRVAL1": 14.0}),  # where the telescope was told to look
        ({"CTYPE1": ""}, {"CRPIX1": 90.0}),
        ({"CTYPE1": "MALN-TAN", "CTYPE2": "MALT-TAN"}, {"CRPIX1": 20.0 + 1e-4}),  # astropy has none
        ({"RADESYS": "FOO"}, {"CRPIX1": 90.0}),
    ],
)
def test_frames_that_lie_on_each_other_or_need_not_are_not_told_of(exposures, same, cards):
    stack(exposures({}, cards, **same))  # no warning, which would be an error


def test_frames_of_which_one_has_coordinates_are_not_told_of(exposures):
    stack(exposures({}, {"CTYPE1": "", "CRPIX1": 90.0}))


@pytest.mark.parametrize("align", ["wcs", Offsets([(0, 0), (0, 3)], "reference")])
def test_frames_that_are_aligned_are_not_told_of(exposures, align):
    stack(exposures({}, {"CRPIX1": 23.0}), align=align)


def test_images_in_memory_are_told_of_by_their_coordinates():
    frames = [
        CCDData(np.full(SHAPE, 1.0), unit="adu", wcs=WCS(fits.Header(SKY | {"CRPIX2": place})))
        for place in (20.0, 24.0)
    ]
    with pytest.warns(GpustackWarning, match="frame 1 4 pixels from frame 0"):
        stack(frames)
    stack([frames[0], frames[0].copy()])


def test_nothing_is_loaded_for_frames_with_the_same_cards(exposures):
    files = exposures({}, {})
    code = f"import sys, gpustack; gpustack.stack({[str(file) for file in files]})"
    code += "; sys.exit('astropy.wcs' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
