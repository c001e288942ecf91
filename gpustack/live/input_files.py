"""The files that a run reads besides its frames (masks, numbers, a target), and their state.

`gpustack.live.watching.watch` compares these states to decide whether to stack anew.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from gpustack.errors import InputError
from gpustack.files.paths import at_home
from gpustack.frames.onfile import Stamp
from gpustack.frames.separate_planes import files_meant
from gpustack.images import PLANES, Image


class Reads(NamedTuple):
    """What a run would read: two are unequal where the results of the runs might differ.

    Parameters
    ----------
    given : any
        The frames, as names or as `Image` with the files paired with them; where pairing failed,
        the error message.
    stamps : mapping of str to Stamp or None
        The state of each file besides the frames; None for a file that does not exist.
    """

    given: Any
    stamps: Mapping[str, Stamp | None]

    def is_settled_since(self, before: "Reads") -> bool:
        """Whether no file has appeared or changed since the look before: one may still grow."""
        return self.stamps.items() <= before.stamps.items()


@dataclass(frozen=True, slots=True, eq=False)
class ReadsOf:
    """Finds what a run of given frames would read.

    Parameters
    ----------
    pair : callable
        Takes the names of frames; returns the names, or an `Image` for each.
    named : sequence of str
        Files that are read whatever the frames are.
    card : callable
        Takes the name of a frame and a keyword; returns the value in the header.
    """

    pair: Callable[[list[str]], Iterable[str | Image]]
    named: Iterable[str]
    card: Callable[[str, str], Any]

    def __call__(self, frames: list[str]) -> Reads:
        """Return the present state; files that frames are paired with may still be missing."""
        try:
            given = list(self.pair(frames)) if frames else []
        except InputError as err:
            return Reads(str(err), _stamps(self.named))
        return Reads(given, _stamps([*self.named, *self._planes(given)]))

    def _planes(self, given: Iterable[str | Image]) -> Iterator[str]:
        for one in given:
            if isinstance(one, Image):
                frame = str(one.data)
                for text in filter(None, (getattr(one, what) for what in PLANES)):
                    yield from files_meant(text, frame, partial(self.card, frame))


def _stamps(files: Iterable[str]) -> dict[str, Stamp | None]:
    return {file: _stamp(at_home(file)) for file in set(files)}


def _stamp(file: str) -> Stamp | None:
    try:
        return Stamp.of(file)
    except (OSError, ValueError):  # there is no such file, or no file can have this name
        return None
