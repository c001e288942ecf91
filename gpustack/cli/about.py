"""Facts about the installation and the machine that `gpustack info` shows for bug reports.

Backends describe themselves, see `gpustack.backends.report`.
"""

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gpustack import __version__
from gpustack.files.paths import at_home
from gpustack.plan import DEFAULT_MEMORY

#: Environment variables that change what gpustack and the libraries below it do. Only these are
#: shown, and none by a prefix such as GPUSTACK_: another program of that name keeps secrets there.
VARIABLES = (
    *("GPUSTACK_DEVICE_MEMORY", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "CUDA_PATH"),
    *("CUPY_CACHE_DIR", "CUPY_ACCELERATORS", "CUPY_GPU_MEMORY_LIMIT"),
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE", "MKL_NUM_THREADS"),
    *("LD_LIBRARY_PATH", "PYTHONPATH", "TMPDIR"),
)

#: Packages that gpustack and its extras for users install, and cupy built from source.
PACKAGES = (
    *("numpy", "astropy", "scipy", "reproject", "click", "tqdm"),
    *("cupy-cuda12x", "cupy-cuda13x", "cupy", "matplotlib", "scikit-image", "astroalign", "sep"),
    "distributed",
)


def headline() -> str:
    """One line: the version of gpustack, the commit of a checkout, Python's version, the folder."""
    root = Path(__file__).parents[1]
    commit = _commit(root.parent)
    named = f"{__version__} ({commit})" if commit else __version__
    return f"gpustack {named}, Python {platform.python_version()}, {without_home(str(root))}"


def without_home(text: str) -> str:
    """`text` with ~ in place of the home folder, whose path may name a person."""
    home = at_home("~").rstrip(os.sep)
    if not home or home == "~":
        return text
    ends = re.escape(os.sep + os.pathsep)
    return re.sub(rf"(?<![\w/]){re.escape(home)}(?![^{ends}\s])", "~", text)


def machine() -> list[tuple[str, str]]:
    """Names and values of the system, the processor and the memory."""
    total, available = (_memory(name) for name in ("MemTotal", "MemAvailable"))
    limit = f"{DEFAULT_MEMORY >> 20} MiB"
    return [
        ("system", platform.platform()),
        ("processor", f"{_processor()}, {os.cpu_count()} cores"),
        ("memory", f"{total}, {available} available; limit without --memory {limit}"),
    ]


def packages() -> list[tuple[str, str]]:
    """Each of `PACKAGES` with its version, or "not installed"."""
    return [(name, _version(name)) for name in PACKAGES]


def environment() -> list[tuple[str, str]]:
    """Names and values of the `VARIABLES` that are set, ``''`` for one that is set but empty."""
    found = [(name, os.environ[name]) for name in VARIABLES if name in os.environ]
    return [(name, without_home(value) or "''") for name, value in found]


def _commit(checkout: Path) -> str | None:
    """The commit of a checkout, marked if files have changed; None without .git or git."""
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    """The processor model that Linux reports, else the machine type."""
    return _line("/proc/cpuinfo", "model name") or platform.machine() or "unknown"


def _memory(name: str) -> str:
    """An entry of /proc/meminfo in GiB, or "unknown"."""
    found = _line("/proc/meminfo", name)
    return f"{int(found.split()[0]) / 2**20:.1f} GiB" if found else "unknown"


def _line(file: str, name: str) -> str | None:
    """The first value of `name` in a file of lines ``name : value``; None if there is none."""
    try:
        text = Path(file).read_text(errors="replace")
    except OSError:
        return None
    found = re.search(rf"^{name}\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else None
