"""A report, put together of what a run was given, used and made."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import astropy
import numpy as np

from gpustack import __version__
from gpustack.align.base import Aligned
from gpustack.align.similarity import Similarity
from gpustack.alignments import ALIGNMENTS, Alignment, Offsets, Reproject, as_alignment
from gpustack.checks import word
from gpustack.errors import RecipeError
from gpustack.files import split_hdu, with_hdu
from gpustack.flags import Flags
from gpustack.paths import PathLike, at_home
from gpustack.provenance.hashes import hash_array, hash_file, hash_hdus
from gpustack.provenance.paths import stored
from gpustack.provenance.schema import KEY, SCHEMA, plain
from gpustack.provenance.timing import Watch
from gpustack.value_texts import stated

#: What alignments compute with, beside numpy and astropy.
_PACKAGES: dict[type[Any], tuple[str, ...]] = {
    Reproject: ("reproject", "scipy"),
    Offsets: (),
}
_MEASURING = ("reproject", "scipy", "scikit-image", "astroalign", "sep")


def versions(alignment: Alignment | None = None) -> dict[str, str]:
    """Of gpustack, and of what it computes with."""
    told = {
        "gpustack": __version__,
        "Python": platform.python_version(),
        "numpy": np.__version__,
        "astropy": astropy.__version__,
    }
    for name in () if alignment is None else _PACKAGES.get(type(alignment), _MEASURING):
        try:
            told[name] = version(name)
        except PackageNotFoundError:  # an extra
            continue
    return told


def made_with(watch: Watch) -> str:
    """In one line, for the header, with what a result is made."""
    packages = [f"{name} {number}" for name, number in versions().items() if name != "gpustack"]
    return f"with {', '.join(packages)}; backend {watch.backend} on {watch.device}"


def report_of(
    result: Any,
    hashes: Sequence[Mapping[str, Any]],
    aligned: Aligned,
    watch: Watch,
    *,
    origins: Sequence[str],
    given: Mapping[str, Any],
    weights: Any = None,
) -> dict[str, Any]:
    """The report of a run, as JSON has it; what was written is added when it is.

    Parameters
    ----------
    result : StackResult
    hashes : list of dict
        What `hashed` told of the frames.
    aligned : Aligned
    watch : Watch
    origins : list of str
        What the header says of where numbers came from.
    given : dict
        The arguments ``hdu, unit, flags, align, backend, memory, device_memory``.
    weights : array or None
        A weight a sample.
    """
    alignment = as_alignment(given["align"])
    arguments = {name: given[name] for name in ("hdu", "memory", "device_memory")}
    arguments |= {
        "unit": None if given["unit"] is None else str(given["unit"]),
        "flags": asdict(given["flags"] or Flags()),
        "align": None if alignment is None else _alignment(alignment),
    }
    report = {
        KEY: SCHEMA,
        "versions": versions(alignment),
        "backend": {"asked": given["backend"], "used": watch.backend, "device": watch.device},
        "arguments": arguments,
        "recipe": result.recipe.to_record(),
        "origins": list(origins),
        "date": result.header["DATE"],
        "files": _files(alignment),
        "inputs": _inputs(result.per_frame, hashes, aligned.found),
        "weights": None if weights is None else {"sha256": hash_array(weights)},
        "output": None,
        "seconds": _seconds(watch),
    }
    plain_report: dict[str, Any] = plain(report)
    return plain_report


def output_record(path: PathLike, maps: Sequence[str]) -> dict[str, Any]:
    """What was written: the file, with hashes of all it holds and of each data unit."""
    name = at_home(path)
    return {
        "given": os.fsdecode(path),
        "path": stored(name),
        "maps": list(maps),
        "sha256": hash_file(name),
        "hdus": hash_hdus(name),
    }


def alignment_from(record: Mapping[str, Any] | None, files: Mapping[str, str]) -> Alignment | None:
    """The alignment that a report has.

    Parameters
    ----------
    record : mapping or None
    files : mapping
        By what they are, where those files are now that it reads.

    Raises
    ------
    RecipeError
        Where it is none.
    """
    if record is None:
        return None
    fields = dict(record)
    kind = ALIGNMENTS[word("align", fields.pop("align", None), tuple(ALIGNMENTS))]
    try:
        alignment = kind(**fields)
    except TypeError as err:
        raise RecipeError(f"align: expected the fields of {kind.name}, got {record!r}") from err
    if alignment.file is None or alignment.reads not in files:
        return alignment
    _, key = split_hdu(alignment.file)
    return alignment.from_file(with_hdu(files[alignment.reads], key))


def _alignment(alignment: Alignment) -> dict[str, Any]:
    """Its name and fields; what is no text or number, by the name of its type."""
    fields = stated(alignment)
    target = fields.get("target", "")
    if not isinstance(target, str | os.PathLike):
        fields["target"] = {"memory": type(target).__name__}
    return {"align": alignment.name, **fields}


def _files(alignment: Alignment | None) -> list[dict[str, str]]:
    """Those that are no frames; their hashes are of all that they hold."""
    if alignment is None or alignment.file is None:
        return []
    name = at_home(split_hdu(alignment.file)[0])
    return [
        {"what": alignment.reads, "given": name, "path": stored(name), "sha256": hash_file(name)}
    ]


def _inputs(
    columns: Mapping[str, Any],
    hashes: Sequence[Mapping[str, Any]],
    found: Sequence[Similarity | None] | None,
) -> list[dict[str, Any]]:
    """Of each frame its name, where it came from, its numbers, and where it was found to lie."""
    return [
        {
            "name": columns["name"][f],
            "parts": parts,
            "numbers": {name: column[f] for name, column in columns.items() if name != "name"},
            "found": None if found is None else _found(found[f]),
        }
        for f, parts in enumerate(hashes)
    ]


def _found(fit: Similarity | None) -> list[float] | None:
    """The four numbers of a `Similarity`, as they are; None of a frame that is left out."""
    if fit is None:
        return None
    return [fit.turn.real, fit.turn.imag, fit.shift.real, fit.shift.imag]


def _seconds(watch: Watch) -> dict[str, float]:
    """Of each stage; ``"read"`` are those of all threads together, while rows are streamed."""
    seconds = dict(watch.seconds)
    if watch.reads is not None:
        seconds["read"] = sum(watch.reads)
    return {stage: round(number, 6) for stage, number in seconds.items()}
