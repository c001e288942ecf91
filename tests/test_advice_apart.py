"""The warning about exposures of different places on the sky that are stacked unaligned."""

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
    """A function that writes files with the cards of `SKY`, changed by its arguments."""

    def write(*changes, **same):
        for i, cards in enumerate(changes):
            header = fits.Header(SKY | {"BUNIT": "adu"} | same | cards)
            image = np.full(SHAPE, 1.0 + i, np.float32)
            fits.writeto(tmp_path / f"{i}.fits", image, header, overwrite=True)
        return [tmp_path / f"{i}.fits" for i in range(len(changes))]

    return write


@pytest.mark.parametrize(
    ("cards", "far"),
    [
        ({"CRPIX1": 23.0, "CRPIX2": 16.0}, "5"),
        ({"CRVAL2": 20.0 + 3e-4}, "3"),
        ({"CDELT1": 1e-4, "CRPIX1": 31.0}, "50"),  # mirrored
        ({"CRVAL1": 190.0, "CRVAL2": -20.0}, "elsewhere"),
        ({"CRPIX1": 20.5, "CRPIX2": 20.5, "CDELT1": 1e-4, "CDELT2": -1e-4}, "57"),  # after a flip
        ({"CRPIX1": 20.5, "CRPIX2": 20.5, "CDELT2": 2e-4}, r"20\.[0-9]"),
    ],
)
def test_the_first_frame_apart_is_named_and_how_far_it_is(exposures, cards, far):
    files = exposures({}, {"CRPIX1": 20.5}, cards, {"CRPIX1": 90.0})
    where = rf"{far}.* (pixels from|on the sky than)"
    message = rf"apart by .*: {re.escape(str(files[2]))} {where} .*0\.fits; --align wcs"
    with pytest.warns(GpustackWarning, match=message):
        stack(files)


@pytest.mark.parametrize(
    ("same", "cards"),
    [
        ({}, {"CRPIX1": 20.7, "CRPIX2": 19.3}),  # guided
        ({}, {"CRPIX1": 21.0}),  # one pixel at most, except for rounding
        ({"IMAGETYP": "Flat Field"}, {"CRPIX1": 90.0}),
        ({"HIERARCH ESO DPR TYPE": "BIAS"}, {"CRPIX1": 90.0}),
        ({"DATA-TYP": "DOMEFLAT"}, {"CRPIX1": 90.0}),
        ({"FRAME": "Dark"}, {"CRPIX1": 90.0}),
        ({"EXPTYPE": "dark"}, {"CRPIX1": 90.0}),
        ({"OBJECT": "bias"}, {"CRPIX1": 90.0}),
        ({"OBJECT": "dark_300s"}, {"CRPIX1": 90.0}),
        ({"OBJECT": "Dark frames"}, {"CRPIX1": 90.0}),
        ({"OBJECT": "DomeFlat V"}, {"CRPIX1": 90.0}),
        ({"OBJECT": "sky flats"}, {"CRPIX1": 90.0}),
        ({"IMAGETYP": "", "OBSTYPE": "zero"}, {"CRPIX1": 90.0}),
        ({"OBSTYPE": "arc"}, {"CRPIX1": 90.0}),
        ({"IMAGETYP": "focus"}, {"CRPIX1": 90.0}),
        ({"OBSTYPE": "dark"}, {"CRVAL1": 50.0}),
        ({"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"}, {"CRPIX1": 90.0}),
        ({"CDELT1": 1.0, "CDELT2": 1.0}, {"CRVAL1": 14.0}),  # only where the telescope pointed
        ({"CTYPE1": ""}, {"CRPIX1": 90.0}),
        # astropy has no frame for these coordinates.
        ({"CTYPE1": "MALN-TAN", "CTYPE2": "MALT-TAN"}, {"CRPIX1": 20.0 + 1e-4}),
        ({"RADESYS": "FOO"}, {"CRPIX1": 90.0}),
    ],
)
def test_frames_that_lie_on_each_other_or_need_not_are_not_told_of(exposures, same, cards):
    stack(exposures({}, cards, **same))  # no warning, which would be an error


#: Coordinates in which a corner has no place on the sky, or its place leads back to no pixel.
NO_CORNER = {
    "the whole sky": {"CTYPE1": "RA---AIT", "CTYPE2": "DEC--AIT", "CDELT1": -9.0, "CDELT2": 5.0},
    "a hemisphere": {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CDELT1": -3.0, "CDELT2": 3.0},
    "a fisheye": {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 3, "B_ORDER": 3,
                  "A_3_0": -1e-3, "A_1_2": -1e-3, "B_0_3": -1e-3, "B_2_1": -1e-3},
}  # fmt: skip


@pytest.mark.parametrize("sky", NO_CORNER.values(), ids=NO_CORNER)
def test_corners_without_a_place_are_passed_over(exposures, sky):
    stack(exposures({}, {"CRPIX1": 20.2}, **sky))
    with pytest.warns(GpustackWarning, match="lie apart"):
        stack(exposures({}, {"CRPIX1": 23.0}, **sky))


@pytest.mark.parametrize("kind", ["Light Frame", "object", "EXPOSE", "SCIENCE", "sky"])
def test_exposures_of_the_sky_by_the_words_of_cameras(exposures, kind):
    with pytest.warns(GpustackWarning, match="lie apart"):
        stack(exposures({}, {"CRPIX1": 23.0}, OBSTYPE=kind))


@pytest.mark.parametrize(
    "name", ["TwilightFlat", "MasterDark", "superbias", "Dark exposure", "flat_R", "Zero"]
)
def test_calibration_frames_without_a_kind_are_known_by_their_object(exposures, name):
    stack(exposures({}, {"CRPIX1": 23.0}, OBJECT=name))


@pytest.mark.parametrize("name", ["Dark Nebula B33", "LDN 1622 dark", "Flatiron", "Flat Top"])
def test_objects_with_names_like_calibration_frames_are_exposures_of_the_sky(exposures, name):
    with pytest.warns(GpustackWarning, match="lie apart"):
        stack(exposures({}, {"CRPIX1": 23.0}, OBJECT=name))


def test_frames_of_which_one_has_coordinates_are_not_told_of(exposures):
    stack(exposures({}, {"CTYPE1": "", "CRPIX1": 90.0}))


def test_cubes_are_not_told_of():
    places = [WCS(fits.Header(SKY | {"CRPIX1": x})) for x in (20.0, 90.0)]
    stack([CCDData(np.ones((2, *SHAPE)), unit="adu", wcs=wcs) for wcs in places])


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


@pytest.mark.parametrize(
    ("key", "values"), [("INSTRUME", ("A", "B")), ("ROWORDER", ("TOP-DOWN", "BOTTOM-UP"))]
)
def test_frames_of_two_cameras_are_told_of_unless_they_are_aligned(exposures, key, values):
    files = exposures(*({key: value} for value in values), {})
    message = f"differ in {key}: '{values[0]}' in .*0.fits, '{values[1]}' in .*1.fits$"
    with pytest.warns(GpustackWarning, match=message):
        stack(files)
    stack(files, align=Offsets([(0, 0), (1, 0), (0, 0)]))
    stack(exposures({"ROWORDER": "top-down"}, {"ROWORDER": "TOP-DOWN"}, {}))
