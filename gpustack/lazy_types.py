"""Test for classes of modules that are slow to load, without loading them."""

import sys
from typing import Any


def loaded(module: str, name: str) -> Any:
    """The class `name` of a module, for ``isinstance``; () while nobody has loaded it.

    There can be no object of it before that, as making one loads the module.
    """
    return getattr(sys.modules.get(module), name, ())
