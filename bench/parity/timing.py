"""Seconds of whole processes, from files to a file: IRAF, Siril, and gpustack's command line.

All read frames of float32 that have just been written, so from memory. Siril's are the same
divided by 65536, as it takes floats to lie in [0, 1]. Calls take turns, A B C A B C. gpustack's is
made once more in this process, where nothing has to start.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from bench import machine, table
from bench.data import Kind, simulate
from bench.parity import golden, iraf, siril
from bench.parity.frames import Frames
from gpustack.cli import cli


class Timed(NamedTuple):
    """One algorithm: parameters of imcombine, arguments of Siril's stack, gpustack's options."""

    iraf: dict[str, Any] | None
    siril: str | None
    gpustack: Sequence[str]


#: tests/test_golden.py compares these clips pixel by pixel; docs/parity.md says where they differ.
ALGORITHMS = {
    "mean": Timed({}, "rej n", ()),
    "median": Timed({"combine": "median"}, "med", ("--combine", "median")),
    "minmax": Timed({"reject": "minmax"}, None, ("--clip", "extrema:among=share")),
    "sigma": Timed(
        {"reject": "sigclip"},
        "rej s 3 3",
        ("--clip", "sigma:low=3,high=3,ddof=1,about=center,keep=1"),
    ),
    "noise": Timed(
        {"reject": "ccdclip", "rdnoise": 5.0, "gain": 1.5},
        None,
        ("--clip", "noise:rdnoise=5,gain=1.5,keep=1"),
    ),
    "rank": Timed({"reject": "pclip"}, None, ("--clip", "rank:rank=-0.5,keep=1")),
    "percentile": Timed(None, "rej p 0.2 0.1", ("--clip", "percentile:low=0.2,high=0.1")),
    "mad": Timed(None, "rej a 5 5", ("--clip", "mad:low=5,high=5,keep=4")),
    "winsorized": Timed(None, "rej w 3 3", ("--clip", "winsorized:low=3,high=3,keep=4")),
    "sigma median": Timed(None, "rej m 3 3", ("--clip", "sigmamedian:low=3,high=3")),
    # Exposures differ by a hundredth, so that there is something to correct for.
    "sigscale": Timed(
        {"reject": "sigclip", "scale": "exposure", "expname": "EXPTIME", "sigscale": 0.001},
        None,
        ("--clip", "sigma:ddof=1,about=center,poisson=true,keep=1", "--scale", "exposure"),
    ),
    "avsigclip": Timed({"reject": "avsigclip"}, None, ("--clip", "avgsigma:keep=1")),
    "linear fit": Timed(None, "rej l 5 5", ("--clip", "linear:keep=4")),
    "esd": Timed(None, "rej g 0.3 0.05", ("--clip", "esd:outliers=0.3,significance=0.05")),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``--time``."""
    machine.add_size(parser)
    machine.add_json(parser)
    parser.add_argument("--repeat", type=int, default=3, help="times (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of Siril (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where frames go (default: a temporary one)")


def main(options: argparse.Namespace, programs: Sequence[str]) -> int:
    """Time all algorithms of the programs that are here, and write the results."""
    load = machine.load()
    with TemporaryDirectory(dir=options.folder) as name:
        folders = write_frames(options.frames, options.size, Path(name))
        times = {
            algorithm: take_turns(
                calls(timed, programs, folders, options.threads), folders, options.repeat
            )
            for algorithm, timed in ALGORITHMS.items()
        }
    settings = {key: getattr(options, key) for key in ("frames", "size", "repeat", "threads")}
    results = machine.record("programs", settings, load, times=times)
    results["versions"] |= {name: golden.PROGRAMS[name].version() for name in programs}
    machine.write(options.json, results)
    print(table.programs_table(results))
    return 0


def write_frames(n: int, size: int, folder: Path) -> dict[str, Path]:
    """The frames in folders of their own, one for each program."""
    cube = simulate(Kind(), n, size, size, folder / "made").cube
    exposures = tuple(60.0 * (1 + 0.01 * (i % 2)) for i in range(n))
    folders = {"iraf": folder / "iraf", "siril": folder / "siril"}
    for name, here in folders.items():
        here.mkdir()
        paths = Frames(cube, None, exposures).write(here, 1 if name == "iraf" else 1 / siril.UNIT)
        (here / "list").write_text("".join(f"{path.name}\n" for path in paths))
    return folders


def calls(
    timed: Timed, programs: Sequence[str], folders: dict[str, Path], threads: int
) -> dict[str, Callable[[], Any]]:
    """What is run for an algorithm, by the name of the program."""
    found: dict[str, Callable[[], Any]] = {
        "gpustack": lambda: by_process(arguments(folders["iraf"], timed)),
        "gpustack, started": lambda: by_call(arguments(folders["iraf"], timed)),
    }
    if timed.iraf is not None and "iraf" in programs:
        line = iraf.command(timed.iraf)
        found["iraf"] = lambda: iraf.call(folders["iraf"], line)
    if timed.siril is not None and "siril" in programs:
        text = siril.script(f"{timed.siril} -nonorm")
        found["siril"] = lambda: siril.call(folders["siril"], text, threads=threads)
    return found


def arguments(folder: Path, timed: Timed) -> list[str]:
    """What gpustack's command line is told."""
    paths = sorted(map(str, folder.glob("f_*.fit")))
    out = ["-o", str(folder / "out.fits"), "--unit", "adu", "--backend", "cpu"]
    return ["combine", *paths, *out, *timed.gpustack]


def by_process(words: Sequence[str]) -> None:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "gpustack.cli", *words]
    subprocess.run(command, check=True, capture_output=True)


def by_call(words: Sequence[str]) -> None:
    """The command line in this process."""
    cli.main(list(words), standalone_mode=False)


def take_turns(
    todo: dict[str, Callable[[], Any]], folders: dict[str, Path], repeat: int
) -> dict[str, list[float]]:
    """Seconds of each call, of all rounds; what they wrote is removed before the next."""
    seconds: dict[str, list[float]] = {name: [] for name in todo}
    for _ in range(repeat):
        for name, call in todo.items():
            for old in (path for folder in folders.values() for path in folder.glob("out.*")):
                old.unlink()
            start = time.perf_counter()
            call()
            seconds[name].append(round(time.perf_counter() - start, 4))
    return seconds
