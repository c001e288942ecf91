"""That there are no workers, told to somebody who waits for what they make."""

import time
from asyncio import CancelledError
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

from gpustack.logs import logger

_log = logger(__name__)

#: Seconds between two looks, and without workers until it is told: they may be on their way.
EVERY, PATIENCE = 1.0, 5.0


@contextmanager
def told_of_lack(client: Any) -> Iterator[None]:
    """Within it, warn once when there are no workers for a while, and again when there are some."""
    over = Event()
    thread = Thread(target=_watch, args=(client, over), name="gpustack-workers", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _watch(client: Any, over: Event) -> None:
    since, told = None, False
    while not over.wait(EVERY):
        count = _count(client)
        if count is None:
            continue
        if count and told:
            _log.warning("cluster: there are workers again: %d", count)
        if count:
            since, told = None, False
            continue
        since = time.monotonic() if since is None else since
        if not told and time.monotonic() - since >= PATIENCE:
            _log.warning("cluster: no workers for %g s; waiting for new ones", PATIENCE)
            told = True


def _count(client: Any) -> int | None:
    """How many workers there are; None where the scheduler does not say."""
    try:
        return len(client.sync(client.scheduler.ncores, callback_timeout=EVERY))
    except (Exception, CancelledError):  # noqa: BLE001 - a lost scheduler is told of elsewhere
        return None
