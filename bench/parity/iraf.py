"""Run IRAF's `imcombine` from its command language in batch mode."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from bench.parity.frames import Frames
from bench.process import Invocation

PROGRAM = "irafcl"
#: Parameters for masks, which the keyword BPM of a frame names and in which 0 is valid.
MASKS = {"masktype": "goodvalue", "maskvalue": "0"}


def version() -> str | None:
    """IRAF's version; None where it is not installed."""
    if shutil.which(PROGRAM) is None:
        return None
    done = subprocess.run([PROGRAM, "-v"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def command(options: Mapping[str, Any]) -> str:
    """The line of the command language that combines the files named in ``list``."""
    words = [f"{name}={_word(value)}" for name, value in options.items()]
    return " ".join(["imcombine @list out.fits outtype=real", *words])


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, (int, float)) else f'"{value}"'


def run(frames: Frames, options: Mapping[str, Any], folder: Path, *, sigma: bool) -> dict[str, Any]:
    """Run imcombine on frames, and return its maps.

    Parameters
    ----------
    frames : Frames
    options : mapping of str to value
        The parameters of imcombine. A sequence of numbers is written to a file of that name.
    folder : path
        An empty folder for all inputs and outputs.
    sigma : bool
        Whether to make the map of sigmas.

    Returns
    -------
    dict of str to ndarray
        ``data``; ``rejected``, the number of samples left out, masked ones included; ``sigma``.
    """
    paths = frames.write(folder, name="f{:02d}.fits")
    (folder / "list").write_text("".join(f"{path.name}\n" for path in paths))
    asked = _files(options, folder) | {"nrejmasks": "rejected"}
    asked |= MASKS if frames.masks is not None else {}
    asked |= {"sigmas": "sigma"} if sigma else {}
    call(folder, f"{command(asked)}\nimcopy rejected.pl rejected.fits verbose=no")
    maps: dict[str, NDArray[Any]] = {"data": fits.getdata(folder / "out.fits").astype(np.float32)}
    maps["rejected"] = fits.getdata(folder / "rejected.fits").astype(np.uint8)
    if sigma:
        maps["sigma"] = fits.getdata(folder / "sigma.fits").astype(np.float32)
    return maps


def _files(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Write sequences of numbers, and of pairs, to files; return the options with their names."""
    named = dict(options)
    for name, value in options.items():
        if name == "offsets":
            (folder / name).write_text("".join(f"{x} {y}\n" for x, y in value))
            named[name] = name
        elif isinstance(value, tuple):
            (folder / name).write_text("".join(f"{number!r}\n" for number in value))
            named[name] = f"@{name}"
    return named


def invocation(folder: Path, line: str) -> Invocation:
    """The invocation of IRAF that runs lines of the command language."""
    text = f"images\nimmatch\n{line}\nlogout\n"
    home = {"HOME": str(folder), "USER": "parity", "TERM": "vt100"}
    return Invocation([PROGRAM, "-e"], folder, home, text)


def call(folder: Path, line: str) -> str:
    """Run lines of the command language; return what IRAF printed."""
    done = invocation(folder, line).run()
    output = done.stdout + done.stderr
    if done.returncode != 0 or "ERROR" in output or not (folder / "out.fits").exists():
        raise RuntimeError(f"imcombine failed on:\n{line}\n{output[-2000:]}")
    return output


def median(values: NDArray[Any]) -> float:
    """The median of a frame as imcombine computes it.

    For an even number of values it is the lower one of the two middle values, for an odd number the
    value below the middle one.
    """
    ordered = np.sort(values, axis=None)
    return float(ordered[max(ordered.size // 2 - 1, 0)])
