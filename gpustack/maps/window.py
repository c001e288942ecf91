"""The reasons of some rows of all frames, of which a few are needed again for the next band."""

from typing import Any


class Window:
    """Rows of an array that is only as long as it must be.

    Parameters
    ----------
    array : array, shape (n, rows, width)
        For as many rows as are held at a time; or for all, of which none is let go then.
    rows : int
        All rows that there are.
    """

    def __init__(self, array: Any, rows: int) -> None:
        self._array = array
        self._whole = array.shape[1] == rows
        self._start = self._stop = 0

    def let_go(self, start: int) -> None:
        """Rows before `start` are not needed any more."""
        if self._whole or start <= self._start:
            return
        kept = max(self._stop - start, 0)
        if kept:
            # A copy, as both parts may overlap.
            self._array[:, :kept] = self.of(start, self._stop).copy()
        self._start, self._stop = start, start + kept

    def of(self, start: int, stop: int) -> Any:
        """A view of rows ``[start, stop)``, shape (n, stop - start, width); they are held now."""
        self._stop = max(self._stop, stop)
        return self._array[:, start - self._start : stop - self._start]
