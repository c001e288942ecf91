"""Cuts a stack into bands that fit a memory limit. Pure arithmetic; touches no array."""

import math
import re
from dataclasses import dataclass

from gpustack.checks import real
from gpustack.errors import InputError, MemoryLimitError

#: The memory limit in bytes where none is given. Larger bands are no faster, and progress is
#: reported after each band.
DEFAULT_MEMORY = 512 << 20

_PREFIXES = "kmgt"


@dataclass(frozen=True, slots=True)
class Band:
    """Full-width rows ``[start, stop)`` of every frame, the unit of streaming."""

    start: int
    stop: int

    @property
    def rows(self) -> int:
        """How many rows."""
        return self.stop - self.start


def plan_bands(rows: int, row_bytes: int, memory: int) -> list[Band]:
    """Cut `rows` into bands whose input fits in `memory`.

    Parameters
    ----------
    rows : int
        Rows of a frame: the product of all its axes but the last.
    row_bytes : int
        Bytes that one row of all frames takes while it is processed. 0 where nothing has to be
        read (arrays in memory): then there is one band.
    memory : int
        The limit in bytes.

    Returns
    -------
    list of Band
        In order; together they cover every row once.

    Raises
    ------
    MemoryLimitError
        Where one row does not fit.
    """
    if row_bytes > memory:
        raise MemoryLimitError(
            f"memory limit: expected room for at least one row of all frames, "
            f"{row_bytes:,} bytes, got {memory:,} bytes"
        )
    step = min(rows, memory // row_bytes) if row_bytes else rows
    return [Band(start, min(start + step, rows)) for start in range(0, rows, max(step, 1))]


def parse_memory(memory: float | str | None, name: str = "memory") -> int:
    """Return a memory limit in bytes, from a number, text such as ``"2GB"``, or None.

    Units are decimal (kB, MB, GB, TB) or binary (KiB, MiB, GiB, TiB), in upper or lower case, and
    the B may be left out. None is `DEFAULT_MEMORY`. `name` begins the error message.

    Raises
    ------
    InputError
        Where the limit is no number and no such text, less than one byte, or infinite.
    """
    if memory is None:
        return DEFAULT_MEMORY
    size = _text_bytes(memory) if isinstance(memory, str) else real(memory)
    if not 1 <= size < math.inf:
        raise InputError(f"{name}: expected at least 1 byte, or text such as '2GB', got {memory!r}")
    return int(size)


def _text_bytes(text: str) -> float:
    number = r"([0-9]*\.?[0-9]+(?:e\+?[0-9]+)?)"
    match = re.fullmatch(rf"\s*{number}\s*(?:([{_PREFIXES}])(i?))?b?\s*", text.lower())
    if match is None:
        return math.nan
    power = 1 + _PREFIXES.index(match[2]) if match[2] else 0
    return float(match[1]) * (1024.0 if match[3] else 1000.0) ** power
