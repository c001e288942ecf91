"""Frames, targets and options that cannot be aligned, and the messages about them."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from gpustack import InputError, Offsets, Reproject, ToFile, explain, stack, wcs_project
from gpustack.alignments import as_alignment
from gpustack.errors import (
    GpustackWarning,
    MemoryLimitError,
    MismatchError,
    RecipeError,
    WriteError,
)
from skies import noisy, tangent


def spectrum():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["WAVE", "LINEAR"]
    return wcs


def planet(radius=3.4e6):
    """Coordinates on Mars, from which astropy makes no place on the sky."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["MALN-TAN", "MALT-TAN"]
    if radius:
        wcs.wcs.aux.a_radius = wcs.wcs.aux.b_radius = wcs.wcs.aux.c_radius = radius
    return wcs


def singular():
    wcs = tangent()
    wcs.wcs.pc = [[1, 1], [1, 1]]
    return wcs


BAD_WCS = {
    "none": (None, "expected a celestial WCS, got none"),
    "not celestial": (spectrum(), "one that is not celestial, with axes WAVE, LINEAR"),
    "singular": (singular(), "CD matrix is singular"),
    "planet": (planet(), "equatorial, galactic or ecliptic coordinates, got axes MALN-TAN"),
    "planet of no size": (planet(None), "ecliptic coordinates, got axes MALN-TAN, MALT-TAN"),
}


@pytest.mark.parametrize("name", BAD_WCS)
def test_a_frame_that_has_no_place_on_the_sky(name):
    wcs, said = BAD_WCS[name]
    images = [noisy(tangent()), noisy(tangent(degrees=3), seed=1), noisy(wcs, seed=2)]
    with pytest.raises(InputError, match=f"frame 2: .*{said}"):
        stack(images, align="wcs")
    with pytest.warns(UserWarning, match=f"frame 2: left out: .*{said}"):
        result = stack(images, align=Reproject(skip=True))
    np.testing.assert_array_equal(result.data, stack(images[:2], align="wcs").data)
    # The first frame may be left out too, unless its grid is the target.
    turned = images[::-1]
    with pytest.raises(InputError, match=f"frame 0: .*{said}"):
        stack(turned, align=Reproject(skip=True))
    target = tangent()
    with pytest.warns(UserWarning, match="frame 0: left out"):
        rest = stack(turned, align=Reproject(target, shape=(100, 120), skip=True))
    assert rest.header["NCOMBINE"] == 2
    with pytest.raises(InputError, match="expected a frame with a celestial WCS, got none"):
        stack([images[2]], align=Reproject(target, shape=(100, 120), skip=True))


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("target", ["first", "optimal"])
def test_where_no_frame_has_a_place_no_other_target_or_frame_is_proposed(target, skip):
    """The message proposes an alignment that needs no coordinates instead."""
    with pytest.raises(InputError, match=r"got none of 2; .* --align register needs none$"):
        stack([noisy(None), noisy(None, seed=1)], align=Reproject(target, skip=skip))


def test_wcs_project_raises_the_same_errors():
    for wcs, said in BAD_WCS.values():
        with pytest.raises(InputError, match=rf"ccd\.wcs: .*{said}"):
            wcs_project(noisy(wcs), tangent())
        with pytest.raises(InputError, match=f"target_wcs: .*{said}"):
            wcs_project(noisy(tangent()), wcs)


def test_a_target_that_no_frame_touches():
    with pytest.raises(InputError, match=r"at least one frame that can be aligned.*none of 2"):
        stack([noisy(tangent())] * 2, align=Reproject(tangent((50.0, 0.0)), shape=(10, 10)))


def test_targets_that_are_none(tmp_path):
    images = [noisy(tangent())]
    text = tmp_path / "text.fits"
    text.write_text("no FITS")
    bare = tmp_path / "bare.fits"
    fits.writeto(bare, np.zeros((3, 3)))
    header, lines = spectrum().to_header(), tmp_path / "lines.fits"
    fits.writeto(lines, np.zeros((3, 3)), header)
    for target, said in (
        (str(tmp_path / "gone.fits"), "gone.fits"),
        (text, "text.fits: expected a FITS file"),
        (bare, "bare.fits: align target: expected an image of two axes with celestial coordinates"),
        (lines, r"lines.fits: align target: .*, got .*lines.fits: .* one that is not celestial"),
        (header, "align target: expected a celestial WCS, got one that is not celestial"),
        (spectrum(), "align target: .* not celestial"),
        (singular(), "align target: .* singular"),
        (tangent(), r"align target: expected a shape: Reproject\(shape=\(y, x\)\)"),
        (3, "align target: expected 'first', 'optimal', a file, a header or an .*WCS, got 3"),
    ):
        with pytest.raises(InputError, match=said):
            stack(images, align=Reproject(target))


def test_grids_beyond_all_memory():
    said = (
        r"wcs: .* 10,000,000 x 10,000,000 pixels, x first, 9e\+05 GB; a shape, .* makes it smaller"
    )
    with pytest.raises(InputError, match=said):
        stack([noisy(tangent())], align=Reproject(shape=(10**7, 10**7)))


def test_grids_whose_size_no_float_holds():
    with pytest.raises(InputError, match=r"memory of this machine holds, .* pixels, .*, inf GB"):
        stack([noisy(tangent())], align=Reproject("optimal", scale=1e-300))


@pytest.mark.filterwarnings("ignore:only one frame")
@pytest.mark.parametrize("scale", [1e3, 1e5, 1e8])
def test_frames_far_smaller_than_a_pixel_of_the_grid_lie_on_one(scale):
    result = stack([noisy(tangent())], align=Reproject("optimal", scale=scale, method="exact"))
    assert result.data.shape == (1, 1)
    assert np.isfinite(result.data).all()


@pytest.mark.parametrize(
    "align", ["wcs:extent=union", Reproject(shape=(30, 50)), Offsets([(0, 0), (9, 9)], "union")]
)
def test_what_goes_to_a_file_may_be_larger_than_memory(tmp_path, monkeypatch, align):
    monkeypatch.setattr("gpustack.align.extent.memory_of_machine", lambda: 1000.0)
    images, to = [noisy(tangent()), noisy(tangent((10.001, 20.0)))], ToFile(tmp_path / "out.fits")
    with pytest.raises(
        InputError, match="a result that the memory of this machine holds, 1e-06 GB"
    ):
        stack(images, align=align)
    found = stack(images, align=align, outputs=to).to_host()
    explained = explain(images, x=3, y=3, align=align)
    monkeypatch.undo()
    np.testing.assert_array_equal(found.data, stack(images, align=align).data)
    assert explained.data == found.data[3, 3]


def test_grids_that_no_disk_holds(tmp_path, monkeypatch):
    images, how = [noisy(tangent())], Reproject(shape=(10**9, 10**9))
    said = "a result that the disk of its file holds, .* GB, got 1,000,000,000 x .* makes it small"
    for name in ("out.fits", "out.fits.gz"):
        with pytest.raises(InputError, match=said):
            stack(images, align=how, outputs=ToFile(tmp_path / name))
    # The size of the disk is unknown, but no file can be so large.
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(total=0))
    how = Reproject(shape=(10**10, 10**10))
    with pytest.raises(WriteError, match=r"out\.fits: could not be written: .*too large"):
        stack(images, align=how, outputs=ToFile(tmp_path / "out.fits"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("align", ["wcs:target=optimal,scale=0.1", "wcs:extent=union"])
def test_the_two_frames_that_make_a_grid_too_large(align):
    """The third frame is between the two; the fourth is far away only along the shorter axis."""
    places = [(10.0, 0.0), (14.0, 1.0), (18.0, 0.0), (14.0, 7.0)]
    images = [noisy(tangent(place, scale=1e-6), (5, 6)) for place in places]
    box = r"\[-?\d+:-?\d+,-?\d+:-?\d+\]"
    said = rf"GB; frame 2 in {box} and frame 0 in {box} lie farthest apart; a shape,"
    with pytest.raises(InputError, match=said):
        stack(images, align=align)


def test_the_one_frame_that_makes_a_grid_too_large():
    images = [noisy(tangent(scale=1e-8)), noisy(tangent(scale=1e-2))]
    with pytest.raises(InputError, match=r"GB; frame 1 alone covers \["):
        stack(images, align=Reproject(extent="union"))


def test_no_frame_has_a_place_on_the_grid():
    """Tested with a frame on the other side of the sky."""
    with pytest.raises(
        InputError, match="a frame that has a place on the grid, got none of 1, from fra"
    ):
        stack([noisy(tangent((190.0, -20.0)))], align=Reproject(tangent(), extent="union"))


def test_a_limit_below_what_resampling_holds():
    images = [noisy(tangent(degrees=i), shape=(600, 600), seed=i) for i in range(3)]
    with pytest.raises(MemoryLimitError, match="expected room for at least one row of all frames"):
        stack(images, align="wcs", memory="1MB")


def test_frames_of_other_units_and_axes():
    other = noisy(tangent(), seed=1)
    other.unit = "electron"
    for align in (None, "wcs"):
        with pytest.raises(MismatchError, match=r"differ in unit: .*; unit= \(--unit .* for all"):
            stack([noisy(tangent()), other], align=align)
    with pytest.raises(InputError, match=r"expected images of two axes, got shape \(2, 3, 4\)"):
        stack(np.zeros((2, 2, 3, 4)), align="wcs")


def test_without_align_shapes_must_agree():
    images = [noisy(tangent()), noisy(tangent(), shape=(90, 90))]
    with pytest.raises(MismatchError, match="frames differ in shape"):
        stack(images)


VALUES = {
    "extent": ("everything", "expected one of 'target', 'union'"),
    "method": ("drizzle", "expected one of 'interp', 'adaptive', 'exact'"),
    "order": ("lanczos", "expected one of 'nearest-neighbor', 'bilinear'"),
    "flux": ("all", "expected one of 'ratio', 'local', 'unscaled'"),
    "shape": ((0, 4), "expected a whole number >= 1, got 0"),
    "scale": (-1, "expected arcseconds above 0, got -1"),
    "skip": (1, "expected True or False, got 1"),
}


@pytest.mark.parametrize("field", VALUES)
def test_values_out_of_their_range(field):
    value, said = VALUES[field]
    with pytest.raises(RecipeError, match=f"Reproject {field}: {re.escape(said)}"):
        Reproject(**({"target": "optimal"} if field == "scale" else {}), **{field: value})


def test_fields_that_contradict():
    with pytest.raises(
        RecipeError, match="scale: expected target='optimal' with a scale, got target="
    ):
        Reproject(scale=0.2)
    with pytest.raises(
        RecipeError, match="order: expected method='interp' with order='bicubic', got"
    ):
        Reproject(order="bicubic", method="exact")
    for shape in ((1, 2, 3), 5, "100"):
        with pytest.raises(RecipeError, match="shape: expected two numbers, y and x, as"):
            Reproject(shape=shape)


@pytest.mark.parametrize("digits", [19, 5000])
def test_sizes_and_sections_of_too_many_digits(digits):
    """Python refuses to read an int of more than 4300 digits."""
    many = "9" * digits
    for text in (f"wcs:shape={many}x1", f"offsets:extent=[1:{many},1:5]"):
        with pytest.raises(RecipeError, match=r"(shape|extent): expected .*, got '.*999"):
            as_alignment(text)


def test_texts():
    assert as_alignment("wcs") == Reproject()
    full = Reproject("optimal", shape=(3, 4), scale=0.5, method="adaptive", flux="local", skip=True)
    assert as_alignment(str(full)) == full
    assert as_alignment(None) is None
    for text in ("", "reproject", "WCS"):
        with pytest.raises(RecipeError, match="align: expected one of 'wcs'"):
            as_alignment(text)
    with pytest.raises(RecipeError, match="align: expected wcs, offsets, register with fields"):
        as_alignment(3)


NAMES = ["my,ref.fits", "123", "1e5", "none", "TRUE", "a=b.fits", "m.fits[SCI,1]", "a,b,", "x]y,z"]


@pytest.mark.parametrize("name", NAMES)
def test_a_target_is_a_file_of_any_name(name):
    assert as_alignment(f"wcs:target={name},skip=true") == Reproject(name, skip=True)
    assert as_alignment(f"wcs:extent=union,target={name}").file == name
    assert as_alignment(f"offsets:source=@{name}, extent=[-9:200,1:100]").file == name


SIGNS = [
    "a",
    "12",
    "none",
    "true",
    ",",
    "=",
    " ",
    ".fits",
    "[1:2,*]",
    "]",
    "/",
    ":",
    "scale=",
    "é=",
]


@given(st.lists(st.sampled_from(SIGNS)).map(lambda parts: "".join(parts).strip()))
def test_what_a_target_prints_reads_back_or_says_why_not(name):
    align = Reproject(name)
    if re.search(r",\s*\w+\s*=", name):
        # This reads as the next field, and the error says that it is unknown or repeated.
        with pytest.raises(RecipeError, match=r"align wcs: expected (field=value|scale once)"):
            as_alignment(str(align))
    else:
        assert as_alignment(str(align)) == align


def test_what_no_plane_holds():
    images = [noisy(tangent()), noisy(tangent((190.0, -20.0)), seed=1)]
    with pytest.raises(InputError, match=r"target 'optimal': .* fit one together with frame 0;"):
        stack(images, align="wcs:target=optimal")


def test_coordinates_of_the_sun_are_no_sky():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["HPLN-TAN", "HPLT-TAN"]
    wcs.wcs.cunit, wcs.wcs.cdelt = ["arcsec"] * 2, [1, 1]
    with pytest.raises(InputError, match=r"frame 0: .*got axes HPLN-TAN, HPLT-TAN"):
        stack([noisy(wcs)], align="wcs")


def test_a_broken_header_says_what_is_broken(tmp_path):
    header = tangent().to_header()
    header["CTYPE1"], header["BUNIT"] = "RA---XXX", "adu"
    fits.writeto(tmp_path / "a.fits", np.zeros((5, 5)), header)
    with pytest.raises(InputError, match=r"a\.fits: .*celestial WCS, got one that wcslib"):
        stack(tmp_path / "a.fits", align="wcs")


def test_errors_and_history_do_not_print_a_whole_wcs():
    assert str(Reproject(tangent())).startswith("wcs:target=given,extent=target,")
    result = stack([noisy(tangent())] * 2, align=Reproject(tangent(degrees=2), shape=(50, 50)))
    assert any("target=given" in line for line in result.header["HISTORY"])


@pytest.mark.parametrize("align", ["wcs", "offsets"])
def test_coordinates_that_nobody_solved_are_warned_of(tmp_path, align):
    # The header contains the pointing of the telescope, but no CD or CDELT.
    header = fits.Header({"BUNIT": "adu", "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"})
    for i in range(3):
        header.update({"CRPIX1": 5.0, "CRPIX2": 5.0, "CRVAL1": 10 + 2e-4 * i, "CRVAL2": 5.0})
        fits.writeto(tmp_path / f"f{i}.fits", np.ones((10, 12), "f4"), header)
    text = r"f0.fits and 2 more: world coordinates have no scale .*CDELT.* plate-solved\?"
    with pytest.warns(GpustackWarning, match=text) as said:
        stack(tmp_path / "f?.fits", align=align)
    assert said[0].filename == __file__
