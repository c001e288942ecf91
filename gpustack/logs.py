"""Loggers below astropy's, so that gpustack follows its level, handlers and log files.

``astropy.log.setLevel("DEBUG")`` shows all messages. Logging does not import astropy.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

#: The common parent of all loggers of gpustack.
ROOT = "astropy.gpustack"


def logger(name: str) -> logging.Logger:
    """Return the logger of a module, such as ``astropy.gpustack.frames.cards``.

    DEBUG is for choices that were made, INFO for what was left out or corrected, WARNING for what
    the user should know.

    Parameters
    ----------
    name : str
        The name of the module.
    """
    found = logging.getLogger(f"astropy.{name}")
    found.addFilter(_with_origin)
    return found


#: By text of a warning, while warnings are `gathered`: its logger, the message for the first file,
#: and the number of files.
_Gathered = dict[str, tuple[logging.Logger, str, int]]
_gathering: ContextVar[_Gathered | None] = ContextVar("gathering", default=None)


def warn_about_file(log: logging.Logger, text: str, *parts: Any) -> None:
    """Warn about one of many files: at once, or once for all of them if `gathered`."""
    texts = _gathering.get()
    if texts is None:
        log.warning(text, *parts)
        return
    _, first, times = texts.get(text, (log, text % parts, 0))
    texts[text] = log, first, times + 1


@contextmanager
def gathered() -> Iterator[None]:
    """Collect the warnings of `warn_about_file` within it, and log each text once, with a count."""
    if _gathering.get() is not None:  # nested: the outermost one logs them
        yield
        return
    texts: _Gathered = {}
    before = _gathering.set(texts)
    try:
        yield
    finally:
        _gathering.reset(before)
        for log, first, times in texts.values():
            log.warning("%s%s", first, f"; the same for {times - 1} more" * (times > 1))


def _with_origin(record: logging.LogRecord) -> bool:
    """Filter that sets ``origin``, the module of a record, which astropy's handlers expect."""
    record.origin = record.name.removeprefix("astropy.")
    return True
