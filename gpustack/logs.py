"""Loggers beneath that of astropy, so that its level, handlers and files are those of gpustack too.

``astropy.log.setLevel("DEBUG")`` shows all that there is; astropy itself need not be loaded.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

#: What all of them are called, and what stands before the name of a module.
ROOT = "astropy.gpustack"


def logger(name: str) -> logging.Logger:
    """The logger of a module, ``astropy.gpustack.frames.cards`` for one.

    DEBUG tells what was chosen, INFO what was left out or put right, WARNING what the user should
    know.

    Parameters
    ----------
    name : str
        Of the module.
    """
    found = logging.getLogger(f"astropy.{name}")
    found.addFilter(_with_origin)
    return found


#: What is said of the first of many files, and of how many, while it is `gathered`.
_Said = dict[str, tuple[logging.Logger, str, int]]
_said: ContextVar[_Said | None] = ContextVar("said", default=None)


def warn_of(log: logging.Logger, text: str, *parts: Any) -> None:
    """Warn of one of many files; see `gathered`."""
    said = _said.get()
    if said is None:
        log.warning(text, *parts)
        return
    _, first, times = said.get(text, (log, text % parts, 0))
    said[text] = log, first, times + 1


@contextmanager
def gathered() -> Iterator[None]:
    """At its end, warn once of what `warn_of` says of many files within it, by the same text."""
    if _said.get() is not None:  # of the whole of which this is a part
        yield
        return
    said: _Said = {}
    before = _said.set(said)
    try:
        yield
    finally:
        _said.reset(before)
        for log, first, times in said.values():
            log.warning("%s%s", first, f"; so of {times - 1} more" * (times > 1))


def _with_origin(record: logging.LogRecord) -> bool:
    """What handlers of astropy want to know: the module that a record is of."""
    record.origin = record.name.removeprefix("astropy.")
    return True
