"""Turn what dask raises when a scheduler or workers are lost into errors of gpustack."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gpustack.errors import ClusterError, FrameError, GpustackError

#: States of a client that can no longer be used.
CLOSED = ("closing", "closed")


@contextmanager
def reporting_loss(client: Any, what: str = "") -> Iterator[None]:
    """Context manager: the loss of the scheduler or of too many workers raises a ClusterError.

    A client that gives up on its scheduler closes itself. Any error after that is reported as the
    loss of the scheduler.

    Parameters
    ----------
    client : distributed.Client
    what : str
        The rows or the frame of a dask array that are computed; empty for files. The graph of the
        array is foreign code, and its errors become a FrameError that names `what`.

    Raises
    ------
    ClusterError
        Where the scheduler, or too many workers, are lost.
    FrameError
        Where the graph of a dask array raised an error.
    """
    from asyncio import CancelledError as Cancelled
    from concurrent.futures import CancelledError

    from distributed import KilledWorker
    from distributed.client import FutureCancelledError
    from distributed.comm import CommClosedError
    from distributed.scheduler import NoValidWorkerError, NoWorkerError

    try:
        yield
    except GpustackError:
        raise
    except KilledWorker as err:
        raise ClusterError(
            "cluster: workers died while they made rows of the result, the last one "
            f"{err.last_worker.address}; they may have run out of memory"
        ) from err
    except (NoWorkerError, NoValidWorkerError) as err:
        raise ClusterError(f"cluster: no workers are left: {err}") from err
    except (CancelledError, Cancelled, FutureCancelledError, CommClosedError) as err:
        raise _lost(err) from err
    except Exception as err:
        if client.status in CLOSED:
            raise _lost(err) from err
        if what:
            problem = f"expected samples, got {type(err).__name__}: {err}"
            raise FrameError(what, problem) from err
        raise


@contextmanager
def asking_scheduler(client: Any) -> Iterator[None]:
    """As `reporting_loss`, for requests to the scheduler: an OSError, too, means that it is lost.

    Raises
    ------
    ClusterError
    """
    with reporting_loss(client):
        try:
            yield
        except OSError as err:  # no connection in time
            raise _lost(err) from err


def _lost(err: BaseException) -> ClusterError:
    reason = str(err).partition("\n")[0]
    return ClusterError(f"cluster: lost the connection to the scheduler: {reason}")
