"""How a stack is cut where the reasons of all samples are held. Pure arithmetic."""

import math
from dataclasses import dataclass

from gpustack.errors import MemoryLimitError
from gpustack.plan import Band, plan_bands

#: The share of the memory that reasons may take, where a row of them does not take more: the
#: rest is for samples.
SHARE = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """Bands of a stack, and the rows beside each that are looked at too.

    Parameters
    ----------
    height : int
        Rows of a plane.
    planes : int
    reach : int
        So many rows above and below a band are looked at, where its plane has them.
    row_bytes : int
        What is held of a row of a band.
    beside_bytes : int
        What is held of a row beside it.
    what : str
        What is held, for errors.
    """

    height: int
    planes: int
    reach: int
    row_bytes: int
    beside_bytes: int
    what: str

    @property
    def least(self) -> int:
        """Bytes that bands of one row take."""
        return self.held(1)

    def least_beside(self, enough: int) -> int:
        """Bytes that bands take of the least limit that leaves `enough`: a row, or their share."""
        return max(self.least, -(-enough // (SHARE - 1)))

    def held(self, rows: int) -> int:
        """Bytes that bands of so many rows take."""
        return rows * self.row_bytes + (self.window_rows(rows) - rows) * self.beside_bytes

    def window_rows(self, rows: int) -> int:
        """The rows of a band of so many, and those beside it."""
        return min(rows + 2 * self.reach, self.height)

    def bands(self, memory: int, span: Band | None = None) -> list[Band]:
        """Bands that take a share of `memory`, or of one row; none is of two planes.

        Of all rows, or of those of a span.

        Raises
        ------
        MemoryLimitError
            Where one row takes all of it.
        """
        if self.least >= memory:
            raise MemoryLimitError(
                f"memory limit: expected more than {self.least:,} bytes, which {self.what} take "
                f"for one row of all frames{' and those near it' * (self.reach > 0)}, and room for "
                f"the samples; got {memory:,} bytes"
            )
        beside = self.least - self.row_bytes
        room = max(memory // SHARE - beside, self.row_bytes)
        span = Band(0, self.height * self.planes) if span is None else span
        return [
            Band(part.start + band.start, part.start + band.stop)
            for part in self.by_plane(span)
            for band in plan_bands(part.rows, self.row_bytes, room)
        ]

    def by_plane(self, span: Band) -> list[Band]:
        """A span, cut where planes end."""
        first, last = span.start // self.height, -(-span.stop // self.height)
        planes = [(k * self.height, (k + 1) * self.height) for k in range(first, last)]
        return [Band(max(top, span.start), min(end, span.stop)) for top, end in planes]

    def near(self, span: Band) -> Band:
        """From the first row that is looked at for a span to the last."""
        parts = [self.around(part) for part in self.by_plane(span)]
        return Band(parts[0].start, parts[-1].stop)

    def around(self, band: Band) -> Band:
        """The band with the rows beside it."""
        top = band.start // self.height * self.height
        return Band(
            max(band.start - self.reach, top), min(band.stop + self.reach, top + self.height)
        )


def plan_for(
    rows: int, height: int, radius: float | None, row: int, beside: int, what: str
) -> Plan:
    """The plan for a stack.

    Parameters
    ----------
    rows, height : int
        Of a frame, and of a plane of it.
    radius : float or None
        Of growing; None where bands have nothing to do with each other, planes neither.
    row, beside : int
        Bytes of a row of a band, and of one beside it.
    what : str
        What they are, for errors.
    """
    if radius is None:
        return Plan(rows, 1, 0, row, beside, what)
    return Plan(height, rows // height, min(math.floor(radius), height - 1), row, beside, what)
