"""Where a stack is made: in this process, or by a cluster with the same methods.

`gpustack.cluster.Cluster` is the other `Maker`.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from gpustack import backends
from gpustack.align import Aligned, align_frames
from gpustack.alignments import Alignment
from gpustack.backends.base import Backend, Outputs, Progress
from gpustack.clips import RangeClip
from gpustack.flags import Flags
from gpustack.frames import Frame, FrameSource, open_frames
from gpustack.maps import Derived, execute
from gpustack.normalize import Key, Measured, Wanted, survey
from gpustack.recipe import Recipe

Limit = float | str | None


class Maker(Protocol):
    """Opens, aligns, measures and combines frames; methods are called in the order given here."""

    @property
    def reads_here(self) -> bool:
        """Whether this process reads the samples of the frames."""

    def open(self, frames: Any, hdu: Any, unit: Any, flags: Flags | None) -> list[Frame]:
        """As `gpustack.frames.open_frames`."""

    def check_supported(self, weights: Any, report: bool, look: bool) -> None:
        """Raise if it does not support these arguments of `gpustack.stack`; called before reading.

        Raises
        ------
        InputError
        """

    def align_frames(
        self, frames: Sequence[Frame], given: Alignment | str | None, *, max_bytes: float | None
    ) -> Aligned:
        """As `gpustack.align.align_frames`."""

    def survey(
        self, frames: Sequence[Frame], measures: Iterable[Wanted], ranges: Sequence[RangeClip]
    ) -> dict[Key, Measured]:
        """As `gpustack.normalize.survey`."""

    def choose_backend(self, backend: str, device_memory: Limit, resident: bool) -> tuple[str, str]:
        """Choose a backend as `gpustack.backends.get`; return its name, and its device in words."""

    def execute(
        self,
        source: FrameSource,
        recipe: Recipe,
        out: Outputs,
        maps: Sequence[Derived],
        limit: int,
        progress: Progress | None = None,
    ) -> Recipe:
        """As `gpustack.maps.execute`, with the backend that `choose_backend` chose."""


class LocalMaker:
    """Makes a stack in this process."""

    reads_here = True
    # The functions themselves, not wrappers: the `stacklevel` of warnings counts calls.
    open = staticmethod(open_frames)
    align_frames = staticmethod(align_frames)
    survey = staticmethod(survey)

    def __init__(self) -> None:
        self._backend: Backend

    def check_supported(self, weights: Any, report: bool, look: bool) -> None:
        """Do nothing: everything is supported."""

    def choose_backend(self, backend: str, device_memory: Limit, resident: bool) -> tuple[str, str]:
        """See `Maker`."""
        self._backend = backends.get(backend, device_memory=device_memory, resident=resident)
        return self._backend.name, backends.device_of(self._backend)

    def execute(
        self,
        source: FrameSource,
        recipe: Recipe,
        out: Outputs,
        maps: Sequence[Derived],
        limit: int,
        progress: Progress | None = None,
    ) -> Recipe:
        """See `Maker`."""
        return execute(self._backend, source, recipe, out, maps, limit, progress)
