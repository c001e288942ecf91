"""The process of a command: how it begins, and how it ends."""

import atexit
import gc
import io
import os
import signal
import sys
from importlib import import_module
from typing import Any, TextIO

#: That the terminal has gone ends a run as SIGTERM does; Windows does not know it.
_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
_SIGNALS = tuple(getattr(signal, name) for name in _ENDING if hasattr(signal, name))

_STDERR = 2

#: Objects that Python makes before it looks for garbage. A command makes 120,000 as modules load,
#: all of which stay: to look for garbage among them, also in the end, took a quarter of a start.
GARBAGE = 200_000


def begin() -> None:
    """Have signals end the process by way of its clean-up, and look for garbage seldom."""
    for number in _SIGNALS:
        # As a shell has it in the background, and nohup.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _leave)
    _listen_or_not()
    gc.set_threshold(GARBAGE)
    atexit.register(gc.freeze)


def _listen_or_not() -> None:
    """Let a run go on where nothing can be said: stderr is closed, or its disk is full."""
    given: TextIO | None = sys.stderr
    if given is None:
        # Else a file that is opened later could get the number of stderr, to which libraries write.
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, _STDERR)
        if nowhere > _STDERR:
            os.close(nowhere)
    elif given.isatty() or given is not sys.__stderr__:
        return
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(_Unheard(_STDERR, "w", closefd=False)),
        encoding=getattr(given, "encoding", None),
        errors="backslashreplace",
        line_buffering=True,
    )


class _Unheard(io.FileIO):
    """What cannot be written there is as good as written."""

    def write(self, data: Any, /) -> int:
        """Write it, if that can be."""
        try:
            return super().write(data)
        except OSError:
            return len(data)


def load_fits() -> None:
    """Load ``astropy.io.fits`` without numcodecs, whose codecs nobody asks for in a command.

    astropy gives the codecs of compressed tiles a base class of it, where it is installed, so that
    zarr knows them; for that it loads 60 modules and looks through all that is installed: a tenth
    of a start. Whoever needs numcodecs later gets it, without the codecs of astropy.
    """
    name = "numcodecs"
    if name in sys.modules:
        return
    sys.modules[name] = None  # type: ignore[assignment]  # how Python says that there is none
    try:
        import_module("astropy.io.fits")
    finally:
        del sys.modules[name]


def _leave(number: int, frame: Any) -> None:
    """Leave by way of the clean-up that an exception gets, which no further signal disturbs."""
    for other in _SIGNALS:
        signal.signal(other, _stay)  # SIG_IGN makes Python complain of those that are under way
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def _stay(number: int, frame: Any) -> None:
    """Take no notice."""
