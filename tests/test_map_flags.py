"""The map of flags: the bits of combined samples, for files, CCDData and all integer types."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import oracle_maps
from gpustack import ExtremaClip, Flags, Grow, Recipe, SigmaClip, stack
from gpustack.cli import cli
from gpustack.clips import MADClip
from gpustack.errors import InputError
from maprun import run_maps
from oracle import solve
from recipes import EVERYTHING, SIGMA
from stacks import plain, sky, some
from stacks import stack as stack_of

TYPES = ("u1", "i1", "i2", "u2", ">i2", "i4", "u4", "i8", ">u8")


def some_bits(n, shape, kinds):
    """Integer masks in which any bit may be set; None for every third frame."""
    rng = np.random.default_rng([n, len(kinds)])
    made = []
    for f in range(n):
        dtype = np.dtype(kinds[f % len(kinds)])
        raw = (1 << rng.integers(0, 8 * dtype.itemsize, shape)).astype(f"u{dtype.itemsize}")
        raw[rng.random(shape) < 0.5] = 0
        made.append(None if f % 3 == 2 else raw.view(dtype.newbyteorder("=")).astype(dtype))
    return made


def widest(bits):
    """The dtype of the first frame with the widest bits, in native byte order."""
    sizes = [0 if held is None else held.itemsize for held in bits]
    return bits[sizes.index(max(sizes))].dtype.newbyteorder("=")


@pytest.mark.parametrize(
    "kinds", [("u1",), ("i2", "u2"), ("i1", ">u2", ">i4"), ("u1", "i8", ">u8")]
)
@pytest.mark.parametrize(
    "asked",
    [
        Recipe(),
        Recipe(EVERYTHING, "median"),
        Recipe([ExtremaClip(1, 1, "all")], "sum"),
        Recipe([*SIGMA, Grow(1.5)], "max"),
    ],
    ids=str,
)
@pytest.mark.parametrize("stack_name", ["mixed-masks", "infinite", "one-row"])
def test_the_oracle(backend, stack_name, asked, kinds):
    band = stack_of(stack_name, 5, asked)
    bits, want = some_bits(5, band[0].data.shape, kinds), solve(band, asked)
    _, maps = run_maps(backend, band, asked, bits=bits)
    expected = oracle_maps.flags(want.reasons, bits, widest(bits))
    assert maps["flags"].dtype == expected.dtype
    np.testing.assert_array_equal(maps["flags"][~want.close], expected[~want.close])


@pytest.mark.parametrize("step", [1, 4])
def test_bands_change_no_bit(backend, cut, step):
    band = plain(sky(5, (23, 11)).astype("f4"), some(5, (23, 11)))
    bits, asked = some_bits(5, (23, 11), TYPES), Recipe([MADClip(5, 5), Grow(1)])
    _, one = run_maps(backend, band, asked, bits=bits)
    cut(step)
    _, other = run_maps(backend, band, asked, bits=bits)
    np.testing.assert_array_equal(one["flags"], other["flags"])


@given(st.lists(st.sampled_from(TYPES), min_size=1, max_size=5), st.integers(0, 99))
def test_the_order_of_frames_changes_no_bit(kinds, seed):
    bits = [held for held in some_bits(6, (3, 4), kinds) if held is not None]
    frames = [CCDData(np.full((3, 4), i), unit="adu", flags=b) for i, b in enumerate(bits)]
    order = np.random.default_rng(seed).permutation(len(frames))
    one = stack(frames, outputs="flags").flags
    other = stack([frames[i] for i in order], outputs="flags").flags
    assert one.itemsize == other.itemsize
    np.testing.assert_array_equal(one.view(f"u{one.itemsize}"), other.view(f"u{one.itemsize}"))


def test_a_column_written_out(backend):
    # A clipped cosmic ray (8), a saturated sample (4) that is not clipped, a frame without flags.
    data = np.array([[[10, 10, 1]], [[11, 11, 1]], [[500, 12, 1]]], "f4")
    masks = np.zeros(data.shape, bool)
    masks[:, 0, 2] = True
    bits = [np.array([[1, 0, 1]], "u1"), None, np.array([[8, 4, 16]], "i2")]
    _, maps = run_maps(backend, plain(data, masks), Recipe([MADClip(3, 3)]), bits=bits)
    # Where no sample survives, the map contains the bits of all samples.
    assert maps["flags"].tolist() == [[1, 4, 17]]


# Files.


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with files as pipelines write them, one without DQ."""
    rng = np.random.default_rng(5)
    for i in range(5):
        image = fits.ImageHDU(rng.normal(100, 3, (12, 9)).astype("f4"), name="SCI")
        image.header["BUNIT"] = "adu"
        hdus = [fits.PrimaryHDU(), image]
        if i != 1:
            bits = rng.choice([0, 1, 2, 4, 4 + 32768], (12, 9)).astype("u2" if i else "u1")
            hdus.append(fits.ImageHDU(bits, name="DQ"))
        fits.HDUList(hdus).writeto(tmp_path / f"f{i}.fits")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("memory", [None, "20kB"])
def test_files(folder, memory):
    clips, bands = [SigmaClip(1.7, 1.7), Grow(1)], []
    found = stack(
        "f*.fits",
        clips,
        flags=Flags(bad=2),
        outputs=("flags", "rejections"),
        backend="cpu",
        memory=memory,
        progress=lambda done, _: bands.append(done),
    )
    assert len(bands) > 1 or memory is None
    expected, lost = np.zeros((12, 9), "u2"), np.ones((12, 9), bool)
    held = [
        fits.getdata(f"f{i}.fits", "DQ") if i != 1 else np.zeros((12, 9), "u2") for i in range(5)
    ]
    survive = [(bits & 2 == 0) & ~found.rejections[i] for i, bits in enumerate(held)]
    for bits, inside in zip(held, survive, strict=True):
        expected |= np.where(inside | ~np.any(survive, axis=0), bits, 0).astype("u2")
        lost &= ~inside
    assert found.flags.dtype == np.uint16
    np.testing.assert_array_equal(found.flags, expected)
    np.testing.assert_array_equal(lost, found.mask)


def test_the_command_line_writes_dq(folder):
    words = ["combine", "f*.fits", "-o", "out.fits", "--maps", "flags", "--good-bits", "1,4,32768"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    expected = stack("f*.fits", flags=Flags(good="1,4,32768"), outputs="flags").flags
    assert (expected & 32768).any()
    with fits.open("out.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "MASK", "UNCERT", "DQ"]
        np.testing.assert_array_equal(hdus["DQ"].data, expected)
        assert hdus["DQ"].data.dtype == np.uint16
    back = CCDData.read("out.fits")
    np.testing.assert_array_equal(back.mask, fits.getdata("out.fits", "MASK"))


def test_frames_without_flags_are_refused(folder, cuda):
    with pytest.raises(
        InputError, match=r"outputs: flags: expected .* got none in 1 frames, from f1\.fits"
    ):
        stack(["f1.fits"], outputs="flags")
    masked = [np.ma.MaskedArray(np.ones((2, 3)), np.zeros((2, 3), bool))] * 3
    for frames in (masked, cuda.asarray(np.ones((3, 2, 3), "f4"))):
        with pytest.raises(InputError, match=r"MASK or DQ .*CCDData, got none in 3 frames, from"):
            stack(frames, outputs="flags")
