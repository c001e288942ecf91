"""How a worker opens the frames of a stack, from a small description that the client sends."""

import math
import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from astropy.io import fits

from gpustack.align import align_frames
from gpustack.alignments import Alignment, Reproject
from gpustack.cluster.code_version import code_here
from gpustack.errors import ClusterError, FrameError, InputError
from gpustack.files import HduKey, with_hdu
from gpustack.files.paths import at_home
from gpustack.flags import Flags
from gpustack.frames import FitsFrame, Frame, open_frames
from gpustack.images import PLANES, Image
from gpustack.lazy_types import loaded
from gpustack.provenance import versions

#: By path, what shows whether a file has been changed: its size, and when it was modified (ns).
#: The inode is left out: two machines may number the files of a network file system differently.
Stamps = Mapping[str, tuple[int, int]]

#: Packages that workers compute with and that HISTORY does not name: for resampling, and for the
#: critical values of clips.
_OTHER_PACKAGES = ("reproject", "scipy")

#: The number of stacks whose opened frames a worker keeps.
_KEPT = 2


@dataclass(frozen=True, slots=True, eq=False)
class Opening:
    """How the frames of a stack are opened.

    Parameters
    ----------
    token : str
        Identifies the stack.
    items : sequence of str and Image
        Absolute paths. Empty for a dask array, of which each task gets its samples as a block.
    hdu, unit, flags
        As in `gpustack.stack`.
    stamps : mapping
        The stamps of all files, as the client saw them.
    versions : mapping
        The versions that the client computes with; see `versions_here`.
    align : Alignment or None
    known : sequence of Similarity, or None
        Where the client found the frames to lie, if the alignment measures them.
    """

    token: str
    items: Sequence[str | Image]
    hdu: HduKey | None
    unit: Any
    flags: Flags | None
    stamps: Stamps
    versions: Mapping[str, str]
    align: Alignment | None = None
    known: Any = None

    @property
    def opens_singly(self) -> bool:
        """Whether each frame can be opened without the others."""
        return self.align is None and not (self.flags and self.flags.given)

    def only(self, f: int) -> "Opening":
        """The same for frame `f` alone."""
        return replace(self, items=[self.items[f]])

    def frames(self) -> list[Frame]:
        """Open and align the frames in this process.

        Raises
        ------
        ClusterError
            Where versions differ from those of the client.
        FrameError
            Where a file is unusable, or not the one that the client saw.
        """
        self.check_versions()
        opened = open_frames(self.items, hdu=self.hdu, unit=self.unit, flags=self.flags)
        for file, found in stamps_of(opened).items():
            _check_stamp(file, self.stamps.get(file), found)
        return align_frames(opened, self.align, self.known, max_bytes=math.inf).frames

    def check_versions(self) -> None:
        """Raise where versions in this process differ from those of the client.

        Raises
        ------
        ClusterError
        """
        here = versions_here()
        differ = [name for name in here if here[name] != self.versions.get(name)]
        if differ:
            name = differ[0]
            raise ClusterError(
                f"{name}: expected {self.versions.get(name)} as at the client, so that the result "
                f"is the same, got {here[name]}"
            )


@cache
def versions_here() -> Mapping[str, str]:
    """The versions of all packages that a result depends on, and a hash of gpustack's code."""
    code = {"code of gpustack (its SHA-256)": code_here()}
    return versions() | code | {name: version(name) for name in _OTHER_PACKAGES}


def absolute_paths(items: Iterable[Any]) -> list[str | Image]:
    """Return `items` with absolute paths, which do not depend on the working directory.

    Raises
    ------
    InputError
        Where an item is neither the name of a file nor an `Image`.
    """
    return [_absolute_item(item, f) for f, item in enumerate(items)]


def _absolute_item(item: Any, f: int) -> str | Image:
    if isinstance(item, Image):
        texts = {name: getattr(item, name) for name in PLANES}
        kept = {name: _plane(text) for name, text in texts.items() if text is not None}
        return Image(_absolute(item.data), **kept)
    if isinstance(item, (str, os.PathLike)):
        return _absolute(item)
    if isinstance(item, loaded("dask.array", "Array")):
        advice = "give dask.array.stack(frames)"
    else:
        advice = "write it to a file, or give dask.array.from_array(...)"
    raise InputError(
        "frames: expected names of files that every worker can read, or a dask array "
        f"(frame, y, x), as no samples are sent, got {type(item).__name__} for frame {f}; {advice}"
    )


def _plane(path: Any) -> str:
    text = os.fsdecode(path)
    return text if text.startswith("!") else _absolute(text)  # a header keyword that names the file


def found_by_client(items: Sequence[str | Image], frames: Sequence[Frame]) -> list[str | Image]:
    """Return `items` with each ``"!KEYWORD"`` replaced by the file that the client found for it.

    A worker would look for the file in its own working directory.

    Parameters
    ----------
    items : sequence of str and Image
        As `absolute_paths` returns them.
    frames : sequence of Frame
        The frame that the client opened for each item.
    """
    return [
        replace(item, **_of_keywords(item, frame)) if isinstance(item, Image) else item
        for item, frame in zip(items, frames, strict=True)
    ]


def _of_keywords(image: Image, frame: Frame) -> dict[str, str]:
    """The files, with their HDUs, that keywords of the header name, by plane."""
    assert isinstance(frame, FitsFrame)
    return {
        one.what: with_hdu(_absolute(one.file), one.hdu.index)
        for one in frame.separate_planes
        if str(getattr(image, one.what)).startswith("!")
    }


def _absolute(path: Any) -> str:
    return str(Path(os.fsdecode(path)).absolute())


def with_absolute_file(align: Alignment | None) -> Alignment | None:
    """Return the alignment with the absolute path of the file that it reads, if it reads one.

    Raises
    ------
    InputError
        Where its target is a WCS, which keeps only 12 digits when it is pickled.
    """
    target = align.target if isinstance(align, Reproject) else ""
    if not isinstance(target, str | os.PathLike | fits.Header):
        raise InputError(
            "align target: expected 'first', 'optimal', a file or a header with client=, got "
            f"{type(target).__name__}, which loses digits when it is sent to a worker; give its "
            "header"
        )
    if align is None or align.file is None:
        return align
    return align.from_file(_absolute(at_home(align.file)))


def stamps_of(frames: Iterable[Frame]) -> Stamps:
    """The stamps of all files of frames that have not been aligned, by absolute path."""
    found = {}
    for frame in frames:
        if isinstance(frame, FitsFrame):
            parts = [
                (frame.image.file, frame.image.hdu),
                *((a.file, a.hdu) for a in frame.separate_planes),
            ]
            for file, hdu in parts:
                found[_absolute(file)] = hdu.stamp.size, hdu.stamp.modified
    return found


def _check_stamp(file: str, expected: tuple[int, int] | None, found: tuple[int, int]) -> None:
    if expected != found:
        shown = ["none" if stamp is None else _stamp_words(*stamp) for stamp in (expected, found)]
        raise FrameError(
            file, f"is not the file that the client opened: expected {shown[0]}, got {shown[1]}"
        )


def _stamp_words(size: int, modified: int) -> str:
    return f"{size:,} bytes, modified {np.datetime64(modified, 'ns')} UTC"


_lock = Lock()
_opened: OrderedDict[str, list[Frame]] = OrderedDict()


def frames_of(opening: Opening) -> list[Frame]:
    """Return the frames of a stack; while they are among those kept, they are not opened again."""
    with _lock:
        if opening.token not in _opened:
            _opened[opening.token] = opening.frames()
        _opened.move_to_end(opening.token)
        while len(_opened) > _KEPT:
            _opened.popitem(last=False)
        return _opened[opening.token]
