"""``@FILE`` in place of file names: a text file that lists them, as in IRAF."""

import os
import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path

from gpustack.errors import FrameError, MissingFileError
from gpustack.files.paths import at_home, exists

_EXPECTED = "expected a text file with one file name per line"


def is_list(text: str) -> bool:
    """Whether a text is ``@FILE``; not if a file with exactly this name, @ included, exists."""
    return text.startswith("@") and not exists(text)


def names_of(text: str) -> list[str]:
    """The names and globs in a list, one per line; for a text that is no list, the text itself.

    Relative names are relative to the current folder. Empty lines are skipped, and so are comments:
    from a # at the start of a line or after a blank to the end of the line. A # after a blank
    belongs to the name if a file of that name exists.

    Raises
    ------
    FrameError
        Where the list cannot be read, is empty, names another list, or names a file that is in the
        folder of the list and not in the current one.
    """
    if not is_list(text):
        return [text]
    names = list(_named(text, _lines(text)))
    if not names:
        raise FrameError(text, f"{_EXPECTED}, got no names")
    return names


def _lines(text: str) -> list[bytes]:
    try:
        raw = Path(at_home(text[1:])).read_bytes()
    except FileNotFoundError as err:
        raise MissingFileError(text, f"{_EXPECTED}, got no such file") from err
    except OSError as err:
        raise FrameError(text, f"{_EXPECTED}, got: {err.strerror}") from err
    except ValueError as err:  # a NUL in its name
        raise FrameError(repr(text), f"{_EXPECTED}, got: {err}") from err
    if b"\0" in raw:
        raise FrameError(text, f"{_EXPECTED}, got binary data")
    return raw.removeprefix(BOM_UTF8).splitlines()  # which Windows puts at the start of texts


def _named(text: str, lines: list[bytes]) -> Iterator[str]:
    folder = Path(at_home(text[1:])).parent
    for count, line in enumerate(lines, 1):
        where = f"{text}, line {count}"
        try:
            name = at_home(os.fsdecode(line.strip()))
        except UnicodeDecodeError as err:  # on Windows
            raise FrameError(where, f"expected a name in UTF-8, got {line!r}") from err
        if not exists(name):
            name = re.split(r"\s#", name, maxsplit=1)[0].rstrip()
        if not name or name.startswith("#"):
            continue
        if is_list(name):
            raise FrameError(where, f"expected a file name, got the name of another list, {name}")
        if not exists(name) and (folder / name).exists():
            raise FrameError(
                where,
                f"expected a name relative to the current folder, got {name}, which is in {folder}",
            )
        yield name
