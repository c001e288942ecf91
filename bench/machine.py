"""The machine and the versions of a benchmark, which its numbers mean nothing without."""

import argparse
import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gpustack import backends
from gpustack.backends.cpu import available_cores

ROOT = Path(__file__).resolve().parents[1]
#: Vector instructions with which numpy's sorts and ufuncs are much faster, the latest first.
VECTORS = ("avx512_vbmi2", "avx512f", "avx2")
LIBRARIES = ("gpustack", "numpy", "astropy", "bottleneck", "ccdproc", "reproject")


def add_size(parser: argparse.ArgumentParser) -> None:
    """Add the options for the number and the size of frames."""
    parser.add_argument("--frames", type=int, default=25, help="frames (default: %(default)s)")
    parser.add_argument(
        "--size", type=int, default=2048, help="pixels on a side of a frame (default: %(default)s)"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option for the file of results."""
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the results here")


def use_cores(cores: int | None) -> None:
    """Restrict this process to the first `cores` of its cores; None = all of them."""
    if cores is not None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def load() -> float | None:
    """The load average of the last minute: the number of processes that want to run."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def record(
    what: str, settings: dict[str, Any], load_before: float | None, **results: Any
) -> dict[str, Any]:
    """The results of one benchmark with date, settings, machine and versions."""
    return {
        "what": what,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": settings,
        "machine": {**machine(), "load_before": load_before},
        "versions": versions(),
        **results,
    }


def write(path: Path | None, results: dict[str, Any]) -> None:
    """Write results as JSON, where a path was given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=1) + "\n")


def machine() -> dict[str, Any]:
    """Processor, vector instructions, usable cores, memory, system, and gpustack's backends."""
    flags = (_first_of(Path("/proc/cpuinfo"), "flags") or "").split()
    return {
        "cpu": _first_of(Path("/proc/cpuinfo"), "model name") or platform.machine(),
        "vectors": next((name for name in VECTORS if name in flags), None),
        "cores": available_cores(),
        "memory": _first_of(Path("/proc/meminfo"), "MemTotal"),
        "system": platform.system(),
        "gpustack": {report.name: report.detail for report in backends.report()},
    }


def versions() -> dict[str, str]:
    """Versions of Python, of the libraries that are installed, and the commit of this checkout."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    commit = _commit()
    return found | ({"commit": commit} if commit else {})


def _commit() -> str | None:
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _first_of(path: Path, name: str) -> str | None:
    """The value of the first line ``name : value`` of a file of /proc."""
    if path.exists():
        for line in path.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return None
