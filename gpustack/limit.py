"""The memory limit of a run: what it leaves for samples, and errors where that is too little."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from gpustack.errors import MemoryLimitError, OutOfMemoryError
from gpustack.frames import FrameSource
from gpustack.plan import DEFAULT_MEMORY, parse_memory

Made = TypeVar("Made")


def limit_of(memory: float | str | None, source: FrameSource, maps: int, kept: int) -> int:
    """The bytes that reading and computing may take: the limit less what frames keep.

    Where no limit is given, some rows of all frames fit in any case. `maps` is what reasons and
    maps take of one row.
    """
    if memory is None:
        rows = source.held_bytes + 4 * source.most_row_bytes + 2 * maps
        return max(DEFAULT_MEMORY - kept, rows)
    limit = parse_memory(memory)
    if limit <= kept:
        raise MemoryLimitError(
            f"memory limit: expected room for some rows{_pixel_maps(kept)}, got {limit:,} bytes"
        )
    return limit - kept


@contextmanager
def beside(kept: int, seen: int = 0) -> Iterator[None]:
    """Within it, the error of a limit that is too low counts what is `kept` and `seen` as well."""
    try:
        yield
    except MemoryLimitError as err:
        raise err.beside(kept + seen, _pixel_maps(kept) if kept else "") from None


def _pixel_maps(kept: int) -> str:
    return f" beside the {kept:,} bytes of pixel maps of aligned frames"


def within_memory(work: Callable[[], Made]) -> Made:
    """What `work` gives; where memory runs out meanwhile, an error that says what to do."""
    try:
        return work()
    except OutOfMemoryError:
        raise
    except MemoryError as err:
        problem = str(err) or "no more memory"
    except RuntimeError as err:  # as Python calls it where there is no memory for a thread
        if "start new thread" not in str(err):
            raise
        problem = str(err)
    # Not from the error, which holds all buffers through its traceback.
    raise OutOfMemoryError(
        "out of memory: expected room for the result and, beside it, for the limit on samples "
        f"and buffers, got: {problem}; memory= (--memory) lowers the limit"
    )
