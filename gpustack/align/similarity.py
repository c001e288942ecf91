"""Maps of pixels onto pixels that shift, rotate and scale, and nothing else."""

import cmath
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Similarity:
    """Where pixels of a frame lie on the reference: ``z -> turn z + shift`` with ``z = x + iy``.

    Parameters
    ----------
    turn : complex
        Its absolute value is the scale, its argument the rotation from x to y.
    shift : complex
        Where the first pixel of the frame lies on the reference.
    """

    turn: complex = 1 + 0j
    shift: complex = 0j

    @property
    def scale(self) -> float:
        """Reference pixels across a frame pixel."""
        return abs(self.turn)

    @property
    def rotation(self) -> float:
        """Degrees, from x to y, that rotate what is seen on the frame onto the reference."""
        return math.degrees(cmath.phase(self.turn))

    @property
    def whole(self) -> tuple[int, int] | None:
        """The shift (y, x), if the map is a shift by whole pixels alone; else None."""
        y, x = self.shift.imag, self.shift.real
        is_whole = self.turn == 1 and y == round(y) and x == round(x)
        return (round(y), round(x)) if is_whole else None

    def seen_from(self, x: int, y: int) -> "Similarity":
        """The same map, with pixels of the reference counted from pixel x, y."""
        return Similarity(self.turn, self.shift - complex(x, y))

    def to_reference(self, x: Any, y: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Where x, y of the frame lie on the reference."""
        there = self.turn * (np.asarray(x) + 1j * np.asarray(y)) + self.shift
        return there.real, there.imag

    def to_frame(self, x: Any, y: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Where x, y of the reference lie on the frame."""
        back = (np.asarray(x) + 1j * np.asarray(y) - self.shift) / self.turn
        return back.real, back.imag
