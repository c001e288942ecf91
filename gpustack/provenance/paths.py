"""Where files are, as a report has it: whole paths that tell nobody's name."""

import os
from collections.abc import Iterable
from pathlib import Path

from gpustack.paths import PathLike, at_home


def stored(path: PathLike) -> str:
    """The whole path of a file; ``~`` stands for the home folder, whose name is that of a user."""
    whole = os.path.abspath(path)  # noqa: PTH100 - links stay as they were given
    home = at_home("~").rstrip(os.sep)
    return "~" + whole[len(home) :] if home and whole.startswith(home + os.sep) else whole


def find(where: str, given: str | None, folder: PathLike, shared: int = 0) -> str | None:
    """The file that a report speaks of; None where it is nowhere.

    Parameters
    ----------
    where : str
        Its whole path, as `stored`.
    given : str or None
        The path by which it was given. Where the first one is gone, this is looked for from the
        folder of the report, which may have moved with all its files, and from the current one.
    folder : path
        That of the report.
    shared : int
        So many folders all frames were given with: without them it is looked for too, as one of
        them may have got another name.
    """
    tried = [at_home(where)]
    if given is not None and not os.path.isabs(given):  # noqa: PTH117
        parts = Path(given).parts
        tried += [*(os.path.join(folder, *parts[i:]) for i in range(shared + 1)), given]  # noqa: PTH118
    return next((path for path in tried if Path(path).is_file()), None)


def shared_folders(given: Iterable[str]) -> int:
    """With how many folders all of some relative paths begin."""
    folders = [str(Path(path).parent) for path in given if not Path(path).is_absolute()]
    return len(Path(os.path.commonpath(folders)).parts) if folders else 0
