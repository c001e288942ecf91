"""Which rows are a task, and how many tasks go out at a time. Pure arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass

from gpustack.plan import Band

#: Tasks for each worker: fewer would leave some idle at the end, more cost more.
EACH = 4
#: Tasks that a worker has or waits for: the next one is there when one is done.
AHEAD = 2
#: Bytes that a task reads at most, where a row is not more: what a worker that dies may cost.
MOST_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class Cut:
    """The bands that are tasks, and how many of them go out at a time."""

    bands: Sequence[Band]
    window: int


def cut(
    rows: int, workers: int, read: int, made: int, memory: int, chunk: int = 1, most: int = 0
) -> Cut:
    """Cut a stack for some workers.

    Parameters
    ----------
    rows : int
        Of a frame.
    workers : int
    read, made : int
        Bytes of a row: of all frames, and of the result.
    memory : int
        Bytes that results take that are on their way, at most; but a row always is.
    chunk : int
        Rows of the largest block that lies together: larger bands are so many, or a multiple.
    most : int
        Rows of a band at most; 0 where tasks stream their band, however large.
    """
    window = min(max(1, AHEAD * workers), max(1, memory // made))
    step = -(-rows // (EACH * workers))
    step = min(step, max(1, MOST_BYTES // max(read, 1)), max(1, memory // made // window))
    if most:
        step = min(step, most)
    if step > chunk:
        step -= step % chunk
    bands = [Band(start, min(start + step, rows)) for start in range(0, rows, step)]
    return Cut(bands, window)
