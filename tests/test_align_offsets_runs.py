"""Whole runs on frames moved by whole pixels, against the cube with NaN around each frame."""

import gzip

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty

from gpustack import Flags, Grow, Offsets, SigmaClip, explain, stack
from gpustack.align.base import OUTSIDE
from gpustack.errors import GpustackWarning
from gpustack.frames.planes import TiledPlane
from placing import PLACES, SHAPE, planes, union, write


def test_files_of_all_kinds(tmp_path):
    """Files with BZERO, BLANK, gzip and tile compression give the results of float arrays."""
    cube = [plane.round() for plane in planes(4)]
    write(tmp_path / "a.fits", cube[0].astype(np.uint16))
    write(tmp_path / "b.fits", cube[1].astype(np.int16), BLANK=int(cube[1][2, 2]))
    write(tmp_path / "c.fits", cube[2].astype(np.float32))
    (tmp_path / "c.fits.gz").write_bytes(gzip.compress((tmp_path / "c.fits").read_bytes()))
    fits.CompImageHDU(cube[3].astype(np.int16), fits.Header({"BUNIT": "adu"})).writeto(
        tmp_path / "d.fits"
    )
    paths = [tmp_path / name for name in ("a.fits", "b.fits", "c.fits.gz", "d.fits")]
    cube[1] = np.where(cube[1] == cube[1][2, 2], np.nan, cube[1])
    how, clip = Offsets(PLACES[:4]), SigmaClip(1.2, 1.2)
    expected = stack(np.array(cube, "f4"), clip, align=how)
    for memory in (None, "19kB"):
        told = []
        got = stack(
            paths, clip, align=how, memory=memory, progress=lambda *n, to=told: to.append(n)
        )
        for name in ("data", "mask", "count", "low", "high"):
            np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), err_msg=name)
        assert memory is None or len(told) > 1


def test_flags_variances_weights_and_maps():
    rng = np.random.default_rng(5)
    bits = [rng.integers(0, 4, SHAPE).astype(np.uint8) for _ in range(5)]
    ccds = [
        CCDData(plane, unit="adu", uncertainty=StdDevUncertainty(np.full(SHAPE, 1.0 + i)), flags=b)
        for i, (plane, b) in enumerate(zip(planes(), bits, strict=True))
    ]
    weights = rng.random((5, 12, 17))
    result = stack(
        ccds,
        flags=Flags(bad=2),
        weights=weights,
        uncertainty="propagated",
        outputs=("uncertainty", "count", "flags"),
        align=Offsets(PLACES),
    )
    good = [np.where(b & 2, np.nan, p) for p, b in zip(planes(), bits, strict=True)]
    cube = union(good, PLACES)
    valid = np.isfinite(cube)
    w = np.where(valid, weights, 0)
    variances = np.arange(1.0, 6).reshape(-1, 1, 1) ** 2
    with np.errstate(invalid="ignore"):
        mean = np.nansum(cube * w, axis=0) / w.sum(axis=0)
        sigma = np.sqrt((w**2 * variances).sum(axis=0)) / w.sum(axis=0)
    np.testing.assert_array_equal(result.count, valid.sum(axis=0))
    np.testing.assert_allclose(result.data, mean, rtol=1e-6)
    np.testing.assert_allclose(result.uncertainty, sigma, rtol=1e-6)
    of_bits = union([b.astype(float) for b in bits], PLACES)
    kept = np.where(valid.any(axis=0), valid, np.isfinite(of_bits))
    wanted = np.bitwise_or.reduce(np.where(kept, np.nan_to_num(of_bits), 0).astype(int), axis=0)
    np.testing.assert_array_equal(result.flags, wanted)


def test_levels_are_measured_on_samples_and_not_on_what_is_around():
    levels = (100, 200, 50, 400, 100)
    cube = [np.full(SHAPE, level, "f4") for level in levels]
    result = stack(cube, scale="median", align=Offsets(PLACES))
    np.testing.assert_allclose(result.frames["scale"], 100 / np.array(levels))
    assert set(result.data[~result.mask].tolist()) == {100.0}
    shifted = stack(cube, zero="overlap", align=Offsets(PLACES))
    assert np.ptp(shifted.data[~shifted.mask]) < 1e-4


def test_growing_and_reasons():
    cube = [np.full(SHAPE, 10.0, "f4") for _ in range(5)]
    cube[1][0, 0] = 900
    result = stack(
        cube,
        [SigmaClip(spread="mad_std"), Grow(1)],
        align=Offsets([(0, 0), (1, 1), (0, 0), (0, 0), (0, 0)]),
        outputs=("count", "high", "reason"),
    )
    assert result.high[1, 1] == 1
    assert result.count[1, 2] == result.count[2, 1] == 4
    assert result.reason[0, 0] & 1


def test_explain_counts_on_the_grid():
    cube = planes()
    result = stack(cube, SigmaClip(1.2, 1.2), align=Offsets(PLACES))
    found = explain(cube, 5, 4, SigmaClip(1.2, 1.2), align=Offsets(PLACES))
    assert found.data == result.data[4, 5]
    outside = explain(cube, 0, 3, align=Offsets(PLACES)).samples["fate"].tolist()
    assert outside == [OUTSIDE, "used", OUTSIDE, OUTSIDE, OUTSIDE]


def test_explain_tells_what_is_outside_from_what_is_masked():
    cube = np.ma.MaskedArray(planes(), False)
    cube[0, 3, 2] = np.ma.masked
    lines = str(explain(list(cube), 2, 3, align=Offsets(PLACES, "reference"))).splitlines()
    assert lines[3].split()[-2:] == ["invalid:", "masked"]
    shown = str(explain(list(cube), 0, 3, align=Offsets(PLACES)))
    assert shown.splitlines()[3].split(maxsplit=3) == [
        "frame",
        "0",
        "-",
        "invalid: outside of the frame",
    ]
    assert "1 of 5 samples; 0 rejected low, 0 high, 4 invalid" in shown


def test_the_cuda_backend_gives_the_same(cuda, monkeypatch):
    monkeypatch.setattr("gpustack.backends.cuda.work.LEAST_BYTES", 1)
    cube = planes(dtype=np.uint16)
    for clip in ((), SigmaClip(1.2, 1.2)):
        one, other = (
            stack(cube, clip, align=Offsets(PLACES), backend=name) for name in ("cpu", "cuda")
        )
        np.testing.assert_array_equal(one.count, other.count)
        np.testing.assert_allclose(one.data, other.data, rtol=1e-6)


def test_rows_of_tiles_that_no_band_meets_are_not_read(tmp_path, monkeypatch):
    asked = []
    fill = TiledPlane._fill

    def spy(plane, rows, start):
        asked.append((start, start + len(rows)))
        fill(plane, rows, start)

    monkeypatch.setattr(TiledPlane, "_fill", spy)
    paths = []
    for i, plane in enumerate(planes(2, (40, 10), np.int16)):
        paths.append(tmp_path / f"{i}.fits")
        fits.CompImageHDU(plane, fits.Header({"BUNIT": "adu"})).writeto(paths[-1])
    told = []
    stack(
        paths,
        align=Offsets([(0, 0), (60, 0)]),
        memory="16kB",
        progress=lambda d, _: told.append(d),
    )
    assert len(told) > 3
    assert sum(stop - start for start, stop in asked) == 80


def test_a_result_that_is_nearly_empty_is_told_of():
    """A typing error in a file of offsets may cause this."""
    frames = [np.ones((10, 10), np.float32)] * 3
    said = r"align offsets: nearly all of the result is empty: 10 x 20,010 pixels.*frame 2 in \[.*"
    with pytest.warns(GpustackWarning, match=said) as told:
        stack(frames, align=Offsets([(0, 0), (0, 0), (20000, 0)]))
    assert told[0].filename == __file__
    stack(frames, align=Offsets([(0, 0), (0, 0), (500, 0)]))


@pytest.mark.parametrize("start", [0.0, 0.4, 10.4, -3.7, 1e6 + 0.49])
def test_only_the_differences_of_given_offsets_are_rounded(start, tmp_path):
    frames = [CCDData(np.ones((4, 5)), unit="adu") for _ in range(3)]
    steps = [0.0, 0.2, 1.6]
    for frame, step in zip(frames, steps, strict=True):
        frame.header.update({"XOFF": 0.0, "YOFF": start + step})
    by_pairs = Offsets([(start + step, start) for step in steps])
    for align in (by_pairs, Offsets("!XOFF/YOFF")):
        assert list(stack(frames, align=align).frames["dy"]) == [0, 0, 2]
    (tmp_path / "shifts").write_text("0 0.4\n0 0.6\n0 2\n")
    as_iraf = stack(frames, align=Offsets(f"@{tmp_path / 'shifts'}"))
    assert list(as_iraf.frames["dy"]) == [0, 1, 2]
