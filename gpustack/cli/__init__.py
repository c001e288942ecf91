"""The command line: a thin layer over `gpustack.stack` and `gpustack.explain`.

- `commands`: the commands.
- `options`: the options that they share.
- `parameter_types`: the types of their values.
- `files`: the files that they read.
- `extras`: previews, reports and the stacks of `gpustack watch`.
- `shown`: what they print.
- `about`: what `gpustack info` says of the machine.
- `process`: signals and imports.
- `exit_codes`: their exit codes.
"""

import signal
import sys
import warnings

import click

from gpustack.cli.commands import cli
from gpustack.cli.exit_codes import MACHINE, code_of
from gpustack.cli.process import begin
from gpustack.cli.shown import (
    drop_stdout,
    is_full,
    point_out_dashed_file,
    say,
    warn,
    warnings_on_stderr,
)
from gpustack.errors import GpustackError


def main() -> None:
    """Run the command line; an error becomes one line on stderr and an exit code."""
    begin()
    with warnings.catch_warnings(), warnings_on_stderr():
        warnings.showwarning = warn
        try:
            cli.main(prog_name="gpustack", standalone_mode=False)
        except click.ClickException as err:
            err.show()
            if isinstance(err, click.UsageError):
                point_out_dashed_file(sys.argv[1:])
            sys.exit(err.exit_code)
        except (click.Abort, KeyboardInterrupt):
            say("gpustack: interrupted")
            sys.exit(128 + signal.SIGINT)
        except (GpustackError, MemoryError) as err:
            say(f"gpustack: {str(err) or 'out of memory'}")
            sys.exit(code_of(err))
        except OSError as err:
            if not is_full(err):
                raise
            drop_stdout()
            say(f"gpustack: stdout: could not be written: {err.strerror}")
            sys.exit(MACHINE)
