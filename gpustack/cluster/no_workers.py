"""Warn the user while a run waits for a cluster that has no workers."""

import time
from asyncio import CancelledError
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

from gpustack.logs import logger

_log = logger(__name__)

#: Seconds between two checks, and seconds without workers before the warning: they may be starting.
EVERY, PATIENCE = 1.0, 5.0


@contextmanager
def warning_without_workers(client: Any) -> Iterator[None]:
    """Context manager: warn after a while without workers, and again when some are back."""
    over = Event()
    thread = Thread(target=_watch, args=(client, over), name="gpustack-workers", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _watch(client: Any, over: Event) -> None:
    since, warned = None, False
    while not over.wait(EVERY):
        count = _count(client)
        if count is None:
            continue
        if count and warned:
            _log.warning("cluster: workers are back: %d", count)
        if count:
            since, warned = None, False
            continue
        since = time.monotonic() if since is None else since
        if not warned and time.monotonic() - since >= PATIENCE:
            _log.warning("cluster: no workers for %g s; waiting for new ones", PATIENCE)
            warned = True


def _count(client: Any) -> int | None:
    """The number of workers; None where the scheduler does not answer."""
    try:
        return len(client.sync(client.scheduler.ncores, callback_timeout=EVERY))
    except (Exception, CancelledError):  # noqa: BLE001 - a lost scheduler is reported elsewhere
        return None
