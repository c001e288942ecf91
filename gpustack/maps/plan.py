"""The plan that cuts a stack into bands whose reasons are held. Pure arithmetic."""

import math
from dataclasses import dataclass

from gpustack.errors import MemoryLimitError
from gpustack.plan import Band, plan_bands

#: Reasons may take one part in this many of the memory, or one row if that is more; the rest is
#: for samples.
SHARE_DIVISOR = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """How a stack is cut into bands, and how many rows near each band are needed too.

    Parameters
    ----------
    height : int
        The rows of a plane.
    planes : int
    reach : int
        How many rows above and below a band are needed, as far as its plane has them.
    row_bytes : int
        Bytes that are held per row of a band.
    beside_bytes : int
        Bytes that are held per row above and below it.
    what : str
        What is held, for error messages.
    """

    height: int
    planes: int
    reach: int
    row_bytes: int
    beside_bytes: int
    what: str

    @property
    def least(self) -> int:
        """Bytes that are held for bands of one row."""
        return self.held(1)

    def least_beside(self, enough: int) -> int:
        """Return the bytes that are held under the lowest limit that leaves `enough` for samples.

        That is what one row takes, or the share of reasons in that limit.
        """
        return max(self.least, -(-enough // (SHARE_DIVISOR - 1)))

    def held(self, rows: int) -> int:
        """Return the bytes that are held for bands of so many rows."""
        return rows * self.row_bytes + (self.window_rows(rows) - rows) * self.beside_bytes

    def window_rows(self, rows: int) -> int:
        """Return how many rows a band of so many has with the rows above and below it."""
        return min(rows + 2 * self.reach, self.height)

    def bands(self, memory: int, span: Band | None = None) -> list[Band]:
        """Return bands for which the share of reasons in `memory` suffices, or bands of one row.

        Together they are all rows, or those of a span. No band extends over two planes.

        Raises
        ------
        MemoryLimitError
            Where one row takes all of the memory.
        """
        if self.least >= memory:
            raise MemoryLimitError(
                f"memory limit: expected room for {self.what} ({self.least:,} bytes for one row of "
                f"all frames{' and its neighbours' * (self.reach > 0)}) and for the samples, "
                f"got {memory:,} bytes"
            )
        beside = self.least - self.row_bytes
        room = max(memory // SHARE_DIVISOR - beside, self.row_bytes)
        span = Band(0, self.height * self.planes) if span is None else span
        return [
            Band(part.start + band.start, part.start + band.stop)
            for part in self.by_plane(span)
            for band in plan_bands(part.rows, self.row_bytes, room)
        ]

    def by_plane(self, span: Band) -> list[Band]:
        """Cut a span where planes end."""
        first, last = span.start // self.height, -(-span.stop // self.height)
        planes = [(k * self.height, (k + 1) * self.height) for k in range(first, last)]
        return [Band(max(top, span.start), min(end, span.stop)) for top, end in planes]

    def near(self, span: Band) -> Band:
        """Return the rows that are needed for a span, from the first to the last."""
        parts = [self.around(part) for part in self.by_plane(span)]
        return Band(parts[0].start, parts[-1].stop)

    def around(self, band: Band) -> Band:
        """Return a band with the rows above and below it that are needed."""
        top = band.start // self.height * self.height
        return Band(
            max(band.start - self.reach, top), min(band.stop + self.reach, top + self.height)
        )


def plan_for(
    rows: int, height: int, radius: float | None, row_bytes: int, beside_bytes: int, what: str
) -> Plan:
    """Return the plan for a stack.

    Parameters
    ----------
    rows, height : int
        The rows of a frame, and of a plane of it.
    radius : float or None
        The radius of growing; None where bands and planes are independent of each other.
    row_bytes, beside_bytes : int
        Bytes that are held per row of a band, and per row above and below it.
    what : str
        What is held, for error messages.
    """
    if radius is None:
        return Plan(rows, 1, 0, row_bytes, beside_bytes, what)
    return Plan(
        height, rows // height, min(math.floor(radius), height - 1), row_bytes, beside_bytes, what
    )
