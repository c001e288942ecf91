"""The memory limit of a run: the bytes it leaves for samples, and errors where they are too few."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from gpustack.errors import MemoryLimitError, OutOfMemoryError
from gpustack.frames import FrameSource
from gpustack.plan import DEFAULT_MEMORY, parse_memory

Made = TypeVar("Made")


def limit_of(memory: float | str | None, source: FrameSource, maps: int, kept: int) -> int:
    """The bytes that reading and computing may take: the limit less what frames keep.

    Without a given limit, the default is raised where needed so that four rows of all frames fit.

    Parameters
    ----------
    memory : number of bytes, text, or None
        The limit; see `gpustack.plan.parse_memory`.
    source : FrameSource
    maps : int
        Bytes that reasons and maps take for a band of one row; see `gpustack.maps.least_memory`.
    kept : int
        Bytes that frames hold throughout the run: the pixel maps of aligned frames.

    Raises
    ------
    MemoryLimitError
        Where the limit is no more than `kept`.
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
def counting_held(kept: int, pictured: int = 0) -> Iterator[None]:
    """Add bytes `kept` by frames and `pictured` for pictures to a MemoryLimitError within it."""
    try:
        yield
    except MemoryLimitError as err:
        raise err.beside(kept + pictured, _pixel_maps(kept) if kept else "") from None


def _pixel_maps(kept: int) -> str:
    return f" beside the {kept:,} bytes of pixel maps of aligned frames"


def within_memory(work: Callable[[], Made]) -> Made:
    """Return ``work()``; if memory runs out meanwhile, raise an error that says what to do.

    Raises
    ------
    OutOfMemoryError
        Where memory runs out.
    """
    try:
        return work()
    except OutOfMemoryError:
        raise
    except MemoryError as err:
        problem = str(err) or "no more memory"
    except RuntimeError as err:  # what Python raises where there is no memory for a thread
        if "start new thread" not in str(err):
            raise
        problem = str(err)
    # Not chained to the original error, whose traceback keeps all buffers alive.
    raise OutOfMemoryError(
        "out of memory: expected memory for the result and, besides, for samples and buffers up to "
        f"the limit, got: {problem}; lower the limit with memory= (--memory)"
    )
