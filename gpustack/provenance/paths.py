"""The paths of files, as a report has them: absolute, but without the name of the user."""

import os
from collections.abc import Iterable
from pathlib import Path

from gpustack.files.paths import PathLike, at_home


def stored(path: PathLike) -> str:
    """Return the absolute path of a file, with ``~`` for the home folder, which names the user."""
    whole = os.path.abspath(path)  # noqa: PTH100 - links stay as they were given
    home = at_home("~").rstrip(os.sep)
    return "~" + whole[len(home) :] if home and whole.startswith(home + os.sep) else whole


def find(where: str, given: str | None, folder: PathLike, shared: int = 0) -> str | None:
    """Return where a file of a report is now; None where it is not found.

    Parameters
    ----------
    where : str
        Its absolute path, as from `stored`. Tried first.
    given : str or None
        The path by which it was given. A relative one is tried from the folder of the report,
        which may have moved with all its files, and then from the current folder.
    folder : path
        The folder of the report.
    shared : int
        The number of leading folders that the given paths of all frames have in common. `given`
        is tried without some or all of them too, as such a folder may have been renamed.
    """
    tried = [at_home(where)]
    if given is not None and not os.path.isabs(given):  # noqa: PTH117
        parts = Path(given).parts
        tried += [*(os.path.join(folder, *parts[i:]) for i in range(shared + 1)), given]  # noqa: PTH118
    return next((path for path in tried if Path(path).is_file()), None)


def shared_folders(given: Iterable[str]) -> int:
    """Return the number of leading folders that all relative paths of `given` have in common."""
    folders = [str(Path(path).parent) for path in given if not Path(path).is_absolute()]
    return len(Path(os.path.commonpath(folders)).parts) if folders else 0
