"""Loggers beneath that of astropy, so that its level, handlers and files are those of gpustack too.

``astropy.log.setLevel("DEBUG")`` shows all that there is; astropy itself need not be loaded.
"""

import logging

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


def _with_origin(record: logging.LogRecord) -> bool:
    """What handlers of astropy want to know: the module that a record is of."""
    record.origin = record.name.removeprefix("astropy.")
    return True
