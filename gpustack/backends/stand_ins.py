"""Medians that stand in columns in the place of rejected samples."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from gpustack.backends.columns import Floats, Ranks


@dataclass(slots=True, eq=False)
class StandIns:
    """What stands in columns beside their survivors.

    Sums are all that is needed of them: no pass of `gpustack.clips.SigmaMedianClip` replaces a
    stand-in, as each lies between the middle samples of its column, which always stay.

    Parameters
    ----------
    count : ndarray of int, shape (m,)
        How many there are in each column.
    origin : ndarray of float64, shape (m,)
        The median that each column began with; anything where there are none.
    total, squares : ndarray of float64, shape (m,)
        The sums of their distances from it, and of the squares.
    """

    count: Ranks
    origin: Floats
    total: Floats
    squares: Floats

    @classmethod
    def none(cls, origin: Floats) -> Self:
        """For columns of these medians."""
        total, squares = np.zeros((2, len(origin)))
        return cls(np.zeros(len(origin), np.intp), origin, total, squares)

    def take(self, which: Ranks | slice) -> Self:
        """Those of some of the columns, as copies."""
        reals = (part[which].copy() for part in (self.origin, self.total, self.squares))
        return type(self)(self.count[which].copy(), *reals)

    def put(self, which: Ranks | slice, some: Self) -> None:
        """What `take` gave, or others for these columns, in their places."""
        for name in self.__slots__:
            getattr(self, name)[which] = getattr(some, name)

    def add(self, count: Ranks, value: Floats) -> None:
        """So many more of this value, for every column."""
        away = np.where(count > 0, value - self.origin, 0.0)
        self.count += count
        self.total += count * away
        self.squares += count * (away * away)

    def total_about(self, center: Floats | float) -> Floats:
        """The sum of their distances from a centre."""
        total = self.count * (self.origin - center) + self.total
        return np.where(self.count > 0, total, 0.0)

    def squares_about(self, center: Floats) -> Floats:
        """The sum of the squares of these."""
        away = center - self.origin
        squares = self.squares + away * (self.count * away - 2 * self.total)
        return np.where(self.count > 0, squares, 0.0)
