"""Frames moved by whole pixels: sources of offsets, extents of the result, and its header."""

import logging

import numpy as np
import pytest
from astropy.coordinates import FK5, SkyCoord
from astropy.io import fits
from astropy.nddata import CCDData, NDData
from astropy.wcs import WCS, DistortionLookupTable, Sip
from astropy.wcs.wcsapi import HighLevelWCSWrapper, SlicedLowLevelWCS
from hypothesis import given
from hypothesis import strategies as st

from gpustack import Offsets, stack
from gpustack.alignments import as_alignment
from gpustack.errors import FrameError, GpustackWarning, InputError, RecipeError
from placing import PLACES, laid, planes, sky_wcs, union, write


def on_sky(folder, cube, places, **cards):
    """Write files whose coordinates and cards contain their offsets; return the paths."""
    paths = []
    for i, (plane, (dy, dx)) in enumerate(zip(cube, places, strict=True)):
        wcs = sky_wcs(crpix=(5.5 - dx, 4.5 - dy))
        paths.append(write(folder / f"m{i}.fits", plane, wcs, XO=dx, YO=dy, **cards))
    return paths


@pytest.fixture
def files(tmp_path):
    """Five files of different shapes with offsets `PLACES`, and their cube."""
    cube = [plane[: 8 - i % 2, : 10 - i % 3] for i, plane in enumerate(planes())]
    return on_sky(tmp_path, cube, PLACES), cube


def assert_is_union(result, cube, places=PLACES):
    expected = union(cube, places)
    np.testing.assert_array_equal(result.count, np.isfinite(expected).sum(axis=0))
    np.testing.assert_array_equal(result.mask, result.count == 0)
    wanted = np.nanmean(np.where(result.mask, 0, expected), axis=0)
    np.testing.assert_allclose(result.data[~result.mask], wanted[~result.mask], rtol=1e-6)
    assert np.isnan(result.data[result.mask]).all()
    assert result.frames["dy"].tolist() == [y - places[0][0] for y, _ in places]
    assert result.frames["dx"].tolist() == [x - places[0][1] for _, x in places]


def sources(tmp_path):
    lines = "".join(f"{x + 7} {y - 2.4}\n" for y, x in PLACES)
    (tmp_path / "list").write_text(f"# relative\n\n{lines}")
    return {
        "wcs": Offsets(),
        "pairs": Offsets(PLACES),
        "array": Offsets(np.array(PLACES) + 0.2),
        "text": "offsets:source=[(0,0),(2,-3),(-1,4),(0,1),(3,3)]",
        "file": Offsets(f"@{tmp_path}/list"),
        "keywords": Offsets("!XO/yo"),
    }


@pytest.mark.parametrize("source", ["wcs", "pairs", "array", "text", "file", "keywords"])
def test_offsets_come_from_many_places(files, tmp_path, source):
    paths, cube = files
    assert_is_union(stack(paths, align=sources(tmp_path)[source]), cube)


@given(
    places=st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=2, max_size=5),
    seed=st.integers(0, 9),
)
@pytest.mark.filterwarnings("ignore::gpustack.errors.GpustackWarning")
def test_any_offsets(places, seed):
    rng = np.random.default_rng(seed)
    cube = [plane[: rng.integers(1, 9), : rng.integers(1, 11)] for plane in planes(len(places))]
    assert_is_union(stack(cube, align=Offsets(places)), cube, places)


def test_the_example_of_the_docs():
    """A star at (y, x) = (100, 100) and (90, 105) of two frames: the offset is (10, -5)."""
    first, second = np.zeros((150, 150), "f4"), np.zeros((150, 150), "f4")
    first[100, 100], second[90, 105] = 7, 9
    result = stack([first, second], align=Offsets([(0, 0), (10, -5)], extent="reference"))
    assert result.data[100, 100] == 8
    assert np.count_nonzero(result.data) == 1


@pytest.mark.parametrize(
    ("extent", "box"),
    [
        ("union", (-1, -3, 11, 14)),
        ("intersection", (3, 4, 7, 7)),
        ("reference", (0, 0, 8, 10)),
        ("[2:5,3:4]", (2, 1, 4, 5)),
        ("[-4:5,10:-3]", (-4, -5, 10, 5)),
        ("[*,*]", (0, 0, 8, 10)),
        ("[ 1:1 , * ]", (0, 0, 8, 1)),
    ],
)
@pytest.mark.filterwarnings("ignore:.*left out. none of its pixels are on the grid")
def test_extents(extent, box):
    """`box` is (y0, x0, y1, x1) in pixels of the first frame."""
    cube = planes()
    result = stack(cube, align=Offsets(PLACES, extent))
    y0, x0, y1, x1 = box
    shape = y1 - y0, x1 - x0
    parts = [
        laid(c, (y - y0, x - x0), shape, np.nan) for c, (y, x) in zip(cube, PLACES, strict=True)
    ]
    np.testing.assert_array_equal(result.count, np.isfinite(parts).sum(axis=0))
    assert f"[{x0 + 1}:{x1},{y0 + 1}:{y1}]" in "".join(map(str, result.header["HISTORY"]))
    if extent == "intersection":
        assert (result.count == 5).all()


def test_an_absolute_file_begins_at_its_origin(tmp_path):
    (tmp_path / "list").write_text("# Absolute\n3 2\n5 2\n")
    cube = planes(2)
    result = stack(cube, align=Offsets(f"@{tmp_path}/list"))
    assert result.data.shape == (8 + 2, 10 + 5)
    assert result.mask[:2].all()
    assert result.mask[:, :3].all()
    np.testing.assert_array_equal(result.data[2:, 3], cube[0][:, 0])


def test_no_pixel_in_all_frames():
    with pytest.raises(InputError, match=r"got frame 2 at .* and frame 1 at .* of frame 0;"):
        stack(planes(3), align=Offsets([(0, 0), (20, 0), (-3, 0)], "intersection"))


@pytest.mark.parametrize(
    ("extent", "said"),
    [
        (
            "union",
            r"frame 0 in \[1:10,1:8\] and frame 1 in \[.*,1000000001:.*\] lie farthest apart; ",
        ),
        ("[-999999999:999999999,-99999999:5]", ""),
    ],
)
def test_a_result_larger_than_memory_is_refused_before_anything_is_made(extent, said):
    said = rf"offsets: .* GB, got .* pixels, x first, [^;]* GB; {said}extent='intersection'"
    with pytest.raises(InputError, match=said):
        stack(planes(2), align=Offsets([(0, 0), (10**9, 10**9)], extent))


# World coordinates and header


def test_coordinates_move_with_the_pixels(files):
    paths, _ = files
    result = stack(paths, align="offsets")
    low = np.min(PLACES, axis=0)
    before, after = WCS(fits.getheader(paths[0])), WCS(result.header)
    for wcs in (result.wcs, after, result.to_ccddata().wcs):
        assert tuple(wcs.wcs.crpix) == tuple(before.wcs.crpix - low[::-1])
        moved = wcs.pixel_to_world(2 - low[1], 3 - low[0])
        assert moved.separation(before.pixel_to_world(2, 3)).arcsec < 1e-9
    assert result.wcs.array_shape == result.data.shape


def test_a_written_result_tells_of_them(files, tmp_path):
    paths, _ = files
    stack(paths, align="offsets").write(tmp_path / "out.fits")
    read = CCDData.read(tmp_path / "out.fits")
    assert read.wcs.wcs.crpix[0] == 5.5 + 3
    assert fits.getheader(tmp_path / "out.fits")["CRPIX1"] == 5.5 + 3


def test_cards_that_no_longer_hold_are_moved_or_left_out(tmp_path):
    cards = {"LTV1": -4.0, "LTM2_2": 0.5, "CRPIX1A": 1, "CTYPE2B": "LINEAR", "CCDSEC": "[1:9,1:9]"}
    cards |= {
        "DATASEC": "[1:9,1:9]",
        "DETSECA": "[1:2,1:2]",
        "PARSEC": 3,
        "A_ORDER": 2,
        "A_2_0": 1e-6,
    }
    paths = on_sky(tmp_path, planes(2), [(0, 0), (-1, -3)], **cards)
    header = stack(paths, align="offsets:source=!XO/YO").header
    assert header["LTV1"] == -4 + 3
    assert header["LTV2"] == 1
    assert (header["CRPIX1A"], header["CRPIX2B"]) == (1 + 3, 1)
    assert not {"CCDSEC", "DATASEC", "DETSECA"} & set(header)
    assert header["PARSEC"] == 3
    assert header["A_2_0"] == 1e-6


def distorted():
    wcs = sky_wcs()
    wcs.sip = Sip(np.diag([0, 0, 1e-4])[::-1], np.diag([0, 2e-4, 0]), None, None, (5, 4))
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    ramp = np.arange(20, dtype="f4").reshape(4, 5) / 10
    wcs.cpdis1 = DistortionLookupTable(ramp, (1, 1), (2, 2), (2, 2))
    wcs.det2im2 = DistortionLookupTable(ramp.copy(), (1, 1), (1, 1), (3, 3))
    return wcs


def test_distortions_move_along():
    wcs = distorted()
    ccds = [CCDData(plane, unit="adu", wcs=wcs) for plane in planes(2)]
    moved = stack(ccds, align=Offsets([(0, 0), (-2, -5)])).wcs
    x, y = np.meshgrid(np.arange(8), np.arange(7))
    np.testing.assert_allclose(
        moved.all_pix2world(x + 5, y + 2, 0), wcs.all_pix2world(x, y, 0), rtol=1e-12
    )
    assert wcs.wcs.crpix[0] == 5, "those of the frame stay"


def test_coordinates_of_another_kind_move_too():
    wcs = sky_wcs()
    other = HighLevelWCSWrapper(SlicedLowLevelWCS(wcs, np.s_[0:8, 0:10]))
    ccds = [NDData(plane, unit="adu", wcs=other) for plane in planes(2)]
    moved = stack(ccds, align=Offsets([(0, 0), (-2, -5)])).wcs
    apart = moved.pixel_to_world(1 + 5, 3 + 2).separation(wcs.pixel_to_world(1, 3))
    assert apart.arcsec < 1e-9
    assert moved.low_level_wcs.array_shape == (10, 15)
    x, _ = moved.world_to_pixel(wcs.pixel_to_world(1, 3))
    assert abs(x - 6) < 1e-6


def test_frames_in_other_systems_and_equinoxes():
    centre = SkyCoord(150, 40, unit="deg")
    first = sky_wcs(crpix=(5.5, 4.5))
    galactic = sky_wcs(
        crpix=(3.5, 6.5), crval=(centre.galactic.l.deg, centre.galactic.b.deg), frame="GLON/GLAT"
    )
    # Rotate the galactic WCS so that celestial north is up again.
    angle = centre.galactic.position_angle(SkyCoord(150, 40.01, unit="deg").galactic).deg
    turn = np.deg2rad(angle)
    galactic.wcs.cd = (
        np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) @ first.wcs.cd
    )
    old = centre.transform_to(FK5(equinox="J1975"))
    fk5 = sky_wcs(crpix=(9.5, 4.5), crval=(old.ra.deg, old.dec.deg))
    fk5.wcs.radesys, fk5.wcs.equinox = "FK5", 1975.0
    ccds = [
        CCDData(plane, unit="adu", wcs=wcs)
        for plane, wcs in zip(planes(3), (first, galactic, fk5), strict=True)
    ]
    frames = stack(ccds, align="offsets").frames
    assert frames["dy"].tolist() == [0, -2, 0]
    assert frames["dx"].tolist() == [0, 2, -4]


def test_the_centre_of_a_frame_decides_and_not_a_reference_point_far_away():
    """Frames rotated by 0.3 degree about a point 5000 pixels away are compared at their centres."""
    first = sky_wcs(crpix=(5000, 4.5))
    second = sky_wcs(crpix=(5000, 4.5), turned=0.3)
    centre = second.world_to_pixel(first.pixel_to_world(4.5, 3.5))
    second.wcs.crpix -= np.round(np.subtract(centre, (4.5, 3.5)))
    ccds = [CCDData(p, unit="adu", wcs=w) for p, w in zip(planes(2), (first, second), strict=True)]
    frames = stack(ccds, align="offsets").frames
    assert (frames["dy"].tolist(), frames["dx"].tolist()) == ([0, 0], [0, 0])


def test_frames_that_are_turned_are_warned_of():
    wcs = [sky_wcs(), sky_wcs(turned=20), sky_wcs(turned=180)]
    ccds = [CCDData(p, unit="adu", wcs=w) for p, w in zip(planes(3), wcs, strict=True)]
    with pytest.warns(
        GpustackWarning,
        match=r"^frame 2: rotated.* relative to frame 0: .* 12\.8 pixels .*"
        r"1 other less; --align wcs",
    ):
        stack(ccds, align="offsets")


def test_the_log_says_how_far_from_whole(caplog, tmp_path):
    paths = on_sky(tmp_path, planes(3), [(0, 0), (1.1, 0), (0, -2.37)])
    caplog.set_level(logging.DEBUG, "astropy.gpustack")
    frames = stack(paths, align="offsets").frames
    assert frames["dx"].tolist() == [0, 0, -2]
    assert f"up to 0.37 pixels from whole, in {paths[2]}" in caplog.text


@pytest.mark.parametrize("half", [0.5, 2.5])
def test_halves_go_away_from_0(tmp_path, half):
    paths = on_sky(tmp_path, planes(3), [(0, 0), (half, 0), (0, -half)])
    for how in ("offsets", Offsets([(0, 0), (half, 0), (0, -half)])):
        frames = stack(paths, align=how).frames
        assert (frames["dy"][1], frames["dx"][2]) == (half + 0.5, -half - 0.5)


# What cannot be aligned


def spectral():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["WAVE", "LINEAR"]
    return wcs


@pytest.mark.parametrize(
    ("wcs", "said"),
    [(None, "no world coordinates"), (spectral(), "not celestial, with axes WAVE, LINEAR")],
)
@pytest.mark.parametrize("bad", [0, 1])
def test_frames_without_celestial_coordinates(wcs, said, bad):
    ccds = [CCDData(plane, unit="adu", wcs=sky_wcs()) for plane in planes(3)]
    ccds[bad].wcs = wcs
    with pytest.raises(FrameError, match=rf"^frame {bad}: .*celestial world .*{said}.*skip"):
        stack(ccds, align="offsets")
    with pytest.warns(GpustackWarning, match=rf"frame {bad}: left out: .*{said}"):
        result = stack(ccds, align="offsets:skip=true", combine="max", outputs=("count",))
    others = [plane for i, plane in enumerate(planes(3)) if i != bad]
    np.testing.assert_array_equal(result.data, np.max(others, axis=0))
    assert [bool(text) for text in result.frames["left_out"]] == [i == bad for i in range(3)]
    assert result.frames["dy"].mask.tolist() == [i == bad for i in range(3)]
    assert result.wcs.wcs.crpix[0] == 5


@pytest.mark.filterwarnings("ignore::gpustack.errors.GpustackWarning")
def test_the_table_of_frames_with_one_left_out_is_written(tmp_path):
    ccds = [CCDData(plane, unit="adu", wcs=sky_wcs()) for plane in planes(3)]
    ccds[1].wcs = None
    result = stack(ccds, align="offsets:skip=true")
    result.write(tmp_path / "out.fits", maps=["frames"])
    table = fits.getdata(tmp_path / "out.fits", "FRAMES")
    assert [bool(text) for text in table["left_out"]] == [False, True, False]


def test_none_can_be_aligned():
    with pytest.raises(InputError, match=r"can be aligned, got none of 3; frame 0: no world co"):
        stack(planes(3), align="offsets:skip=true")


@pytest.mark.parametrize("value", [None, "east", True])
def test_keywords_that_are_no_numbers(tmp_path, value):
    paths = on_sky(tmp_path, planes(2), [(0, 0), (1, 1)])
    with fits.open(paths[1], mode="update") as hdus:
        if value is None:
            del hdus[0].header["XO"]
        else:
            hdus[0].header["XO"] = value
    with pytest.raises(FrameError, match=r"m1.fits: .* number in each of XO and YO, got .* in XO"):
        stack(paths, align="offsets:source=!XO/YO")


def test_too_few_offsets(tmp_path):
    with pytest.raises(InputError, match="expected 3 offsets, one per frame, got 2 in source"):
        stack(planes(3), align=Offsets([(0, 0), (1, 1)]))
    (tmp_path / "list").write_text("1 2\n")
    with pytest.raises(InputError, match=r"expected 3 offsets, one per frame, got 1 in .*list"):
        stack(planes(3), align=Offsets(f"@{tmp_path}/list"))


@pytest.mark.parametrize("line", ["1", "x 3", "nan 2", "1 inf", "1,2"])
def test_files_that_are_no_offsets(tmp_path, line):
    (tmp_path / "list").write_text(f"0 0\n{line}\n")
    with pytest.raises(
        InputError, match=r"two finite numbers per line, x y, got .* in .*list, line 2"
    ):
        stack(planes(2), align=Offsets(f"@{tmp_path}/list"))
    with pytest.raises(InputError, match="expected a file with offsets, got No such file"):
        stack(planes(2), align=Offsets(f"@{tmp_path}/nope"))


GOOD = [
    Offsets(),
    Offsets("@some file.txt", "intersection", skip=True),
    Offsets("!X/Y", "[-3:5,*]"),
    Offsets([(0, 0), (1.5, -2e-7)], "[1:2,3:4]"),
    Offsets(np.array([[1, 2]])),
]


@pytest.mark.parametrize("value", GOOD, ids=str)
def test_a_value_is_its_text(value):
    assert as_alignment(str(value)) == value
    assert hash(as_alignment(str(value))) == hash(value)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"source": "sky"}, "source: expected 'wcs', '@FILE', '!XKEY/YKEY' or pairs .*'sky'"),
        ({"source": "@"}, "source"),
        ({"source": "!X"}, "source"),
        ({"source": "!X/"}, "source"),
        ({"source": "!X/Y/Z"}, "source"),
        ({"source": "[(1,2),3]"}, "source"),
        ({"source": []}, "source"),
        ({"source": [1, 2]}, "source"),
        ({"source": [(1, 2, 3)]}, "source"),
        ({"source": 3}, "source"),
        ({"source": np.zeros(2)}, "source"),
        ({"source": [(1, float("nan"))]}, "source: expected finite numbers, got .* at index 0"),
        ({"source": [(1, None)]}, "source: expected finite numbers"),
        ({"extent": "all"}, "extent: expected 'union', 'intersection', 'reference' or a section"),
        ({"extent": "[1:2]"}, "extent"),
        ({"extent": "[1:2,3]"}, "extent"),
        ({"extent": "[1:2,3:4,5:6]"}, "extent"),
        ({"extent": None}, "extent"),
        ({"skip": 1}, "skip: expected True or False"),
    ],
)
def test_values_that_are_none(fields, match):
    with pytest.raises(RecipeError, match=f"Offsets {match}"):
        Offsets(**fields)
