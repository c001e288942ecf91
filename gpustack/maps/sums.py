"""Sums of arrays, added frame by frame, that do not depend on the order of the frames."""

from typing import Any

import numpy as np

from gpustack.frames.resident import library


class ExactSum:
    """Adds arrays up as `gpustack.backends.totals.exact_sums` does, on the host or a device."""

    def __init__(self, first: Any) -> None:
        self._total, self._rest = first + 0.0, first * 0.0

    def add(self, term: Any) -> None:
        """Add an array of float64."""
        with np.errstate(all="ignore"):  # sums may overflow
            total = self._total + term
            part = total - self._total
            lost = self._total  # becomes what rounding took from the old sum and from the term
            lost -= total - part
            lost += term - part
            self._rest += lost
        self._total = total

    def value(self) -> Any:
        """Return the sum; infinite where it overflows."""
        lib = library(self._total)
        return lib.where(lib.isfinite(self._rest), self._total + self._rest, self._total)
