"""Time mosaics of dithered and rotated frames, by gpustack, ccdproc and reproject.

``python -m bench.mosaic --json bench/results/NAME-mosaic.json``. Each call runs in a process of
its own, after the same call on three small frames; calls take turns, A B C A B C. Linux only, like
`bench.memory`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.wcs import WCS
from numpy.typing import NDArray

from bench import machine
from bench.data import NOISE, SEED, SKY
from bench.memory import bytes_of, can_measure, peak_above, settle
from bench.table import mosaic_table
from gpustack import Reproject, stack

#: Degrees a pixel, and the most degrees by which a frame is rotated.
SCALE, TURN = 1e-4, 5.0
#: The largest shift of frames off a regular raster, as a share of the footprint.
DITHER = 0.02
#: The limit on memory for gpustack.
LIMIT = "256MB"
#: Sides of a frame and of the footprint: those of our goal, and a quarter of their pixels, with
#: which peers fit into the memory of a small machine too.
FULL, SMALL = (2048, 6000), (1024, 3000)
#: Frames of the first, small call, and their sides. Not two frames: reproject would take the two
#: sides of a block for a block size of each frame.
WARM_FRAMES, WARM = 3, (64, 100)


@dataclass(frozen=True)
class Mosaic:
    """FITS files, and the header of the grid that they are combined on."""

    files: list[str]
    grid: fits.Header

    @property
    def wcs(self) -> WCS:
        """The coordinates of the grid."""
        return WCS(self.grid)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of the grid, (y, x)."""
        return self.grid["NAXIS2"], self.grid["NAXIS1"]


def simulate(frames: int, size: int, side: int, folder: Path) -> Mosaic:
    """Write frames of a flat sky with noise over a footprint, from a fixed seed.

    Parameters
    ----------
    frames : int
        The number of frames, on a raster that is as square as possible, shifted and rotated.
    size, side : int
        Pixels on a side of a frame, and of the footprint.
    folder : path
        For the files, which are just written when they are read, and so in the system's cache.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    grid, files = _tangent(side), []
    for i, (y, x) in enumerate(_raster(frames, size, side)):
        wcs = _tangent(size, rng.uniform(-TURN, TURN))
        at = np.array([[x, y]]) + rng.uniform(-DITHER, DITHER, 2) * side
        wcs.wcs.crval = grid.all_pix2world(at, 0)[0]
        header = wcs.to_header() + fits.Header({"BUNIT": "adu", "EXPTIME": 60.0})
        noise = rng.standard_normal((size, size), dtype=np.float32)
        path = folder / f"frame{i:03d}.fits"
        fits.writeto(path, np.float32(SKY) + np.float32(NOISE) * noise, header, overwrite=True)
        files.append(str(path))
    return Mosaic(files, _grid(side))


def _grid(side: int) -> fits.Header:
    """The header of the footprint."""
    header = _tangent(side).to_header()
    header["NAXIS"], header["NAXIS1"], header["NAXIS2"] = 2, side, side
    return header


def _tangent(size: int, degrees: float = 0.0) -> WCS:
    """Tangent-plane coordinates about the middle of an image, rotated by so many degrees."""
    wcs, turn = WCS(naxis=2), np.deg2rad(degrees)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = (10.0, 20.0), ((size + 1) / 2, (size + 1) / 2)
    wcs.wcs.cdelt = [-SCALE, SCALE]
    wcs.wcs.pc = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    return wcs


def _raster(frames: int, size: int, side: int) -> list[tuple[float, float]]:
    """The centres of frames, (y, x), that cover the footprint evenly."""
    columns = int(np.ceil(np.sqrt(frames)))
    rows = -(-frames // columns)
    first, last = (size - 1) / 2, side - (size + 1) / 2
    ys, xs = (np.linspace(first, last, n) if n > 1 else [side / 2] for n in (rows, columns))
    return [(ys[i // columns], xs[i % columns]) for i in range(frames)]


def ours(mosaic: Mosaic, combine: str, **outputs: Any) -> Any:
    """`gpustack.stack`, from files to arrays."""
    return stack(
        mosaic.files, combine=combine, align=Reproject(mosaic.grid), memory=LIMIT, **outputs
    )


def ccdproc(mosaic: Mosaic, combine: str) -> Any:
    """`wcs_project` of each frame, then a `Combiner` of all, as in ccdproc's documentation."""
    from ccdproc import Combiner, wcs_project

    wcs, shape = mosaic.wcs, mosaic.shape
    images = [wcs_project(CCDData.read(path), wcs, target_shape=shape) for path in mosaic.files]
    return getattr(Combiner(images), f"{combine}_combine")()


def coadd(mosaic: Mosaic, **options: Any) -> NDArray[Any]:
    """`reproject_and_coadd`, which has no median; returns its image and its footprint."""
    from reproject import reproject_interp
    from reproject.mosaicking import reproject_and_coadd

    answer = reproject_and_coadd(
        mosaic.files,
        mosaic.grid,
        reproject_function=reproject_interp,
        combine_function="mean",
        match_background=False,
        blank_pixel_value=np.nan,
        **options,
    )
    return np.array(answer)


CALLS: dict[str, Callable[[Mosaic], Any]] = {
    "gpustack.stack, mean, image only": partial(ours, combine="mean", outputs=()),
    "gpustack.stack, mean, all maps": partial(ours, combine="mean"),
    "gpustack.stack, median, image only": partial(ours, combine="median", outputs=()),
    "gpustack.stack, median, all maps": partial(ours, combine="median"),
    "ccdproc, mean": partial(ccdproc, combine="average"),
    "ccdproc, median": partial(ccdproc, combine="median"),
    "reproject_and_coadd, mean": coadd,
    "reproject_and_coadd, mean, blocks on all cores": partial(
        coadd, parallel=True, block_size=(512, 512), intermediate_memmap=True
    ),
}
#: Calls whose answers are compared: one of ours with one of a peer.
PAIRS = (
    ("gpustack.stack, mean, all maps", "ccdproc, mean"),
    ("gpustack.stack, median, all maps", "ccdproc, median"),
    ("gpustack.stack, mean, all maps", "reproject_and_coadd, mean"),
)


def measure(name: str, mosaic: Mosaic, warm: Mosaic, answer: Path) -> dict[str, Any]:
    """Time one call in this process; save its image to `answer`, with NaN where it has no value."""
    warnings.simplefilter("ignore")
    CALLS[name](warm)
    before = settle()
    wall, cpu = time.perf_counter(), time.process_time()
    made = CALLS[name](mosaic)
    took = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    peak, outputs = peak_above(before), bytes_of(made)
    np.save(answer, image_of(made))
    return {**took, "peak": peak, "outputs": outputs, "overhead": peak - outputs}


def image_of(made: Any) -> NDArray[Any]:
    if isinstance(made, np.ndarray):  # with a footprint
        return np.where(made[1] == 0, np.nan, made[0])
    return np.where(made.mask, np.nan, made.data) if made.mask is not None else made.data


def compare(one: Path, other: Path) -> dict[str, Any]:
    """How far two images differ where both have values, and how often only one has."""
    first, second = np.load(one), np.load(other)
    both = np.isfinite(first) & np.isfinite(second)
    return {
        "pixels": int(both.sum()),
        "largest": float(np.abs(first[both] - second[both]).max()),
        "masks": int((np.isfinite(first) != np.isfinite(second)).sum()),
    }


def run(sizes: tuple[int, int], options: argparse.Namespace) -> dict[str, Any]:
    """Run all calls on frames of one size, in turn, and compare their answers."""
    size, side = sizes
    only_ours = sizes == FULL and not options.peers
    names = [name for name in CALLS if name.startswith("gpustack") or not only_ours]
    calls: dict[str, dict[str, Any]] = {name: {"name": name} for name in names}
    with tempfile.TemporaryDirectory() as folder:
        simulate(options.frames, size, side, Path(folder, "mosaic"))
        for turn, name in product(range(options.repeat), names):
            if turn and sum(calls[name]["seconds"]) > options.budget:
                continue
            for key, value in _apart(name, sizes, options.frames, Path(folder)).items():
                calls[name].setdefault(key, []).append(value)
        differences = [
            {"ours": a, "other": b, **compare(_answer(folder, a), _answer(folder, b))}
            for a, b in PAIRS
            if {a, b} <= set(names)
        ]
    return {"size": size, "side": side, "calls": list(calls.values()), "differences": differences}


def _answer(folder: str | Path, name: str) -> Path:
    return Path(folder, f"{list(CALLS).index(name)}.npy")


def _apart(name: str, sizes: tuple[int, int], frames: int, folder: Path) -> dict[str, Any]:
    """`measure` in a process of its own."""
    command = [sys.executable, "-m", "bench.mosaic", "--one", name, "--folder", str(folder)]
    command += ["--frames", str(frames), "--sizes", ",".join(map(str, sizes))]
    done = subprocess.run(command, cwd=machine.ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name}: expected a result, got:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench.mosaic", description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=20, help="frames (default: %(default)s)")
    parser.add_argument(
        "--sizes",
        nargs="+",
        type=lambda text: tuple(map(int, text.split(","))),
        default=[SMALL, FULL],
        metavar="SIZE,SIDE",
        help="sides of the frames and of the footprint; default: 1024,3000 2048,6000",
    )
    parser.add_argument(
        "--repeat", type=int, default=3, help="runs of each call (default: %(default)s)"
    )
    parser.add_argument(
        "--budget", type=float, default=60.0, help="seconds after which a call is not repeated"
    )
    parser.add_argument(
        "--peers", action="store_true", help="run peers at 2048,6000 too; needs 32 GB"
    )
    parser.add_argument("--one", metavar="CALL", help="run this call in this process")
    parser.add_argument("--folder", type=Path, help="folder of the frames of --one")
    machine.add_json(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    options = _parse(arguments)
    if not can_measure():
        print("bench.mosaic needs Linux, as bench.memory", file=sys.stderr)
        return 2
    if options.one:
        files = sorted(map(str, (options.folder / "mosaic").glob("*.fits")))
        mosaic = Mosaic(files, _grid(options.sizes[0][1]))
        warm = simulate(WARM_FRAMES, *WARM, options.folder / "warm")
        answer = _answer(options.folder, options.one)
        print(json.dumps(measure(options.one, mosaic, warm, answer)))
        return 0
    load = machine.load()
    settings = {"frames": options.frames, "repeat": options.repeat, "limit": LIMIT}
    sizes = [run(size, options) for size in options.sizes]
    results = machine.record("mosaic", settings, load, sizes=sizes)
    machine.write(options.json, results)
    print(mosaic_table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
