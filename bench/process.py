"""Run commands as processes of their own, and measure their time and memory."""

import compileall
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bench import machine

CHILD = Path(__file__).with_name("child.py")


def compile_package() -> None:
    """Compile gpustack to bytecode, as pip does with what it installs, such as the peers.

    In a checkout, Python writes bytecode when a new or changed module is first imported, but not
    where PYTHONDONTWRITEBYTECODE is set. Each start then compiles some 150 modules, in 0.3 s.
    """
    compileall.compile_dir(machine.ROOT / "gpustack", quiet=1)


@dataclass(frozen=True, slots=True)
class Invocation:
    """How a program is started.

    Parameters
    ----------
    command : list of str
    folder : path
        The working directory.
    environment : mapping of str to str
        Variables in addition to those of this process.
    stdin : str
        The text of its standard input.
    """

    command: list[str]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    stdin: str = ""

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run the command to its end; the result has what it printed."""
        return subprocess.run(
            self.command,
            input=self.stdin,
            cwd=self.folder,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )


class Measured(NamedTuple):
    """What a run took, and what it printed.

    ``seconds`` are those of the wall clock, ``cpu_seconds`` those of all cores, ``peak`` the bytes
    of the largest of its processes.
    """

    code: int
    seconds: float
    cpu_seconds: float
    peak: int
    output: str


def measure(invocation: Invocation, cores: Iterable[int] = (), limit: float = 600.0) -> Measured:
    """Run a command on these cores (empty = all of them), for `limit` seconds at most.

    Raises
    ------
    TimeoutError
        After `limit` seconds, when the command and all its processes have been killed.
    """
    stdin = invocation.folder / "stdin"
    stdin.write_text(invocation.stdin)
    order = {
        "command": invocation.command,
        "folder": str(invocation.folder),
        "stdin": str(stdin),
        "cores": sorted(cores),
    }
    # -I and -S: Python loads no site packages, which keeps the process small.
    started = subprocess.Popen(
        [sys.executable, "-IS", str(CHILD), json.dumps(order)],
        env={**os.environ, **invocation.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = started.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)
        started.communicate()
        raise TimeoutError(f"expected an end within {limit:g} s, got none") from None
    printed, _, last = output.rstrip("\n").rpartition("\n")
    if not last.startswith("{"):  # the command could not be started
        return Measured(-1, 0.0, 0.0, 0, output)
    return Measured(**json.loads(last), output=printed)
