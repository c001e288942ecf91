"""Put a report together from the arguments, the inputs and the outputs of a run."""

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
from gpustack.files.paths import PathLike, at_home
from gpustack.flags import Flags
from gpustack.provenance.hashes import hash_array, hash_file, hash_hdus
from gpustack.provenance.paths import stored
from gpustack.provenance.schema import KEY, SCHEMA, plain
from gpustack.provenance.timing import Watch
from gpustack.value_texts import shown_fields

#: Packages that alignments compute with, beside numpy and astropy; `_MEASURING` for the others.
_PACKAGES: dict[type[Any], tuple[str, ...]] = {
    Reproject: ("reproject", "scipy"),
    Offsets: (),
}
_MEASURING = ("reproject", "scipy", "scikit-image", "astroalign", "sep")


def versions(alignment: Alignment | None = None) -> dict[str, str]:
    """Return the versions of gpustack and of the packages that it computes with."""
    found = {
        "gpustack": __version__,
        "Python": platform.python_version(),
        "numpy": np.__version__,
        "astropy": astropy.__version__,
    }
    for name in () if alignment is None else _PACKAGES.get(type(alignment), _MEASURING):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # an extra that is not installed
            continue
    return found


def made_with(watch: Watch) -> str:
    """Return one line for the header: packages, backend and device that a result is made with."""
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
    """Return the report of a run in JSON types; ``"output"`` is None until a file is written.

    Parameters
    ----------
    result : StackResult
    hashes : list of dict
        What `hashed` returned for the frames.
    aligned : Aligned
    watch : Watch
    origins : list of str
        Where the numbers of the recipe came from, as the header says it.
    given : dict
        The arguments ``hdu, unit, flags, align, backend, memory, device_memory``.
    weights : array or None
        One weight per sample.
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
    """Return the record of a file that was written, with hashes of the file and each data unit."""
    name = at_home(path)
    return {
        "given": os.fsdecode(path),
        "path": stored(name),
        "maps": list(maps),
        "sha256": hash_file(name),
        "hdus": hash_hdus(name),
    }


def alignment_from(record: Mapping[str, Any] | None, files: Mapping[str, str]) -> Alignment | None:
    """Return the alignment that a report records.

    Parameters
    ----------
    record : mapping or None
        The argument `align` of the report.
    files : mapping
        Where the file that the alignment reads is now, by `Alignment.reads`.

    Raises
    ------
    RecipeError
        Where `record` is not an alignment.
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
    """Return the name and fields of an alignment; a target in memory by the name of its type."""
    fields = shown_fields(alignment)
    target = fields.get("target", "")
    if not isinstance(target, str | os.PathLike):
        fields["target"] = {"memory": type(target).__name__}
    return {"align": alignment.name, **fields}


def _files(alignment: Alignment | None) -> list[dict[str, str]]:
    """Return the files that are no frames, with a hash of the whole content of each."""
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
    """Return the name, parts, numbers and, where it was measured, the position of each frame."""
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
    """Return the four numbers of a `Similarity`; None for a frame that is left out."""
    if fit is None:
        return None
    return [fit.turn.real, fit.turn.imag, fit.shift.real, fit.shift.imag]


def _seconds(watch: Watch) -> dict[str, float]:
    """Return the seconds of each stage; ``"read"`` sums all threads while rows are streamed."""
    seconds = dict(watch.seconds)
    if watch.reads is not None:
        seconds["read"] = sum(watch.reads)
    return {stage: round(number, 6) for stage, number in seconds.items()}
