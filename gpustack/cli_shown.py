"""What the command line shows on a terminal while it works, and of what it did."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

import click


def summary(result: Any, output: Path, seconds: float) -> str:
    """One line on what was done."""
    n = len(result.per_frame["name"])
    size = " x ".join(map(str, result.data.shape))
    rate = n * result.data.size / seconds / 1e6
    lost = 100 * float(result.per_frame["rejected"].mean())
    return (
        f"{output}: {n} frame{'s' if n > 1 else ''} of {size}, {result.recipe}; "
        f"{lost:.2g}% of samples rejected; {seconds:.1f} s, {rate:.0f} Mpx/s"
    )


@contextmanager
def progress_bar(stream: TextIO) -> Iterator[Callable[[int, int], None] | None]:
    """A callable (done, total) that draws a bar on a terminal; None elsewhere."""
    if not stream.isatty():
        yield None
        return
    with ExitStack() as shown:
        bar: Any = None

        def progress(done: int, total: int) -> None:
            nonlocal bar
            if bar is None:
                bar = shown.enter_context(
                    click.progressbar(length=total, label="stacking", file=stream)
                )
            bar.update(done - bar.pos)
            if done == total:
                shown.close()  # what is said after it starts on a line of its own

        yield progress
