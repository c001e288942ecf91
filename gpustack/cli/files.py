"""The files that a command reads: the frames and what belongs to them. No output may be one."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gpustack import files
from gpustack.files.name_lists import is_list, names_of
from gpustack.images import PLANES, paired


def paired_frames(frames: tuple[str, ...], options: dict[str, Any]) -> Any:
    """The frames, paired with their masks, weights and variances where options name them.

    Removes the options of `gpustack.images.PLANES` from `options`.
    """
    frames = tuple(name for text in frames for name in names_of(text))  # once: it may be a pipe
    planes = {what: options.pop(what) for what in PLANES}
    return paired(frames, planes) if any(planes.values()) else frames


def lists_among(frames: Iterable[str], options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The files of ``@FILE`` that list frames, or files that belong to them, and what each is.

    Parameters
    ----------
    frames, options
        As for `paired_frames`, which must not have removed options yet.
    """
    texts = (*frames, *(text for what in PLANES for text in options[what]))
    return [(text[1:], "a list of files") for text in texts if is_list(text)]


def alignment_and_number_files(words: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The files that `gpustack.stack` reads for alignment and numbers, and what each is."""
    numbers = {role: words[role] for role in ("scale", "zero", "weights")}
    return list(files.alignment_and_number_files(words["align"], numbers))


def check_not_overwritten(
    words: Mapping[str, Any],
    output: Path,
    lists: Iterable[tuple[str, str]] = (),
) -> None:
    """Refuse to overwrite files read besides the frames; `gpustack.stack` checks the frames.

    Parameters
    ----------
    words
        From `gpustack.cli.options.keywords`.
    output : Path
    lists
        From `lists_among`.

    Raises
    ------
    FrameError
        Where the output is one of the lists, or a file that an option reads.
    """
    files.check_not_overwritten(output, (*lists, *alignment_and_number_files(words)))


def arrivals_keywords(words: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords `opening`, `agree` and `keys` of `gpustack.live.watching.Arrivals`.

    Parameters
    ----------
    words
        From `gpustack.cli.options.keywords`.
    options
        As for `paired_frames`.
    """
    opening = {name: words[name] for name in ("hdu", "unit", "flags")}
    if options["mask"]:  # then the bits are those of separate masks, not of the frames' own files
        opening["flags"] = None
    agree = ("shape", "unit") if words["align"] is None else ("unit",)
    keys = [text[1:].strip() for what in PLANES for text in options[what] if text[:1] == "!"]
    return {"opening": opening, "agree": agree, "keys": keys}
