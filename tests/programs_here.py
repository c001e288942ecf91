"""Programs in Python, run in this process: they are told the same, and no start is paid for."""

import sys
import warnings
from contextlib import chdir, redirect_stdout
from io import StringIO
from unittest.mock import patch

from bench import process, scripts, started
from bench.process import Taken
from gpustack.cli import cli

#: What runs a module, by its name; all read ``sys.argv``.
MAINS = {
    "gpustack.cli": lambda: cli.main(standalone_mode=False),
    "bench.scripts": scripts.main,
    "bench.started": started.main,
}


def measure(invocation, cores=(), limit=600.0):
    """As `bench.process.measure`, which other programs are left to; nothing is measured here."""
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
    return Taken(0, 1.0, 1.0, 1, printed.getvalue())
