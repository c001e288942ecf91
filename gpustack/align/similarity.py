"""Maps of pixels onto pixels that shift, turn and scale, and nothing else."""

import cmath
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Similarity:
    """Where the pixels of a frame lie on the reference: ``z -> turn z + shift`` of ``z = x + iy``.

    Parameters
    ----------
    turn : complex
        Its absolute value is the scale, its argument the rotation from x to y.
    shift : complex
        Where the first pixel of the frame lies.
    """

    turn: complex = 1 + 0j
    shift: complex = 0j

    @property
    def scale(self) -> float:
        """Pixels of the reference across one of the frame."""
        return abs(self.turn)

    @property
    def rotation(self) -> float:
        """In degrees, from x to y, of what is seen on the frame to what is on the reference."""
        return math.degrees(cmath.phase(self.turn))

    @property
    def whole(self) -> tuple[int, int] | None:
        """(y, x) by which it shifts; None where it does more, or by parts of a pixel."""
        y, x = self.shift.imag, self.shift.real
        is_whole = self.turn == 1 and y == round(y) and x == round(x)
        return (round(y), round(x)) if is_whole else None

    def seen_from(self, x: int, y: int) -> "Similarity":
        """The same, counted from another pixel of the reference."""
        return Similarity(self.turn, self.shift - complex(x, y))

    def to_reference(self, x: Any, y: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Where x, y of the frame lie on the reference."""
        there = self.turn * (np.asarray(x) + 1j * np.asarray(y)) + self.shift
        return there.real, there.imag

    def to_frame(self, x: Any, y: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Where x, y of the reference lie on the frame."""
        back = (np.asarray(x) + 1j * np.asarray(y) - self.shift) / self.turn
        return back.real, back.imag
