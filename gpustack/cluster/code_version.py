"""Which code of gpustack this process runs: two checkouts of one version may make other pixels."""

import hashlib
from functools import cache
from pathlib import Path

from gpustack.backends.cuda import source

_LENGTH = 16  # hexadecimal digits: what is told apart are checkouts, not attacks


@cache
def code_here() -> str:
    """A hash of all Python files and kernels of the package, taken when it is first asked for.

    Of the commit nothing is asked: wheels have none, and changes that are not committed count.
    """
    return hash_of(Path(__file__).resolve().parents[1], source.digest())


def hash_of(folder: Path, start: str) -> str:
    """A hash of the Python files in a folder, by their names within it, and of a text."""
    total = hashlib.sha256(start.encode())
    for path in sorted(folder.rglob("*.py")):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0")
        total.update(path.read_bytes() + b"\0")
    return total.hexdigest()[:_LENGTH]
