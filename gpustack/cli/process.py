"""Set up the process of a command: signals, streams, garbage collection and slow imports."""

import atexit
import gc
import io
import os
import signal
import sys
from importlib import import_module
from typing import Any, TextIO

#: SIGHUP, sent when the terminal is closed, ends a run as SIGTERM does; Windows has no SIGHUP.
_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
_SIGNALS = tuple(getattr(signal, name) for name in _ENDING if hasattr(signal, name))

_STDERR = 2

#: Objects that Python makes before it collects garbage. Loading the modules of a command makes
#: 120,000, all of which stay. Collecting among them, also at exit, took a quarter of a start.
GC_THRESHOLD = 200_000


def begin() -> None:
    """Have signals end the process with clean-up, guard streams, and collect garbage rarely."""
    for number in _SIGNALS:
        # Ignored signals stay ignored: shells ignore SIGINT for background jobs, nohup SIGHUP.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)
    _guard_stderr()
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # A name of a file may have characters that a terminal or pipe has not.
        sys.stdout.reconfigure(errors="backslashreplace")
    gc.set_threshold(GC_THRESHOLD)
    atexit.register(gc.freeze)


def _guard_stderr() -> None:
    """Let a run go on where stderr cannot be written: it is closed, or its disk is full."""
    given: TextIO | None = sys.stderr
    if given is None:
        # Otherwise a file opened later could get the number of stderr, to which libraries write.
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, _STDERR)
        if nowhere > _STDERR:
            os.close(nowhere)
    elif given.isatty() or given is not sys.__stderr__:
        return
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(_ForgivingFile(_STDERR, "w", closefd=False)),
        encoding=getattr(given, "encoding", None),
        errors="backslashreplace",
        line_buffering=True,
    )


class _ForgivingFile(io.FileIO):
    """A file that reports data as written where writing it fails."""

    def write(self, data: Any, /) -> int:
        """Write data; where that fails, drop them."""
        try:
            return super().write(data)
        except OSError:
            return len(data)


def load_fits() -> None:
    """Load ``astropy.io.fits`` without numcodecs, which no command needs.

    Where numcodecs is installed, astropy derives its codecs of compressed tiles from a class of
    numcodecs, for zarr. Importing numcodecs loads 60 modules and searches all installed packages,
    which takes a tenth of the start time. Code that imports numcodecs later gets it, without the
    codecs of astropy.
    """
    name = "numcodecs"
    if name in sys.modules:
        return
    sys.modules[name] = None  # type: ignore[assignment]  # makes its import fail
    try:
        import_module("astropy.io.fits")
    finally:
        del sys.modules[name]


def _end(number: int, frame: Any) -> None:
    """End the process by an exception, so that it cleans up; ignore further signals meanwhile."""
    for other in _SIGNALS:
        signal.signal(other, _ignore)  # with SIG_IGN, Python complains of signals already received
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def _ignore(number: int, frame: Any) -> None:
    """Ignore a signal."""
