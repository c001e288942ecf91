"""The files that a command reads: the frames, and what belongs to them; none of them is written."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gpustack import files
from gpustack.images import PLANES, paired
from gpustack.name_lists import is_list, names_of


def images(frames: tuple[str, ...], options: dict[str, Any]) -> Any:
    """The frames, with what options say of files that belong to them; takes these out."""
    frames = tuple(name for text in frames for name in names_of(text))  # once: it may be a pipe
    planes = {what: options.pop(what) for what in PLANES}
    return paired(frames, planes) if any(planes.values()) else frames


def lists_among(frames: Iterable[str], options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The lists of names that stand for frames, or for files that belong to them, and what each is.

    Parameters
    ----------
    frames, options
        As of `images`, before it takes some out.
    """
    texts = (*frames, *(text for what in PLANES for text in options[what]))
    return [(text[1:], "a list of files") for text in texts if is_list(text)]


def files_beside(words: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The files that options name and `gpustack.stack` reads beside frames, and what each is."""
    numbers = {role: words[role] for role in ("scale", "zero", "weights")}
    return list(files.named_beside(words["align"], numbers))


def check_apart(
    words: Mapping[str, Any],
    output: Path,
    lists: Iterable[tuple[str, str]] = (),
) -> None:
    """Refuse to write over what is read beside the frames, which `gpustack.stack` looks at.

    Parameters
    ----------
    words
        As of `gpustack.cli_options.keywords`.
    output : Path
    lists
        As of `lists_among`.

    Raises
    ------
    FrameError
        Where the output is one of the lists, or what an option takes from a file.
    """
    files.check_apart(output, (*lists, *files_beside(words)))


def arriving(words: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """What `gpustack.watching.Arrivals` has to know of frames, as its keywords.

    Parameters
    ----------
    words
        As of `gpustack.cli_options.keywords`.
    options
        As of `images`.
    """
    opening = {name: words[name] for name in ("hdu", "unit", "flags")}
    if options["mask"]:  # of which the bits are then, not of what lies in the files of frames
        opening["flags"] = None
    agree = ("shape", "unit") if words["align"] is None else ("unit",)
    keys = [text[1:].strip() for what in PLANES for text in options[what] if text[:1] == "!"]
    return {"opening": opening, "agree": agree, "keys": keys}
