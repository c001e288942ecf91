"""Identify the code of gpustack that this process runs.

The version number is not enough: two checkouts of one version may give different pixels.
"""

import hashlib
from functools import cache
from pathlib import Path

from gpustack.backends.cuda import source

_LENGTH = 16  # hexadecimal digits: enough to tell checkouts apart, not to resist attacks


@cache
def code_here() -> str:
    """Return a hash of all Python files and kernels of the package, computed on the first call.

    The commit would not do: wheels have none, and uncommitted changes have to count.
    """
    return hash_of(Path(__file__).resolve().parents[1], source.digest())


def hash_of(folder: Path, start: str) -> str:
    """Return a hash of a text, and of the Python files of a folder with their relative names."""
    total = hashlib.sha256(start.encode())
    for path in sorted(folder.rglob("*.py")):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0")
        total.update(path.read_bytes() + b"\0")
    return total.hexdigest()[:_LENGTH]
