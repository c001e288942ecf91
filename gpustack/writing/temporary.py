"""Temporary files that are removed if the run that wrote them was killed.

A file that is being written is locked, and the system releases the lock when the process ends,
however it ends. A temporary file without a lock was therefore abandoned, if this machine wrote it.
Locks of other machines may be invisible here, so their files are never removed.
"""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from gpustack.logs import logger

_log = logger(__name__)

#: A random identifier that Linux draws at each boot; containers have that of their host.
_BOOT = Path("/proc/sys/kernel/random/boot_id")

#: The name of a machine without such an identifier.
_UNKNOWN = "0"


@contextmanager
def temporary_file(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Create a file in `folder`, open, locked and empty; remove it at the end unless renamed.

    Its name is ``.gpustack-MACHINE-PROCESS-RANDOM.part``.
    """
    path = folder / f".gpustack-{_machine()}-{os.getpid()}-{secrets.token_hex(4)}.part"
    # Twice, as an interrupt may come anywhere, also before the first _remove has removed the file.
    try:
        try:
            with path.open("xb") as file:
                if _lock(file.fileno(), wait=True) and os.fstat(file.fileno()).st_nlink == 0:
                    raise OSError(errno.EAGAIN, "taken for abandoned by another run, try again")
                yield file, path
        finally:
            _remove(path)
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files that ended runs on this machine have left in `folder`."""
    if _machine() == _UNKNOWN:
        return
    for path in folder.glob(f".gpustack-{_machine()}-*.part"):
        with suppress(OSError):
            _remove_if_abandoned(path)


def _remove_if_abandoned(path: Path) -> None:
    # Whoever put it there: do not follow a link, and do not wait for a pipe.
    opened = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        is_file = stat.S_ISREG(os.fstat(opened).st_mode)
        if is_file and _lock(opened, wait=False):
            path.unlink()
            _log.info("%s: removed; left by a run that was killed", path)
    finally:
        os.close(opened)


def _lock(file: int, wait: bool) -> bool:
    """Lock an open file until it is closed; return False if it is locked or cannot be locked."""
    fcntl = _fcntl()
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _fcntl() -> Any:
    """The module ``fcntl``; None on a system without such locks."""
    try:
        import fcntl
    except ImportError:
        return None
    return fcntl


@cache
def _machine() -> str:
    """An identifier of this machine since its last boot."""
    try:
        return _BOOT.read_text().strip().replace("-", "")[:12] or _UNKNOWN
    except OSError:
        return _UNKNOWN
