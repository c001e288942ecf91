"""Write results as tables: ``python -m bench.table bench/results/*.json --into README.md``.

In a page, the text between ``<!-- bench: NAME -->`` and ``<!-- /bench -->`` is replaced by the
table of that name (see `TABLES`). A page that does not exist is created, with all tables.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench import gpu_tables, peers_tables
from bench.aligned import aligned_table
from bench.calls import is_gpustack
from bench.choosing import choosing_table
from bench.markdown import markdown

Results = dict[str, Any]

IMAGE_ONLY = "gpustack.stack, image only"
MB = 1e6


@dataclass(frozen=True, slots=True)
class Goal:
    """Our goal for a case: how many times faster than a peer; None = than the fastest peer."""

    case: str
    ours: str
    peer: str | None
    times: float


GOALS = (
    Goal("median", IMAGE_ONLY, "bottleneck.nanmedian", 8),
    Goal("median", "gpustack.Combiner", "ccdproc.Combiner", 50),
    Goal("clip-median-mad", IMAGE_ONLY, None, 4),
    Goal("clip-mean-std", IMAGE_ONLY, None, 4),
)

#: Cases of the excerpt: what most people need, including cases where we are slower.
CHOSEN = (
    "median", "median-nan", "median-uint16", "mean", "clip-median-mad", "clip-mean-std",
    "clip-winsorized", "extrema", "files-median", "files-clip",
)  # fmt: skip


def seconds(call: Results) -> float:
    """The median seconds of a call."""
    return float(median(call["seconds"]))


def fastest_peer(case: Results) -> Results | None:
    """The fastest call of a case that is not gpustack's."""
    return min((c for c in case["calls"] if not is_gpustack(c["name"])), key=seconds, default=None)


def call_named(case: Results, *names: str) -> Results | None:
    """The first of these calls that a case has; None where it has none of them."""
    calls = {call["name"]: call for call in case["calls"]}
    return next((calls[name] for name in names if name in calls), None)


def speed_table(results: Results) -> str:
    """A table of all calls for each case, the fastest first."""
    parts = []
    for case in results["cases"]:
        peer = fastest_peer(case)
        rows = [
            (
                call["name"],
                *(f"{s:.3f}" for s in (seconds(call), min(call["seconds"]), max(call["seconds"]))),
                str(len(call["seconds"])),
                f"{median(call['cpu_seconds']):.3f}",
                times(peer, call),
            )
            for call in sorted(case["calls"], key=seconds)
        ]
        head = ("call", "seconds", "least", "most", "runs", "CPU s", "x fastest peer")
        skipped = [f"{name}: skipped, {why}." for name, why in case["skipped"].items()]
        title = f"**{case['name']}**: {case['title']}"
        parts.append("\n\n".join([title, markdown(head, rows), *skipped]))
    return "\n\n".join(parts)


def times(peer: Results | None, ours: Results | None) -> str:
    """How many times faster `ours` is than `peer`, as text; below 1 it is slower."""
    return f"{seconds(peer) / seconds(ours):.2f}" if peer and ours else ""


def summary_table(results: Results) -> str:
    """For each case, gpustack and the fastest peer; then both libraries by ccdproc's interface."""
    head = ("work", "fastest peer", "s", "gpustack s", "times", "ccdproc s", "gpustack s", "times")
    return markdown(head, map(_summary, results["cases"]))


def excerpt_table(results: Results) -> str:
    """The summary for the cases that most people need."""
    return summary_table({"cases": [case for case in results["cases"] if case["name"] in CHOSEN]})


def _summary(case: Results) -> tuple[str, ...]:
    peer, ours = fastest_peer(case), call_named(case, IMAGE_ONLY, "gpustack.stack")
    theirs = call_named(case, "ccdproc.Combiner", "ccdproc.combine")
    same = call_named(case, "gpustack.Combiner", "gpustack.combine") if theirs else None
    return (
        case["title"],
        peer["name"] if peer else "",
        *(f"{seconds(call):.3f}" if call else "" for call in (peer, ours)),
        times(peer, ours),
        *(f"{seconds(call):.3f}" if call else "" for call in (theirs, same)),
        times(theirs, same),
    )


def goals_table(results: Results) -> str:
    """Our goals, and what this run reached."""
    cases = {case["name"]: case for case in results["cases"]}
    rows = []
    for goal in GOALS:
        if goal.case not in cases:
            continue
        case = cases[goal.case]
        peer = call_named(case, goal.peer) if goal.peer else fastest_peer(case)
        reached = times(peer, call_named(case, goal.ours))
        if peer and reached:
            verdict = "yes" if float(reached) >= goal.times else "no"
            rows.append((case["title"], goal.ours, peer["name"], f"{goal.times}", reached, verdict))
    return markdown(("work", "ours", "peer", "times faster", "measured", "reached"), rows)


def machine_table(results: Results) -> str:
    """The machine, the versions and the settings of a run."""
    machine, settings = results["machine"], results["settings"]
    load, known = machine["load_before"], machine.get("vectors")
    vectors = f" with {known}" if known else ""
    rows = [
        ("frames", f"{settings['frames']} of {settings['size']} x {settings['size']} pixels"),
        ("processor", f"{machine['cpu']}{vectors}, {machine['cores']} cores used"),
        ("gpustack", "; ".join(f"{k}: {v}" for k, v in machine["gpustack"].items())),
        ("memory, system", f"{machine['memory']}, {machine['system']}"),
        ("load before it", "" if load is None else f"{load:.1f}"),
        ("versions", ", ".join(f"{k} {v}" for k, v in results["versions"].items())),
        ("made", results["made"]),
    ]
    return markdown(("", "of this run"), rows)


def memory_table(results: Results) -> str:
    """Peaks in MB above the frames, the part that was returned, and the rest."""
    rows = [
        (
            run["case"],
            run["call"],
            *(f"{run[key] / MB:.0f}" for key in ("frames", "peak", "outputs", "overhead")),
        )
        for run in results["runs"]
    ]
    head = ("case", "call", "frames MB", "peak above them", "outputs", "rest")
    return markdown(head, rows)


def stream_table(results: Results) -> str:
    """What a run with the limit takes, beside reading the files and computing in memory."""
    settings, rows = results["settings"], []
    for one in results["compared"]:
        of = {way: one["ways"][way] for way in ("gpustack", "read", "compute", "info")}
        peaks = [max(run["peak"] for run in of[way]) / MB for way in ("gpustack", "info")]
        rows.append(
            (
                one["combine"],
                *(f"{seconds_of(of[way]):.2f}" for way in ("gpustack", "read", "compute")),
                f"{one['ratio']:.2f}",
                f"{median(run['cpu_seconds'] for run in of['gpustack']):.2f}",
                f"{peaks[0]:.0f}",
                f"{peaks[0] - peaks[1]:.0f}",
            )
        )
    times = ("gpustack s", "read s", "compute s")
    head = ("combine", *times, "ratio", "CPU s", "peak MB", "above info")
    size = f"{settings['frames']} files of {settings['size']} x {settings['size']} float32"
    note = f"**{size}, a limit of {settings['memory'] / MB:.0f} MB**"
    return f"{note}\n\n{markdown(head, rows)}"


def scaling_table(results: Results) -> str:
    """What one and two workers take for some stacks; then the costs fitted to that."""
    rows = []
    for one in results["runs"]:
        job, took = one["job"], one["took"]
        alike = [run for run in results["runs"] if run["workers"] == 1 and _same(run, one)]
        faster = f"{alike[0]['took']['seconds'] / took['seconds']:.2f}" if alike else ""
        size = f"{job['frames']} of {job['size']} x {job['size']}"
        numbers = (f"{took[name]:.3f}" for name in ("seconds", "workers", "client"))
        rows.append((size, f"{job['bands']}", f"{one['workers']}", *numbers, faster))
    head = ("frames", "tasks", "workers", "s", "CPU s of workers", "of client, scheduler", "times")
    costs = results["costs"]
    units = [
        (name, *(f"{costs[who][name]:.2e}" if name in costs[who] else "" for who in costs))
        for name in costs["workers"]
    ]
    large = markdown(("part", "s, alone"), [(k, f"{v:.0f}") for k, v in results["large"].items()])
    return "\n\n".join([markdown(head, rows), markdown(("CPU s of a", *costs), units), large])


def _same(one: Results, other: Results) -> bool:
    """Whether two runs are of the same frames, in a similar number of tasks for each worker."""
    jobs = one["job"], other["job"]
    each = [job["bands"] / run["workers"] for job, run in zip(jobs, (one, other), strict=True)]
    alike = all(jobs[0][name] == jobs[1][name] for name in ("frames", "size"))
    return alike and max(each) < 4 * min(each)


def seconds_of(runs: Sequence[Results]) -> float:
    """The median seconds of some runs."""
    return float(median(run["seconds"] for run in runs))


def mosaic_table(results: Results) -> str:
    """For each size, what each call took; then how far answers differ."""
    parts = []
    settings = results["settings"]
    for one in results["sizes"]:
        rows = [
            (
                call["name"],
                *(f"{s:.1f}" for s in (seconds(call), min(call["seconds"]), max(call["seconds"]))),
                str(len(call["seconds"])),
                f"{median(call['cpu_seconds']):.1f}",
                *(f"{max(call[key]) / MB:.0f}" for key in ("peak", "outputs", "overhead")),
            )
            for call in one["calls"]
        ]
        head = ("call", "seconds", "least", "most", "runs", "CPU s", "peak MB", "outputs", "rest")
        title = (
            f"**{settings['frames']} frames of {one['size']} x {one['size']} over "
            f"{one['side']} x {one['side']}**, {settings['limit']} for gpustack"
        )
        parts += [title, markdown(head, rows), *map(_difference, one["differences"])]
    machine, versions = results["machine"], results["versions"]
    where = (
        f"{machine['cpu']}, {machine['cores']} cores, load before it {machine['load_before']:.1f}"
    )
    parts.append(f"{where}; {', '.join(f'{k} {v}' for k, v in versions.items())}.")
    return "\n\n".join(parts)


def _difference(one: Results) -> str:
    return (
        f"{one['ours']} and {one['other']} differ by {one['largest']:.2g} at most in the "
        f"{one['pixels']:,} pixels that both have; {one['masks']:,} have only one of them."
    )


def sorting_table(results: Results) -> str:
    """Milliseconds to sort the columns of one tile, and how far the network is faster."""
    rows = [
        (
            row["dtype"],
            str(row["frames"]),
            *(f"{1e3 * row[way]:.2f}" for way in ("sort", "network", "median_network")),
            f"{row['sort'] / row['network']:.2f}",
        )
        for row in results["rows"]
    ]
    head = ("dtype", "frames", "sort ms", "network ms", "for a median ms", "network x sort")
    found = ", ".join(f"{dtype}: {n} frames" for dtype, n in results["crossover"].items())
    return f"{markdown(head, rows)}\n\nThe network is faster up to {found}."


#: Name of a table in a page -> heading, benchmark, function. Tables without a heading are not in a
#: page that is made with all tables.
TABLES: dict[str, tuple[str, str, Callable[[Results], str]]] = {
    "machine": ("Machine", "speed", machine_table),
    "summary": ("Summary", "speed", summary_table),
    "excerpt": ("", "speed", excerpt_table),
    "goals": ("Goals", "speed", goals_table),
    "speed": ("All calls", "speed", speed_table),
    "memory": ("Memory", "memory", memory_table),
    "stream": ("Larger than the limit", "stream", stream_table),
    "scaling": ("On a cluster", "scaling", scaling_table),
    "mosaic": ("A mosaic", "mosaic", mosaic_table),
    "sorting": ("Sorting columns", "sorting", sorting_table),
    "programs": ("Whole programs", "programs", peers_tables.programs_table),
    "programs-excerpt": ("", "programs", peers_tables.excerpt_table),
    "programs-goals": ("Beside other programs", "programs", peers_tables.goals_table),
    "programs-curve": ("As frames grow", "programs", peers_tables.curve_table),
    "programs-memory": ("With little memory", "programs", peers_tables.memory_table),
    "gpu-resident": ("Samples on a GPU", "gpu", gpu_tables.resident_table),
    "gpu-whole": ("From the host to a GPU and back", "gpu", gpu_tables.whole_table),
    **{
        f"choosing-{kind}": ("", "choosing", partial(choosing_table, kind=kind))
        for kind in ("clean", "faint", "bright", "two", "star")
    },
    **{
        f"aligned-{part}": ("", "aligned", partial(aligned_table, part=part))
        for part in ("noise", "stars")
    },
    "algorithms": ("IRAF's and Siril's rejections", "programs", peers_tables.algorithms_table),
}

_BLOCK = re.compile(r"(<!-- bench: ([\w-]+) -->\n).*?(<!-- /bench -->)", re.DOTALL)


def fill(page: str, results: dict[str, Results]) -> str:
    """A page with its tables renewed; those without results stay as they are."""

    def block(match: re.Match[str]) -> str:
        _, what, make = TABLES[match[2]]
        text = make(results[what]) if what in results else ""
        return f"{match[1]}\n{text}\n\n{match[3]}" if text else match[0]

    return _BLOCK.sub(block, page)


def empty_page() -> str:
    """A page with the markers of all tables."""
    parts = ["# Benchmarks", "Tables made by `python -m bench.table`; see `bench/README.md`."]
    for name, (heading, _, _) in TABLES.items():
        if heading:
            parts.append(f"## {heading}\n\n<!-- bench: {name} -->\n<!-- /bench -->")
    return "\n\n".join(parts) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 2 = two files of results of one benchmark."""
    parser = argparse.ArgumentParser("bench.table", description=__doc__.partition("\n")[0])
    parser.add_argument("results", nargs="+", type=Path, help="JSON files of the benchmarks")
    parser.add_argument("--into", nargs="+", type=Path, default=[], metavar="PAGE")
    options = parser.parse_args(arguments)
    results: dict[str, Results] = {}
    sources: dict[str, Path] = {}
    for path in options.results:
        one = json.loads(path.read_text())
        what = one["what"]
        if what in results:
            both = f"{sources[what]} and {path}"
            print(f"expected one file with results of {what}, got {both}", file=sys.stderr)
            return 2
        results[what], sources[what] = one, path
    for page in options.into:
        page.write_text(fill(page.read_text() if page.exists() else empty_page(), results))
    if not options.into:
        print(fill(empty_page(), results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
