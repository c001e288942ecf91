"""A progress bar, drawn by tqdm, on a terminal or in a notebook only."""

import sys
from typing import TYPE_CHECKING, Any, TextIO

from gpustack.checks import check

if TYPE_CHECKING:  # the command line starts without numpy
    from gpustack.backends.base import Progress


class Bar:
    """A progress callback that draws a bar from its first call until all rows are done.

    Parameters
    ----------
    file : text stream
        The terminal; ignored in a notebook.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._drawn: Any = None

    def __call__(self, done: int, total: int) -> None:
        """Draw the bar at `done` of `total` rows."""
        if self._drawn is None:
            self._drawn = self._begun(total)
        self._drawn.update(done - self._drawn.n)
        if done == total:
            self.close()  # so that later messages start on a line of their own

    def _begun(self, total: int) -> Any:
        from tqdm.auto import tqdm

        where = {} if in_notebook() else {"file": self._file}
        return tqdm(total=total, desc="stacking", unit="row", dynamic_ncols=True, **where)

    def close(self) -> None:
        """End the line of the bar, if it was started."""
        if self._drawn is not None:
            self._drawn.close()
            self._drawn = None


def in_notebook() -> bool:
    """Whether this is a Jupyter kernel: its output is no terminal but can show widgets."""
    kernel = sys.modules.get("ipykernel.kernelapp")
    return kernel is not None and bool(kernel.IPKernelApp.initialized())


def progress_callback(
    progress: "Progress | bool | None", file: TextIO | None = None
) -> "Progress | None":
    """Return the progress callback of a run, called after each band, or None.

    Parameters
    ----------
    progress : callable, bool or None
        True: a `Bar` on a terminal or in a notebook; nothing in pipes and files.
    file : text stream or None
        Where to draw; None is stderr.

    Raises
    ------
    RecipeError
        Where `progress` is none of these.
    """
    if progress is None or progress is False:
        return None
    if progress is not True:
        check(
            callable(progress),
            f"progress: expected a callable, True, False or None, got {progress!r}",
        )
        return progress
    stream = sys.stderr if file is None else file
    return Bar(stream) if in_notebook() or stream.isatty() else None
