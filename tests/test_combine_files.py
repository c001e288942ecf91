"""`combine`: the forms of its images, bands, output, and errors."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits, registry
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, VarianceUncertainty
from astropy.wcs import WCS

import gpustack
from ccds import sky
from fitsmaker import image_bytes
from gpustack import Combiner, combine
from gpustack.errors import (
    GpustackWarning,
    InputError,
    MemoryLimitError,
    MismatchError,
    OutputError,
)

#: Samples are float64 in both cases, and at most summed in another order.
ROUNDING = 1e-12


def assert_same(one, other):
    np.testing.assert_array_equal(one.mask, other.mask)
    np.testing.assert_allclose(one.data, other.data, rtol=ROUNDING)
    np.testing.assert_allclose(one.uncertainty.array, other.uncertainty.array, rtol=ROUNDING)
    assert one.unit == other.unit
    assert one.data.dtype.newbyteorder("=") == other.data.dtype


def write(folder, images):
    """Write the images to files and return their paths."""
    names = [folder / f"image-{number}.fits" for number in range(len(images))]
    for name, image in zip(names, images, strict=True):
        image.write(name)
    return names


class Collection:
    """The part of ccdproc's ImageFileCollection that `combine` uses."""

    def __init__(self, names):
        self.names = names

    def files_filtered(self, include_path=False):
        return [str(name) if include_path else name.name for name in self.names]


FORMS = {
    "paths": list,
    "strings": lambda names: [str(name) for name in names],
    "tuple": tuple,
    "generator": iter,
    "array": lambda names: np.array([str(name) for name in names]),
    "commas": lambda names: ",".join(map(str, names)),
    "commas and blanks": lambda names: ", ".join(map(str, names)),
    "glob": lambda names: str(names[0].parent / "image-*.fits"),
    "collection": Collection,
    "images": lambda names: [CCDData.read(name) for name in names],
    "generated images": lambda names: (CCDData.read(name) for name in names),
    "both": lambda names: [CCDData.read(names[0]), *names[1:]],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_forms_of_input(form, tmp_path):
    images = sky(4)
    names = write(tmp_path, images)
    assert_same(combine(form(names), method="median"), combine(images, method="median"))


def test_one_name_is_one_image(tmp_path):
    image = CCDData(np.ones((2, 3)), unit="adu")
    (name,) = write(tmp_path, [image])
    for given in (name, str(name), image):
        np.testing.assert_array_equal(combine(given).data, image.data)


def test_a_name_with_brackets_is_a_file_that_may_be_missing(tmp_path):
    (name,) = write(tmp_path, [CCDData(np.ones((2, 3)), unit="adu")])
    present, missing = (tmp_path / f"M31_[{line}].fits" for line in ("OIII", "SII"))
    name.rename(present)
    assert (combine([present, str(present)]).data == 1).all()
    with pytest.raises(FileNotFoundError, match="SII"):
        combine([present, missing])


def test_a_cube_is_its_planes():
    images = sky(4)
    cube = CCDData(
        np.stack([image.data for image in images]),
        mask=np.stack([image.mask for image in images]),
        unit="adu",
        header=fits.Header({"OBJECT": "M13"}),
    )
    combined = combine(cube, method="median")
    assert_same(combined, combine(images, method="median"))
    assert combined.header["OBJECT"] == "M13"
    cube.wcs = WCS(naxis=3)
    with pytest.raises(InputError, match=r"a cube of shape \(4, 5, 6\) .*; set its wcs to None"):
        combine(cube)


READ = {
    "lazy": {},
    "unit": {"unit": u.electron},
    "hdu": {"hdu": 0},
    "hdu by name": {"hdu": "SCI"},
    "format": {"format": "fits"},
    "no mask": {"hdu_mask": None},
    "other mask": {"hdu_mask": "OTHER"},
    "in memory": {"memmap": False, "hdu_uncertainty": None},
}


@pytest.mark.parametrize("arguments", READ.values(), ids=READ)
def test_arguments_of_the_reader(arguments, tmp_path):
    names = []
    for number, image in enumerate(sky(3)):
        hdus = image.to_hdu()
        hdus[0].name = "SCI"
        hdus.append(fits.ImageHDU(np.roll(image.mask, 1).astype("u1"), name="OTHER"))
        names.append(tmp_path / f"{number}.fits")
        hdus.writeto(names[-1])
    images = [CCDData.read(name, **arguments) for name in names]
    assert_same(combine(names, **arguments), combine(images))


@pytest.mark.parametrize("name", ["memmap", "lazy_load_hdus", "cache", "hdu_uncertainty"])
def test_arguments_under_which_files_are_read_by_rows(name, tmp_path, monkeypatch):
    names = write(tmp_path, sky(3))
    expected = combine(names)
    monkeypatch.setattr(CCDData, "read", None)  # it would read whole files
    assert_same(combine(names, **{name: None}), expected)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("signma_clip_dev_func", "; did you mean 'sigma_clip_dev_func'"),  # found in many scripts
        ("iraf_minmax_clip", "; did you mean 'minmax_clip'"),
        ("overwrite", "; did you mean 'overwrite_output'"),
        ("combine", ""),
        ("ccd_kwargs", ""),
    ],
)
def test_an_argument_that_nothing_has_is_warned_of(name, meant, tmp_path, monkeypatch):
    """CCDData.read ignores such arguments, so they are no error; files are still read by rows."""
    images = sky(3)
    names = write(tmp_path, images)
    monkeypatch.setattr(CCDData, "read", None)
    for given in (names, images):
        with pytest.warns(GpustackWarning, match=f"combine: {name}= has no effect.*has it{meant}"):
            combined = combine(given, **{name: np.ma.std})
        assert_same(combined, combine(given))


def test_a_reader_of_another_format_gets_its_own_arguments(tmp_path):
    def read(name, level):
        return CCDData(fits.getdata(name) * level, unit="adu")

    names = write(tmp_path, [CCDData(np.ones((2, 3)), unit="adu") for _ in range(2)])
    registry.register_reader("levelled", CCDData, read)
    try:
        combined = combine(names, format="levelled", level=3)
    finally:
        registry.unregister_reader("levelled", CCDData)
    assert (combined.data == 3).all()


def test_hdu_0_is_the_first_with_an_image(tmp_path):
    names = [tmp_path / "1.fits", tmp_path / "2.fits"]
    for name in names:
        image = fits.ImageHDU(np.ones((2, 3)), fits.Header({"BUNIT": "adu"}))
        fits.HDUList([fits.PrimaryHDU(), image]).writeto(name)
    assert (combine(names, hdu=0).data == 1).all()


def test_headers_of_the_first_image(tmp_path):
    images = sky(3)
    for number, image in enumerate(images):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval = [number, 10]
        image.wcs = wcs
        image.header = fits.Header({"OBJECT": f"field {number}", "EXPTIME": number + 1.0})
    for given in (images, write(tmp_path, images)):
        result = combine(given)
        assert result.header["OBJECT"] == "field 0"
        assert result.header["EXPTIME"] == 1
        assert "NCOMBINE" not in result.header
        assert "CRVAL1" not in result.header
        assert result.wcs.wcs.crval.tolist() == [0, 10]
    combine(images).header["OBJECT"] = "changed"
    assert images[0].header["OBJECT"] == "field 0"


@pytest.mark.parametrize("kind", [StdDevUncertainty, VarianceUncertainty, InverseVariance])
@pytest.mark.parametrize("stored", [False, True])
def test_the_uncertainty_is_a_standard_deviation_whatever_the_images_have(tmp_path, kind, stored):
    # It is that of the scatter of samples; the uncertainties of the images do not enter.
    images = [
        CCDData(np.full((2, 2), value), unit="adu", uncertainty=kind(np.full((2, 2), 7.0)))
        for value in (1.0, 3.0)
    ]
    given = write(tmp_path, images) if stored else images
    combiner = Combiner(images)
    for method, expected in (("average", 1 / np.sqrt(2)), ("sum", np.sqrt(2))):
        for result in (combine(given, method=method), getattr(combiner, f"{method}_combine")()):
            assert type(result.uncertainty) is StdDevUncertainty
            assert result.uncertainty.unit == "adu"
            np.testing.assert_allclose(result.uncertainty.array, expected, rtol=ROUNDING)


def test_a_scale_function_sees_masks_where_there_are_any():
    seen = []
    images = sky(3)
    images[1].mask = None
    combine(images, scale=lambda image: seen.append(isinstance(image, np.ma.MaskedArray)) or 1.0)
    assert seen == [True, False, True]


def test_an_image_without_samples_needs_no_factor_of_a_function():
    images = [CCDData(np.full((2, 3), value), unit="adu") for value in (2.0, 4.0, 9.0)]
    images[2].mask = np.ones((2, 3), bool)
    assert (combine(images, scale=lambda image: 1 / image.mean()).data == 1).all()


def largest(array, axis):
    """A statistic that no backend implements."""
    return np.nanmax(array, axis=axis)


CUBE = (2, 25, 6)

CALLS = {
    "plain": {},
    "float32": {"dtype": np.float32, "method": "median"},
    "weights": {"weights": np.arange(1.0, 13)},
    "sample weights": {"weights": np.random.default_rng(1).random((12, *CUBE)), "method": "sum"},
    "scale": {"scale": lambda image: 1 / np.ma.mean(image)},
    "uncertainty": {"combine_uncertainty_function": largest},
    "uncertainty, sample weights": {
        "combine_uncertainty_function": largest,
        "weights": np.random.default_rng(1).random((12, *CUBE)),
    },
    "sigma": {
        "sigma_clip": True,
        "sigma_clip_low_thresh": 0.6,
        "sigma_clip_dev_func": np.ptp,
        "clip_extrema": True,
        "scale": np.linspace(0.9, 1.1, 12),
    },
}


@pytest.mark.parametrize("files", [False, True])
@pytest.mark.parametrize("arguments", CALLS.values(), ids=CALLS)
def test_limited_memory_gives_the_same(arguments, files, tmp_path):
    """The limit holds the backend's buffers and a few of 50 rows, or 21 if a function is called."""
    images = sky(12, CUBE)
    whole = combine(images, **arguments)
    banded = combine(write(tmp_path, images) if files else images, mem_limit=50_000, **arguments)
    assert banded.shape == CUBE
    assert_same(banded, whole)


@pytest.mark.parametrize("arguments", [{}, {"combine_uncertainty_function": largest}])
def test_a_limit_below_one_row(arguments, tmp_path):
    with pytest.raises(MemoryLimitError, match="memory"):
        combine(write(tmp_path, sky()), mem_limit=100, **arguments)


def test_output_is_what_is_given_back(tmp_path):
    name = tmp_path / "result.fits"
    result = combine(sky(), output_file=name)
    assert_same(CCDData.read(name), result)


def test_what_astropy_has_to_say_of_coordinates_is_not_printed(tmp_path, capsys):
    """For SIP coefficients without -SIP in CTYPE, astropy prints to stdout at every access."""
    cards = {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-5,
        "B_0_2": 1e-5, "BUNIT": "adu",
    }  # fmt: skip
    names = [tmp_path / f"{number}.fits" for number in range(2)]
    for name in names:
        name.write_bytes(image_bytes(np.ones((4, 4), "i2"), **cards))
    combine(names, output_file=tmp_path / "result.fits")
    assert capsys.readouterr() == ("", "")
    assert fits.getheader(tmp_path / "result.fits")["A_2_0"] == 1e-5


def test_existing_output_is_refused_before_anything_is_read(tmp_path):
    name = tmp_path / "result.fits"
    name.write_text("precious")
    with pytest.raises(OutputError, match=r"result\.fits already exists"):
        combine(["no such file"], output_file=name)
    assert name.read_text() == "precious"
    result = combine(sky(), output_file=str(name), overwrite_output=True)
    assert_same(CCDData.read(name), result)


def ccd(shape, unit="adu"):
    return CCDData(np.ones(shape), unit=unit)


@pytest.mark.parametrize(
    ("images", "arguments", "error", "message"),
    [
        (1, {}, ValueError, "unrecognised input for list of images"),
        ([], {}, InputError, "at least one, got none"),
        ([1, 2], {"method": "mode"}, ValueError, "unrecognised combine method"),
        ([1, 2], {}, InputError, "image 0: expected a file name or CCDData, got int"),
        ([np.ones((2, 2))], {}, InputError, "image 0: .* got ndarray; .*stack takes"),
        (["a.fits", "b.fits"], {}, FileNotFoundError, "a.fits"),
        ("a.fits", {}, FileNotFoundError, "a.fits"),
        ([ccd((2, 2)), ccd((2, 3))], {}, MismatchError, "shape"),
        ([ccd((2, 2)), ccd((2, 2), "s")], {}, MismatchError, "unit"),
        ([ccd((2, 2))] * 2, {"clip_extrema": True}, ValueError, "nlow"),
        ([ccd((2, 2))] * 2, {"weights": [1, 2]}, TypeError, "weights"),
        ([ccd((2, 2))] * 2, {"weights": np.ones(3)}, ValueError, "weights"),
        ([ccd((2, 2))] * 2, {"scale": [1, 2, 3]}, ValueError, "^scale: expected a function or 2"),
        ([ccd((2, 2))] * 2, {"scale": [1, 0]}, ValueError, "^scale: .* other than 0, got 0"),
        ([ccd((2, 2))] * 2, {"scale": 5}, TypeError, "^scale: expected a function or 2"),
        ([ccd((2, 2))] * 2, {"combine_uncertainty_function": "mda"}, ValueError, "^combine_unc"),
        (
            [ccd((2, 2))] * 2,
            {"sigma_clip": True, "sigma_clip_func": "mode"},
            ValueError,
            "^sigma_clip_func: expected 'mean' or 'median' or a function, got 'mode'",
        ),
        (
            [ccd((2, 2))] * 2,
            {"sigma_clip": True, "sigma_clip_low_thresh": "3"},
            ValueError,
            "^sigma_clip_low_thresh: expected a number >= 0 or None, got '3'",
        ),
        (
            [ccd((2, 2))] * 2,
            {"minmax_clip": True, "minmax_clip_max": np.nan},
            ValueError,
            "^minmax_clip_max: expected a finite number or None, got nan",
        ),
        ([ccd((2, 2))] * 2, {"mem_limit": 0}, ValueError, "mem_limit: expected at least"),
        ([ccd((2, 2))] * 2, {"backend": "abacus"}, ValueError, "backend"),
        ([ccd((2, 2))] * 2, {"output_file": "no folder/out.fits"}, OSError, "no folder"),
    ],
)
def test_what_cannot_be_combined(images, arguments, error, message):
    with pytest.raises(error, match=message):
        combine(images, **arguments)


def test_errors_name_the_image_by_its_place_or_file(tmp_path):
    wide = ccd((2, 3))
    with pytest.raises(MismatchError, match=r"as in frame 0, got \(2, 3\) in frame 2$"):
        combine([ccd((2, 2)), ccd((2, 2)), wide])
    factors = iter([1.0, np.nan])
    with pytest.raises(InputError, match=r"got nan for frame 1$"):
        combine([ccd((2, 2)), ccd((2, 2))], scale=lambda image: next(factors))
    names = write(tmp_path, [ccd((2, 2)), wide])
    with pytest.raises(MismatchError, match=r"as in .*image-0\.fits, got .* in .*image-1\.fits$"):
        combine(names, output_verify="fix")  # an argument under which files are read whole


def test_files_without_a_unit_need_one(tmp_path):
    name = tmp_path / "plain.fits"
    fits.writeto(name, np.ones((2, 2)))
    with pytest.raises(ValueError, match="unit"):
        combine([name, name])
    assert combine([name, name], unit="adu").unit == u.adu


def test_combine_is_public():
    assert gpustack.combine is combine
