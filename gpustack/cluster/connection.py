"""Connect to the scheduler that the command line names, within the connect timeout of dask."""

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpustack.errors import ClusterError, MissingPackageError

_ADDRESS = re.compile(r"\w+://|[^/]+:\d+$")


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Yield a client that is connected to a scheduler, and close it on exit.

    Parameters
    ----------
    address : str
        ``"tcp://HOST:8786"``, or the name of the file that the scheduler has written.

    Raises
    ------
    ClusterError
        Where no scheduler answers.
    MissingPackageError
        Where dask is not installed.
    """
    try:
        from distributed import Client
    except ImportError as err:
        raise MissingPackageError(
            f"dask {address}: expected distributed to be installed, got: {err}; "
            "pip install distributed (the extra gpustack[dask])"
        ) from err
    try:
        found = _address_in(address)
        security = _security(found)
        asyncio.run(_ask(found, security))
        client = Client(found, security=security, direct_to_workers=True, set_as_default=False)
    except Exception as err:  # another server at this address may answer anything
        given = address or repr(address)
        raise ClusterError(f"dask {given}: expected a scheduler, got: {err}") from err
    with _quiet(), client:
        yield client


@contextmanager
def _quiet() -> Iterator[None]:
    """Context manager: drop the log of a lost scheduler by `distributed.client`, as we raise."""
    log = logging.getLogger("distributed.client")
    log.addFilter(_is_news)
    try:
        yield
    finally:
        log.removeFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    kind = record.exc_info[0] if record.exc_info else None
    lost = kind is not None and issubclass(kind, (asyncio.CancelledError, OSError))
    return not lost and not record.getMessage().startswith("Failed to reconnect to scheduler")


async def _ask(address: str, security: Any) -> None:
    """Raise unless a scheduler answers in time.

    `distributed.Client` waits for the first answer without a limit, and one that could not
    connect waits for a minute before it gives up.

    Raises
    ------
    OSError
        Where no scheduler answers. Another server at this address may cause any exception.
    """
    from dask import config
    from dask.utils import parse_timedelta
    from distributed import rpc

    limit = parse_timedelta(config.get("distributed.comm.timeouts.connect"))
    how = {"timeout": limit, "connection_args": security.get_connection_args("client")}
    try:
        async with asyncio.timeout(limit), rpc(address, **how) as there:
            identity = await there.identity()
    except TimeoutError as err:
        raise OSError(f"no answer in {limit:g} s") from err
    if identity["type"] != "Scheduler":
        raise OSError(f"a {identity['type']}")


def _security(address: str) -> Any:
    """The `Security` that `distributed.Client` uses for an address, by dask's configuration."""
    from dask import config
    from distributed import Security
    from distributed.utils import import_term

    loader = config.get("distributed.client.security-loader", None)
    return (loader and import_term(loader)({"address": address})) or Security()


def _address_in(text: str) -> str:
    """Return `text` where it is an address, else the address in the scheduler's file of that name.

    Raises
    ------
    OSError, ValueError
        Where `text` is neither, or the file contains no address.
    """
    if _ADDRESS.match(text):
        return text
    if not Path(text).is_file():
        kind = "a folder" if text and Path(text).is_dir() else "no such file"
        raise OSError(f"{kind}; give tcp://HOST:8786, or the file that a scheduler has written")
    content = json.loads(Path(text).read_text(encoding="utf-8"))
    found = content.get("address") if isinstance(content, dict) else None
    if not isinstance(found, str):
        raise ValueError("a file that contains no scheduler address")
    return found
