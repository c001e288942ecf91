"""How long the stages of a run take."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gpustack.backends.base import Samples
from gpustack.frames import FrameSource
from gpustack.kept_samples import Look


@dataclass(eq=False)
class Watch:
    """Measures the seconds of the stages of a run, by their names.

    Parameters
    ----------
    reads : list of float, or None
        Gets the seconds of each read while rows are streamed; None: reads are not timed.
    """

    reads: list[float] | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    #: Which backend ran, and on what; known once it has been chosen.
    backend: str = ""
    device: str = ""

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Context manager: time counts for `stage`, which may be entered more than once."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begin


@dataclass(frozen=True, eq=False)
class TimedSource(FrameSource):
    """A source that notes how long each read takes, and adds what was read to a look.

    Parameters
    ----------
    reads : list of float
        Gets the seconds of each read; several threads append to it.
    look : Look or None
        Gets the samples that were read.
    """

    reads: list[float] = field(default_factory=list)
    look: Look | None = None

    def read(self, f: int, start: int, stop: int, into: Any = None) -> Samples:
        """Rows ``[start, stop)`` of frame `f`."""
        begin = time.perf_counter()
        samples = super().read(f, start, stop, into)
        self.reads.append(time.perf_counter() - begin)
        if self.look is not None:
            self.look.add(f, start, samples)
        return samples
