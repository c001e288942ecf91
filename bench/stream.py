"""Frames larger than the limit: ``python -m bench.stream --json bench/results/NAME-stream.json``.

This is the case of astropy/ccdproc issue 1012: 40 frames of 4096 x 4096 float32 with a limit of
50 MB. There, on another machine, `ccdproc.combine` took 223 s for a mean and 363 s for a median
without an uncertainty. The time of gpustack's
command line, from files to a file, is compared with that of what is unavoidable: reading the files
in bands, and computing with frames in memory. Each runs in a process of its own, in turn. Linux
only.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from bench import machine
from bench.data import HITS, NOISE, SEED, SKY
from bench.memory import STATUS
from bench.process import compile_package
from bench.table import seconds_of, stream_table

WAYS = ("gpustack", "read", "compute", "info")
COMBINES = ("mean", "median")

#: A program that runs the command line, imports included, and prints what it took.
PROGRAM = """
import time
begin = time.perf_counter()
import json
from gpustack.cli import cli
cli.main(standalone_mode=False)
found = {"seconds": time.perf_counter() - begin, "cpu_seconds": time.process_time()}
status = open("/proc/self/status").read().splitlines()
found["peak"] = int(next(s for s in status if s.startswith("VmHWM")).split()[1]) * 1024
print(json.dumps(found))
"""


def simulate(folder: Path, frames: int, size: int) -> None:
    """Write the frames, one at a time."""
    rng = np.random.default_rng(SEED)
    for i in range(frames):
        plane = rng.standard_normal((size, size), np.float32)
        plane *= np.float32(NOISE)
        plane += np.float32(SKY)
        hits = rng.integers(0, size, (2, int(HITS * size * size)))
        plane[hits[0], hits[1]] += np.float32(5000)
        fits.writeto(folder / f"f{i:03}.fits", plane, fits.Header({"BUNIT": "adu"}))


def program_words(paths: list[Path], combine: str, limit: int) -> list[str]:
    """The words of the command line that combines files into a file."""
    output = paths[0].with_name("out.fits")
    words = ["combine", *map(str, paths), "-o", str(output), "--overwrite", "--backend", "cpu"]
    return [*words, "--combine", combine, "--memory", str(limit)]


def read_files(paths: list[Path], limit: int) -> Callable[[], Any]:
    """A call that reads all samples of all files once, in bands of which two fit in the limit."""
    header = fits.getheader(paths[0])
    row, rows = 4 * header["NAXIS1"], header["NAXIS2"]
    begin, step = 2880, max(1, limit // (2 * len(paths) * row))
    buffers = [bytearray(step * row) for _ in paths]

    def read() -> None:
        with ExitStack() as held:
            files = [held.enter_context(path.open("rb", buffering=0)) for path in paths]
            for start in range(0, rows, step):
                count = (min(start + step, rows) - start) * row
                for file, buffer in zip(files, buffers, strict=True):
                    file.seek(begin + start * row)
                    file.readinto(memoryview(buffer)[:count])

    return read


def compute(paths: list[Path], combine: str) -> Callable[[], Any]:
    """A call of `gpustack.stack` on frames in memory."""
    from gpustack import stack

    planes = [np.asarray(fits.getdata(path), np.float32) for path in paths]
    stack(planes[0][None, :4], unit="adu")  # imports what is imported on first use
    how = {"unit": "adu", "backend": "cpu", "outputs": ("uncertainty",)}
    return lambda: stack(planes, combine=combine, **how)


def peak() -> int:
    """The most bytes of memory that this process has used."""
    line = next(text for text in STATUS.read_text().splitlines() if text.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def measure(way: str, combine: str, scratch: Path, limit: int) -> dict[str, float]:
    """Run one way in this process: seconds, seconds of all cores, and the peak in bytes."""
    paths = sorted(scratch.glob("f*.fits"))
    call = read_files(paths, limit) if way == "read" else compute(paths, combine)
    begin, cores = time.perf_counter(), time.process_time()
    call()
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cores
    return {"seconds": seconds, "cpu_seconds": cpu, "peak": peak()}


def measure_apart(way: str, combine: str, scratch: Path, limit: int) -> dict[str, Any]:
    """`measure` in a process of its own; for the command line, one that runs `PROGRAM` alone."""
    command = [sys.executable, "-m", "bench.stream", "--one", way, combine]
    command += ["--scratch", str(scratch), "--memory", str(limit)]
    if way in ("gpustack", "info"):
        paths = sorted(scratch.glob("f*.fits"))
        words = ["info"] if way == "info" else program_words(paths, combine, limit)
        command = [sys.executable, "-c", PROGRAM, *words]
    done = subprocess.run(command, cwd=machine.ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{way}, {combine}: expected a result, got:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(scratch: Path, limit: int, runs: int) -> list[dict[str, Any]]:
    """What each way took, for a mean and for a median; ways take turns."""
    compared = []
    for combine in COMBINES:
        found: dict[str, Any] = {way: [] for way in WAYS}
        for _ in range(runs):
            for way in WAYS:
                found[way].append(measure_apart(way, combine, scratch, limit))
        compared.append({"combine": combine, "ways": found, "ratio": ratio(found)})
    return compared


def ratio(found: dict[str, list[dict[str, float]]]) -> float:
    """The time of gpustack over those of reading and computing together; from medians."""
    seconds = {way: seconds_of(runs) for way, runs in found.items()}
    return seconds["gpustack"] / (seconds["read"] + seconds["compute"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser("bench.stream", description=__doc__.partition("\n")[0])
    machine.add_size(parser)
    parser.set_defaults(frames=40, size=4096)
    parser.add_argument("--memory", type=int, default=50_000_000, help="the limit, in bytes")
    parser.add_argument(
        "--runs", type=int, default=3, help="runs of each way (default: %(default)s)"
    )
    parser.add_argument("--scratch", type=Path, help="folder for 2.7 GB of temporary frames")
    parser.add_argument(
        "--one", nargs=2, metavar=("WAY", "COMBINE"), help="run this one in this process"
    )
    machine.add_json(parser)
    options = parser.parse_args(arguments)
    if not STATUS.exists():
        print(f"bench.stream needs Linux: expected {STATUS}", file=sys.stderr)
        return 2
    if options.one:
        print(json.dumps(measure(*options.one, options.scratch, options.memory)))
        return 0
    compile_package()
    load = machine.load()
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        simulate(Path(folder), options.frames, options.size)
        compared = compare(Path(folder), options.memory, options.runs)
    settings = {name: getattr(options, name) for name in ("frames", "size", "memory", "runs")}
    results = machine.record("stream", settings, load, compared=compared)
    machine.write(options.json, results)
    print(stream_table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
