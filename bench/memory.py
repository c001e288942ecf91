"""Peak memory of single calls: ``python -m bench.memory --json bench/results/NAME-memory.json``.

Each call runs in a process of its own that has made the same call on a few rows before, so that
imports and threads are not counted. Linux only: the peak is VmHWM in /proc/self/status, which can
be reset to the memory in use (man 5 proc, clear_refs).
"""

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData

from bench import machine
from bench.calls import missing
from bench.cases import CASES
from bench.data import simulate
from bench.table import memory_table

#: Case and call of each run; each is one process.
RUNS = (
    ("median", "gpustack.Combiner"),
    ("median", "ccdproc.Combiner"),
    ("clip-once", "gpustack.Combiner"),
    ("clip-once", "ccdproc.Combiner"),
    ("clip-mean-std", "gpustack.Combiner"),
    ("clip-mean-std", "gpustack.stack, all maps"),
    ("clip-mean-std", "astropy.sigma_clip"),
    ("files-median", "gpustack.stack"),
    ("files-median", "gpustack.stack, memory=64 MB"),
    ("files-median", "gpustack.combine"),
    ("files-median", "ccdproc.combine"),
    ("files-clip", "gpustack.stack, memory=64 MB"),
)
WARM_ROWS = 4
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def can_measure() -> bool:
    """Whether this system lets a process reset its peak."""
    return os.access(CLEAR_REFS, os.W_OK)


def measure(case_name: str, call_name: str, frames: int, size: int) -> dict[str, Any]:
    """Run one call in this process, and return the memory it took, in bytes.

    Returns
    -------
    dict
        ``frames``, the samples of the frames; ``peak``, above what was in use before the call;
        ``outputs``, the arrays that it returned or wrote; ``overhead``, ``peak`` without these.
    """
    case = CASES[case_name]
    call = case.calls[call_name]
    with tempfile.TemporaryDirectory() as folder:
        data = simulate(case.kind, frames, size, size, Path(folder))
        call.run(call.setup(data.top(WARM_ROWS)))
        inputs, nbytes = call.setup(data), data.cube.nbytes
        before = settle()
        answer = call.run(inputs)
        peak = peak_above(before)
        outputs = bytes_of(answer)
    return {"frames": nbytes, "peak": peak, "outputs": outputs, "overhead": peak - outputs}


def settle() -> int:
    """Return freed memory to the system, reset the peak, and return the bytes in use."""
    gc.collect()
    # The call could use memory that malloc keeps for later, which would not raise the peak.
    ctypes.CDLL(None).malloc_trim(0)
    CLEAR_REFS.write_text("5")
    return _status("VmRSS")


def peak_above(before: int) -> int:
    """The most bytes in use since `settle`, above what it returned."""
    return _status("VmHWM") - before


def _status(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def bytes_of(answer: Any) -> int:
    """Bytes of the arrays of a result: an array, CCDData, StackResult, or a FITS file."""
    if isinstance(answer, Path):
        with fits.open(answer) as hdus:
            return sum(hdu.data.nbytes for hdu in hdus)
    if isinstance(answer, CCDData):
        arrays: list[Any] = [answer.data, answer.mask, answer.uncertainty.array]
    elif is_dataclass(answer):
        arrays = [getattr(answer, field.name) for field in fields(answer)]
    else:
        arrays = [answer]
    return sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))


def measure_apart(case: str, call: str, frames: int, size: int) -> dict[str, Any]:
    """`measure` in a process of its own."""
    command = [sys.executable, "-m", "bench.memory", "--one", case, call]
    command += ["--frames", str(frames), "--size", str(size)]
    done = subprocess.run(command, cwd=machine.ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{case}, {call}: expected a result, got:\n{done.stderr}")
    return {"case": case, "call": call, **json.loads(done.stdout)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser("bench.memory", description=__doc__.partition("\n")[0])
    machine.add_size(parser)
    parser.add_argument(
        "--one", nargs=2, metavar=("CASE", "CALL"), help="run this call in this process"
    )
    machine.add_json(parser)
    options = parser.parse_args(arguments)
    if not can_measure():
        print(f"bench.memory needs Linux: expected {CLEAR_REFS}, writable", file=sys.stderr)
        return 2
    if options.one:
        case, call = options.one
        print(json.dumps(measure(case, call, options.frames, options.size)))
        return 0
    load = machine.load()
    runs = [
        measure_apart(case, call, options.frames, options.size)
        for case, call in RUNS
        if not missing(call)
    ]
    settings = {"frames": options.frames, "size": options.size}
    results = machine.record("memory", settings, load, runs=runs)
    machine.write(options.json, results)
    print(memory_table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
