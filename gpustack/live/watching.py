"""Watches a folder in which frames arrive, and stacks all of them anew after each arrival."""

import fnmatch
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from astropy.io import fits

from gpustack.align.known_places import remembered
from gpustack.errors import FrameError, InputError
from gpustack.frames import Frame, check_agree, open_one, renamed
from gpustack.frames.hdus import quiet
from gpustack.frames.onfile import Stamp
from gpustack.header import read_recipe
from gpustack.live.input_files import Reads
from gpustack.logs import logger

_log = logger(__name__)


@dataclass
class Arrivals:
    """The complete frames in a folder.

    A file is complete if it has not changed between two looks and can be opened. An unchanged file
    that cannot be opened is reported once, and left out until it changes. A frame that does not
    agree with the first is left out as long as there are frames that do. If several frames are
    there from the start, the first is the first one of the most common kind.

    Parameters
    ----------
    folder : Path
    pattern : str
        The pattern of the names of frames, such as ``*.fits``; upper and lower case are the same.
    output : Path
        The output, which is not a frame.
    opening : dict
        How files are opened: `hdu`, `unit` and `flags` of `gpustack.stack`.
    agree : sequence of str
        What a frame must have in common with the first: ``"shape"``, ``"unit"``.
    keys : sequence of str
        The header keywords that `card` returns.
    """

    folder: Path
    pattern: str
    output: Path
    opening: dict[str, Any]
    agree: Sequence[str] = ("shape", "unit")
    keys: Sequence[str] = ()
    _first: tuple[Path, Frame] | None = None
    _seen: dict[Path, Stamp] = field(default_factory=dict)
    _complete: dict[Path, Stamp] = field(default_factory=dict)
    _unreadable: dict[Path, Stamp] = field(default_factory=dict)
    _mismatched: dict[Path, Stamp] = field(default_factory=dict)
    _cards: dict[Path, dict[str, Any]] = field(default_factory=dict)

    def check_output(self) -> None:
        """Raise if the output would replace a frame.

        A result of an earlier run may be replaced; its HISTORY contains a recipe.

        Raises
        ------
        FrameError
            Where the output is a file in the folder that is no such result.
        """
        for path in self._named():
            if self._is_output(path) and path.exists() and not _is_result(path):
                raise FrameError(str(path), "expected another output, got one of the frames")

    def look(self) -> list[str]:
        """Look at the folder, and return the names of all complete frames, sorted."""
        now = dict(self._files())
        self._forget(now)
        opened: dict[Path, Frame] = {}
        for path, stamp in now.items():
            known = path in self._complete or path in self._unreadable or path in self._mismatched
            if not known and self._seen.get(path) == stamp:
                self._open(path, stamp, opened)
        self._seen = now
        if self._first is None and opened:
            self._first = self._first_of_commonest(opened)
        for path, frame in opened.items():
            self._sort_out(path, now[path], frame)
        return sorted(map(str, self._complete))

    def card(self, frame: str, key: str) -> Any:
        """Return the header value of one of `keys`, for a frame that `look` has returned."""
        return self._cards[Path(frame)].get(key)

    @property
    def refused(self) -> bool:
        """Whether any file is left out."""
        return bool(self._unreadable or self._mismatched)

    def _named(self) -> Iterator[Path]:
        matches = re.compile(fnmatch.translate(self.pattern), re.IGNORECASE).match
        for path in sorted(self._listed()):
            if matches(path.name) and not path.name.startswith("."):
                yield path

    def _listed(self) -> Iterator[Path]:
        """Everything in the folder; nothing while it cannot be listed."""
        with suppress(OSError):
            yield from self.folder.iterdir()

    def _is_output(self, path: Path) -> bool:
        """Whether `path` is the output, also by a link or a name such as ``folder/../folder``."""
        try:
            return path.absolute() == self.output.absolute() or path.samefile(self.output)
        except OSError:  # one of them is not there
            return False

    def _files(self) -> Iterator[tuple[Path, Stamp]]:
        for path in self._named():
            if self._is_output(path):
                continue
            try:
                stamp = Stamp.of(str(path))
            except OSError:  # it is gone again
                continue
            if stamp.size > 0:
                yield path, stamp

    def _forget(self, now: dict[Path, Stamp]) -> None:
        """Forget files that are gone or have changed, and replace the first frame if it is one."""
        for known in (self._complete, self._unreadable, self._mismatched):
            for path in [path for path, stamp in known.items() if now.get(path) != stamp]:
                del known[path]
        if self._first is None or self._first[0] in self._complete:
            return
        if self._complete or self._first[0] not in now:  # if changed and alone, wait for it
            self._replace_first()

    def _replace_first(self) -> None:
        """Let a frame that agreed with the first replace it; without one, the next is the first."""
        successor = next(iter(self._complete), None)
        if self._first and successor:
            self._first = successor, renamed(self._first[1], str(successor))
        else:
            self._first = None
            self._mismatched.clear()

    def _open(self, path: Path, stamp: Stamp, opened: dict[Path, Frame]) -> None:
        if self._first is not None and self._first[0] == path:
            self._replace_first()  # it has changed
        try:
            frame = opened[path] = open_one(str(path), **self.opening)
            self._cards[path] = {key: frame.header.get(key) for key in self.keys}
        except InputError as err:
            self._unreadable[path] = stamp
            _log.warning("%s; left out until it changes", err)

    def _first_of_commonest(self, opened: dict[Path, Frame]) -> tuple[Path, Frame]:
        """The first frame of the most common kind: a stray one must not exclude all others."""
        kinds = {
            path: tuple(str(getattr(frame, name)) for name in self.agree)
            for path, frame in opened.items()
        }
        most, _ = Counter(kinds.values()).most_common(1)[0]
        return next((path, frame) for path, frame in opened.items() if kinds[path] == most)

    def _sort_out(self, path: Path, stamp: Stamp, frame: Frame) -> None:
        assert self._first is not None
        try:
            check_agree([self._first[1], frame], self.agree)
        except InputError as err:
            self._mismatched[path] = stamp
            _log.warning("%s; left out until it changes or frames like the first are gone", err)
        else:
            self._complete[path] = stamp


def _is_result(path: Path) -> bool:
    """Whether a file contains an image that gpustack made."""
    try:
        with quiet():
            read_recipe(fits.getheader(path))
    except (OSError, ValueError, fits.VerifyError):
        return False
    return True


def _no_reads(frames: list[str]) -> Reads:
    """The `Reads` of a run that reads only its frames."""
    return Reads(frames, {})


def watch(
    arrivals: Arrivals,
    restack: Callable[[list[str]], None],
    reads_of: Callable[[list[str]], Reads] = _no_reads,
    *,
    interval: float = 1.0,
    stop_after: int | None = None,
) -> None:
    """Call `restack` whenever frames, or files read with them, have come, changed or gone.

    Parameters
    ----------
    arrivals : Arrivals
    restack : callable
        Takes the names of all complete frames.
    reads_of : callable
        Takes the same names; returns what a run would read, see
        `gpustack.live.input_files.ReadsOf`.
    interval : float
        Seconds between two looks at the folder. Polling is needed because shared file systems do
        not notify of what other machines write.
    stop_after : int or None
        Return once `restack` has been called with at least so many frames; None never returns.

    Raises
    ------
    InputError
        Where there is no such folder, the pattern contains a folder, or the output would replace a
        frame.
    """
    try:
        os.scandir(arrivals.folder).close()
    except OSError as err:
        raise InputError(
            f"watch: expected a folder, got {arrivals.folder}: {err.strerror}"
        ) from err
    if not arrivals.pattern or {"/", os.sep} & set(arrivals.pattern):
        raise InputError(
            f"watch: expected a pattern of file names without a folder, got {arrivals.pattern!r}"
        )
    arrivals.check_output()
    done: tuple[list[str], Reads | None] = [], None
    before = reads_of([])
    with remembered():
        while stop_after is None or len(done[0]) < stop_after:
            frames = arrivals.look()
            reads = reads_of(frames)
            if frames and (frames, reads) != done and reads.is_settled_since(before):
                restack(frames)
                done = frames, reads
            else:
                time.sleep(interval)
            if not frames:
                done = frames, reads
            before = reads
