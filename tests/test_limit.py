"""The memory limit holds: the peak memory of a process, measured by the operating system."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

STATUS = Path("/proc/self/status")
pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="needs Linux's /proc")

#: Frames that are far larger than the limit, as is their result with all maps.
N, SHAPE, LIMIT = 8, (1000, 2000), 20_000_000

#: Bytes used beside the limit, mostly by astropy; the documented allowance is 150 MB.
BESIDE = 60_000_000

#: Prints the peak of this process only. The peak of getrusage is inherited from the parent.
RUN = """
import sys
from pathlib import Path
from gpustack.cli import main
try:
    main()
finally:
    status = Path("/proc/self/status").read_text()
    print("peak", next(line for line in status.splitlines() if line.startswith("VmHWM")))
"""

MAPS = "count,low,high,reason,exposure,rejections,sigma,coverage,weight,frames"
CASES = {
    "mean": (),
    "median": ("--combine", "median"),
    "clip": ("--clip", "sigma:center=median,spread=mad_std"),
    "mean, maps": ("--maps", MAPS),
    "median, maps": ("--combine", "median", "--maps", MAPS),
    "clip, maps": ("--clip", "winsorized", "--maps", MAPS),
    "scaled": ("--scale", "median", "--weights", "noise"),
    "packed": ("-o", "out.fits.gz"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of frames of integers and of floats."""
    path = tmp_path_factory.mktemp("frames")
    rng = np.random.default_rng(6)
    for i in range(N):
        plane = rng.normal(1000, 20, SHAPE).astype(np.float32)
        plane[:: i + 2, i] += 5000
        header = fits.Header({"BUNIT": "adu", "EXPTIME": 10})
        fits.writeto(path / f"f{i:02}.fits", plane, header)
        fits.writeto(path / f"u{i:02}.fits", plane.astype(np.uint16), header)
    return path


def peak(folder, *words):
    """The peak memory of a run of the command line, in bytes."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.rpartition("VmHWM:")[2].split()[0]) * 1024


@pytest.fixture(scope="module")
def without(folder):
    """The peak memory of `gpustack info`, in bytes."""
    return peak(folder, "info")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("kind", ["f", "u"])
def test_no_run_takes_more_than_its_limit(folder, without, kind, case):
    words = ["combine", f"{kind}*.fits", "-o", "out.fits", "--overwrite", "--backend", "cpu"]
    assert peak(folder, *words, "--memory", str(LIMIT), *case) - without <= LIMIT + BESIDE
    if "--maps" in case:
        assert (folder / "out.fits").stat().st_size > LIMIT + BESIDE


def test_a_run_with_grow_takes_no_more_than_its_limit(folder, without):
    words = ["combine", "u*.fits", "-o", "out.fits", "--overwrite", "--maps", MAPS]
    words += ["--clip", "mad", "--clip", "grow:radius=2", "--memory", str(LIMIT)]
    assert peak(folder, *words, "--backend", "cpu") - without <= LIMIT + BESIDE
