"""The programs that `bench.peers` times, and how each is called.

This module knows how a program is started, how its number of threads is set, and where its answer
is. What programs are asked is in `bench.methods`.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from bench import machine
from bench.frames_on_disk import FramesOnDisk
from bench.parity import iraf, siril
from bench.process import Invocation
from bench.truth import GPUSTACK_TOLERANCE, PEER_TOLERANCE

#: Environment in which Python imports this checkout, whatever the working directory.
PYTHON = {"PYTHONPATH": str(machine.ROOT)}


@dataclass(frozen=True, slots=True)
class Program:
    """A program: how it is started, and what is known of its answer.

    Parameters
    ----------
    title : str
        The name in tables.
    version : callable
        Returns the version, or None where the program is not installed.
    invoke : callable
        Makes an `Invocation` from ``words`` of `bench.methods`, the frames, the number of threads.
    out : str
        The file with the image, relative to the folder of the frames.
    method_key : str
        The name in `bench.methods` by which it is asked.
    tolerance : float
        Largest relative difference of a pixel.
    reports_own_time : bool
        Whether the last line of its output has the time that it took, without its start.
    """

    title: str
    version: Callable[[], str | None]
    invoke: Callable[[Any, FramesOnDisk, int], Invocation]
    out: str
    method_key: str
    tolerance: float = PEER_TOLERANCE
    reports_own_time: bool = False

    def answer(self, given: FramesOnDisk) -> NDArray[Any]:
        """The rows of the image that are compared, in the unit of the frames."""
        unit = 1.0
        if self.method_key == "siril":
            unit = siril.UNIT if given.group.dtype == "float32" else siril.UNIT16
        with fits.open(given.folder / self.out) as hdus:
            image = next(hdu.data for hdu in hdus if hdu.data is not None)
            rows: NDArray[Any] = np.asarray(image)[given.rows].astype(np.float64)
        return rows * unit


def _gpustack(words: tuple[str, ...], given: FramesOnDisk) -> list[str]:
    limit = () if given.group.limit is None else ("--memory", str(given.group.limit))
    out = ("-o", str(given.folder / "out.fits"), "--overwrite", "--backend", "cpu")
    alone = ("--uncertainty", "none")  # as no other program but ccdproc makes one
    return ["combine", *given.paths, *out, *alone, *words, *limit]


def by_gpustack(words: tuple[str, ...], given: FramesOnDisk, threads: int) -> Invocation:
    """gpustack's command line, which uses as many threads as it has cores."""
    command = [sys.executable, "-m", "gpustack", *_gpustack(words, given)]
    return Invocation(command, given.folder, PYTHON)


def by_started(words: tuple[str, ...], given: FramesOnDisk, threads: int) -> Invocation:
    """gpustack's command line in a process that has combined rows of the first frames already."""
    first = given.folder / "first"
    if not first.exists():
        first.mkdir()
        for path in given.paths[:12]:
            with fits.open(path) as hdus:
                fits.writeto(first / Path(path).name, hdus[0].data[:8], hdus[0].header)
    warm = ["combine", *map(str, sorted(first.glob("f_*"))), "--overwrite", "--backend", "cpu"]
    warm += ["--uncertainty", "none"]
    order = {
        "warm": [*warm, "-o", str(first / "out.fits"), *words],
        "words": _gpustack(words, given),
    }
    command = [sys.executable, "-m", "bench.started", json.dumps(order)]
    return Invocation(command, given.folder, PYTHON)


def by_iraf(words: dict[str, Any], given: FramesOnDisk, threads: int) -> Invocation:
    """imcombine, which has one thread."""
    return iraf.invocation(given.folder, iraf.command(words))


def by_siril(words: str, given: FramesOnDisk, threads: int) -> Invocation:
    """Siril's command ``stack`` on a sequence of FITS files, which are not converted."""
    return siril.invocation(given.siril, siril.script(f"{words} -nonorm"), threads)


def by_gnuastro(words: tuple[str, ...], given: FramesOnDisk, threads: int) -> Invocation:
    """Gnuastro's astarithmetic with an operator on all frames.

    Integers are converted to floats first, except for a mean: the median of an even number of
    integers would be truncated to an integer.
    """
    whole = given.group.dtype == "uint16" and words != ("mean",)
    frames = [word for path in given.paths for word in ((path, "float32") if whole else (path,))]
    more = ["--globalhdu=0", f"--numthreads={threads}", "--quiet", "--output=out.fits"]
    command = ["astarithmetic", *frames, str(len(given.paths)), *words, *more]
    return Invocation(command, given.folder)


def by_swarp(words: str, given: FramesOnDisk, threads: int) -> Invocation:
    """SWarp without resampling or background subtraction, and with its default memory."""
    options = {
        "RESAMPLE": "N",
        "SUBTRACT_BACK": "N",
        "COMBINE_TYPE": words,
        "NTHREADS": str(threads),
        "IMAGEOUT_NAME": "out.fits",
        "WEIGHTOUT_NAME": "out.weight.fits",
        "WRITE_XML": "N",
        "VERBOSE_TYPE": "QUIET",
    }
    flat = [word for key, value in options.items() for word in (f"-{key}", value)]
    # An empty file of settings, because SWarp complains at length about a missing one.
    command = [_swarp() or "SWarp", *given.paths, "-c", "/dev/null", *flat]
    return Invocation(command, given.folder)


def by_script(library: str) -> Callable[[Any, FramesOnDisk, int], Invocation]:
    """A script in Python with this library, of one thread; see `bench.scripts`."""

    def invoke(words: Any, given: FramesOnDisk, threads: int) -> Invocation:
        out = str(given.folder / "out.fits")
        order = {"paths": given.paths, "out": out, "words": words, "limit": given.group.limit}
        command = [sys.executable, "-m", "bench.scripts", library, json.dumps(order)]
        return Invocation(command, given.folder, PYTHON)

    return invoke


def _swarp() -> str | None:
    return next((name for name in ("SWarp", "swarp") if shutil.which(name)), None)


def _said(program: str | None, *words: str) -> str | None:
    """The version that a program prints; None where it is not installed."""
    if program is None or shutil.which(program) is None:
        return None
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.[\d.]*\d", done.stdout + done.stderr)
    return found[0] if found else None


def _installed(*names: str) -> str | None:
    """Versions of libraries; None where one is not installed."""
    try:
        return ", ".join(version(name) for name in names)
    except PackageNotFoundError:
        return None


def ours() -> str:
    """The version of this checkout."""
    from gpustack import __version__

    return __version__


PROGRAMS = {
    "gpustack": Program("gpustack", ours, by_gpustack, "out.fits", "gpustack", GPUSTACK_TOLERANCE),
    "started": Program(
        "gpustack, started", ours, by_started, "out.fits", "gpustack", GPUSTACK_TOLERANCE, True
    ),
    "iraf": Program("IRAF", iraf.version, by_iraf, "out.fits", "iraf"),
    "siril": Program("Siril", siril.version, by_siril, "siril/out.fit", "siril"),
    "gnuastro": Program(
        "Gnuastro", lambda: _said("astarithmetic", "--version"), by_gnuastro, "out.fits", "gnuastro"
    ),
    "swarp": Program("SWarp", lambda: _said(_swarp(), "-v"), by_swarp, "out.fits", "swarp"),
    "ccdproc": Program(
        "ccdproc", lambda: _installed("ccdproc"), by_script("ccdproc"), "out.fits", "ccdproc"
    ),
    "bottleneck": Program(
        "bottleneck",
        lambda: _installed("bottleneck"),
        by_script("bottleneck"),
        "out.fits",
        "bottleneck",
    ),
}
OURS = ("gpustack", "started")
