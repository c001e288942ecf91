"""Medians that take the place of rejected samples in columns."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from gpustack.backends.columns import Floats, Ranks


@dataclass(slots=True, eq=False)
class StandIns:
    """Sums of the stand-ins of each column, the medians that replace its rejected samples.

    Only sums are needed: no pass of `gpustack.clips.SigmaMedianClip` replaces a stand-in, because
    each lies between the middle samples of its column, which are never rejected.

    Parameters
    ----------
    count : ndarray of int, shape (m,)
        How many stand-ins each column has.
    origin : ndarray of float64, shape (m,)
        The initial median of each column; undefined where there are no stand-ins.
    total, squares : ndarray of float64, shape (m,)
        The sums of ``x - origin`` and of its square over the stand-ins.
    """

    count: Ranks
    origin: Floats
    total: Floats
    squares: Floats

    @classmethod
    def none(cls, origin: Floats) -> Self:
        """Return empty sums for columns whose initial medians are `origin`."""
        total, squares = np.zeros((2, len(origin)))
        return cls(np.zeros(len(origin), np.intp), origin, total, squares)

    def take(self, which: Ranks | slice) -> Self:
        """Return copies of the sums of some of the columns."""
        reals = (part[which].copy() for part in (self.origin, self.total, self.squares))
        return type(self)(self.count[which].copy(), *reals)

    def put(self, which: Ranks | slice, some: Self) -> None:
        """Replace the sums of some of the columns by those of `some`."""
        for name in self.__slots__:
            getattr(self, name)[which] = getattr(some, name)

    def add(self, count: Ranks, value: Floats) -> None:
        """Add `count` stand-ins of this value to each column."""
        away = np.where(count > 0, value - self.origin, 0.0)
        self.count += count
        self.total += count * away
        self.squares += count * (away * away)

    def total_about(self, center: Floats | float) -> Floats:
        """The sum of ``x - center`` over the stand-ins."""
        total = self.count * (self.origin - center) + self.total
        return np.where(self.count > 0, total, 0.0)

    def squares_about(self, center: Floats) -> Floats:
        """The sum of ``(x - center)^2`` over the stand-ins."""
        away = center - self.origin
        squares = self.squares + away * (self.count * away - 2 * self.total)
        return np.where(self.count > 0, squares, 0.0)
