"""What the command line shows while it works and afterwards, as loudly as it was asked to."""

import errno
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from gpustack.logs import ROOT
from gpustack.progress import Bar
from gpustack.value_texts import size_words

if TYPE_CHECKING:  # the command line starts without it
    from gpustack.result import StackResult

_KEY = "gpustack.loudness"

#: The columns in which frames that are out of line are reported on the terminal, and how many
#: frames at most.
_TOLD = ("scale", "weight", "valid")
_MOST_TOLD = 5

#: Of a disk that is full, and of limits on what a user or a process may write.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Loudness(IntEnum):
    """How much is said beside errors."""

    QUIET = -1
    USUAL = 0
    VERBOSE = 1


def show_version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    """Say which gpustack this is, as the first line of `gpustack info` does, and leave."""
    if wanted and not context.resilient_parsing:
        from gpustack.about import headline

        click.echo(headline())
        context.exit()


def loudness() -> Loudness:
    """That of the command that runs."""
    context = click.get_current_context(silent=True)
    return Loudness.USUAL if context is None else context.meta.get(_KEY, Loudness.USUAL)


def loudness_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``--quiet`` and ``--verbose``."""
    command = click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=_set(Loudness.VERBOSE),
        help="Say what was chosen and left out, and the numbers of all frames; also in pipes, say "
        "what was done.",
    )(command)
    return click.option(
        "-q",
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=_set(Loudness.QUIET),
        help="Say nothing but errors: no progress, no warnings, no summary.",
    )(command)


def _set(loud: Loudness) -> Callable[[click.Context, click.Parameter, bool], None]:
    def callback(context: click.Context, option: click.Parameter, given: bool) -> None:
        if not given:
            return
        if _KEY in context.meta:
            raise click.UsageError("expected --quiet or --verbose, got both")
        context.meta[_KEY] = loud
        _listen(loud, context)

    return callback


class _Said(logging.Handler):
    """What the log has to say, in lines as all that the command line says."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        loud = record.levelno >= logging.WARNING
        say(f"gpustack: {'warning: ' if loud else ''}{record.getMessage()}")


@contextmanager
def listening() -> Iterator[None]:
    """Within it, what the log warns of is said on stderr.

    astropy says what is of interest on stdout, which is for results.
    """
    log, disabled = logging.getLogger(ROOT), logging.root.manager.disable
    before = log.handlers, log.propagate
    logging.disable(logging.INFO)
    log.handlers, log.propagate = [_Said()], False
    try:
        yield
    finally:
        log.handlers, log.propagate = before
        logging.disable(disabled)


def _listen(loud: Loudness, context: click.Context) -> None:
    """Have the log say as much, as long as the command runs."""
    context.call_on_close(partial(logging.disable, logging.root.manager.disable))
    if loud is Loudness.QUIET:
        logging.disable(logging.WARNING)
        return
    from astropy import log

    for one, level in ((log, logging.WARNING), (logging.getLogger(ROOT), logging.DEBUG)):
        context.call_on_close(partial(one.setLevel, one.level))
        one.setLevel(level)
    logging.disable(logging.NOTSET)


def say(line: str) -> None:
    """Write a line on stderr, above a bar that is drawn there."""
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        tqdm.write(line, file=sys.stderr)
    else:
        click.echo(line, err=True)


def unwritten(err: OSError) -> bool:
    """Whether stdout has no room for what is said; what still waits to be written is dropped."""
    if err.errno not in _NO_ROOM:
        return False
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    # Else Python fails once more as it ends.
    with Path(os.devnull).open("wb") as nowhere, suppress(OSError, ValueError):
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    return True


def warn(message: Warning | str, *where: Any, **more: Any) -> None:
    """Say a warning, as `warnings.showwarning`."""
    if loudness() > Loudness.QUIET:
        say(f"gpustack: warning: {message}")


def _is_heard() -> bool:
    """Whether somebody looks at a terminal, or asked to be told."""
    return loudness() > Loudness.USUAL or (loudness() == Loudness.USUAL and sys.stderr.isatty())


def tell_of(result: "StackResult", output: Path, seconds: float) -> None:
    """Say what was done, and of which frames the numbers are not as those of others.

    To somebody who looks at a terminal or asked for it; with ``--verbose`` the numbers of all
    frames too.
    """
    if loudness() > Loudness.USUAL:
        for line in result.frames.pformat(max_lines=-1, max_width=-1):
            say(line)
    if _is_heard():
        for line in (*stray_lines(result.per_frame), summary(result, output, seconds)):
            say(line)


def stray_lines(per_frame: Mapping[str, Any]) -> Iterator[str]:
    """A line for each frame of the first few whose scale, weight or share of valid samples strays.

    By the rule of the page that ``--report FILE.html`` writes, which looks at more.
    """
    from gpustack.outlier_frames import out_of_line
    from gpustack.result import is_there

    columns = {name: per_frame[name] for name in _TOLD if name in per_frame}
    marks = out_of_line(columns, is_there(per_frame))
    names = per_frame["name"]
    told = [
        f"{names[f]}: out of line: "
        + ", ".join(f"{name} {per_frame[name][f]:.4g}" for name in marks if marks[name][f])
        for f in range(len(names))
        if any(some[f] for some in marks.values())
    ]
    yield from told[:_MOST_TOLD]
    if len(told) > _MOST_TOLD:
        more = len(told) - _MOST_TOLD
        yield f"{more} more frame{'s are' if more > 1 else ' is'} out of line"


def summary(result: "StackResult", output: Path, seconds: float) -> str:
    """One line on what was done."""
    from gpustack.result import left_out

    n = left_out(result.per_frame).count("")
    size = size_words(result.data.shape)
    rate = n * result.data.size / seconds / 1e6
    share = result.rejected
    lost = "" if share is None else f"{100 * share:.3g}% of samples rejected; "
    return (
        f"{output}: {n} frame{'s' if n > 1 else ''} of {size}, {result.recipe}; "
        f"{lost}{seconds:.1f} s, {rate:.0f} Mpx/s"
    )


@contextmanager
def progress_bar(stream: TextIO) -> Iterator[Bar | None]:
    """A callable (done, total) that draws a bar on a terminal; None elsewhere."""
    if not stream.isatty() or loudness() is Loudness.QUIET:
        yield None
        return
    bar = Bar(stream)
    try:
        yield bar
    finally:
        bar.close()
