"""`Image`: frames with masks, weights and variances in separate files."""

import gzip
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, VarianceUncertainty
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fitsmaker import image_bytes
from gpustack import Flags, Grow, Image, SigmaClip, VarianceClip, explain, stack
from gpustack.frames import open_frames
from gpustack.frames.separate_planes import _loses_zeros
from stacks import sky

SHAPE = (300, 9)
N = 5
KINDS = ["plain", "gzip", "tiles"]
#: A memory limit that is enough for some rows, whatever the outputs are.
MEMORY = 60_000
NAN, INF = np.nan, np.inf


def tiled(hdu):
    """Compress in tiles of 13 rows; in astropy's tiles of one row, most bytes would be headers."""
    height, width = hdu.data.shape
    options = {"compression_type": "GZIP_1", "quantize_level": 0}
    options["tile_shape"] = min(height, 13), width
    return fits.CompImageHDU(hdu.data, hdu.header, name=hdu.name, **options)


def save(path, *planes, kind="plain", bunit=None, primary=False):
    """Write a file of images, given as EXTNAME and array, and return its path."""
    hdus = [fits.ImageHDU(data, name=name) for name, data in planes]
    for hdu in hdus:
        if bunit is not None:
            hdu.header["BUNIT"] = bunit
    if kind == "tiles":
        hdus = [tiled(hdu) for hdu in hdus]
    elif primary:
        hdus[0] = fits.PrimaryHDU(hdus[0].data, hdus[0].header)
    first = [] if primary else [fits.PrimaryHDU()]
    fits.HDUList([*first, *hdus]).writeto(path, overwrite=True)
    if kind == "gzip":
        path.write_bytes(gzip.compress(path.read_bytes(), 1))
    return path


def planes(f):
    """Samples, mask and weights of a frame; a tenth is masked, and a tenth has weight 0."""
    rng = np.random.default_rng([f, 2])
    mask = rng.choice([0, 1, 4], SHAPE, p=[0.9, 0.05, 0.05]).astype("i2")
    weight = rng.uniform(0.5, 2, SHAPE).astype("f4")
    weight[rng.random(SHAPE) < 0.1] = 0
    return sky(N, SHAPE)[f].astype("f4"), mask, weight


@pytest.fixture(scope="module", params=KINDS)
def night(request, tmp_path_factory):
    """Frames with masks and weights in separate files, and the same as CCDData."""
    folder = tmp_path_factory.mktemp("night")
    images, ccds = [], []
    for f in range(N):
        data, mask, weight = planes(f)
        names = [folder / f"{what}{f}.fits" for what in ("data", "mask", "weight")]
        for path, array in zip(names, (data, mask, weight), strict=True):
            save(path, ("N3", array), kind=request.param, bunit="adu" if array is data else None)
        images.append(Image(*names))
        invalid = (mask != 0) | (weight == 0)
        uncertainty = InverseVariance(weight.astype(float))
        ccds.append(CCDData(data, unit="adu", mask=invalid, uncertainty=uncertainty))
    return images, ccds


WORDS = {
    "mean": {},
    "median": {"combine": "median", "uncertainty": "propagated"},
    "variance": {"weights": "variance", "uncertainty": "propagated", "scale": [1, 2, 0.5, 1, 3]},
    "clips": {"clips": [VarianceClip(2, 2), Grow(1)], "weights": "variance"},
    "maps": {"clips": SigmaClip(1.5, 1.5), "outputs": ("count", "sigma", "coverage", "weight")},
}


def same(found, expected):
    maps = ("count", "low", "high", "sigma", "coverage", "weight")
    for name in ("data", "mask", "uncertainty", *maps):
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None) == (other is None), name
        if one is not None:
            np.testing.assert_array_equal(one, other, err_msg=name)
    for name in ("valid", "rejected"):
        if name in expected.frames.colnames:
            np.testing.assert_array_equal(found.frames[name], expected.frames[name])


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_images_give_the_result_of_equal_ccddata(night, words):
    images, ccds = night
    same(stack(images, backend="cpu", **words), stack(ccds, backend="cpu", **words))


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
@pytest.mark.parametrize("night", ["plain", "gzip"], indirect=True)
def test_images_in_bands_give_the_result_of_equal_ccddata(night, words):
    (images, ccds), told = night, []
    found = stack(
        images, backend="cpu", memory=MEMORY, progress=lambda *rows: told.append(rows), **words
    )
    assert len(told) > 1
    same(found, stack(ccds, backend="cpu", **words))


@pytest.mark.parametrize("night", ["plain", "gzip"], indirect=True)
def test_the_other_backend_reads_them_too(night, pretend):
    images, ccds = night
    pretend(devices=1)
    words = {"clips": VarianceClip(2, 2), "weights": "variance"}
    found = stack(images, backend="cuda", memory="60kB", **words)
    expected = stack(ccds, backend="cpu", **words)
    np.testing.assert_array_equal(found.count, expected.count)
    np.testing.assert_allclose(found.data, expected.data, rtol=1e-6)


def test_explain_says_the_same(night):
    images, ccds = night
    y, x = np.argwhere((planes(1)[1] != 0) & (planes(2)[1] == 0))[0]
    words = {"clips": SigmaClip(1.5, 1.5), "weights": "variance"}
    found, expected = (explain(frames, x, y, **words) for frames in (images, ccds))
    assert found.data == expected.data
    for name in ("fate", "weight", "raw"):
        np.testing.assert_array_equal(found.samples[name], expected.samples[name])
    assert found.samples["fate"][1] == "masked"


def one(**files):
    (frame,) = open_frames([Image(**files)], unit="adu")
    return frame


def invalid(frame):
    return np.ma.getmaskarray(frame.whole())


def plain(path, array, **cards):
    path.write_bytes(image_bytes(array, **cards))
    return path


def test_a_weight_that_is_no_positive_finite_number_makes_a_sample_invalid(tmp_path):
    weight = np.array([[1e-40, 2, 0, -0.0, -1, NAN, INF, -INF]], "f4")
    data = plain(tmp_path / "a.fits", np.ones_like(weight))
    frame = one(data=data, weight=plain(tmp_path / "w.fits", weight))
    assert invalid(frame).tolist() == [[False] * 2 + [True] * 6]
    assert frame.masked
    assert frame.has_variance
    assert frame.flags_dtype is None
    with np.errstate(divide="ignore"):
        expected = 1 / weight.astype(float)
    np.testing.assert_array_equal(frame.read_variance(0, 1)[0, :2], expected[0, :2])


def test_a_weight_of_0_makes_a_sample_invalid_in_a_median_too(tmp_path):
    """A weight of 0 marks a bad pixel, which may be marked in no other way."""
    images = []
    for f, value in enumerate([1, 2, 900]):
        data = plain(tmp_path / f"a{f}.fits", np.full((2, 2), value, "f4"), BUNIT="adu")
        weight = plain(tmp_path / f"w{f}.fits", np.full((2, 2), 0 if f == 2 else 4, "f4"))
        images.append(Image(data, weight=weight))
    result = stack(images, combine="median", outputs=("count", "reason"))
    assert (result.data == 1.5).all()
    assert (result.count == 2).all()
    assert (result.reason == 1).all()


@given(
    raw=hnp.arrays("i2", (3, 4), elements=st.integers(-5, 5)),
    scale=st.sampled_from([1.0, 0.25, -2.0]),
    zero=st.sampled_from([0.0, 1.5]),
    blank=st.sampled_from([None, 3]),
)
def test_weights_of_integers(tmp_path_factory, raw, scale, zero, blank):
    folder = tmp_path_factory.mktemp("weights")
    cards = {"BSCALE": scale, "BZERO": zero, "BLANK": blank}
    data = plain(folder / "a.fits", np.ones((3, 4), "f4"))
    frame = one(data=data, weight=plain(folder / "w.fits", raw, **cards))
    expected = raw * scale + zero
    expected[raw == blank] = NAN
    np.testing.assert_array_equal(invalid(frame), ~(expected > 0))
    with np.errstate(divide="ignore"):
        variance = 1 / (expected + 0.0)
    seen = ~invalid(frame)
    np.testing.assert_array_equal(frame.read_variance(0, 3)[seen], variance[seen])


def test_variances(tmp_path):
    variance = np.array([[4, 0, -1, NAN, INF]], "f8")
    data = plain(tmp_path / "a.fits", np.ones(variance.shape, "f4"))
    frame = one(data=data, variance=plain(tmp_path / "v.fits", variance, BUNIT="adu2"))
    assert not invalid(frame).any()
    np.testing.assert_array_equal(frame.read_variance(0, 1), variance)


@pytest.mark.parametrize(
    ("what", "bunit", "expected"),
    [
        ("weight", None, 0.25),
        ("weight", "1 / adu2", 0.25),
        ("weight", "adu-2", 0.25),
        ("weight", "adu", 0.25),  # copied from the header of the image
        ("variance", "adu2", 4),
        ("variance", "adu", 4),
    ],
)
def test_units(tmp_path, what, bunit, expected):
    data = plain(tmp_path / "a.fits", np.ones((1, 2), "f4"), BUNIT="adu")
    file = plain(tmp_path / "w.fits", np.full((1, 2), 4.0, "f4"), BUNIT=bunit)
    assert (one(data=data, **{what: file}).read_variance(0, 1) == expected).all()


def test_flags_are_of_the_file_of_the_mask(tmp_path):
    mask = np.array([[0, 1, 4, 5]], "i4")
    data = plain(tmp_path / "a.fits", np.ones((1, 4), "f4"), BUNIT="adu")
    image = Image(data, mask=plain(tmp_path / "m.fits", mask))
    other = Image(plain(tmp_path / "b.fits", np.ones((1, 4), "f4"), BUNIT="adu"), mask=image.mask)
    (frame,) = open_frames(image, flags=Flags(bad=4))
    assert invalid(frame).tolist() == [[False, False, True, True]]
    result = stack([image, other], flags=Flags(bad=4), outputs=("flags", "count"))
    assert result.flags.tolist() == [[0, 1, 4, 5]]
    assert result.count.tolist() == [[2, 2, 0, 0]]


def test_the_header_says_what_was_read(night):
    images, _ = night
    lines = "".join(stack(images).header["HISTORY"])
    for image in images:
        assert f"{image.data}: mask {image.mask}[1], weight {image.weight}[1]" in lines


def test_files_that_are_given_go_before_extensions_and_the_log_says_so(tmp_path, caplog):
    ones = np.ones((1, 3), "f4")
    own = [("SCI", ones), ("DQ", np.array([[1, 0, 0]], "i2")), ("ERR", 9 * ones)]
    data = save(tmp_path / "a.fits", *own)
    mask = save(tmp_path / "m.fits", ("SCI", np.array([[0, 0, 2]], "i2")))
    variance = save(tmp_path / "v.fits", ("SCI", 4 * ones))
    frame = one(data=data, mask=mask, variance=variance)
    assert invalid(frame).tolist() == [[False, False, True]]
    assert (frame.read_variance(0, 1) == 4).all()
    assert frame.read_flags(0, 1).tolist() == [[0, 0, 2]]
    assert f"{data}: using mask {mask}[1] instead of its own DQ" in caplog.text
    assert f"{data}: using variance {variance}[1] instead of its own ERR" in caplog.text
    caplog.clear()
    frame = one(data=data, variance=variance)
    assert invalid(frame).tolist() == [[True, False, False]]
    assert "DQ" not in caplog.text


MANY = [("N3", 3), ("S1", 5), ("S1", 7)]


@pytest.mark.parametrize(
    ("planes", "hdu", "suffix", "expected"),
    [
        # The HDU with the name of the frame's HDU.
        ([("S1", 5), ("N3", 3)], "N3", "", 3),
        ([("S1", 5), ("N3", 3)], "S1", "", 5),
        # The only image, whatever its name.
        ([("OTHER", 2)], "N3", "", 2),
        ([("OTHER", 2), ("UNCERT", 4)], "N3", "", 2),
        # An HDU with the name of a mask.
        ([("N3", 1), ("DQ", 6)], "N3", "", 6),
        ([("N3", 1), ("DQ", 6), ("MASK", 9)], "N3", "", 9),
        # The HDU in brackets.
        ([("S1", 5), ("N3", 3), ("DQ", 6)], "N3", "[S1]", 5),
        ([("S1", 5), ("N3", 3)], "N3", "[1]", 5),
        ([("S1", 5), ("N3", 3), ("S1", 8)], "N3", "[ s1 , 1]", 5),
        # Without names, the HDU with the same index.
        ([("", 5), ("", 3), ("", 8)], 2, "", 3),
    ],
)
def test_which_image_of_a_file(tmp_path, planes, hdu, suffix, expected):
    names = ["" if isinstance(hdu, int) else name for name in ("N3", "S1")]
    data = save(tmp_path / "a.fits", *[(name, np.ones((1, 2), "f4")) for name in names])
    mask = save(tmp_path / "m.fits", *[(n, np.full((1, 2), v, "i2")) for n, v in planes])
    (frame,) = open_frames(Image(data, mask=f"{mask}{suffix}"), unit="adu", hdu=hdu)
    assert frame.read_flags(0, 1).tolist() == [[expected] * 2]


def test_the_image_may_name_its_hdu_too(tmp_path):
    save(tmp_path / "a.fits", *[(name, np.full((1, 2), v, "f4")) for name, v in MANY])
    (frame,) = open_frames(Image(f"{tmp_path / 'a.fits'}[S1]"), unit="adu", hdu="N3")
    assert frame.whole().tolist() == [[5, 5]]
    both = stack([Image(f"{tmp_path / 'a.fits'}[{n}]") for n in ("N3", "S1")], unit="adu")
    assert both.data.tolist() == [[4, 4]]
    assert [name[-4:] for name in both.frames["name"]] == ["[N3]", "[S1]"]
    # A file of exactly that name has precedence.
    save(tmp_path / "b.fits[S1]", ("X", np.full((1, 2), 6, "f4")))
    (frame,) = open_frames(Image(tmp_path / "b.fits[S1]"), unit="adu")
    assert frame.whole().tolist() == [[6, 6]]


def test_the_weight_map_of_a_stack_is_a_weight_of_the_next(night, tmp_path):
    images, _ = night
    words = {"weights": "variance", "uncertainty": "propagated"}
    first = stack(images, outputs=("uncertainty", "weight"), **words)
    out = tmp_path / "one.fits"
    first.write(out, maps=["weight"])
    second = shutil.copy(out, tmp_path / "two.fits")
    again = stack([Image(out, weight=out), Image(second, weight=second)], **words)
    np.testing.assert_allclose(again.data, first.data, rtol=1e-6)
    np.testing.assert_allclose(again.uncertainty, first.uncertainty / np.sqrt(2), rtol=1e-6)


@pytest.mark.parametrize("written", ["bpm.fits", "bpm", "bpm.fits[1]", "{folder}/bpm.fits[N3]"])
def test_a_card_may_name_the_file(tmp_path, monkeypatch, written):
    night = tmp_path / "night"
    night.mkdir()
    save(night / "bpm.fits", ("N3", np.array([[0, 3]], "i2")))
    save(tmp_path / "bpm.fits", ("N3", np.array([[3, 0]], "i2")))
    monkeypatch.chdir(tmp_path)
    named = written.format(folder=night)
    data = fits.ImageHDU(np.ones((1, 2), "f4"), fits.Header({"BPM": named}), name="N3")
    fits.HDUList([fits.PrimaryHDU(), data]).writeto(night / "a.fits")
    frame = one(data=night / "a.fits", mask="!BPM")
    assert invalid(frame).tolist() == [[False, True]]
    # The folder of the frame is searched first, then the current folder, as in IRAF.
    (night / "bpm.fits").rename(tmp_path / "bpm.fits")
    if "{" not in written:
        assert invalid(one(data=night / "a.fits", mask="!BPM")).tolist() == [[False, True]]


@pytest.mark.parametrize("method", [0, 1, 2])
def test_weights_that_were_compressed_with_loss_are_told_of(tmp_path, caplog, method):
    rng = np.random.default_rng(2)
    weight = rng.normal(10, 1, (64, 64)).astype("f4")
    weight[:, ::5] = 0
    how = {1: 1, 2: 2}.get(method, -1)
    level = 4 if method else 0
    coded = fits.CompImageHDU(
        weight,
        compression_type="RICE_1" if method else "GZIP_1",
        quantize_level=level,
        quantize_method=how,
        dither_seed=1,
    )
    fits.HDUList([fits.PrimaryHDU(), coded]).writeto(tmp_path / "w.fits.fz")
    data = plain(tmp_path / "a.fits", np.ones((64, 64), "f4"))
    found = invalid(one(data=data, weight=tmp_path / "w.fits.fz"))
    kept = (found == (weight == 0)).all()
    assert kept == (method != 1), "zeros survive but one way of compressing"
    assert ("lossy compression" in caplog.text) == (method == 1)


@pytest.mark.parametrize("columns", [("COMPRESSED_DATA", "ZSCALE"), ("ZSCALE", "COMPRESSED_DATA")])
def test_what_was_compressed_with_loss_has_scales_in_whichever_column(columns):
    header = fits.Header({"TFIELDS": 2, "TTYPE1": columns[0], "TTYPE2": columns[1]})
    assert _loses_zeros(SimpleNamespace(kind="tiles", header=header))


def test_arrays_and_variances_beside_them(tmp_path):
    data = plain(tmp_path / "a.fits", np.full((2, 2), 3, "f4"), BUNIT="adu")
    image = Image(data, variance=plain(tmp_path / "v.fits", np.full((2, 2), 4, "f4")))
    ccd = CCDData(
        np.full((2, 2), 6, "f4"), unit="adu", uncertainty=VarianceUncertainty(np.full((2, 2), 2.0))
    )
    result = stack([image, ccd], weights="variance", outputs=("weight",))
    assert (result.weight == 0.75).all()
    assert (result.data == 5).all()


def test_the_variance_in_a_file_of_ccddata_is_read(tmp_path):
    data = plain(tmp_path / "a.fits", np.ones((2, 2), "f4"), BUNIT="adu")
    variance = VarianceUncertainty(np.full((2, 2), 4.0))
    CCDData(np.ones((2, 2)), unit="adu", uncertainty=variance).write(tmp_path / "ccd.fits")
    assert (one(data=data, variance=tmp_path / "ccd.fits").read_variance(0, 2) == 4).all()


def test_what_is_so_of_many_files_is_said_once(tmp_path, caplog):
    ones = np.ones((1, 3), "f4")
    images = [
        Image(
            data=save(tmp_path / f"a{i}.fits", ("SCI", ones), ("DQ", ones.astype("i2"))),
            mask=save(tmp_path / f"m{i}.fits", ("SCI", ones.astype("i2"))),
        )
        for i in range(5)
    ]
    open_frames(images, unit="electron")
    (said,) = [line for line in caplog.messages if "instead of its own DQ" in line]
    assert said.startswith(f"{images[0].data}: using mask ")
    assert said.endswith("instead of its own DQ; the same for 4 more")
