"""Names of files as people give them. pathlib raises for some: too long ones, ~USER of nobody."""

import os

PathLike = str | os.PathLike[str]


def at_home(name: PathLike) -> str:
    """A name with ~ and ~USER turned into the home of a user; as it is, where there is none."""
    return os.path.expanduser(os.fsdecode(name))  # noqa: PTH111


def exists(name: str) -> bool:
    """Whether there is a file of this name; not where no file can have it."""
    return os.path.exists(name)  # noqa: PTH110
