"""Tables of the results of `bench.peers`: whole programs side by side."""

from collections.abc import Iterator
from statistics import median
from typing import Any

import numpy as np
from scipy.optimize import nnls

from bench.markdown import markdown
from bench.programs import OURS, PROGRAMS

Results = dict[str, Any]
MB = 1e6
#: Our goals: number of frames -> how many times faster than the fastest peer.
TIMES = {25: 2.0, 100: 4.0}


def _methods(results: Results, *parts: str) -> Iterator[tuple[Results, Results]]:
    for group in results["groups"]:
        if group["part"] in parts:
            for method in group["methods"]:
                yield group, method


def _work(group: Results) -> tuple[str, str]:
    return f"{group['frames']} x {group['size']}²", group["dtype"]


def _calls(method: Results) -> dict[str, Results]:
    return {call["program"]: call for call in method["calls"]}


def _seconds(call: Results) -> str:
    """The median in seconds, with minimum and maximum if there was more than one run."""
    ends = f" ({min(call['seconds']):.2f}-{max(call['seconds']):.2f})"
    return f"{median(call['seconds']):.2f}{ends if len(call['seconds']) > 1 else ''}"


def _cell(call: Results | None, key: str) -> str:
    if call is None:
        return "-"
    if not call["seconds"]:
        return call["why"] if call["state"] == "not run" else call["state"]
    if key == "peak":
        return f"{median(call['peak']) / MB:.0f}"
    text = _seconds(call) if key == "seconds" else f"{median(call[key]):.2f}"
    return f"{text} not checked" if call["state"] == "not checked" else text


def _table(results: Results, part: str, key: str) -> str:
    """A table with a row for each group and method, a column for each program."""
    found = list(_methods(results, part))
    names = [name for name in PROGRAMS if any(name in _calls(method) for _, method in found)]
    rows = [
        (*_work(group), method["title"], *(_cell(_calls(method).get(n), key) for n in names))
        for group, method in found
    ]
    return markdown(("frames", "dtype", "method", *(PROGRAMS[n].title for n in names)), rows)


def _three(results: Results, part: str) -> str:
    if not any(_methods(results, part)):
        return ""
    captions = {
        "seconds": "Seconds by the clock: median (least-most).",
        "cpu_seconds": "Seconds of all cores.",
        "peak": "Peak memory of the largest process, MB.",
    }
    texts = [f"{caption}\n\n{_table(results, part, key)}" for key, caption in captions.items()]
    return "\n\n".join([*texts, *_notes(results, part)])


def _notes(results: Results, part: str) -> Iterator[str]:
    """Programs that were skipped, wrong answers, and the machine."""
    if results["skipped"]:
        yield f"Skipped: {'; '.join(results['skipped'].values())}."
    for group, method in _methods(results, part):
        for call in method["calls"]:
            if call["state"] in ("wrong", "failed"):
                work = ", ".join((*_work(group), method["title"]))
                name = PROGRAMS[call["program"]].title
                yield f"{name}, {work}: {call['state']}, {call['why'].splitlines()[0]}"
    at, settings = results["machine"], results["settings"]
    load = "" if at["load_before"] is None else f", load before it {at['load_before']:.1f}"
    versions = ", ".join(f"{name} {found}" for name, found in results["versions"].items())
    yield f"{at['cpu']}, {settings['threads']} threads{load}; {versions}."


def programs_table(results: Results) -> str:
    """Time and memory of all programs, for all sizes and numbers of frames."""
    return _three(results, "programs")


def excerpt_table(results: Results) -> str:
    """Medians alone, for large float32 frames and the numbers of frames with a goal."""
    names = [name for name in PROGRAMS if name != "started"]
    rows = [
        (f"{group['frames']}", method["title"], *(_median(method, name) for name in names))
        for group, method in _methods(results, "programs")
        if group["frames"] in TIMES and group["dtype"] == "float32" and _is_large(results, group)
    ]
    if not rows:
        return ""
    return markdown(("frames", "method", *(PROGRAMS[name].title for name in names)), rows)


def _median(method: Results, name: str) -> str:
    return _cell(_calls(method).get(name), "seconds").partition(" (")[0]


def _is_large(results: Results, group: Results) -> bool:
    """Whether frames have full size or more; smaller ones are for the curve only."""
    return bool(group["size"] >= results["settings"]["size"])


def memory_table(results: Results) -> str:
    """Time and memory of all programs with a limit on memory."""
    return _three(results, "memory")


def curve_table(results: Results) -> str:
    """Seconds of the start, a frame and a sample, fitted to the measurements by least squares."""
    rows = []
    points: dict[tuple[str, str, str], list[tuple[float, int, int]]] = {}
    for group, method in _methods(results, "programs"):
        n, samples = group["frames"], group["frames"] * group["size"] ** 2
        for call in method["calls"]:
            if call["seconds"]:
                key = (group["dtype"], method["title"], call["program"])
                points.setdefault(key, []).append((median(call["seconds"]), n, samples))
    for (dtype, title, program), measured in points.items():
        # Three unknowns need at least two sizes and two numbers of frames.
        if len({n for _, n, _ in measured}) > 1 and len({s / n for _, n, s in measured}) > 1:
            start, frame, sample, off = fit(measured)
            numbers = (f"{start:.2f}", f"{1e3 * frame:.1f}", f"{1e9 * sample:.2f}", f"{off:.0%}")
            rows.append((dtype, title, PROGRAMS[program].title, *numbers))
    if not rows:
        return ""
    head = ("dtype", "method", "program", "start s", "a frame ms", "a sample ns", "furthest off")
    return markdown(head, rows)


def fit(measured: list[tuple[float, int, int]]) -> tuple[float, float, float, float]:
    """Fit seconds = start + frames x a + samples x b, with no term below 0.

    Residuals are relative to the seconds, so that short runs determine the start.

    Parameters
    ----------
    measured : list of (seconds, frames, samples)

    Returns
    -------
    start, a, b : float
        In seconds.
    off : float
        The largest relative residual.
    """
    seconds, frames, samples = np.array(measured, dtype=np.float64).T
    terms = np.stack([np.ones_like(seconds), frames, samples], axis=1) / seconds[:, None]
    scale = terms.max(axis=0)
    found = nnls(terms / scale, np.ones_like(seconds))[0]
    start, frame, sample = found / scale
    return start, frame, sample, float(np.abs(terms / scale @ found - 1).max())


def _fastest(method: Results) -> Results | None:
    """The fastest peer whose answer was correct or not checked."""
    peers = [call for call in method["calls"] if call["seconds"] and call["program"] not in OURS]
    return min(peers, key=lambda call: median(call["seconds"]), default=None)


def goals_table(results: Results) -> str:
    """Our goals beside other programs, and what this run reached."""
    rows = []
    for group, method in _methods(results, "programs", "memory"):
        ours, peer = _calls(method).get("gpustack"), _fastest(method)
        if not _is_large(results, group) or ours is None or not ours["seconds"] or peer is None:
            continue
        times, goal = median(peer["seconds"]) / median(ours["seconds"]), TIMES.get(group["frames"])
        peers = [c for c in method["calls"] if c["seconds"] and c["program"] not in OURS]
        least = min(peers, key=lambda call: median(call["peak"]))
        taken, theirs = (median(call["peak"]) for call in (ours, least))
        rows.append(
            (
                *_work(group),
                method["title"],
                PROGRAMS[peer["program"]].title,
                f"{times:.2f}",
                f"{goal:g}" if goal else "",
                "" if goal is None else _reached(times >= goal),
                f"{taken / MB:.0f}",
                f"{theirs / MB:.0f} {PROGRAMS[least['program']].title}",
                _reached(taken <= theirs),
            )
        )
    if not rows:
        return ""
    head = ("frames", "dtype", "method", "fastest peer", "times faster", "goal", "reached")
    return markdown((*head, "our peak MB", "least peak of peers", "no more"), rows)


def algorithms_table(results: Results) -> str:
    """Each rejection of IRAF and of Siril beside ours, whose goal is to be no slower."""
    rows = []
    for _, method in _methods(results, "algorithms"):
        calls, peer = _calls(method), _fastest(method)
        ours = calls.get("gpustack")
        others = [call for name, call in calls.items() if name not in OURS]
        known = ours is not None and ours["seconds"] and peer is not None
        times = median(peer["seconds"]) / median(ours["seconds"]) if known else None
        cells = [_cell(calls.get(name), "seconds") for name in OURS]
        rows.append(
            (
                method["method"],
                method["title"],
                _cell(others[0] if others else None, "seconds"),
                *cells,
                "" if times is None else f"{times:.2f}",
                "" if times is None else _reached(times >= 1),
            )
        )
    if not rows:
        return ""
    head = ("algorithm", "ours", "theirs s", "gpustack s", "once started", "times faster")
    notes = _notes(results, "algorithms")
    return "\n\n".join([markdown((*head, "no slower"), rows), *notes])


def _reached(yes: bool) -> str:
    return "yes" if yes else "no"


ALL = (programs_table, goals_table, curve_table, memory_table, algorithms_table)
