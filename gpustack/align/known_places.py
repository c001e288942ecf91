"""Remember where files lie, so that aligning them again with new ones measures only the new ones.

A live stack is made anew whenever a file arrives; see `gpustack.live.watching`.
"""

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
    """Results of measuring files against one `reference`; another reference discards them."""

    reference: Any = None
    found: dict[Any, Any] = field(default_factory=dict)


_memory: ContextVar[_Memory | None] = ContextVar("memory", default=None)


@contextmanager
def remembered() -> Iterator[None]:
    """Within this context, measure files that do not change only once against a reference."""
    before = _memory.set(_Memory())
    try:
        yield
    finally:
        _memory.reset(before)


def recall(how: Alignment, reference: Frame, frame: Frame, measure: Callable[[], T]) -> T:
    """The result of `measure` for a frame, remembered if the same files were measured before.

    Raises
    ------
    FrameError
        Where a file no longer exists.
    """
    memory = _memory.get()
    if memory is None or not (isinstance(reference, FitsFrame) and isinstance(frame, FitsFrame)):
        return measure()
    reference_key = how, _state_key(reference)
    if memory.reference != reference_key:
        memory.reference, memory.found = reference_key, {}
    key = frame is reference, _state_key(frame)
    if key not in memory.found:
        memory.found[key] = measure()
    result: T = memory.found[key]
    return result


def _state_key(frame: FitsFrame) -> tuple[Any, ...]:
    """A key of a frame that differs once one of its files has changed."""
    with reading(frame.name):
        return frame.name, *((file, Stamp.of(file)) for file in sorted(frame.files))
