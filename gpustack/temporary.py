"""Temporary files: whose they are, and how those of runs that were killed are removed.

A file that is being written is locked, and the system lets go of the lock when the process ends,
however it ends. On the machine that wrote it, a temporary file without a lock is therefore
abandoned; of another machine, which may lock on its own, that cannot be told, and its files stay.
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

#: Linux draws it at every start of a machine; containers have that of the machine they run on.
_BOOT = Path("/proc/sys/kernel/random/boot_id")

#: What a machine is called that cannot be told from others.
_UNKNOWN = "0"


@contextmanager
def temporary_file(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file in `folder`, open, locked and empty; what has its name at the end is removed.

    Its name is ``.gpustack-MACHINE-PROCESS-RANDOM.part``.
    """
    path = folder / f".gpustack-{_machine()}-{os.getpid()}-{secrets.token_hex(4)}.part"
    # An interrupt may come anywhere, also in the first of the two; see `gpustack.cli`.
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
    """Remove temporary files of runs on this machine that have ended and left them in `folder`."""
    if _machine() == _UNKNOWN:
        return
    for path in folder.glob(f".gpustack-{_machine()}-*.part"):
        with suppress(OSError):
            _remove_if_abandoned(path)


def _remove_if_abandoned(path: Path) -> None:
    # Neither a link is followed nor a pipe waited for, whoever put it there.
    opened = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        is_file = stat.S_ISREG(os.fstat(opened).st_mode)
        if is_file and _lock(opened, wait=False):
            path.unlink()
            _log.info("%s: removed, a run that was killed left it", path)
    finally:
        os.close(opened)


def _lock(file: int, wait: bool) -> bool:
    """Lock an open file until it is closed; False where somebody has, or none can be had."""
    fcntl = _fcntl()
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _fcntl() -> Any:
    """Python's module; None where the system has no such locks."""
    try:
        import fcntl
    except ImportError:
        return None
    return fcntl


@cache
def _machine() -> str:
    """What tells this machine, since it was started, from all others."""
    try:
        return _BOOT.read_text().strip().replace("-", "")[:12] or _UNKNOWN
    except OSError:
        return _UNKNOWN
