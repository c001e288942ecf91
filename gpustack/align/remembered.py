"""Where files were found to lie, for whoever aligns the same ones again, and some that are new."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from gpustack.frames import FitsFrame, Frame
from gpustack.frames.onfile import Stamp

T = TypeVar("T")

_found: ContextVar[dict[Any, Any] | None] = ContextVar("found", default=None)


@contextmanager
def remembered() -> Iterator[None]:
    """While this lasts, files that have not changed are measured once against the same one."""
    before = _found.set({})
    try:
        yield
    finally:
        _found.reset(before)


def recall(how: Any, reference: Frame, frame: Frame, measure: Callable[[], T]) -> T:
    """What `measure` gives, or gave before of the same files."""
    known = _found.get()
    if known is None or not (isinstance(reference, FitsFrame) and isinstance(frame, FitsFrame)):
        return measure()
    key = how, _as_it_is(reference), _as_it_is(frame)
    if key not in known:
        known[key] = measure()
    result: T = known[key]
    return result


def _as_it_is(frame: FitsFrame) -> tuple[Any, ...]:
    """What is another where some of its files has changed."""
    return frame.name, *((file, Stamp.of(file)) for file in sorted(frame.files))
