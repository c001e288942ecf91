"""What the command line prints while it works and afterwards, at the verbosity asked for."""

import errno
import itertools
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from gpustack.files.paths import exists
from gpustack.logs import ROOT
from gpustack.progress import Bar
from gpustack.value_texts import size_words

if TYPE_CHECKING:  # the command line starts without it
    from gpustack.result import StackResult

_KEY = "gpustack.loudness"

#: The columns by which frames are reported as out of line on the terminal, and for how many
#: frames at most.
_STRAY_COLUMNS = ("scale", "weight", "valid")
_MOST_STRAY = 5

#: Error numbers of a full disk, and of limits on what a user or a process may write.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Loudness(IntEnum):
    """How much is printed beside errors."""

    QUIET = -1
    USUAL = 0
    VERBOSE = 1


def show_version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    """Print the first line of `gpustack info`, which names the version, and exit."""
    if wanted and not context.resilient_parsing:
        from gpustack.cli.about import headline

        click.echo(headline())
        context.exit()


def loudness() -> Loudness:
    """The loudness of the running command."""
    context = click.get_current_context(silent=True)
    return Loudness.USUAL if context is None else context.meta.get(_KEY, Loudness.USUAL)


def loudness_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options ``--quiet`` and ``--verbose`` to a command."""
    command = click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=_set_loudness(Loudness.VERBOSE),
        help="Show what was chosen and left out, and the numbers of all frames; in pipes also the "
        "summary.",
    )(command)
    return click.option(
        "-q",
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=_set_loudness(Loudness.QUIET),
        help="Show errors only: no progress, no warnings, no summary.",
    )(command)


def _set_loudness(loud: Loudness) -> Callable[[click.Context, click.Parameter, bool], None]:
    def callback(context: click.Context, option: click.Parameter, given: bool) -> None:
        if not given:
            return
        if _KEY in context.meta:
            raise click.UsageError("expected --quiet or --verbose, got both")
        context.meta[_KEY] = loud
        _set_log_levels(loud, context)

    return callback


class _StderrHandler(logging.Handler):
    """A log handler that prints records in the same form as the command line's own messages."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record on stderr."""
        loud = record.levelno >= logging.WARNING
        say(f"gpustack: {'warning: ' if loud else ''}{record.getMessage()}")


@contextmanager
def warnings_on_stderr() -> Iterator[None]:
    """A context in which warnings of the log are printed on stderr.

    astropy's own handler prints INFO on stdout, which is for results.
    """
    log, disabled = logging.getLogger(ROOT), logging.root.manager.disable
    before = log.handlers, log.propagate
    logging.disable(logging.INFO)
    log.handlers, log.propagate = [_StderrHandler()], False
    try:
        yield
    finally:
        log.handlers, log.propagate = before
        logging.disable(disabled)


def _set_log_levels(loud: Loudness, context: click.Context) -> None:
    """Set the level of the logs by loudness, until the command has run."""
    context.call_on_close(partial(logging.disable, logging.root.manager.disable))
    if loud is Loudness.QUIET:
        logging.disable(logging.WARNING)
        return
    from astropy import log

    for one, level in ((log, logging.WARNING), (logging.getLogger(ROOT), logging.DEBUG)):
        context.call_on_close(partial(one.setLevel, one.level))
        one.setLevel(level)
    logging.disable(logging.NOTSET)


def point_out_dashed_file(words: Iterable[str]) -> None:
    """Say so where a word that was taken for an option is the name of a file."""
    options = itertools.takewhile(lambda word: word != "--", words)
    for word in options:
        if word.startswith("-") and exists(word):
            say(f"gpustack: {word} is a file here; write ./{word}, as in ./*.fits")
            return


def say(line: str) -> None:
    """Write a line on stderr, above a progress bar if one is drawn there."""
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        tqdm.write(line, file=sys.stderr)
    else:
        click.echo(line, err=True)


def is_full(err: OSError) -> bool:
    """Whether an error means that there is no room for what is written."""
    return err.errno in _NO_ROOM


def drop_stdout() -> None:
    """Drop what cannot be written to stdout; Python would fail once more to flush it at exit."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    with Path(os.devnull).open("wb") as nowhere, suppress(OSError, ValueError):
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def warn(message: Warning | str, *where: Any, **more: Any) -> None:
    """Print a warning; takes the place of `warnings.showwarning`."""
    if loudness() > Loudness.QUIET:
        say(f"gpustack: warning: {message}")


def _prints_summary() -> bool:
    """Whether to print a summary: on a terminal without ``--quiet``, or with ``--verbose``."""
    return loudness() > Loudness.USUAL or (loudness() == Loudness.USUAL and sys.stderr.isatty())


def print_summary(result: "StackResult", output: Path, seconds: float) -> None:
    """Print a summary, and the frames whose numbers are out of line with those of others.

    Only on a terminal or with ``--verbose``, which prints the numbers of all frames too.
    """
    if loudness() > Loudness.USUAL:
        for line in result.frames.pformat(max_lines=-1, max_width=-1):
            say(line)
    if _prints_summary():
        for line in (*stray_lines(result.per_frame), summary(result, output, seconds)):
            say(line)


def stray_lines(per_frame: Mapping[str, Any]) -> Iterator[str]:
    """Lines for the first few frames whose scale, weight or share of valid samples is out of line.

    The rule is that of the page that ``--report FILE.html`` writes, which checks more columns.
    """
    from gpustack.result import is_there
    from gpustack.result.outlier_frames import out_of_line

    columns = {name: per_frame[name] for name in _STRAY_COLUMNS if name in per_frame}
    marks = out_of_line(columns, is_there(per_frame))
    names = per_frame["name"]
    lines = [
        f"{names[f]}: out of line: "
        + ", ".join(f"{name} {per_frame[name][f]:.4g}" for name in marks if marks[name][f])
        for f in range(len(names))
        if any(marked[f] for marked in marks.values())
    ]
    yield from lines[:_MOST_STRAY]
    if len(lines) > _MOST_STRAY:
        more = len(lines) - _MOST_STRAY
        yield f"{more} more frame{'s are' if more > 1 else ' is'} out of line"


def summary(result: "StackResult", output: Path, seconds: float) -> str:
    """One line: the output, the frames, the recipe, the share of rejected samples and the speed."""
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
    """A context with a callable (done, total) that draws a bar; None if `stream` is no terminal.

    Also None with ``--quiet``.
    """
    if not stream.isatty() or loudness() is Loudness.QUIET:
        yield None
        return
    bar = Bar(stream)
    try:
        yield bar
    finally:
        bar.close()
