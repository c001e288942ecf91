"""The link to a scheduler: how it is made, and how its loss is told."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpustack.errors import ClusterError, GpustackError

#: States of a client that can no longer be used.
CLOSED = ("closing", "closed")


@contextmanager
def told_of_loss(client: Any) -> Iterator[None]:
    """What dask raises where it has lost its scheduler, or too many workers, is ours.

    Whatever goes wrong once the client has closed itself, as it does when it gives up to reach the
    scheduler, is told as that loss.

    Raises
    ------
    ClusterError
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
            f"cluster: expected rows of the result, got workers that died of them, the last "
            f"{err.last_worker.address}; it may be of memory"
        ) from err
    except (NoWorkerError, NoValidWorkerError) as err:
        raise ClusterError(f"cluster: expected workers, got none any more: {err}") from err
    except (CancelledError, Cancelled, FutureCancelledError, CommClosedError) as err:
        raise _lost(err) from err
    except Exception as err:
        if client.status in CLOSED:
            raise _lost(err) from err
        raise


@contextmanager
def asking(client: Any) -> Iterator[None]:
    """Where the scheduler is asked and no code of others runs: all that fails is its loss.

    Raises
    ------
    ClusterError
    """
    with told_of_loss(client):
        try:
            yield
        except OSError as err:  # a connection that is not made in time
            raise _lost(err) from err


def _lost(err: BaseException) -> ClusterError:
    return ClusterError(f"cluster: expected a scheduler, got none any more: {err}")


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """A client of the scheduler at an address; None of none.

    Parameters
    ----------
    address : str or None
        ``"tcp://HOST:8786"``, or the name of the file that a scheduler has written.

    Raises
    ------
    ClusterError
        Where there is none, or dask is not installed.
    """
    if address is None:
        yield None
        return
    try:
        from distributed import Client
    except ImportError as err:
        raise ClusterError(
            f"dask {address}: expected distributed to be installed, got: {err}; "
            "pip install distributed (the extra gpustack[dask])"
        ) from err
    try:
        client = Client(_address_in(address), direct_to_workers=True, set_as_default=False)
    except (OSError, ValueError, TypeError) as err:  # TypeError: TLS without certificates
        raise ClusterError(f"dask {address}: expected a scheduler, got: {err}") from err
    with client:
        yield client


def _address_in(text: str) -> str:
    """The address itself, or that in a file of this name; dask waits for one, then fails to close.

    Raises
    ------
    OSError, ValueError
        Where the file cannot be read, or has none.
    """
    if not Path(text).is_file():
        return text
    told = json.loads(Path(text).read_text(encoding="utf-8"))
    found = told.get("address") if isinstance(told, dict) else None
    if not isinstance(found, str):
        raise ValueError("a file without the address of one")
    return found
