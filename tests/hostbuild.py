"""The kernels, built by g++ through a shim of CUDA and run on the host.

`build` takes the same -D names as the compiler for a device, and gives a function to launch
the kernel with the arguments that it has there. Types, N and BLOCK are compiled in; the other
names are options that the host build reads when it is launched, so that one build serves
many recipes. Builds are kept in a folder of temporary files and made once, and so is what NVRTC
says of the kernels; those of other sources go when nobody used them for a day.
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
#: Not optimised: building takes most of the time of the tests.
FLAGS = (
    "-std=c++17",
    "-O0",
    "-Wall",
    "-Werror",
    "-Wno-unknown-pragmas",
    "-ffp-contract=off",
    # A static of a template, as shared memory is here, would be one for all libraries of the
    # process, and as large as in the first of them.
    "-fno-gnu-unique",
    "-Wl,-Bsymbolic",
)

#: Options of a launch rather than of a build, in the order of `shim_flags`.
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
#: Beside them: to take subnormals for zero, as -ftz=true does on a device. The processor's
#: switch does that to doubles too, which have none unless the samples do.
FLUSH = 15
#: No result depends on the grid or on the block, and threads of the host are dear.
MOST_THREADS, MOST_BLOCKS = 3, 2


DAY = 24 * 60 * 60

_ONE_BUILD = threading.Lock()


def compiler():
    """The path of g++, or None."""
    return shutil.which("g++")


def build(defines=None, *, fixed=False, flags=(), flush=False):
    """A launcher of `combine` built with these -D names.

    Parameters
    ----------
    defines : dict of str to int or str
        Those left out have their defaults. Names the kernel does not know are passed on.
    fixed : bool
        Compile all names in, as for a device, instead of leaving the options open.
    flags : sequence of str
        More flags of g++.
    flush : bool
        Take subnormals for zero in arithmetic.

    Returns
    -------
    callable
        ``launch(grid, block, args)``: `args` are those of the kernel, numpy scalars and
        0-d arrays or scalars of the dtypes `abi.OUT` and `abi.planes`; addresses are those
        of host memory. Grid and block are numbers or tuples of them; fewer threads may be run
        than asked for.
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
    """The shared library; threads that ask for the same one wait for its build."""
    with _ONE_BUILD:
        return _load(flags)


@cache
def _load(flags):
    """The shared library, from the folder of builds where it is there already."""
    found = compiler()
    if found is None:
        raise RuntimeError("the kernels cannot be built for the host: there is no g++")
    path = kept((found, flags), ".so", lambda path: _compile(found, flags, path))
    return ctypes.CDLL(str(path))


def kept(how, suffix, make):
    """The file that `make` made of the kernels in this way, from the folder of builds.

    Parameters
    ----------
    how : object
        All that its contents depend on beside the sources, with a repr of its own.
    suffix : str
    make : callable
        Writes a file of this name. It gets another one than the last, so that no one meets half
        of it.
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
    """A hash of all sources; makes the folder of builds, without old ones of other sources."""
    folder.mkdir(mode=0o700, exist_ok=True)
    digest = hashlib.sha256()
    for source in [*sorted(KERNELS.glob("*.[hc]*")), *sorted(SHIM.iterdir())]:
        digest.update(source.read_bytes())
    name = digest.hexdigest()[:12]
    prune(folder, name)
    return name


def prune(folder, name):
    """Remove builds that were not used for a day, but those whose names begin with `name`."""
    for path in folder.iterdir():
        # Another process may do the same.
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
