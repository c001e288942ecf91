"""Make a result again from the report of a run, and compare it with what was written then."""

import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gpustack.align import Aligned, align_frames
from gpustack.align.similarity import Similarity
from gpustack.alignments import Register
from gpustack.backends.base import Progress
from gpustack.engine import run
from gpustack.errors import GpustackWarning, InputError, OutputError
from gpustack.files.paths import PathLike, at_home
from gpustack.flags import Flags
from gpustack.frames import Frame, open_frames
from gpustack.images import PLANES, Image
from gpustack.provenance import (
    Watch,
    alignment_from,
    hash_file,
    hashed,
    output_record,
    read_report,
    versions,
)
from gpustack.recipe import Recipe
from gpustack.replay.located import ReportFiles, part_name
from gpustack.streaming import ToFile, room_of
from gpustack.writing import check_target

#: Columns of `StackResult.frames` that every run makes; all others come from alignments.
_COLUMNS = ("scale", "zero", "weight", "valid", "rejected")


@dataclass(frozen=True, slots=True)
class Replay:
    """The outcome of making a result again.

    Parameters
    ----------
    output : path
        The file that was written, or would have been.
    differences : list of str
        Inputs that are missing or contain other data than then; in that case nothing was made.
        Otherwise, HDUs of the output that contain other data than then.
    notes : list of str
        What else differs: files that have moved, headers, the device.
    verdict : str
        In words, whether the output is the same as then; empty where nothing was written.
    """

    output: Path
    differences: list[str]
    notes: list[str]
    verdict: str = ""


def replay(
    path: PathLike,
    output: PathLike | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Replay:
    """Make a result again from the numbers in its report; nothing is measured again.

    Parameters
    ----------
    path : path
        A report, as ``--report`` writes it.
    output : path or None
        Where to write; None: where the result was written then.
    overwrite : bool
        Replace the file if there is one.
    progress : callable or None
        As in `stack`.

    Raises
    ------
    InputError
        Where `path` is not a report, or one of frames from memory, or a frame cannot be read.
    OutputError
        Where the output exists, or cannot be written.
    BackendError
        Where the backend that was used cannot work here.
    MissingPackageError, OutOfMemoryError
        As `gpustack.stack`.
    """
    report, name = read_report(path), at_home(path)
    target = _target(name, report, output)
    try:
        check_target(target, overwrite)
    except OutputError as err:
        is_gone = output is None and not target.parent.is_dir()
        hint = "; give another file with output= (-o FILE)" if is_gone else ""
        raise OutputError(f"{err}{hint}") from err
    located = ReportFiles(name, report)
    located.check_not_overwritten(target)
    if located.missing:
        return Replay(target, located.missing, located.moved)
    recipe = Recipe.from_json(json.dumps(report["recipe"]))
    frames = _open_frames(report, located)
    different, notes = _compare_inputs(report, recipe, frames, located)
    notes = [*located.moved, *notes]
    if different:
        return Replay(target, different, notes)
    alignment = alignment_from(report["arguments"]["align"], located.files)
    _warn_of_versions(report, versions(alignment))
    watch = Watch()
    then = report["output"]
    to = ToFile(target, () if then is None else then["maps"], overwrite)
    _run_recipe(
        report, recipe, _align_frames(frames, alignment, report, room_of(to)), watch, progress, to
    )
    if watch.device != report["backend"]["device"]:
        notes.append(f"device: {report['backend']['device']} then, {watch.device} here")
    if then is None:
        return Replay(target, [], notes, "made; the report names no output file to compare it with")
    return _compare_output(target, then, output_record(target, to.maps), notes)


def _run_recipe(
    report: Mapping[str, Any],
    recipe: Recipe,
    aligned: Aligned,
    watch: Watch,
    progress: Progress | None,
    to: ToFile,
) -> None:
    """Run the recipe of a report on its frames, once these are known to be the same."""
    run(
        aligned.frames,
        recipe,
        origins=report["origins"],
        backend=report["backend"]["used"],
        memory=report["arguments"]["memory"],
        device_memory=report["arguments"]["device_memory"],
        progress=progress,
        date=report["date"],
        watch=watch,
        columns=aligned.columns,
        to=to,
    )


def _compare_output(
    target: Path, then: Mapping[str, Any], now: Mapping[str, Any], notes: list[str]
) -> Replay:
    """Compare the output that was written with the record of the one written then."""
    others = list(_other_hdus(target, then, now))
    if others:
        return Replay(target, others, notes, "the result differs")
    is_same = now["sha256"] == then["sha256"]
    verdict = "the same bytes" if is_same else "the same data in each HDU, with other headers"
    return Replay(target, [], notes, verdict)


def _target(name: str, report: Mapping[str, Any], output: PathLike | None) -> Path:
    if output is not None:
        return Path(at_home(output))
    if report["output"] is None:
        raise InputError(
            f"{name}: the report names no output file; give one with output= (-o FILE)"
        )
    return Path(at_home(report["output"]["path"]))


def _open_frames(report: Mapping[str, Any], located: ReportFiles) -> list[Frame]:
    """Open the frames, under the names that they had."""
    arguments = report["arguments"]
    flags = Flags(bad=arguments["flags"]["bad"], good=arguments["flags"]["good"])
    images = []
    for item, files in zip(report["inputs"], located.inputs, strict=True):
        parts = item["parts"]
        at = {what: f"{files[what]}[{part['hdu']}]" for what, part in parts.items()}
        apart = {what: at[what] for what in PLANES if what in parts and parts[what]["apart"]}
        # Unless INHERIT says otherwise, an image inherits coordinates of the primary HDU only if
        # its HDU is not named. So the HDU is named only where it was named then.
        own = Path(parts["data"]["given"]).name
        is_named = arguments["hdu"] is not None or not item["name"].endswith(own)
        images.append(Image(at["data"] if is_named else files["data"], **apart))
    frames = open_frames(images, unit=arguments["unit"], flags=flags)
    for frame, item in zip(frames, report["inputs"], strict=True):
        frame.name = item["name"]  # type: ignore[misc]
    return frames


def _compare_inputs(
    report: Mapping[str, Any], recipe: Recipe, frames: Sequence[Frame], located: ReportFiles
) -> tuple[list[str], list[str]]:
    """Return which inputs contain other data than then, and which have only another header."""
    different, notes = [], []
    hashes = hashed(frames, recipe.needs_variance)
    for item, now in zip(report["inputs"], hashes, strict=True):
        for what in {**item["parts"], **now}:
            name = part_name(item["name"], what)
            one, other = item["parts"].get(what), now.get(what)
            if one is None or other is None:
                there = "none" if one is None else "one"
                different.append(f"{name}: expected {there}, got {'one' if other else 'none'}")
            elif one["sha256"] != other["sha256"]:
                where = f"{other['path']}[{other['hdu']}]"
                different.append(
                    f"{name}: the data of {where} differ from the report; {_hash_words(one, other)}"
                )
            elif one["header_sha256"] != other["header_sha256"]:
                notes.append(f"{name}: the header of {other['path']} differs from the report")
    for file in report["files"]:
        path = located.files[file["what"]]
        if hash_file(path) != file["sha256"]:
            different.append(f"{file['what']}: the content of {path} differs from the report")
    return different, notes


def _hash_words(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    return f"expected SHA-256 {then['sha256']:.12}..., got {now['sha256']:.12}..."


def _warn_of_versions(report: Mapping[str, Any], here: Mapping[str, str]) -> None:
    """Warn if versions here differ from those of the report."""
    then = report["versions"]
    others = [
        f"{name} {then.get(name, 'none')} then, {here.get(name, 'none')} here"
        for name in {**then, **here}
        if then.get(name) != here.get(name)
    ]
    if others:
        text = (
            f"versions differ from those of the report: {'; '.join(others)}; the bytes may differ"
        )
        warnings.warn(text, GpustackWarning, stacklevel=3)


def _align_frames(
    frames: Sequence[Frame], alignment: Any, report: Mapping[str, Any], max_bytes: float | None
) -> Aligned:
    """Bring the frames onto one grid, by the positions that were measured then."""
    inputs = report["inputs"]
    if not isinstance(alignment, Register):
        return align_frames(frames, alignment, max_bytes=max_bytes)
    known = [_similarity(item["found"]) for item in inputs]
    names = [name for name in inputs[0]["numbers"] if name not in _COLUMNS]
    columns = {name: [_number(item["numbers"].get(name)) for item in inputs] for name in names}
    return replace(align_frames(frames, alignment, known, max_bytes=max_bytes), columns=columns)


def _similarity(found: Sequence[float] | None) -> Similarity | None:
    if found is None:
        return None
    turn, shift = complex(*found[:2]), complex(*found[2:])
    return Similarity(turn, shift)


def _number(value: Any) -> Any:
    """Return NaN for None, as JSON has no NaN."""
    return math.nan if value is None else value


def _other_hdus(output: Path, then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Yield in words which HDUs of the output contain other data than then."""
    names = [[hdu["name"] for hdu in record["hdus"]] for record in (then, now)]
    if names[0] != names[1]:
        yield f"{output}: expected HDUs {', '.join(names[0])}, got {', '.join(names[1])}"
        return
    for one, other in zip(then["hdus"], now["hdus"], strict=True):
        if one["sha256"] != other["sha256"]:
            differ = f"the data of {one['name']} differ from the report"
            yield f"{output}: {differ}; {_hash_words(one, other)}"
