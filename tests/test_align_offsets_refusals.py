"""Offsets that are too large or undefined: frames left out, and errors that name them."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.wcs import WCS

from gpustack import Offsets, stack
from gpustack.align import align_frames
from gpustack.align.extent import RESULT_BYTES
from gpustack.align.moved_wcs import moved_wcs
from gpustack.errors import FrameError, GpustackWarning, InputError
from gpustack.frames import open_frames
from placing import planes, sky_wcs
from skies import distorted, tangent


def test_frames_beside_the_result_are_left_out_and_it_is_said_why():
    cube = planes(3)
    places = [(0, 0), (500, 0), (1, 1)]
    with pytest.warns(GpustackWarning, match="frame 1: left out: none of its pixels are on"):
        result = stack(cube, align=Offsets(places, "reference"))
    assert result.header["NCOMBINE"] == 2
    assert [bool(text) for text in result.frames["left_out"]] == [False, True, False]
    with pytest.raises(
        InputError, match=r"got none of 3; frame 0: none of its pixels are on the grid"
    ):
        stack(cube, align=Offsets(places, "[1000:1010,1000:1010]"))


@pytest.mark.parametrize("far", [1e200, 2.0**53, -1e17])
def test_a_slip_in_offsets_names_the_frame(far):
    with pytest.raises(FrameError, match=r"^frame 1: align offsets: .* below 2\*\*53 pixels, got"):
        stack(planes(2), align=Offsets([(0, 0), (3, far)]))


def test_a_file_of_offsets_as_windows_writes_texts(tmp_path):
    (tmp_path / "offsets.txt").write_bytes(b"\xef\xbb\xbf0 0\r\n3 1\r\n")
    found = stack(planes(2), align=f"offsets:source=@{tmp_path / 'offsets.txt'}")
    assert found.frames["dx"].tolist() == [0, 3]


def test_coordinates_that_cannot_be_inverted():
    ccds = [CCDData(plane, unit="adu", wcs=sky_wcs()) for plane in planes(2)]
    ccds[1].wcs.wcs.cd = [[1e-4, 1e-4], [1e-4, 1e-4]]
    with pytest.raises(FrameError, match=r"frame 1: .*cannot be inverted, with a singular CD"):
        stack(ccds, align="offsets")


def test_distortions_far_outside_of_a_frame_are_no_place():
    """The iteration that inverts distortions diverges there."""
    ccds = [CCDData(plane, unit="adu", wcs=distorted()) for plane in planes(2)]
    ccds[1].wcs.wcs.crval = ccds[0].wcs.wcs.crval + np.array([5.0, 0])
    with pytest.raises(FrameError, match=r"frame 1: .*a place on the sky that frame 0 has no pix"):
        stack(ccds, align="offsets")


def test_of_a_frame_that_is_left_out_no_exposure_is_asked_for():
    ccds = [
        CCDData(plane, unit="adu", header=fits.Header({"EXPTIME": time}))
        for plane, time in zip(planes(3), (30.0, 0.0, 60.0), strict=True)
    ]
    with pytest.warns(GpustackWarning, match="frame 1: left out"):
        result = stack(
            ccds, align=Offsets([(0, 0), (500, 0), (0, 0)], "reference"), scale="exposure"
        )
    assert result.frames["scale"].tolist() == [1.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("first", "shape"),
    [
        ("# absolute", (8 + 2, 10 + 5)),
        ("#  Absolute in pixels", (8 + 2, 10 + 5)),
        ("# absolute offsets", (8 + 2, 10 + 5)),
        ("# absolutely none", (8, 10 + 2)),
        ("# not absolute", (8, 10 + 2)),
        ("# absolute\n# relative to the first", (8, 10 + 2)),
    ],
)
def test_the_first_word_of_a_comment_tells_where_the_union_begins(tmp_path, first, shape):
    (tmp_path / "list").write_text(f"{first}\n3 2\n5 2\n")
    assert stack(planes(2), align=Offsets(f"@{tmp_path}/list")).data.shape == shape


def test_a_union_that_lies_before_its_origin_ends_there(tmp_path):
    (tmp_path / "list").write_text("# absolute\n-30 -40\n-31 4\n")
    result = stack(planes(2), align=Offsets(f"@{tmp_path}/list"))
    assert result.data.shape == (8 + 44, 10 + 1)


def test_offsets_are_exact_as_far_as_floats_are_whole():
    found = stack(planes(2), align=Offsets([(2**52 + 1, -(2**52) - 1), (2**52 + 2, -(2**52))]))
    assert (found.frames["dy"].tolist(), found.frames["dx"].tolist()) == ([0, 1], [0, 1])


def test_a_corner_without_a_place_is_infinitely_far_from_it():
    """Tested with a frame that reaches beyond the hemisphere that its projection covers."""
    wide = tangent(crpix=(10.5, 10.5), kind="RA---SIN", scale=8.0)
    ccds = [
        CCDData(np.ones((20, 20)), unit="adu", wcs=wcs)
        for wcs in (tangent(crpix=(10.5, 10.5)), wide)
    ]
    with pytest.warns(GpustackWarning, match="frame 1: .* its corners lie up to inf pixels from"):
        stack(ccds, align="offsets")


def test_of_a_frame_upside_down_the_centre_stays():
    ccds = [
        CCDData(plane, unit="adu", wcs=sky_wcs(crpix=(5.5, 4.5), turned=turned))
        for plane, turned in zip(planes(2), (0, 180), strict=True)
    ]
    # A corner goes to the opposite one: 10 pixels along x, and 8 along y.
    said = r"frame 1: rotated, .* its corners lie up to 12\.8 pixels from"
    with pytest.warns(GpustackWarning, match=said):
        found = stack(ccds, align="offsets").frames
    assert (found["dy"].tolist(), found["dx"].tolist()) == ([0, 0], [0, 0])


def test_a_result_that_fills_the_room_to_the_last_byte_has_room():
    align, size = Offsets([(0, 0), (2, 3)]), RESULT_BYTES * (8 + 2) * (10 + 3)
    assert align_frames(open_frames(planes(2)), align, max_bytes=size).frames[0].shape == (10, 13)
    with pytest.raises(InputError, match="the disk of its file holds"):
        align_frames(open_frames(planes(2)), align, max_bytes=size - 1)


def test_halves_are_rounded_as_such_despite_rounding_errors():
    found = stack(planes(2), align=Offsets([(0, 0), (2.5 - 1e-9, 1e-9 - 0.5)])).frames
    assert (found["dy"].tolist(), found["dx"].tolist()) == ([0, 3], [0, -1])


@pytest.mark.parametrize("place", [(8, 0), (0, -10)])
def test_frames_that_touch_share_no_pixel(place):
    with pytest.raises(
        InputError, match=r"all overlap .*, got frame [01] at .* and frame [01] at .* use extent"
    ):
        stack(planes(2), align=Offsets([(0, 0), place], "intersection"))
    y, x = np.sign(place)
    inside = (place[0] - y, place[1] - x)
    found = stack(planes(2), align=Offsets([(0, 0), inside], "intersection"))
    assert found.data.shape in ((1, 10), (8, 1))


def test_bounds_of_coordinates_are_not_those_of_other_pixels():
    wcs = sky_wcs()
    wcs.pixel_bounds = [(-0.5, 9.5), (-0.5, 7.5)]
    assert moved_wcs(wcs, (2, 3), (10, 13)).pixel_bounds is None
    assert wcs.pixel_bounds is not None


def test_comments_in_a_file_of_offsets_may_be_of_any_encoding(tmp_path):
    (tmp_path / "list").write_bytes(b"# d\xe9calages\n0 0\n3 1\n")
    found = stack(planes(2), align=Offsets(f"@{tmp_path}/list"))
    assert found.frames["dx"].tolist() == [0, 3]


def test_of_coordinates_of_three_axes_two_move():
    moved = moved_wcs(WCS(naxis=3), (2, 3), (8, 10))
    assert moved.wcs.crpix.tolist() == [3, 2, 0]
    assert moved.array_shape is None
