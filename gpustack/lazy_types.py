"""``isinstance`` for classes of modules that are slow to import, without importing them."""

import sys
from typing import Any


def loaded(module: str, name: str) -> Any:
    """The class `name` of a module, for ``isinstance``; () if the module has not been imported.

    Before that no instance can exist: creating one imports the module.
    """
    return getattr(sys.modules.get(module), name, ())
