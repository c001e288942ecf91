"""Which files a text stands for, and which HDU of one."""

import glob
import re
from pathlib import Path

from gpustack.errors import FrameError

#: ``NAME[3]``, ``NAME[SCI]`` or ``NAME[SCI,2]``, as CFITSIO and IRAF have it.
_WITH_HDU = re.compile(r"(.+)\[([^\[\],]+)(?:,\s*(\d+))?\]", re.DOTALL)

HduKey = int | str | tuple[str, int]


def is_glob(text: str) -> bool:
    """Whether it has signs that stand for others."""
    return any(sign in text for sign in "*?[")


def files_of(text: str) -> list[str]:
    """The file itself; or those that match a text that names no file, sorted.

    Raises
    ------
    FrameError
        Where none matches.
    """
    if not is_glob(text) or Path(text).exists():
        return [text]
    found = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - Path.glob wants no root
    if not found:
        raise FrameError(text, "expected files that match, got none")
    return found


def split_hdu(text: str) -> tuple[str, HduKey | None]:
    """The file, and the HDU that stands behind it in brackets; None where none does.

    A file of just that name goes first.
    """
    found = _WITH_HDU.fullmatch(text)
    if found is None or Path(text).exists():
        return text, None
    name, version = found[2].strip(), found[3]
    if version is not None:
        return found[1], (name, int(version))
    return found[1], int(name) if name.isdecimal() else name
