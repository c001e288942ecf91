"""What a report contains: its schema, its JSON, and the check of a report that is read."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gpustack.errors import InputError
from gpustack.files.paths import at_home

#: The number of the schema, and the key of that number. The number changes when a key is removed
#: or changes its meaning, not when keys are added.
SCHEMA, KEY = 1, "gpustack_report"

_NONE = type(None)
_NUMBER = (int, float)

#: Key -> the types that its value may have.
_TOP: dict[str, tuple[type, ...]] = {
    KEY: (int,),
    "versions": (dict,),
    "backend": (dict,),
    "arguments": (dict,),
    "recipe": (dict,),
    "origins": (list,),
    "date": (str,),
    "files": (list,),
    "inputs": (list,),
    "weights": (dict, _NONE),
    "output": (dict, _NONE),
    "seconds": (dict,),
}
_BACKEND = {"asked": (str,), "used": (str,), "device": (str,)}
_ARGUMENTS = {
    "hdu": (int, str, list, _NONE),
    "unit": (str, _NONE),
    "flags": (dict,),
    "align": (dict, _NONE),
    "memory": (str, *_NUMBER, _NONE),
    "device_memory": (str, *_NUMBER, _NONE),
}
_FILE = {"what": (str,), "given": (str,), "path": (str,), "sha256": (str,)}
_INPUT = {"name": (str,), "parts": (dict,), "numbers": (dict,), "found": (list, _NONE)}
#: A part of an input that is in a file; one from memory has only the hash.
_PART = {
    "given": (str,),
    "path": (str,),
    "hdu": (int,),
    "apart": (bool,),
    "sha256": (str,),
    "header_sha256": (str,),
}
_OUTPUT = {"given": (str,), "path": (str,), "maps": (list,), "sha256": (str,), "hdus": (list,)}
_HDU = {"name": (str,), "sha256": (str,)}
_FLAGS = {"bad": (int, _NONE), "good": (int, _NONE)}


def plain(value: Any) -> Any:
    """Convert a value to JSON types; NaN, infinities and masked values become None."""
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return os.fsdecode(value) if isinstance(value, os.PathLike) else value


def dumps(report: Mapping[str, Any]) -> str:
    """Return the report as the text of a file, in ASCII."""
    return json.dumps(report, indent=1, allow_nan=False) + "\n"


def read_report(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the report in a file.

    Raises
    ------
    InputError
        Where the file cannot be read, or is not a report.
    """
    try:
        report = json.loads(Path(at_home(path)).read_text(encoding="utf-8"))
    except OSError as err:
        raise InputError(f"{path}: expected a report, got: {err.strerror}") from err
    except UnicodeDecodeError as err:
        raise InputError(
            f"{path}: expected the JSON of a report, got bytes that are not UTF-8"
        ) from err
    except (ValueError, RecursionError) as err:
        raise InputError(f"{path}: expected the JSON of a report, got: {err}") from err
    check_report(os.fspath(path), report)
    checked: dict[str, Any] = report
    return checked


def check_report(name: str, report: Any) -> None:
    """Raise unless `report` is a report of this schema.

    Raises
    ------
    InputError
        The message says which key of file `name` is wrong.
    """
    number = report.get(KEY) if isinstance(report, dict) else None
    if number is None:
        raise InputError(f"{name}: expected a report of gpustack, got JSON without the key {KEY}")
    if number != SCHEMA:
        raise InputError(f"{name}: expected {KEY} {SCHEMA}, got {number!r}")
    _check(name, report, _TOP)
    _check(f"{name}: backend", report["backend"], _BACKEND)
    _check(f"{name}: arguments", report["arguments"], _ARGUMENTS)
    _check(f"{name}: arguments: flags", report["arguments"]["flags"], _FLAGS)
    _check_each(f"{name}: origins", report["origins"], str)
    for i, file in enumerate(report["files"]):
        _check(f"{name}: files[{i}]", file, _FILE)
    for i, item in enumerate(report["inputs"]):
        _check_input(f"{name}: inputs[{i}]", item)
    if report["output"] is not None:
        _check(f"{name}: output", report["output"], _OUTPUT)
        _check_each(f"{name}: output: maps", report["output"]["maps"], str)
        for i, hdu in enumerate(report["output"]["hdus"]):
            _check(f"{name}: output: hdus[{i}]", hdu, _HDU)


def _check_input(where: str, item: Any) -> None:
    _check(where, item, _INPUT)
    if item["found"] is not None:
        _check_each(f"{where}: found", item["found"], _NUMBER)
        if len(item["found"]) != 4:
            raise InputError(f"{where}: found: expected 4 numbers, got {len(item['found'])}")
    if "data" not in item["parts"]:
        raise InputError(f"{where}: parts: expected data, got {', '.join(item['parts']) or 'none'}")
    for what, part in item["parts"].items():
        in_file = isinstance(part, dict) and "path" in part
        _check(f"{where}: parts: {what}", part, _PART if in_file else {"sha256": (str,)})


def _check_each(where: str, items: list[Any], kind: type | tuple[type, ...]) -> None:
    for item in items:
        if not isinstance(item, kind):
            expected = "text" if kind is str else "numbers"
            raise InputError(f"{where}: expected only {expected}, got {item!r:.60}")


def _check(where: str, record: Any, keys: Mapping[str, tuple[type, ...]]) -> None:
    if not isinstance(record, dict):
        raise InputError(f"{where}: expected an object, got {record!r:.60}")
    for key, types in keys.items():
        value = record.get(key)
        is_right = isinstance(value, types) and not (isinstance(value, bool) and bool not in types)
        if key not in record or not is_right:
            got = f"{value!r:.60}" if key in record else "none"
            expected = " or ".join("null" if one is _NONE else one.__name__ for one in types)
            raise InputError(f"{where}: {key}: expected {expected}, got {got}")
