"""Files that a run reads beside its frames, and how they are now: masks, numbers, a target."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from gpustack.errors import InputError
from gpustack.frames.onfile import Stamp
from gpustack.frames.separate_planes import files_meant
from gpustack.images import PLANES, Image
from gpustack.paths import at_home


class Reads(NamedTuple):
    """What a run would read; unequal wherever its result might differ.

    Parameters
    ----------
    given : any
        The frames, with the names of what belongs to them; or in words, why these are not known.
    stamps : mapping of str to Stamp or None
        Of each file beside the frames; None where it is not there.
    """

    given: Any
    stamps: Mapping[str, Stamp | None]

    def settled(self, before: "Reads") -> bool:
        """Whether each file was there, as it is, at the look before: one may still grow."""
        return self.stamps.items() <= before.stamps.items()


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """Tells what a run of some frames would read.

    Parameters
    ----------
    pair : callable
        Gets names of frames and gives them, or an `Image` of each.
    named : sequence of str
        Files that are read whatever the frames.
    card : callable
        Gets the name of a frame and a keyword, and gives what its header says.
    """

    pair: Callable[[list[str]], Iterable[str | Image]]
    named: Iterable[str]
    card: Callable[[str, str], Any]

    def __call__(self, frames: list[str]) -> Reads:
        """As it is now; files that frames are paired with may come later."""
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
    except (OSError, ValueError):  # it is not there, or no file can have that name
        return None
