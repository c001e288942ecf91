"""Time all cases: ``python -m bench.run --json bench/results/NAME.json``.

Answers on the top rows of the frames are compared with the definition first; a call whose answer
is wrong is not timed. Then all calls of a case take turns, A B C A B C, so that other load on the
machine affects all of them. The answers of the timed calls are compared too.
"""

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path
from typing import Any

from bench import machine
from bench.calls import Call, library, missing
from bench.cases import CASES, Case, check
from bench.data import Data, Kind, simulate
from bench.table import speed_table
from bench.truth import DisagreementError, Truth

#: Rows on which answers are compared before timing; columns are independent of each other.
CHECK_ROWS = 64


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 1 = a library gave a wrong answer."""
    options = _parse(arguments)
    machine.use_cores(options.cores)
    load = machine.load()
    chosen = {
        name: case
        for name, case in CASES.items()
        if any(fnmatchcase(name, pattern) for pattern in options.case)
    }
    if not chosen:
        print(f"--case: expected one of {', '.join(CASES)}", file=sys.stderr)
        return 2
    try:
        results = run_cases(chosen, options)
    except DisagreementError as err:
        print(f"not timed, the answers differ: {err}", file=sys.stderr)
        return 1
    settings = {name: getattr(options, name) for name in ("frames", "size", "repeat", "budget")}
    everything = machine.record("speed", settings, load, cases=results)
    machine.write(options.json, everything)
    print(speed_table(everything))
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench.run", description=__doc__.partition("\n")[0])
    machine.add_size(parser)
    parser.add_argument(
        "--repeat", type=int, default=5, help="runs of each call (default: %(default)s)"
    )
    parser.add_argument(
        "--budget",
        type=float,
        default=5.0,
        help="seconds after which a call is not repeated; 0: no limit (default: %(default)s)",
    )
    parser.add_argument("--cores", type=int, help="number of cores to use (default: all)")
    parser.add_argument("--case", nargs="+", default=["*"], help="names or patterns of cases")
    parser.add_argument("--library", nargs="+", help="these libraries only, and gpustack")
    machine.add_json(parser)
    return parser.parse_args(arguments)


def run_cases(chosen: dict[str, Case], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Time the cases; those with the same kind of samples share their frames."""
    ordered = sorted(chosen, key=lambda name: str(chosen[name].kind))
    results: dict[str, Any] = {}
    for kind, names in groupby(ordered, key=lambda name: chosen[name].kind):
        results |= _run_kind(kind, {name: chosen[name] for name in names}, options)
    return [results[name] for name in chosen]


def _run_kind(
    kind: Kind, cases: dict[str, Case], options: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """Time cases with the same kind of samples, which are simulated once for all of them."""
    with tempfile.TemporaryDirectory() as folder:
        data = simulate(kind, options.frames, options.size, options.size, Path(folder))
        top = data.top(CHECK_ROWS)
        return {name: run_case(name, case, data, top, options) for name, case in cases.items()}


def run_case(
    name: str, case: Case, data: Data, top: Data, options: argparse.Namespace
) -> dict[str, Any]:
    """Compare all answers of a case, then time all its calls.

    Raises
    ------
    DisagreementError
        Where an answer differs from the definition.
    """
    wanted = {
        call_name: call
        for call_name, call in case.calls.items()
        if options.library is None or library(call_name) in (*options.library, "gpustack")
    }
    skipped = {call_name: why for call_name in wanted if (why := missing(call_name))}
    calls = {name: call for name, call in wanted.items() if name not in skipped}
    print(f"{name}: {len(calls)} calls", file=sys.stderr)
    expected = case.truth(top.cube)
    agreements = {
        call_name: check(call_name, call, call.run(call.setup(top)), expected)
        for call_name, call in calls.items()
    }
    times = time_calls(calls, data, expected, options.repeat, options.budget)
    return {
        "name": name,
        "title": case.full_title,
        "calls": [
            {
                "name": call_name,
                **times[call_name],
                "worst_difference": agreements[call_name].worst,
                "left_out": agreements[call_name].left_out,
            }
            for call_name in calls
        ],
        "skipped": skipped,
    }


def time_calls(
    calls: dict[str, Call], data: Data, expected: Truth, repeat: int, budget: float
) -> dict[str, dict[str, list[float]]]:
    """Seconds of the wall clock and of all cores, for every run of every call."""
    inputs = {name: call.setup(data) for name, call in calls.items()}
    times: dict[str, dict[str, list[float]]] = {
        name: {"seconds": [], "cpu_seconds": []} for name in calls
    }
    for _ in range(repeat):
        for name, call in calls.items():
            if 0 < budget <= sum(times[name]["seconds"]):
                continue
            gc.collect()
            cpu, wall = time.process_time(), time.perf_counter()
            answer = call.run(inputs[name])
            times[name]["seconds"].append(time.perf_counter() - wall)
            times[name]["cpu_seconds"].append(time.process_time() - cpu)
            check(name, call, answer, expected)
            del answer
    return times


if __name__ == "__main__":
    sys.exit(main())
