"""Where files were found to lie, for whoever aligns the same ones again, and some that are new."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gpustack.alignments import Alignment
from gpustack.frames import FitsFrame, Frame
from gpustack.frames.onfile import Stamp, reading

T = TypeVar("T")


@dataclass
class _Memory:
    """What was found of files against one `reference`; of another one nothing is kept."""

    reference: Any = None
    found: dict[Any, Any] = field(default_factory=dict)


_memory: ContextVar[_Memory | None] = ContextVar("memory", default=None)


@contextmanager
def remembered() -> Iterator[None]:
    """While this lasts, files that have not changed are measured once against the same one."""
    before = _memory.set(_Memory())
    try:
        yield
    finally:
        _memory.reset(before)


def recall(how: Alignment, reference: Frame, frame: Frame, measure: Callable[[], T]) -> T:
    """What `measure` gives of a frame against the reference, or gave before of the same files.

    Raises
    ------
    FrameError
        Where a file is gone.
    """
    memory = _memory.get()
    if memory is None or not (isinstance(reference, FitsFrame) and isinstance(frame, FitsFrame)):
        return measure()
    whose = how, _as_it_is(reference)
    if memory.reference != whose:
        memory.reference, memory.found = whose, {}
    key = frame is reference, _as_it_is(frame)
    if key not in memory.found:
        memory.found[key] = measure()
    result: T = memory.found[key]
    return result


def _as_it_is(frame: FitsFrame) -> tuple[Any, ...]:
    """What is another where some of its files has changed."""
    with reading(frame.name):
        return frame.name, *((file, Stamp.of(file)) for file in sorted(frame.files))
