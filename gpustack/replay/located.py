"""Where the files of a report are now."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gpustack.errors import InputError
from gpustack.files import check_not_overwritten
from gpustack.files.paths import at_home
from gpustack.provenance.paths import find, shared_folders


class ReportFiles:
    """Where the files of a report are now, which of them have moved, and which are missing.

    Parameters
    ----------
    name : str
        The file of the report.
    report : dict

    Raises
    ------
    InputError
        Where an input came from memory.
    """

    def __init__(self, name: str, report: Mapping[str, Any]) -> None:
        # By path: a file may contain several parts, and is to be reported once.
        self._missing: dict[str, str] = {}
        self._moved: dict[str, tuple[str, str]] = {}
        self._folder = Path(name).parent
        given = (part.get("given") for item in report["inputs"] for part in item["parts"].values())
        self._shared = shared_folders(text for text in given if text)
        for what in _from_memory(report):
            raise InputError(
                f"{name}: cannot be replayed: {what} came from memory, not from a file"
            )
        self.inputs = [
            {
                what: self._file(part_name(item["name"], what), part)
                for what, part in item["parts"].items()
            }
            for item in report["inputs"]
        ]
        self.files = {file["what"]: self._file(file["what"], file) for file in report["files"]}

    def _file(self, what: str, part: Mapping[str, Any]) -> str:
        path = find(part["path"], part["given"], self._folder, self._shared)
        if path is None:
            message = f"{what}: expected the file {part['path']}, found none"
            self._missing.setdefault(part["path"], message)
            return ""
        if path != at_home(part["path"]):
            self._moved.setdefault(part["path"], (what, path))
        return path

    def check_not_overwritten(self, output: Path) -> None:
        """Raise if `output` is one of the files that are read."""
        every = {path for files in (*self.inputs, self.files) for path in files.values() if path}
        check_not_overwritten(output, ((path, "one of the frames") for path in every))

    @property
    def missing(self) -> list[str]:
        """In words, which files are missing."""
        return list(self._missing.values())

    @property
    def moved(self) -> list[str]:
        """In words, which files have moved: at most one line, with their number and the first."""
        for then, (what, now) in self._moved.items():
            if len(self._moved) == 1:
                return [f"{what}: {then} has moved, read from {now}"]
            several = f"{len(self._moved)} files have moved"
            return [f"{several}; the first, {what}: {then}, is read from {now}"]
        return []


def _from_memory(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of inputs that came from memory, and cannot be read again."""
    if report["weights"] is not None:
        yield "weights"
    for item in report["inputs"]:
        for what, part in item["parts"].items():
            if "path" not in part:
                yield part_name(item["name"], what)
    align = report["arguments"]["align"]
    if align is not None and isinstance(align.get("target"), dict):
        yield "the target of the alignment"


def part_name(frame: str, what: str) -> str:
    """Return what messages call a part of a frame: the frame's name alone for its samples."""
    return frame if what == "data" else f"{frame}: {what}"
