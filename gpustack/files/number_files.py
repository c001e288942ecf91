"""Text files of numbers, one line per frame; a comment starts with ``#``."""

from collections.abc import Iterator
from pathlib import Path

from gpustack.errors import InputError
from gpustack.files.paths import at_home


def read_lines(path: str, expected: str) -> Iterator[tuple[str, str, str]]:
    """Yield the text of each line, its comment, and the file and line number for error messages.

    Parameters
    ----------
    path : str
    expected : str
        The beginning of the error message: what the numbers are for, and what was expected.

    Raises
    ------
    InputError
        Where the file cannot be read.
    """
    try:
        text = Path(at_home(path)).read_text("utf-8-sig", errors="replace")
    except (OSError, ValueError) as err:  # ValueError: a NUL in its name
        problem = getattr(err, "strerror", None) or err
        raise InputError(f"{expected}, got {problem} for {path}") from err
    for count, line in enumerate(text.splitlines(), 1):
        item, _, comment = line.partition("#")
        yield item.strip(), comment.strip(), f"{path}, line {count}"
