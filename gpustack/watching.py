"""A folder that frames arrive in, stacked anew as often as some do."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpustack.errors import InputError
from gpustack.frames import Frame, check_agree, open_frames
from gpustack.logs import logger

_log = logger(__name__)

#: Size, time of change and inode of a file.
_Stamp = tuple[int, int, int]


@dataclass
class Arrivals:
    """The frames in a folder that are whole.

    A file is whole where it has not changed between two looks and can be opened. One that cannot
    be, however long it has not changed, is told of once and left out until it changes.

    Parameters
    ----------
    folder : Path
    pattern : str
        Of the names of frames.
    apart : Path
        The output, which is none.
    opening : dict
        How files are opened: `hdu`, `unit`, `flags` of `gpustack.stack`.
    agree : sequence of str
        What of a frame has to be as of the first that came: ``"shape"``, ``"unit"``.
    """

    folder: Path
    pattern: str
    apart: Path
    opening: dict[str, Any]
    agree: Sequence[str] = ("shape", "unit")
    _first: Frame | None = None
    _seen: dict[Path, _Stamp] = field(default_factory=dict)
    _whole: dict[Path, _Stamp] = field(default_factory=dict)
    _bad: dict[Path, _Stamp] = field(default_factory=dict)

    def look(self) -> list[str]:
        """The names of all frames that are whole, sorted."""
        now = dict(self._files())
        for path, stamp in now.items():
            settled = self._seen.get(path) == stamp
            if settled and self._whole.get(path) != stamp and self._bad.get(path) != stamp:
                self._open(path, stamp)
        self._seen = now
        return sorted(str(path) for path, stamp in now.items() if self._whole.get(path) == stamp)

    def _files(self) -> Iterator[tuple[Path, _Stamp]]:
        for path in self.folder.glob(self.pattern):
            if path.name.startswith(".") or path.absolute() == self.apart.absolute():
                continue
            try:
                found = path.stat()
            except OSError:  # it is gone again
                continue
            if found.st_size > 0:
                yield path, (found.st_size, found.st_mtime_ns, found.st_ino)

    def _open(self, path: Path, stamp: _Stamp) -> None:
        try:
            (frame,) = open_frames([str(path)], **self.opening)
            first = frame if self._first is None else self._first
            check_agree([first, frame], self.agree)
        except InputError as err:
            self._bad[path] = stamp
            _log.warning("%s; left out until it changes", err)
        else:
            self._first, self._whole[path] = first, stamp


def watch(
    arrivals: Arrivals,
    restack: Callable[[list[str]], None],
    *,
    interval: float = 1.0,
    stop_after: int | None = None,
) -> None:
    """Call `restack` with all frames as often as some have come, changed or gone.

    Parameters
    ----------
    arrivals : Arrivals
    restack : callable
        Gets the names of all frames that are whole.
    interval : float
        Seconds between two looks at the folder. It is looked at, as shared file systems do not
        tell of what other machines write.
    stop_after : int or None
        Return once so many frames are in a result; None is never.

    Raises
    ------
    InputError
        Where there is no such folder.
    """
    if not arrivals.folder.is_dir():
        raise InputError(f"watch: expected a folder, got {arrivals.folder}")
    done: list[str] = []
    while stop_after is None or len(done) < stop_after:
        frames = arrivals.look()
        if frames and frames != done:
            restack(frames)
            done = frames
        else:
            time.sleep(interval)
