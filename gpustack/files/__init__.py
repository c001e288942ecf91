"""Resolve texts to files and HDUs, and check that no output is a file that is read.

- `paths`: names of files as users give them.
- `name_lists`: text files of names of files.
- `number_files`: text files of numbers.
"""

import glob
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gpustack.errors import FrameError, MissingFileError
from gpustack.files.name_lists import names_of
from gpustack.files.paths import at_home, exists
from gpustack.measures import FromFile

#: ``NAME[3]``, ``NAME[SCI]`` or ``NAME[SCI,2]``, as in CFITSIO and IRAF. Numbers are short, as
#: Python refuses to convert those of thousands of digits.
_WITH_HDU = re.compile(r"(.+)\[([^\[\],]+)(?:,\s*(\d{1,18})\s*)?\]", re.DOTALL)
_NUMBER = re.compile(r"-?[0-9]{1,18}")

#: ``NAME[*]``: every image of a file.
ALL = "*"

#: ``NAME[1:50,*]``, an image section as in IRAF.
_WITH_SECTION = re.compile(r".+\[[\d*:, -]*[*:][\d*:, -]*\]", re.DOTALL)

HduKey = int | str | tuple[str, int]


def is_glob(text: str) -> bool:
    """Whether a text has wildcards."""
    return any(sign in text for sign in "*?[")


def files_of(text: str) -> list[str]:
    """The files that a text stands for: a file, the sorted matches of a glob, or those of a list.

    A file whose name looks like a glob or a list takes precedence. An HDU in brackets stays behind
    each name; see `split_hdu`.

    Raises
    ------
    MissingFileError
        Where no file matches a glob, or there is no such list.
    FrameError
        Where a list cannot be read; see `gpustack.files.name_lists`.
    """
    return [file for name in names_of(text) for file in _matching(name)]


def _matching(text: str) -> list[str]:
    if not is_glob(text) or exists(text):
        return [text]
    found = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - Path.glob wants no root
    if found:
        return found
    file, key = split_hdu(text)
    if key is not None:
        return [with_hdu(name, key) for name in _matching(file)]
    raise MissingFileError(text, f"expected files that match, got none{_hint(text)}")


def _hint(text: str) -> str:
    """What may be wrong with brackets behind the name of a file, or a glob that matches."""
    if _WITH_SECTION.fullmatch(text):
        return "; image sections are not supported"
    file, bracket, _ = text.rpartition("[")
    if bracket and text.endswith("]") and (exists(file) or glob.glob(file)):  # noqa: PTH207
        return f"; {file} exists, of which [3], [SCI] or [SCI,2] is one image, and [*] all"
    return ""


def split_hdu(text: str) -> tuple[str, HduKey | None]:
    """Split ``FILE[HDU]`` into the file and its HDU, which is None if there is none.

    Where there is a file of that whole name, the text is that file.
    """
    found = _WITH_HDU.fullmatch(text)
    if found is None or exists(text):
        return text, None
    name, version = found[2].strip(), found[3]
    if _WITH_SECTION.fullmatch(text) and (name, version) != (ALL, None):
        return text, None
    if version is not None:
        return found[1], (name, int(version))
    return found[1], int(name) if _NUMBER.fullmatch(name) else name


def with_hdu(file: str, key: HduKey | None) -> str:
    """Join a file and its HDU to the text that `split_hdu` splits."""
    if key is None:
        return file
    return f"{file}[{','.join(map(str, key)) if isinstance(key, tuple) else key}]"


def check_not_overwritten(output: Path, read: Iterable[tuple[str, str]]) -> None:
    """Refuse to overwrite a file that is read.

    Parameters
    ----------
    output : Path
    read : iterable of (str, str)
        Names of files, and what each is.

    Raises
    ------
    FrameError
        Where the output is one of these files, by whatever name.
    """
    output = Path(at_home(output))
    for name, what in read if output.exists() else ():
        path = Path(at_home(name))
        if path.exists() and path.samefile(output):
            raise FrameError(name, f"expected another output, got {what}")


def alignment_and_number_files(align: Any, numbers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The files that an alignment and the numbers of frames are read from, and what each is.

    Parameters
    ----------
    align : Alignment or None
    numbers : mapping of str to measure, its text, or others
        The values given for ``"scale"``, ``"zero"`` and ``"weights"``.
    """
    if align is not None and align.file is not None:
        yield split_hdu(align.file)[0], f"the {align.reads} of --align"
    for role, value in numbers.items():
        if isinstance(value, FromFile):
            yield value.path, f"the numbers of --{role}"
        elif isinstance(value, str) and value.startswith("@"):
            yield value[1:], f"the numbers of --{role}"
