"""Names of files as users give them.

`os.path` is used because pathlib raises for names that are too long and for ~USER of no user.
"""

import os

PathLike = str | os.PathLike[str]


def at_home(name: PathLike) -> str:
    """The name with ~ and ~USER expanded to the home of the user; unchanged if there is none."""
    return os.path.expanduser(os.fsdecode(name))  # noqa: PTH111


def exists(name: str) -> bool:
    """Whether there is a file of this name; False for a name that no file can have."""
    return os.path.exists(name)  # noqa: PTH110
