"""A window on the reasons of all frames, which keeps rows that the next band needs again."""

from typing import Any


class Window:
    """Rows ``[start, stop)`` of the reasons, in an array that need not hold all rows.

    Parameters
    ----------
    array : array, shape (n, rows, width)
        As long as the rows that are held at a time, or as long as all rows, which then all stay.
    rows : int
        The number of all rows.
    """

    def __init__(self, array: Any, rows: int) -> None:
        self._array = array
        self._whole = array.shape[1] == rows
        self._start = self._stop = 0

    def drop_before(self, start: int) -> None:
        """Drop the rows before `start`, and move the others to the front."""
        if self._whole or start <= self._start:
            return
        kept = max(self._stop - start, 0)
        if kept:
            # By a copy, as old and new place may overlap.
            self._array[:, :kept] = self.hold(start, self._stop).copy()
        self._start, self._stop = start, start + kept

    def hold(self, start: int, stop: int) -> Any:
        """Return a view of rows ``[start, stop)``, shape (n, stop - start, width); hold them."""
        self._stop = max(self._stop, stop)
        return self._array[:, start - self._start : stop - self._start]
