"""Text files of numbers: a line a frame, and what follows a ``#`` is a comment."""

from collections.abc import Iterator
from pathlib import Path

from gpustack.errors import InputError
from gpustack.paths import at_home


def read_lines(path: str, expected: str) -> Iterator[tuple[str, str, str]]:
    """Of each line what it holds, its comment, and where that is, for errors.

    Parameters
    ----------
    path : str
    expected : str
        What the error says: of what, and what it should be.

    Raises
    ------
    InputError
        Where the file cannot be read.
    """
    try:
        text = Path(at_home(path)).read_text("utf-8-sig", errors="replace")
    except (OSError, ValueError) as err:  # of a name with a NUL
        problem = getattr(err, "strerror", None) or err
        raise InputError(f"{expected}, got {problem} for {path}") from err
    for count, line in enumerate(text.splitlines(), 1):
        item, _, comment = line.partition("#")
        yield item.strip(), comment.strip(), f"{path}, line {count}"
