"""The process of a command: how it begins, and how it ends."""

import atexit
import gc
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

#: That the terminal has gone ends a run as SIGTERM does; Windows does not know it.
_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
_SIGNALS = tuple(getattr(signal, name) for name in _ENDING if hasattr(signal, name))

#: Objects that Python makes before it looks for garbage. A command makes 120,000 as modules load,
#: all of which stay: to look for garbage among them, also in the end, took a quarter of a start.
GARBAGE = 200_000


def begin() -> None:
    """Have signals end the process by way of its clean-up, and look for garbage seldom."""
    for number in _SIGNALS:
        # As a shell has it in the background, and nohup.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _leave)
    if sys.stderr is None:  # it is closed; nobody wants to hear
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - for as long as the process runs
    gc.set_threshold(GARBAGE)
    atexit.register(gc.freeze)


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
