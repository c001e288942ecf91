"""Run a recipe on a whole source, with one thread for each device."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from gpustack.backends.base import Progress
from gpustack.backends.cuda.work import READERS, Work
from gpustack.backends.cuda.worker import Worker
from gpustack.errors import BackendError

#: Bands for each device, so that copies and kernels can overlap; fewer where bands would become
#: smaller than `work.LEAST_BYTES`.
LEAST_BANDS = 8


class Pipeline:
    """Shares the rows of a stack among devices.

    Parameters
    ----------
    work : Work
    memory : int
        Bytes of host memory that slots and reading may take, for all devices together.
    progress : callable or None
        Called in the thread that calls `run`.
    """

    def __init__(self, work: Work, memory: int, progress: Progress | None) -> None:
        self._work, self._memory, self._progress = work, memory, progress

    def run(self, devices: Sequence[int], limit: int | None) -> None:
        """Run on these devices, using at most `limit` bytes of each; None: most of its memory.

        A device that cannot work is left out where another one can.

        Raises
        ------
        MemoryLimitError, OutOfMemoryError
            Where not even one row fits in the limit or in the free memory.
        BackendError
            Where no device can work.
        """
        work = self._work
        least = max(work.enough_rows, 1)
        devices = devices[: max(work.source.rows // least, 1)]
        memory, bands = self._memory // len(devices), len(devices) * LEAST_BANDS
        with ThreadPoolExecutor(READERS) as readers:
            workers = [Worker(work, number, limit, memory, readers) for number in devices]
            problem: Exception | None = None
            # A worker that fails gives its rows back, maybe when all others have ended.
            while workers and work.rows.done < work.source.rows:
                ends = self._run_all(workers, bands)
                problem = problem or next((end for end in ends if end is not None), None)
                left = [worker for worker, end in zip(workers, ends, strict=True) if end is None]
                if len(left) == len(workers):
                    break
                workers = left
        if not workers and problem is not None:
            raise problem
        if work.rows.done != work.source.rows:
            raise BackendError(
                f"backend 'cuda' lost rows: expected {work.source.rows}, got {work.rows.done} "
                "(a fault of gpustack, please report it)"
            )

    def _run_all(self, workers: Sequence[Worker], bands: int) -> list[Exception | None]:
        """Run all workers to their end; for each, why it could not work, or None."""
        rows = self._work.rows

        def started(worker: Worker) -> Future[Exception | None]:
            future = pool.submit(worker.run, bands)
            future.add_done_callback(lambda _: rows.progress_queue.put(None))
            return future

        with ThreadPoolExecutor(len(workers)) as pool:
            # No future that failed is kept: its error holds device memory by its traceback.
            running = deque(map(started, workers))
            ends = []
            try:
                rows.report_progress(self._progress, len(running))
                while running:
                    ends.append(running.popleft().result())
            except BaseException:
                rows.stop()
                raise
            finally:
                running.clear()
        return ends
