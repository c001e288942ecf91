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
    """

    height: int
    planes: int
    reach: int
    row_bytes: int
    beside_bytes: int

    @property
    def least(self) -> int:
        """Bytes that bands of one row take."""
        return self.held(1)

    def held(self, rows: int) -> int:
        """Bytes that bands of so many rows take."""
        return rows * self.row_bytes + (self.window_rows(rows) - rows) * self.beside_bytes

    def window_rows(self, rows: int) -> int:
        """The rows of a band of so many, and those beside it."""
        return min(rows + 2 * self.reach, self.height)

    def bands(self, memory: int) -> list[Band]:
        """Bands that take a share of `memory`, or of one row; none is of two planes.

        Raises
        ------
        MemoryLimitError
            Where one row takes all of it.
        """
        if self.least >= memory:
            raise MemoryLimitError(
                "memory limit: expected room for why the samples of one row of all frames are "
                f"out, with the rows near it {self.least:,} bytes, and for the samples; got "
                f"{memory:,} bytes"
            )
        beside = self.least - self.row_bytes
        room = max(memory // SHARE - beside, self.row_bytes)
        cut = plan_bands(self.height, self.row_bytes, room)
        starts = [plane * self.height for plane in range(self.planes)]
        return [Band(at + band.start, at + band.stop) for at in starts for band in cut]

    def around(self, band: Band) -> Band:
        """The band with the rows beside it."""
        top = band.start // self.height * self.height
        return Band(
            max(band.start - self.reach, top), min(band.stop + self.reach, top + self.height)
        )


def plan_for(rows: int, height: int, radius: float | None, row: int, beside: int) -> Plan:
    """The plan for a stack.

    Parameters
    ----------
    rows, height : int
        Of a frame, and of a plane of it.
    radius : float or None
        Of growing; None where bands have nothing to do with each other, planes neither.
    row, beside : int
        Bytes of a row of a band, and of one beside it.
    """
    if radius is None:
        return Plan(rows, 1, 0, row, beside)
    return Plan(height, rows // height, min(math.floor(radius), height - 1), row, beside)
