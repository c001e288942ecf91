"""Build the CUDA kernels with g++ through a shim of CUDA, and run them on the host.

`build` takes the same -D names as the compiler for a device, and returns a function that launches
the kernel with the same arguments as on a device. Types, N and BLOCK are compiled in; the other
names are options that the host build reads at launch, so that one build serves many recipes.
Builds and logs of NVRTC are cached in a folder of temporary files. Those of other sources are
removed after a day without use.
"""

import contextlib
import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from functools import cache
from pathlib import Path

import numpy as np

from gpustack.backends.cuda import abi

HERE = Path(__file__).resolve().parent
KERNELS = HERE.parent / "kernels"
SHIM = HERE / "host"
#: Without optimisation, because building takes most of the time of the tests.
FLAGS = (
    "-std=c++17",
    "-O0",
    "-Wall",
    "-Werror",
    "-Wno-unknown-pragmas",
    "-ffp-contract=off",
    # Shared memory is a static variable of a template here. Without these flags all libraries of
    # the process would share one such variable, of the size that the first library needs.
    "-fno-gnu-unique",
    "-Wl,-Bsymbolic",
)

#: Options read at launch instead of compiled in, with their defaults, in the order of `shim_flags`.
OPTIONS = {
    "SWAP": 0,
    "SCALED": 1,
    "MASKED": 1,
    "NORMALIZE": 1,
    "CLIPPED": 2,
    "COMBINE": 0,
    "SPREAD": 1,
    "WEIGHTED": 0,
    "LOOK": 1,
    "FLAT": 0,
    "REPLACES": 0,
}
#: Index in `shim_flags` of the option to flush subnormals to zero, as -ftz=true does on a device.
#: The processor's switch also affects doubles, which are subnormal only if the samples are.
FLUSH = 15
#: Limits on a launch: no result depends on grid or block, and threads of the host are slow.
MOST_THREADS, MOST_BLOCKS = 3, 2


DAY = 24 * 60 * 60

_ONE_BUILD = threading.Lock()


def compiler():
    """The path of g++, or None."""
    return shutil.which("g++")


def build(defines=None, *, fixed=False, flags=(), flush=False):
    """Build the kernel `combine` with these -D names and return a function that launches it.

    Parameters
    ----------
    defines : dict of str to int or str
        Names that are left out have their defaults. Names unknown to the kernel are passed on.
    fixed : bool
        Compile all names in, as for a device, instead of reading the options at launch.
    flags : sequence of str
        More flags of g++.
    flush : bool
        Flush subnormals to zero in arithmetic.

    Returns
    -------
    callable
        ``launch(grid, block, args)``: `args` are those of the kernel: numpy scalars, and
        0-d arrays or scalars of the dtypes `abi.OUT` and `abi.planes`. Addresses are those
        of host memory. Grid and block are numbers or tuples of them; fewer threads may run
        than requested.
    """
    defines = dict(defines or {})
    values = [int(defines.get(name, default)) for name, default in OPTIONS.items()]
    if not fixed:
        defines |= {name: f"shim_flags[{i}]" for i, name in enumerate(OPTIONS)}
    names = tuple(f"-D{name}={value}" for name, value in sorted(defines.items()))
    library = _library((*FLAGS, *flags, *names))
    options = (ctypes.c_int * 16)(*values)
    options[FLUSH] = flush

    def launch(grid, block, args, **_):
        frames, n, clips, nclips, raw_ranges, pixels, width, out, planes = args
        out = np.ascontiguousarray(out, abi.OUT)
        planes = np.ascontiguousarray(planes)
        library.launch(
            min(_first(grid), MOST_BLOCKS),
            min(_first(block), MOST_THREADS),
            options,
            ctypes.c_void_p(int(frames)),
            int(n),
            ctypes.c_void_p(int(clips)),
            int(nclips),
            int(raw_ranges),
            ctypes.c_longlong(int(pixels)),
            ctypes.c_longlong(int(width)),
            ctypes.c_void_p(out.ctypes.data),
            ctypes.c_void_p(planes.ctypes.data),
        )

    return launch


def _first(size):
    return int(size[0] if isinstance(size, tuple) else size)


def _library(flags):
    """Return the shared library; threads that need the same library wait for its build."""
    with _ONE_BUILD:
        return _load(flags)


@cache
def _load(flags):
    """Return the shared library, from the folder of builds if it is there already."""
    found = compiler()
    if found is None:
        raise RuntimeError("the kernels cannot be built for the host: there is no g++")
    path = kept((found, flags), ".so", lambda path: _compile(found, flags, path))
    return ctypes.CDLL(str(path))


def kept(how, suffix, make):
    """Return a file of the folder of builds; `make` writes it if it is missing.

    Parameters
    ----------
    how : object
        Everything that the contents depend on beside the sources; its repr identifies the file.
    suffix : str
    make : callable
        Writes a file of the given name. The name is a temporary one, so that no other process
        sees an incomplete file.
    """
    folder = Path(tempfile.gettempdir()) / f"gpustack-host-{os.getuid()}"
    digest = hashlib.sha256(repr(how).encode()).hexdigest()
    path = folder / f"{_sources(folder)}-{digest[:24]}{suffix}"
    if not path.exists():
        partial = path.with_suffix(f".{os.getpid()}")
        make(partial)
        partial.rename(path)
    path.touch()
    return path


@cache
def _sources(folder):
    """Return a hash of all sources; create the folder of builds and prune it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    digest = hashlib.sha256()
    for source in [*sorted(KERNELS.glob("*.[hc]*")), *sorted(SHIM.iterdir())]:
        digest.update(source.read_bytes())
    name = digest.hexdigest()[:12]
    prune(folder, name)
    return name


def prune(folder, name):
    """Remove builds not used for a day, except those whose names begin with `name`."""
    for path in folder.iterdir():
        # Another process may remove the same file.
        with contextlib.suppress(FileNotFoundError):
            if not path.name.startswith(name) and path.stat().st_mtime < time.time() - DAY:
                path.unlink()


def _compile(found, flags, path):
    """Build the library."""
    command = [found, *flags, "-fPIC", "-shared", "-pthread", f"-I{KERNELS}", f"-I{SHIM}"]
    command += [str(SHIM / "launch.cpp"), "-o", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"g++ failed:\n{' '.join(command)}\n{done.stderr}")
