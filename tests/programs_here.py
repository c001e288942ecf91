"""Run Python programs in this process, with the same arguments, to save starting interpreters."""

import sys
import warnings
from contextlib import chdir, redirect_stdout
from io import StringIO
from unittest.mock import patch

from bench import process, scripts, started
from bench.process import Measured
from gpustack.cli import cli

#: Name of a module -> function that runs it; all of them read ``sys.argv``.
MAINS = {
    "gpustack": lambda: cli.main(standalone_mode=False),
    "bench.scripts": scripts.main,
    "bench.started": started.main,
}


def measure(invocation, cores=(), limit=600.0):
    """Stand in for `bench.process.measure`: run Python modules here, without measuring them.

    Other programs are passed on to `bench.process.measure`.
    """
    python, dash, *words = invocation.command
    if (python, dash) != (sys.executable, "-m"):
        return process.measure(invocation, cores, limit)
    printed = StringIO()
    with (
        chdir(invocation.folder),
        redirect_stdout(printed),
        patch.object(sys, "argv", words),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        MAINS[words[0]]()
    return Measured(0, 1.0, 1.0, 1, printed.getvalue())
