"""Memory of resampling: the bytes counted for it are enough, and runs stay within their limit."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

from bench.memory import can_measure
from gpustack import Reproject, stack
from gpustack.align import align_frames
from gpustack.align.blocks import GROUP_BYTES, SIDE
from gpustack.errors import MemoryLimitError
from gpustack.frames import open_frames
from gpustack.frames.planes import PlainPlane
from skies import SCALE, distorted, tangent
from traced import traced

ROOT = Path(__file__).resolve().parents[1]
SIZE = 700
#: A limit in bytes that is hardly more than one thread needs, the number of threads, and the
#: fraction of the limit that may be used. 12% are used, because blocks in bands of few rows are
#: smaller than the bytes counted. If blocks were not counted, bands would be large and use 70%.
LIMIT, THREADS, REACHED = 12_000_000, 8, 0.45
#: Method, order, dtype of the samples, size of a grid pixel in pixels of the frame, and rotation
#: in degrees.
KINDS = (
    ("interp", "bilinear", "float32", 1.0, 2),
    ("interp", "bilinear", "float64", 1.0, 45),
    ("interp", "bicubic", "float64", 1.0, 45),
    ("interp", "bilinear", "float32", 2.0, 45),
    ("adaptive", "bilinear", "float32", 1.0, 45),
    ("adaptive", "bilinear", "float32", 2.0, 2),
    ("exact", "bilinear", "float32", 2.0, 45),
)


def written(path, wcs, shape, dtype="float32", **planes):
    """Write a FITS file of noise with 1% of NaN, and more planes; return its path."""
    rng = np.random.default_rng(len(str(path)))
    data = rng.normal(100, 10, shape).astype(dtype)
    data[rng.random(shape) < 0.01] = np.nan
    header = wcs.to_header(relax=True)
    header["BUNIT"] = "adu"
    hdus = [fits.PrimaryHDU(data, header)]
    hdus += [fits.ImageHDU(plane, name=name) for name, plane in planes.items()]
    fits.HDUList(hdus).writeto(path)
    return str(path)


@pytest.mark.parametrize(("method", "order", "dtype", "coarse", "degrees"), KINDS)
def test_a_block_takes_what_is_counted(method, order, dtype, coarse, degrees, tmp_path):
    """At most the bytes counted, and at least a sixth: the count allows for float64 and splines."""
    frame = tangent(crpix=(SIZE / 2, SIZE / 2), degrees=degrees)
    sigma = np.ones((SIZE, SIZE), dtype)
    path = written(tmp_path / "frame.fits", frame, (SIZE, SIZE), dtype, UNCERT=sigma)
    side = round(SIDE / coarse)
    target = tangent(crpix=(side / 2, side / 2), scale=coarse * SCALE)
    align = Reproject(target, shape=(side, side), method=method, order=order)
    opened = align_frames(open_frames([path]), align).frames[0]
    buffer = np.empty(side * opened.row_bytes, np.uint8)
    taken = _peak(lambda: opened.read(0, side, buffer))
    assert opened.held_bytes / 6 < taken < opened.held_bytes
    assert _peak(lambda: opened.read_variance(0, side)) < opened.held_bytes + 8 * side**2


def coarse(n, width=40):
    """Frames whose pixels cover 50 x 50 pixels of the grid: few samples, many nodes."""
    wcs = tangent(scale=50 * SCALE, crpix=(width / 2, width / 2), degrees=3)
    rng = np.random.default_rng(1)
    images = [rng.normal(100, 10, (width, width)).astype("f4") for _ in range(n)]
    return [CCDData(image, unit="adu", wcs=wcs) for image in images]


def test_what_tells_where_pixels_lie_is_counted_for_all_frames():
    """The maps of pixels are held throughout the run."""
    opened, grid = open_frames(coarse(8)), tangent(crpix=(1000, 1000))
    align = Reproject(grid, shape=(2000, 2000))
    align_frames(opened, align)  # imports
    with traced() as taken:
        frames = align_frames(opened, align).frames
    kept = sum(frame.kept_bytes for frame in frames)
    assert 0.95 * taken.kept < kept < taken.kept
    assert kept > 2e6


def test_nodes_count_in_the_limit():
    frames, align = coarse(8), Reproject(tangent(crpix=(1000, 1000)), shape=(2000, 2000))
    kept = sum(frame.kept_bytes for frame in align_frames(open_frames(frames), align).frames)
    for memory, said in (
        (kept, f"rows beside the {kept:,} bytes of pixel maps .* got {kept:,}"),
        (kept + 999, f", got 999 bytes beside the {kept:,} bytes of pixel maps"),
    ):
        with pytest.raises(MemoryLimitError, match=said):
            stack(frames, align=align, memory=memory)


def _peak(call):
    """The peak of the bytes allocated during a call."""
    call()  # imports
    with traced() as taken:
        call()
    return taken.peak


@pytest.mark.parametrize("method", ["interp", "adaptive", "exact"])
def test_places_that_are_transformed_one_by_one_are_counted(method, tmp_path):
    """Tested with a small frame so distorted that places cannot be interpolated between nodes."""
    frame = distorted(amount=3.0, crpix=(SIDE / 2, SIDE / 2), degrees=20)
    path = written(
        tmp_path / "frame.fits", frame, (SIDE, SIDE), "float64", UNCERT=np.ones((SIDE,) * 2)
    )
    align = Reproject(tangent(crpix=(SIDE / 2, SIDE / 2)), shape=(SIDE, SIDE), method=method)
    opened = align_frames(open_frames([path]), align).frames[0]
    assert opened.pixel_map.rough.all()
    buffer = np.empty(SIDE * opened.row_bytes, np.uint8)
    assert _peak(lambda: opened.read(0, SIDE, buffer)) < opened.held_bytes
    assert _peak(lambda: opened.read_variance(0, SIDE)) < opened.held_bytes + 8 * SIDE**2


def large(folder, degrees=10.0):
    """A rotated frame larger than a block in both directions, on a grid of its size."""
    size = 3 * SIDE
    frame = tangent(crpix=(size / 2, size / 2), degrees=degrees)
    sigma = np.ones((size, size), "f4")
    path = written(folder / "frame.fits", frame, (size, size), UNCERT=sigma)
    align = Reproject(tangent(crpix=(size / 2, size / 2)), shape=(size, size))
    return align_frames(open_frames([path]), align).frames[0]


@pytest.mark.parametrize("group", [GROUP_BYTES, 1 << 30])
def test_no_block_is_larger_than_is_counted(group, tmp_path, monkeypatch):
    """Including the rows that are read for the blocks beside it."""
    monkeypatch.setattr("gpustack.align.blocks.GROUP_BYTES", group)
    opened = large(tmp_path)
    size = opened.shape[0]
    buffer = np.empty(size * opened.row_bytes, np.uint8)
    assert _peak(lambda: opened.read(0, size, buffer)) < opened.held_bytes
    assert _peak(lambda: opened.read_variance(0, size)) < opened.held_bytes + 8 * size**2


@pytest.mark.parametrize(("group", "most"), [(GROUP_BYTES, 1.4), (1, None)])
def test_rows_below_blocks_beside_each_other_are_read_once(group, most, tmp_path, monkeypatch):
    """Except for rows that blocks above need too, since the frame is rotated by 4 degrees."""
    monkeypatch.setattr("gpustack.align.blocks.GROUP_BYTES", group)
    opened, read = large(tmp_path, degrees=4), []
    fill = PlainPlane._fill

    def counted(plane, rows, start):
        read.append(rows.nbytes)
        fill(plane, rows, start)

    monkeypatch.setattr(PlainPlane, "_fill", counted)
    size = opened.shape[0]
    whole = opened.read(0, size).data
    times = sum(read) / (4 * size**2)
    assert times < most if most else times > 3
    one_by_one = np.concatenate([opened.read(y, y + SIDE).data for y in range(0, size, SIDE)])
    np.testing.assert_array_equal(whole, one_by_one)


#: A program that prints the peak of memory during a run, the bytes of the result, and how many of
#: its pixels are masked.
RUN = """
import json, sys
from bench.memory import bytes_of, peak_above, settle
from gpustack import Reproject, stack
from gpustack.backends import cpu
limit, threads, rows, side, *paths = json.loads(sys.argv[1])
cpu.available_cores = lambda: threads
how = {"combine": "median", "outputs": ()}
stack(paths[:2], align=Reproject(shape=(16, 16)), memory=limit, **how)
align = Reproject(paths[0], extent="target", shape=(rows, side))
before = settle()
result = stack(paths[1:], align=align, memory=limit, **how)
print(json.dumps([peak_above(before), bytes_of(result), int(result.mask.sum())]))
"""


@pytest.mark.skipif(not can_measure(), reason="needs Linux: /proc/self/clear_refs")
def test_a_mosaic_stays_within_its_limit(tmp_path):
    """Six dithered and rotated frames, larger than a block, that all reach all bands."""
    size, rows, side = 600, 300, 1200
    target = tangent(crpix=(side / 2, rows / 2))
    paths = [written(tmp_path / "target.fits", target, (4, 4))]
    for i in range(6):
        x, y = 300 + 120 * i, 140 + 10 * (i % 3)
        (at,) = target.all_pix2world([[x, y]], 0)
        wcs = tangent(crval=at, crpix=(size / 2, size / 2), degrees=2.0 * i - 5)
        paths.append(written(tmp_path / f"frame{i}.fits", wcs, (size, size)))
    arguments = json.dumps([LIMIT, THREADS, rows, side, *paths])
    done = subprocess.run(
        [sys.executable, "-c", RUN, arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    peak, result, masked = json.loads(done.stdout)
    assert masked < 0.2 * rows * side
    assert peak - result < REACHED * LIMIT
