"""Keep the answers of the programs: an .npz file for each case, and an index of how it was made."""

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.parity import iraf, siril
from bench.parity.cases import CASES, Case
from bench.parity.frames import NAMES, frames

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "golden"
INDEX = "index.json"
PROGRAMS = {"iraf": iraf, "siril": siril}


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A program's answer to a case: maps of the shape of a frame, and numbers that it reported."""

    maps: dict[str, NDArray[Any]]
    said: dict[str, Any]


def run(case: Case) -> Answer:
    """Run the program of a case."""
    given = frames(case.frames)
    with TemporaryDirectory() as folder:
        if case.program == "iraf":
            return Answer(iraf.run(given, case.options, Path(folder), sigma=case.sigma), {})
        return Answer(*siril.run(given, case.options, Path(folder)))


def index(folder: Path = FOLDER) -> dict[str, Any]:
    """The index: ``frames`` (name -> checksum), ``versions`` of the programs, ``cases``."""
    record: dict[str, Any] = json.loads((folder / INDEX).read_text())
    return record


def load(name: str, folder: Path = FOLDER) -> Answer:
    """The kept answer to a case."""
    with np.load(folder / f"{name}.npz") as kept:
        return Answer(dict(kept), index(folder)["cases"][name]["said"])


def write(answers: dict[str, Answer], folder: Path = FOLDER) -> None:
    """Keep these answers, and remove all others."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.npz"):
        old.unlink()
    for name, answer in answers.items():
        np.savez_compressed(folder / f"{name}.npz", **answer.maps)
    record = {
        "versions": {name: module.version() for name, module in PROGRAMS.items()},
        "frames": {name: frames(name).checksum for name in NAMES},
        "cases": {name: entry(CASES[name], answer) for name, answer in answers.items()},
    }
    (folder / INDEX).write_text(json.dumps(record, indent=1) + "\n")


def entry(case: Case, answer: Answer) -> dict[str, Any]:
    """The entry of a case in the index."""
    command = iraf.command(case.options) if case.program == "iraf" else f"stack f_ {case.options}"
    return {
        "program": case.program,
        "frames": case.frames,
        "command": command,
        "options": case.options,
        "said": answer.said,
    }
