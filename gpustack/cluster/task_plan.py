"""Which rows form a task, and how many tasks are out at a time. Pure arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass

from gpustack.plan import Band

#: Tasks per worker: with fewer, some workers would idle at the end; more add overhead.
TASKS_PER_WORKER = 4
#: Tasks per worker that run or wait at a time, so that the next one is there when one ends.
AHEAD = 2
#: Bytes that a task reads at most, unless one row is more: they are lost if its worker dies.
MOST_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """The bands that are tasks, and how many of them are out at a time."""

    bands: Sequence[Band]
    window: int


def plan_tasks(
    rows: int, workers: int, read: int, made: int, memory: int, chunk: int = 1, most: int = 0
) -> TaskPlan:
    """Cut the rows of a stack into the tasks of some workers.

    Parameters
    ----------
    rows : int
        Rows of a frame.
    workers : int
        How many there are.
    read, made : int
        Bytes of a row: of all frames as read, and of the result.
    memory : int
        Bytes that results on their way to the client may take; one row is always allowed.
    chunk : int
        Rows of the largest block that lies together. A band of more rows is a multiple of it.
    most : int
        Rows of a band at most. 0 is no limit, for tasks that stream their band.
    """
    window = min(max(1, AHEAD * workers), max(1, memory // made))
    step = -(-rows // (TASKS_PER_WORKER * workers))
    step = min(step, max(1, MOST_BYTES // max(read, 1)), max(1, memory // made // window))
    if most:
        step = min(step, most)
    if step > chunk:
        step -= step % chunk
    bands = [Band(start, min(start + step, rows)) for start in range(0, rows, step)]
    return TaskPlan(bands, window)
