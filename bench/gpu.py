"""Measure a CUDA device: ``python -m bench.gpu --json bench/results/NAME-gpu.json``.

Needs numpy and CuPy alone. Three things are measured: the speed at which the device copies its own
memory, as the limit of what it can do; each recipe on samples that are in that memory already,
beside plain CuPy doing the same; and whole runs from host arrays and from files, beside the slowest
of their parts. Each answer of gpustack is compared with the CPU backend's before it is timed.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench import gpu_check, gpu_peers, gpu_sources, gpu_stages, gpu_timing, machine
from bench.gpu_sources import FLOAT32
from gpustack.backends.base import Outputs, Samples
from gpustack.backends.cuda import device
from gpustack.backends.cuda.launch import Job, Kernels
from gpustack.backends.cuda.resident import Call
from gpustack.clips import ExtremaClip, SigmaClip
from gpustack.errors import BackendError
from gpustack.recipe import Recipe

FRAMES = (8, 16, 32, 64, 128, 256, 1000)

#: Name -> recipe, with the image and its mask as its only outputs, as plain CuPy computes it.
RECIPES = {
    "median": Recipe(combine="median", outputs=()),
    "sigma-mean": Recipe(clips=[SigmaClip(3, 3, "median", "mad_std")], outputs=()),
    "extrema-mean": Recipe(clips=[ExtremaClip(1, 1)], outputs=()),
    "mean": Recipe(outputs=()),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 1 where an answer is wrong, 3 where there is no usable device."""
    options = _parse(arguments)
    load = machine.load()
    try:
        device.able_devices()
    except BackendError as err:
        print(f"no device to measure: {err}", file=sys.stderr)
        return 3
    try:
        results = measure(options)
    except gpu_check.WrongError as err:
        print(f"not timed: {err}", file=sys.stderr)
        return 1
    settings = {name: value for name, value in vars(options).items() if name != "json"}
    everything = machine.record("gpu", settings, load, **results)
    machine.write(options.json, everything)
    print(table(everything))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench.gpu", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--frames", type=int, nargs="+", default=FRAMES, help="numbers of frames")
    add("--case", nargs="+", default=[*RECIPES], choices=[*RECIPES], help="recipes")
    add(
        "--bytes",
        type=float,
        default=4e9,
        help="bytes of samples on the device (default: %(default)g)",
    )
    add(
        "--peer-bytes",
        type=float,
        default=2.5e8,
        help="the same for plain CuPy (default: %(default)g)",
    )
    add("--repeat", type=int, default=20, help="launches timed together (default: %(default)s)")
    add("--stack", type=int, default=32, help="frames of whole runs (default: %(default)s)")
    add("--size", type=int, default=4096, help="pixels a side in them (default: %(default)s)")
    machine.add_json(parser)
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All results, as they are written to JSON."""
    cupy = device.cupy()
    room = cupy.cuda.runtime.memGetInfo()[0] // 4
    size = int(min(options.bytes, room))
    bandwidth = gpu_timing.copy_bandwidth(size // 2, options.repeat)
    resident, whole = [], []
    for n in options.frames:
        cube = gpu_timing.sky(n, max(size // (4 * n), 1))
        for name in options.case:
            resident.append(_resident(name, cube, bandwidth, options))
            print(_resident_line(resident[-1]), file=sys.stderr)
            device.free_unused()
    for kind in gpu_sources.KINDS:
        with tempfile.TemporaryDirectory() as folder:
            source = gpu_sources.source(kind, options.stack, options.size, Path(folder))
            for name in options.case:
                whole.append(gpu_stages.run(kind, name, RECIPES[name], source))
                print(_whole_line(whole[-1]), file=sys.stderr)
    return {
        "devices": [str(found) for found in device.devices()],
        "cuda": device.versions(),
        "copy_bandwidth": bandwidth,
        "resident": resident,
        "end_to_end": whole,
    }


def _resident(
    name: str, cube: Any, bandwidth: float, options: argparse.Namespace
) -> dict[str, Any]:
    """Time one recipe on samples on the device, shape (n, pixels), and plain CuPy beside it."""
    recipe, cupy = RECIPES[name], device.cupy()
    n, width = cube.shape
    data, mask = cupy.empty((1, width), FLOAT32), cupy.empty((1, width), np.dtype(bool))
    out = Outputs(data, mask=mask)
    band = [Samples(cube[i : i + 1]) for i in range(n)]
    call = Call(band, Job(recipe, n, FLOAT32, FLOAT32, out), out, Kernels())
    call.launch()
    few = [samples.data[:, : gpu_check.CHECKED].get() for samples in band]
    gpu_check.check(
        name, few, recipe, data[:, : gpu_check.CHECKED].get(), mask[:, : gpu_check.CHECKED].get()
    )
    seconds = gpu_timing.device_seconds(call.launch, options.repeat)
    read, written = 4 * n * width, 5 * width
    ours = read / seconds
    record = {
        "name": name,
        "frames": n,
        "pixels": width,
        "seconds": seconds,
        "bytes_per_second": ours,
        "of_copy_bandwidth": (read + written) / seconds / bandwidth,
        "peers": {},
    }
    count = max(min(int(options.peer_bytes) // (4 * n), width), 1)
    part = cube[:, :count]
    for peer, run in gpu_peers.PEERS[name].items():
        run(part)  # CuPy compiles its kernels
        taken = gpu_timing.device_seconds(lambda run=run: run(part), 1)
        theirs = 4 * n * count / taken
        record["peers"][peer] = {
            "pixels": count,
            "seconds": taken,
            "bytes_per_second": theirs,
            "times": ours / theirs,
        }
    return record


def table(results: dict[str, Any]) -> str:
    """The results as text."""
    lines = [
        f"{', '.join(results['devices'])}; {results['cuda']}",
        f"copy of device memory: {results['copy_bandwidth'] / 1e9:.0f} GB/s (read and write)",
        "",
        f"{'resident':<14}{'frames':>7}{'GB/s':>9}{'of copy':>9}  times plain CuPy",
    ]
    lines += map(_resident_line, results["resident"])
    lines += ["", f"{'end to end':<14}{'from':<9}{'seconds':>9}{'of slowest':>12}  parts"]
    lines += map(_whole_line, results["end_to_end"])
    return "\n".join(lines)


def _resident_line(row: dict[str, Any]) -> str:
    peers = ", ".join(f"{peer} {found['times']:.0f}" for peer, found in row["peers"].items())
    return (
        f"{row['name']:<14}{row['frames']:>7}{row['bytes_per_second'] / 1e9:>9.0f}"
        f"{row['of_copy_bandwidth']:>9.0%}  {peers}"
    )


def _whole_line(row: dict[str, Any]) -> str:
    parts = ", ".join(f"{part} {taken:.3g} s" for part, taken in row["parts"].items())
    return (
        f"{row['name']:<14}{row['kind']:<9}{row['seconds']:>9.3g}"
        f"{row['of_slowest']:>12.0%}  {parts}"
    )


if __name__ == "__main__":
    sys.exit(main())
