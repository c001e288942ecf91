"""Time whole programs side by side, from FITS files to a FITS file: ``python -m bench.peers``.

gpustack, IRAF imcombine, Siril, Gnuastro, SWarp, ccdproc.combine, and astropy with bottleneck run
on the same frames, in turn (A B C, C B A), with the same number of threads where they have an
option for it. A run is timed from the start of the process to its end, and its time counts only if
the answer is correct.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine, peers_tables
from bench.frames_on_disk import FramesOnDisk, Group, made
from bench.methods import ALGORITHMS, METHODS, Definition, Method, Way
from bench.process import Measured, compile_package, measure
from bench.programs import OURS, PROGRAMS, Program
from bench.truth import Agreement, DisagreementError, Truth, compare

#: Parts of a run: methods that many programs have, with more and larger frames; some of these with
#: a limit on memory; and each algorithm of IRAF and of Siril.
PARTS = ("programs", "memory", "algorithms")
LIMITED = ("median", "sigma")
LIMITED_FRAMES, LIMIT = 40, 256 * 2**20
#: With fewer frames, the samples that programs keep in any case would matter, which the definitions
#: ignore.
ALGORITHM_FRAMES = 25
#: Seconds after which a program is killed.
LONGEST = 600.0


@dataclass(slots=True)
class Call:
    """All runs of a program with one method: what each took, and whether they count.

    ``state`` is "timed", "not checked", "wrong", "failed" or "not run"; ``why`` has the reason.
    """

    program: str
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    peak: list[int] = field(default_factory=list)
    state: str = "timed"
    why: str = ""
    worst: float | None = None
    left_out: float | None = None

    def count(self, taken: Measured) -> None:
        """Count the time and the peak of a run."""
        self.seconds.append(round(taken.seconds, 4))
        self.cpu_seconds.append(round(taken.cpu_seconds, 4))
        self.peak.append(taken.peak)

    def discard(self, state: str, why: str) -> None:
        """Count none of the runs, for this reason."""
        self.seconds, self.cpu_seconds, self.peak = [], [], []
        self.state, self.why = state, why


class History:
    """What programs took so far, by method, so that those that would take too long are not run."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], tuple[float, int]] = {}

    def add(self, program: str, method: str, seconds: float, samples: int) -> None:
        """Remember the time of the group that was measured last."""
        self.known[program, method] = (seconds, samples)

    def expected(self, program: str, method: str, samples: int) -> float:
        """Expected seconds, in proportion to the samples; 0 where nothing is known."""
        seconds, of = self.known.get((program, method), (0.0, 1))
        return seconds * samples / of


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 1 = a wrong answer or none, 2 = no disk space or nothing to run."""
    options = _parse(arguments)
    compile_package()
    load, (chosen, skipped) = machine.load(), present(options.program)
    groups: list[dict[str, Any]] = []
    full = False
    try:
        groups.extend(run(chosen, options))
    except OSError as err:  # no disk space; what has been measured is kept
        print(f"bench.peers: {err}", file=sys.stderr)
        full = True
    if not groups:
        methods = ", ".join(METHODS | ALGORITHMS)
        print(
            f"--method, --part: expected some of {methods}, got {' '.join(options.method)} in "
            f"{' '.join(options.part)}",
            file=sys.stderr,
        )
        return 2
    names = ("frames", "size", "runs", "budget", "longest", "threads")
    settings = {name: getattr(options, name) for name in names}
    results = machine.record("programs", settings, load, groups=groups, skipped=skipped)
    results["versions"] |= {name: found for name, found in chosen.items() if name not in OURS}
    machine.write(options.json, results)
    print("\n\n".join(text for make in peers_tables.ALL if (text := make(results))))
    states = {call["state"] for group in groups for m in group["methods"] for call in m["calls"]}
    return 2 if full else int(bool(states & {"wrong", "failed"}))


def present(patterns: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Program -> version for those that are installed; program -> reason for those skipped."""
    chosen, skipped = {}, {}
    for name, program in PROGRAMS.items():
        if name in OURS or any(fnmatchcase(name, pattern) for pattern in patterns):
            if found := program.version():
                chosen[name] = found
            else:
                skipped[name] = f"{program.title} is not installed; see bench/install-peers.sh"
    return chosen, skipped


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench.peers", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--part", nargs="+", choices=PARTS, default=list(PARTS), help="parts (default: all)")
    add("--method", nargs="+", default=["*"], help="patterns of methods: median, 'siril *'")
    add("--program", nargs="+", default=["*"], help="patterns of programs, beside gpustack")
    add(
        "--frames",
        nargs="+",
        type=int,
        default=[10, 25, 100],
        help="numbers of frames (default: 10 25 100)",
    )
    add("--size", type=int, default=2048, help="pixels on a side (default: %(default)s)")
    add("--dtype", nargs="+", choices=("float32", "uint16"), default=["float32", "uint16"])
    add("--runs", type=int, default=5, help="runs of each call (default: %(default)s)")
    add(
        "--budget",
        type=float,
        default=2.0,
        help="seconds after which a call is not repeated (default: 2)",
    )
    add(
        "--longest",
        type=float,
        default=25.0,
        help="skip calls expected to take more seconds (default: 25)",
    )
    add(
        "--threads",
        type=int,
        default=2,
        help="of programs with such an option (default: %(default)s)",
    )
    add("--scratch", type=Path, metavar="DIR", help="where frames go (default: a temporary folder)")
    machine.add_json(parser)
    return parser.parse_args(arguments)


def parts(options: argparse.Namespace) -> Iterable[tuple[str, Group, dict[str, Method]]]:
    """(part, group, methods) for each part that was asked for, smaller groups first."""
    middle = sorted(options.frames)[len(options.frames) // 2]
    for dtype in options.dtype if "programs" in options.part else ():
        for size in (options.size // 4, options.size // 2) if dtype == "float32" else ():
            yield "programs", Group(dtype, middle, size), METHODS
        for frames in sorted(options.frames):
            yield "programs", Group(dtype, frames, options.size), METHODS
    if "memory" in options.part:
        group = Group("float32", LIMITED_FRAMES, 2 * options.size, LIMIT)
        yield "memory", group, {name: METHODS[name] for name in LIMITED}
    if "algorithms" in options.part:
        yield "algorithms", Group("float32", ALGORITHM_FRAMES, options.size), ALGORITHMS


def run(programs: Iterable[str], options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Time all methods of all groups, one group after the other, and yield the results of each."""
    history = History()
    for part, group, methods in parts(options):
        named = {
            name: method
            for name, method in methods.items()
            if any(fnmatchcase(name, pattern) for pattern in options.method)
        }
        if not named:
            continue
        print(f"{part}: {group}", file=sys.stderr)
        with made(group, options.scratch) as given:
            given.read_all()
            right = truths(given)
            timed = [
                {
                    "method": name,
                    "title": method.title,
                    "calls": take_turns(name, method, programs, given, right, history, options),
                }
                for name, method in named.items()
            ]
        yield {"part": part, **asdict(group), "methods": timed}


def truths(given: FramesOnDisk) -> Callable[[Definition], Truth]:
    """A function that returns the correct image by a definition, each computed once."""

    @cache
    def right(definition: Definition) -> Truth:
        return definition(given.samples)

    return right


def take_turns(
    name: str,
    method: Method,
    programs: Iterable[str],
    given: FramesOnDisk,
    right: Callable[[Definition], Truth],
    history: History,
    options: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Make all runs of all programs that have a method, A B C, then C B A."""
    calls = {key: Call(key) for key in programs if PROGRAMS[key].method_key in method.ways}
    samples = given.group.samples
    for key, call in calls.items():
        expected = history.expected(key, name, samples)
        if expected > options.longest:
            call.discard("not run", f"{expected:.0f} s expected")
    for number in range(options.runs):
        for key in list(calls)[:: -1 if number % 2 else 1]:
            call, way = calls[key], method.ways[PROGRAMS[key].method_key]
            spent = sum(call.seconds) >= options.budget
            if call.state in ("timed", "not checked") and not (number and spent):
                once(PROGRAMS[key], way, call, given, right, options.threads)
    for key, call in calls.items():
        if call.seconds:
            history.add(key, name, float(np.median(call.seconds)), samples)
        if call.state in ("wrong", "failed"):
            print(f"{key}, {name}: {call.state}, {call.why}", file=sys.stderr)
    return [asdict(call) for call in calls.values()]


def once(
    program: Program,
    way: Way,
    call: Call,
    given: FramesOnDisk,
    right: Callable[[Definition], Truth],
    threads: int,
) -> None:
    """Make one run; its time counts only after its answer has been compared."""
    given.clear()
    cores = sorted(os.sched_getaffinity(0))[:threads]
    try:
        taken = measure(program.invoke(way.words, given, threads), cores, LONGEST)
    except TimeoutError as err:
        call.discard("failed", str(err))
        return
    if taken.code or not (given.folder / program.out).exists():
        call.discard("failed", f"exit code {taken.code}: {taken.output[-500:].strip()}")
        return
    if way.truth is None:
        call.state, call.why = "not checked", way.why
    else:
        try:
            agreed = agreement(program, way, given, right(way.truth))
        except DisagreementError as err:
            call.discard("wrong", str(err))
            return
        call.worst, call.left_out = agreed.worst, agreed.left_out
    call.count(own_time(taken) if program.reports_own_time else taken)


def own_time(taken: Measured) -> Measured:
    """The run with the seconds that the process itself printed for its work, without its start."""
    return taken._replace(**json.loads(taken.output.rstrip().rpartition("\n")[2]))


def agreement(program: Program, way: Way, given: FramesOnDisk, expected: Truth) -> Agreement:
    """How well an answer agrees with its definition.

    Raises
    ------
    DisagreementError
        Where it does not, in more than the share of pixels that may differ.
    """
    image, differing = program.answer(given), 0.0
    if way.may_differ and image.shape == expected.image.shape:
        away = np.abs(image - expected.image)
        other = ~(away <= program.tolerance * np.abs(expected.image))
        differing = float(other.mean())
        if differing <= way.may_differ:
            image = np.where(other, expected.image, image)
    agreed = compare(image, expected, program.tolerance, readmits=False)
    return Agreement(agreed.worst, agreed.left_out + differing)


if __name__ == "__main__":
    sys.exit(main())
