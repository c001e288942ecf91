"""Classes of modules that are slow to load, and that nobody needs who has no object of them."""

import sys
from typing import Any


def loaded(module: str, name: str) -> Any:
    """The class `name` of a module, for ``isinstance``; () while nobody has loaded it.

    An object of it cannot be there before: whoever made it has loaded the module.
    """
    return getattr(sys.modules.get(module), name, ())
