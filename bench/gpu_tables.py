"""Tables of the results of `bench.gpu`."""

from typing import Any

from bench.markdown import markdown

Results = dict[str, Any]

#: Our goals on an H200: (recipe, frames) -> share of the bandwidth of a copy.
GOALS = {
    ("median", 8): 0.7,
    ("median", 16): 0.7,
    ("median", 32): 0.7,
    ("median", 64): 0.45,
    ("median", 128): 0.25,
    ("sigma-mean", 32): 0.5,
}
#: Our goal for runs from the host: the time of the slowest part alone, as a share of the run.
WHOLE_GOAL = 0.85


def resident_table(results: Results) -> str:
    """The table of recipes on samples that are on the device, beside plain CuPy."""
    rows = [
        (
            row["name"],
            str(row["frames"]),
            f"{row['bytes_per_second'] / 1e9:.0f}",
            f"{row['of_copy_bandwidth']:.0%}",
            _goal(GOALS.get((row["name"], row["frames"]))),
            ", ".join(f"{found['times']:.0f} x {peer}" for peer, found in row["peers"].items()),
        )
        for row in results["resident"]
    ]
    head = ("recipe", "frames", "GB/s", "of a copy", "goal", "plain CuPy")
    return "\n\n".join([_where(results), markdown(head, rows)])


def _goal(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def whole_table(results: Results) -> str:
    """The table of whole runs from the host, and of each of their parts alone."""
    parts = ("read", "upload", "compute", "fetch")
    rows = [
        (
            row["name"],
            row["kind"],
            f"{row['seconds']:.3f}",
            f"{row['bytes_per_second'] / 1e9:.0f}",
            f"{row['of_slowest']:.0%}",
            *(f"{row['parts'][part]:.3f}" for part in parts),
        )
        for row in results["end_to_end"]
    ]
    head = ("recipe", "from", "seconds", "GB/s", "slowest of it", *(f"{part} s" for part in parts))
    settings = results["settings"]
    return (
        f"{settings['stack']} frames of {settings['size']} x {settings['size']} float32; the goal "
        f"is that the slowest part takes {WHOLE_GOAL:.0%} of a run.\n\n{markdown(head, rows)}"
    )


def _where(results: Results) -> str:
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return (
        f"{', '.join(results['devices'])}; {results['cuda']}; beside it {machine['cpu']}, "
        f"{machine['cores']} cores; {versions}. A copy of device memory reads and writes "
        f"{results['copy_bandwidth'] / 1e9:.0f} GB/s."
    )
