"""Run Siril by its command line `siril-cli` on a script."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from bench.parity.frames import Frames
from bench.process import Invocation

PROGRAM = "siril-cli"
#: Siril expects floats in [0, 1]: they are divided by this. A power of two loses no bit.
UNIT = 65536.0
#: Siril itself divides samples of 16 bits by this.
UNIT16 = 65535.0
RATES = re.compile(r"Pixel rejection in channel #0: ([\d.]+)% - ([\d.]+)%")


def version() -> str | None:
    """Siril's version; None where it is not installed."""
    if shutil.which(PROGRAM) is None:
        return None
    done = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.split()[-1]


def script(arguments: str, name: str = "out") -> str:
    """The script that makes one stack of the images f_00001.fit, f_00002.fit, ..."""
    return f"requires 1.0.0\nsetext fit\nset32bits\nstack f_ {arguments} -out={name}\n"


def run(frames: Frames, arguments: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run Siril on frames; return its image, and the numbers that it reports.

    Returns
    -------
    maps : dict of str to ndarray
        ``data``, in the unit of the frames.
    said : dict
        ``low``, ``high``: the samples rejected in all, from the percentages that Siril prints; for
        each kind of normalisation, the factor and the zero of every frame.
    """
    whole = frames.cube.dtype == np.uint16
    unit = UNIT16 if whole else UNIT
    frames.write(folder, 1.0 if whole else 1 / UNIT)
    output = call(folder, script(arguments))
    data = fits.getdata(folder / "out.fit").astype(np.float64) * unit
    said: dict[str, Any] = {}
    if rates := RATES.search(output):
        for side, rate in zip(("low", "high"), rates.groups(), strict=True):
            said[side] = round(float(rate) / 100 * frames.cube.size)
    if "-norm=" in arguments:
        said |= normalisations((folder / "f_.seq").read_text(), unit)
    return {"data": data.astype(np.float32)}, said


def normalisations(sequence: str, unit: float) -> dict[str, tuple[list[float], list[float]]]:
    """Kind of normalisation -> scales and zeros of all frames, from a sequence file's statistics.

    Lines ``M0-i`` have the statistics; the 9th number is the location of a frame, the 10th its
    scale.
    """
    rows = [line.split()[1:] for line in sequence.splitlines() if line.startswith("M0-")]
    location, scale = np.array([[float(row[8]), float(row[9])] for row in rows]).T
    location, one = location * unit, np.ones(len(rows))
    level, spread = location[0] / location, scale[0] / scale
    kinds = {
        "add": (one, location - location[0]),
        "mul": (level, 0 * one),
        "addscale": (spread, location - location[0] / spread),
        "mulscale": (level * spread, 0 * one),
    }
    return {kind: (factor.tolist(), zero.tolist()) for kind, (factor, zero) in kinds.items()}


def invocation(folder: Path, text: str, threads: int | None = None) -> Invocation:
    """The invocation of Siril that runs a script."""
    path = folder / "case.ssf"
    path.write_text(text if threads is None else text.replace("\n", f"\nsetcpu {threads}\n", 1))
    command = [PROGRAM, "-d", str(folder), "-s", str(path)]
    home = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config"), "LC_ALL": "C"}
    return Invocation(command, folder, home)


def call(folder: Path, text: str) -> str:
    """Run a script; return what Siril printed."""
    done = invocation(folder, text).run()
    if done.returncode != 0 or "Script execution failed" in done.stdout:
        raise RuntimeError(f"Siril failed on:\n{text}\n{done.stdout[-2000:]}{done.stderr[-500:]}")
    return done.stdout
